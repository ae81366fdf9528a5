"""The page of what LiteLLM has otherwise, and what can be done about it."""

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_cells import cell, label, link
from accounts.admin_page import AdminPage
from accounts.admin_paging import Between, Choice
from accounts.admin_parts import Section, Text, Verb
from accounts.models import User
from accounts.rbac import Permission
from litellm_sync import mending
from litellm_sync.drift import Drift, DriftKind, Subject
from litellm_sync.reports import DRIFT, FACTS

# What a finding is about -> the page of the row of ours.
PAGES: Final = {
    Subject.USER: "accounts_user",
    Subject.TEAM: "teams_team",
    Subject.MEMBERSHIP: "teams_membership",
    Subject.KEY: "apikeys_apikey",
}
MENDABLE: Final = [(kind.value, kind.label) for kind in DriftKind if kind is not DriftKind.UNKNOWN]


class ByDriftKind(Choice):
    """Findings by in what way both sides differ."""

    title, parameter_name, options = _("kind"), "kind", DriftKind.choices


class BySubject(Choice):
    """Findings by what they are about."""

    title, parameter_name, options = _("about"), "what", Subject.choices


class OwnerForm(forms.Form):
    """Whose key it becomes."""

    owner = forms.CharField(
        label=_("Owner"), help_text=_("The user name of the person who is to have it."), max_length=150
    )


class MendForm(forms.Form):
    """Which findings are pushed again."""

    kind = forms.ChoiceField(label=_("Kind"), choices=MENDABLE, initial=DriftKind.MISSING, widget=forms.RadioSelect)
    what = forms.ChoiceField(label=_("About"), choices=[("", _("Everything")), *Subject.choices], required=False)


def mend(actor: User, row: Drift) -> Any:
    """Push what is ours of it again."""
    return mending.mend_drift(actor, drift_id=row.pk)


def mend_all(actor: User, *, kind: str, what: str = "") -> Any:
    """Push everything of a kind again."""
    return mending.mend_drifts(actor, kind=kind, what=what)


def adopt(actor: User, row: Drift, *, owner: str) -> Any:
    """Make the key somebody's."""
    return mending.adopt_key(actor, drift_id=row.pk, owner=owner)


def block(actor: User, row: Drift) -> Any:
    """Have LiteLLM refuse the key."""
    return mending.block_key(actor, drift_id=row.pk)


def unblock(actor: User, row: Drift) -> Any:
    """Have LiteLLM take the key again."""
    return mending.unblock_key(actor, drift_id=row.pk)


def known_of(_actor: User, row: Drift) -> Iterable[Text]:
    """What LiteLLM tells of an unknown key, line by line."""
    return [f"{words}: {value}" for words, value in _told(row)]


def _told(row: Drift) -> list[list[Any]]:
    """What LiteLLM tells of what is unknown here, in the order of the words."""
    if row.kind != DriftKind.UNKNOWN:
        return []
    return [[words, _plain(row.details[name])] for name, words in FACTS.items() if name in row.details]


def _plain(value: Any) -> Text:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or gettext("all models")
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return "–" if value in {None, ""} else str(value)  # noqa: RUF001 -- a dash stands for "none"


def is_blocked(row: Drift) -> bool:
    """Whether LiteLLM refuses the unknown key."""
    return mending.is_unknown_key(row) and bool(row.details.get("blocked"))


def is_unblocked(row: Drift) -> bool:
    """Whether LiteLLM takes the unknown key."""
    return mending.is_unknown_key(row) and not row.details.get("blocked")


VERBS: Final = (
    Verb(
        "mend",
        _("Push again"),
        "cloud_sync",
        Permission.DRIFT_MEND,
        mend,
        _("LiteLLM is made to agree with what stands here. The next comparison says whether it does."),
        _("“%(name)s” is sent to LiteLLM again."),
        fits=mending.can_be_mended,
        bulk=True,
    ),
    Verb(
        "adopt",
        _("Adopt"),
        "person_add",
        Permission.DRIFT_ADOPT,
        adopt,
        _(
            "The key becomes a key of this person, with its limits as far as the key policy allows them, and goes on "
            "working with the models that the person has subscribed to. Nobody learns its secret: whoever has it keeps "
            "it."
        ),
        _("“%(name)s” is adopted."),
        fits=mending.is_unknown_key,
        form=OwnerForm,
        preview=known_of,
    ),
    Verb(
        "block",
        _("Block in LiteLLM"),
        "block",
        Permission.DRIFT_BLOCK,
        block,
        _("Programs that use the key stop working at once, until somebody unblocks it. Nothing is deleted."),
        _("“%(name)s” is blocked in LiteLLM."),
        fits=is_unblocked,
        preview=known_of,
        danger=True,
        bulk=True,
    ),
    Verb(
        "unblock",
        _("Unblock in LiteLLM"),
        "lock_open",
        Permission.DRIFT_BLOCK,
        unblock,
        _("Requests with this key are accepted again."),
        _("“%(name)s” works again."),
        fits=is_blocked,
        preview=known_of,
    ),
)


