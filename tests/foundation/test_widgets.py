"""Widgets that are written by hand say what Django's templates say, but for the spaces around tags."""

import re
from typing import Any

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from litemaas.foundation.widgets import WRITERS, QuickWidgets

NASTY = "<b>\"'&amp;\u2028"
CHOICES: Any = [
    ("", "---"),
    ("plain", "Plain"),
    (NASTY, NASTY),
    (1, gettext_lazy("Search")),
    (None, "nothing"),
    ("safe", mark_safe("<i>safe</i>")),
    ("a group", [("inside", "Inside"), (2, format_html("<b>{}</b>", NASTY))]),
]


class Everything(forms.Form):
    """Every widget that is written by hand, with attributes of every kind."""

    text = forms.CharField(widget=forms.TextInput({"type": "search", "class": NASTY, "autofocus": True, "x": False}))
    number = forms.IntegerField(min_value=1)
    day = forms.DateField(widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"))
    address = forms.URLField(assume_scheme="https")
    mail = forms.EmailField()
    secret = forms.CharField(widget=forms.PasswordInput)
    unseen = forms.CharField(widget=forms.HiddenInput)
    sure = forms.BooleanField()
    one = forms.ChoiceField(choices=CHOICES)
    many = forms.MultipleChoiceField(choices=CHOICES, widget=forms.CheckboxSelectMultiple({"class": "wide"}))
    either = forms.ChoiceField(choices=CHOICES, widget=forms.RadioSelect)
    several = forms.MultipleChoiceField(choices=CHOICES)
    words = forms.CharField(widget=forms.Textarea)


FILLED = {"text": NASTY, "number": "3", "day": "2026-11-23", "sure": "on", "one": NASTY, "many": ["plain", "2"]}


def written(renderer: DjangoTemplates, data: dict[str, Any] | None, *, auto_id: Any = "id_%s") -> dict[str, str]:
    """Field -> its HTML, less the spaces around tags."""
    form = Everything(data, renderer=renderer, auto_id=auto_id, initial={"text": mark_safe("<safe>"), "one": 1})
    return {name: re.sub(r"\s*([<>])\s*", r"\1", str(form[name])) for name in form.fields}


@pytest.mark.parametrize("data", [None, {}, FILLED], ids=["unbound", "empty", "filled"])
@pytest.mark.parametrize("auto_id", ["id_%s", False], ids=["ids", "without"])
def test_the_html_is_djangos(data: dict[str, Any] | None, auto_id: Any) -> None:
    assert written(QuickWidgets(), data, auto_id=auto_id) == written(DjangoTemplates(), data, auto_id=auto_id)


def test_what_is_written_by_hand_was_tried_above() -> None:
    used = {field.widget.template_name for field in Everything.base_fields.values()}
    assert set(WRITERS) <= used | {"django/forms/widgets/search.html"}


def test_the_portal_uses_it(settings: Any) -> None:
    assert settings.FORM_RENDERER == "litemaas.foundation.widgets.QuickWidgets"
    assert isinstance(Everything().renderer, QuickWidgets)
