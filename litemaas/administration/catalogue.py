"""What can be done about the catalogue from its pages: agree to what disappears, and ask LiteLLM about one model."""

from collections.abc import Iterable
from typing import Any, Final

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_parts import Text, Verb
from accounts.models import User
from accounts.rbac import Permission
from litellm_sync import catalogue, disappearance
from litellm_sync.client.fallback import LITELLM
from litellm_sync.models import SyncRun
from litellm_sync.reports import FIELDS
from subscriptions.models import Model

NAMES: Final = 50


def confirm(actor: User, run: SyncRun) -> Any:
    """What the run names may go."""
    return disappearance.confirm_disappearance(actor, run=run.pk)


def consequences(actor: User, run: SyncRun) -> Iterable[Text]:
    """Which models would go, and whom that touches. A run that has ended never changes: this is what is confirmed."""
    names, touched = disappearance.refused_models(run), disappearance.consequences(run)
    words = gettext("%(gone)s of %(available)s models are missing in LiteLLM's answer and would be hidden: %(names)s")
    shown = ", ".join(names[:NAMES])
    if len(names) > NAMES:
        more = ngettext("%(names)s and %(more)s more", "%(names)s and %(more)s more", len(names) - NAMES)
        shown = more % {"names": shown, "more": len(names) - NAMES}
    yield words % {"gone": len(names), "available": run.report.get("available", "?"), "names": shown}
    if touched["people"]:
        people = ngettext(
            "%(number)s person has subscribed to them.", "%(number)s people have subscribed to them.", touched["people"]
        )
        yield people % {"number": touched["people"]}
    if touched["keys"]:
        keys = ngettext(
            "%(number)s living key has one of them and loses it; a key without any other model is blocked in LiteLLM.",
            "%(number)s living keys have one of them and lose it; keys without any other model are blocked in LiteLLM.",
            touched["keys"],
        )
        yield keys % {"number": touched["keys"]}
    if not touched["people"] and not touched["keys"]:
        yield gettext("Nobody has subscribed to them, and no key has one of them.")


CONFIRM: Final = Verb(
    "confirm",
    _("Let these models disappear"),
    "playlist_remove",
    Permission.MODELS_HIDE,
    confirm,
    _(
        "A new synchronisation is queued that may hide the models below and no others. What LiteLLM lists again by "
        "then stays; if others are missing too, it stops and asks again. Subscriptions are kept and work again when a "
        "model returns."
    ),
    _("The synchronisation has been queued: %(name)s was confirmed."),
    fits=disappearance.is_confirmable,
    preview=consequences,
    danger=True,
)


def refresh(actor: User, model: Model) -> Any:
    """Take over what LiteLLM says of one model."""
    return catalogue.refresh_model(actor, model=model.pk)


def as_litellm_says(actor: User, model: Model) -> Iterable[Text]:
    """What is different in LiteLLM at this moment."""
    answer = catalogue.look_at_model(model)
    if answer.source != LITELLM:
        yield gettext("LiteLLM does not answer (%(reason)s). What stands here is the last that it said.") % {
            "reason": answer.reason
        }
    elif answer.value is None:
        yield gettext("LiteLLM does not list this model now. The next synchronisation of all models will hide it.")
    elif not answer.value:
        yield gettext("LiteLLM says the same as what stands here.")
    else:
        for name, (old, new) in answer.value.items():
            words = gettext("%(what)s: %(old)s here, %(new)s in LiteLLM")
            yield words % {"what": FIELDS.get(name, name), "old": _shown(old), "new": _shown(new)}


def _shown(value: str | None) -> str:
    return gettext("nothing") if value in (None, "", "[]") else str(value)


REFRESH: Final = Verb(
    "refresh",
    _("Refresh from LiteLLM"),
    "sync",
    Permission.INTEGRATION_SYNC,
    refresh,
    _("What LiteLLM says of this model is taken over at once, without a synchronisation of all models."),
    _("“%(name)s” is as LiteLLM says."),
    preview=as_litellm_says,
)