@admin.register(Drift)
class DriftPage(AdminPage):
    """What differs from LiteLLM."""

    reads = Permission.INTEGRATION_READ
    title = _("Differences")
    intro = _("What the last comparison found otherwise in LiteLLM. What was made there is never changed by itself.")
    empty = _("Both sides agree.")
    list_display = ("thing", "about", "state", "differs", "asked", "first_seen")
    list_filter = (ByDriftKind, BySubject, ("first_seen_at", Between))
    search_fields = ("name", "object_id")
    search_help_text = _("Name, or LiteLLM's id")
    ordering = ("-first_seen_at", "id")
    sortable_by = ("thing", "first_seen")
    facts = (
        (_("Difference"), ("state", "about", "ours", "object", "differs")),
        (_("Found"), ("first_seen", "seen", "asked")),
    )
    verbs = VERBS
    list_verbs = (
        Verb(
            "mend-all",
            _("Push all of a kind"),
            "cloud_sync",
            Permission.DRIFT_MEND,
            mend_all,
            _("Everything of this kind is sent to LiteLLM again, also what is not on this page."),
            _("It is sent to LiteLLM; the next comparison says what is left."),
            form=MendForm,
        ),
    )

    @admin.display(description=_("What"), ordering="name")
    def thing(self, row: Drift) -> SafeString:
        """Name and LiteLLM's id."""
        return cell("two", first=row.name, second=_short(row.object_id), mono=True)

    @admin.display(description=_("About"))
    def about(self, row: Drift) -> str:
        """User, team, membership or key."""
        return row.get_what_display()

    @admin.display(description=_("Difference"))
    def state(self, row: Drift) -> SafeString:
        """In what way."""
        if is_blocked(row):
            return label("quiet", "ban", _("Unknown here, blocked"))
        return label(*DRIFT[DriftKind(row.kind)])

    @admin.display(description=_("Differs in"))
    def differs(self, row: Drift) -> Any:
        """Which fields, or what else is to be said."""
        if row.details.get("needs_rotation"):
            return gettext("needs rotation")
        if row.details.get("was_ours"):
            return gettext("made by LiteMaaS, its row is lost")
        return ", ".join(sorted(str(FACTS.get(name, name)) for name in row.details.get("fields", {})))

    @admin.display(description=_("Pushed again"))
    def asked(self, row: Drift) -> SafeString:
        """When LiteLLM was last asked to agree."""
        return cell("moment", value=row.asked_at)

    @admin.display(description=_("First seen"), ordering="first_seen_at")
    def first_seen(self, row: Drift) -> SafeString:
        """Since when it differs."""
        return cell("moment", value=row.first_seen_at)

    @admin.display(description=_("Last seen"), ordering="seen_at")
    def seen(self, row: Drift) -> SafeString:
        """When a comparison last found it."""
        return cell("moment", value=row.seen_at)

    @admin.display(description=_("Here"))
    def ours(self, row: Drift) -> Any:
        """The way to the row of ours."""
        pk = row.details.get("key") if row.what == Subject.KEY else row.row_id
        return link(PAGES[Subject(row.what)], pk, row.name) if pk else gettext("nothing")

    @admin.display(description=_("LiteLLM's id"))
    def object(self, row: Drift) -> SafeString:
        """Whole, to be copied."""
        return format_html("<code>{}</code>", row.object_id)

    def sections(self, request: HttpRequest, row: Any) -> Iterable[Section]:
        """Both values of each field, and what LiteLLM tells of what is unknown."""
        fields = row.details.get("fields", {})
        if fields:
            rows = [
                [FACTS.get(name, name), *(cell("value", value=_plain_or_none(value)) for value in both)]
                for name, both in fields.items()
            ]
            yield Section(_("Both sides"), (_("What"), _("Here"), _("In LiteLLM")), rows, "")
        if told := _told(row):
            yield Section(_("What LiteLLM tells"), (_("What"), _("Value")), told, "")


def _plain_or_none(value: Any) -> Any:
    return None if value in (None, [], {}, "") else _plain(value)


def _short(object_id: str) -> str:
    longest = 24
    return object_id if len(object_id) <= longest else f"{object_id[:12]}…{object_id[-6:]}"
