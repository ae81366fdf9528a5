"""The forms that replace a key's secret and end the one before; what they offer depends on where the secrets stand."""

from datetime import datetime
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apikeys.models import ApiKey, KeyPolicy
from apikeys.rotation import Stage, stage

HOUR, DAY = 3600, 86_400
GRACES: Final = (0, HOUR, DAY, 7 * DAY)
Choices = list[tuple[str | int, str]]
ALL_AT_ONCE: Final = _("no longer: every secret is refused at once")


class RotateForm(forms.Form):
    """How long the secret that is replaced goes on working; the policy's default is chosen already.

    While a rotation is running its end is decided, and all that can be done is to replace a secret that got lost, or
    to end everything.
    """

    grace_seconds = forms.TypedChoiceField(
        label=_("The old secret works"),
        coerce=int,
        empty_value=None,
        widget=forms.RadioSelect,
        error_messages={
            "invalid_choice": _("The key or the policy has changed meanwhile. Look at the choices, and choose again."),
            "required": _("Choose how long the old secret works."),
        },
    )
    replace_newest = forms.BooleanField(label=_("I have lost the new secret: replace it"), required=False)

    def __init__(self, *args: Any, key: ApiKey, policy: KeyPolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.where, until = stage(key.secrets.all(), timezone.now()), key.old_secret_valid_until
        if self.where is not Stage.WORKING:
            del self.fields["replace_newest"]
        elif until:
            words = _("%(new)s ends at once, and %(old)s goes on until %(until)s.")
            old = next((secret for secret in key.valid_secrets if secret.valid_until), "")
            self.fields["replace_newest"].help_text = words % {"new": key.masked, "old": old, "until": _moment(until)}
        if self.where is Stage.USELESS and until is None:
            del self.fields["grace_seconds"]  # nothing works that could go on working
            return
        field: Any = self.fields["grace_seconds"]
        field.choices = _choices(self.where, until, policy)
        field.initial = policy.default_grace_seconds if self.where is Stage.IDLE else ""
        field.required = self.where not in {Stage.WORKING, Stage.USELESS}

    def wish(self) -> dict[str, Any]:
        """What the verb is asked for."""
        found = self.cleaned_data
        return {
            "grace_seconds": found.get("grace_seconds"),
            "replace_newest": found.get("replace_newest", False),
        }


def _choices(where: Stage, until: datetime | None, policy: KeyPolicy) -> Choices:
    if where is Stage.IDLE:
        offered = {*GRACES, policy.default_grace_seconds, policy.maximum_grace_seconds}
        return [(value, grace(value)) for value in sorted(offered) if value <= policy.maximum_grace_seconds]
    all_at_once: tuple[str | int, str] = (0, str(ALL_AT_ONCE))
    if until is None or where is Stage.WAITING:
        return [all_at_once]
    return [("", gettext("until %(until)s, as before") % {"until": _moment(until)}), all_at_once]


def _moment(until: datetime) -> str:
    return date_format(timezone.localtime(until), "Y-m-d H:i")


def grace(seconds: int) -> str:
    """How long a grace lasts, in the largest unit that fits exactly."""
    if not seconds:
        return gettext("no longer: it is refused at once")
    if seconds % DAY == 0:
        return ngettext("%(number)d day more", "%(number)d days more", seconds // DAY) % {"number": seconds // DAY}
    if seconds % HOUR == 0:
        hours = seconds // HOUR
        return ngettext("%(number)d hour more", "%(number)d hours more", hours) % {"number": hours}
    return ngettext("%(number)d second more", "%(number)d seconds more", seconds) % {"number": seconds}


class EndOldSecretForm(forms.Form):
    """Sending it is the answer, except where nothing would work afterwards."""

    force = forms.BooleanField(
        label=_("End it all the same: it has leaked"),
        required=False,
        help_text=_("Needed only where LiteLLM does not have the new secret: then nothing works until it has."),
    )
