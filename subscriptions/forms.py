"""The forms of subscribing, cancelling, deciding and asking again."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from litemaas.foundation.validators import MODEL_ID_MAX_LENGTH, sanitize_string
from subscriptions.services import LONGEST_WORDS


class Words(forms.CharField):
    """A few sentences to somebody, as they can be stored and shown."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_WORDS, widget=forms.Textarea({"rows": 3}), **kwargs)

    def to_python(self, value: Any) -> str:
        """Without what cannot be seen; longer text is refused, not cut."""
        text = super().to_python(value) or ""
        return sanitize_string(text, max_length=len(text), multiline=True)


class SubscribeForm(forms.Form):
    """Subscribe to a model; the reason is for those who approve."""

    model = forms.CharField(max_length=MODEL_ID_MAX_LENGTH, strip=False, widget=forms.HiddenInput)
    justification = Words(
        label=_("What do you need it for?"), required=False, help_text=_("Whoever approves will read this.")
    )


class CancelForm(forms.Form):
    """Nothing to fill in: sending it is the answer."""


class ApproveForm(forms.Form):
    """What the person is told with the approval, if anything."""

    reason = Words(label=_("Note"), required=False)


class DenyForm(forms.Form):
    """Why not."""

    reason = Words(label=_("Reason"), help_text=_("The person reads it and may ask again."))


class ReviewForm(forms.Form):
    """Ask again after a denial."""

    message = Words(
        label=_("What has changed, or what was overlooked?"), help_text=_("Whoever decides will read this.")
    )


class RestrictForm(forms.Form):
    """Whether new subscriptions to a model need approval."""

    model = forms.CharField(max_length=MODEL_ID_MAX_LENGTH, strip=False, widget=forms.HiddenInput)
    restricted = forms.TypedChoiceField(
        choices=[("1", ""), ("0", "")], coerce=lambda sent: sent == "1", widget=forms.HiddenInput
    )
