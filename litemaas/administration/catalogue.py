"""What can be done about the catalogue from the page of a run: agree to what disappears."""

from collections.abc import Iterable
from typing import Any, Final

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_parts import Text, Verb
from accounts.models import User
from accounts.rbac import Permission
from litellm_sync import disappearance
from litellm_sync.models import SyncRun

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
