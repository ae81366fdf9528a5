"""The forms that make and revoke a personal access token."""

from typing import Any, Final, cast

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.ways_in import NAME_LENGTH, TokenScope
from litemaas.foundation import validators

DAYS: Final = (7, 30, 90, 180, 365)
SCOPES: Final = (
    (TokenScope.READ.value, _("Read: see what you see, change nothing")),
    (TokenScope.WRITE.value, _("Read and write: also do what you may do, such as making API keys")),
)


class NewTokenForm(forms.Form):
    """A new token; it can only end sooner than the settings allow."""

    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        validators=[validators.validate_key_name],
        help_text=_("What you will recognise it by, such as the script that will use it."),
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        label=_("What it may do"), choices=SCOPES, initial=TokenScope.READ.value, widget=forms.RadioSelect
    )
    days = forms.TypedChoiceField(
        label=_("Good for"), coerce=int, help_text=_("Afterwards it is refused, and you make a new one.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        usual, most = settings.PERSONAL_TOKEN_DAYS, settings.PERSONAL_TOKEN_MAX_DAYS
        offered = sorted({days for days in (*DAYS, usual, most) if days <= most})
        self.fields["days"].initial = usual
        cast("forms.ChoiceField", self.fields["days"]).choices = [
            (days, ngettext("%(days)s day", "%(days)s days", days) % {"days": days}) for days in offered
        ]


class RevokeTokenForm(forms.Form):
    """Nothing to fill in: sending it is the answer."""
