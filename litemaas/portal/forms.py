"""The form of the theme switch."""

from django import forms

from litemaas.portal.context import themes


class ThemeForm(forms.Form):
    """Light, dark or what the system says."""

    theme = forms.ChoiceField(choices=themes)
