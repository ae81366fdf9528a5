"""How the commonest parts of forms are written: the same HTML as Django's templates give, without a template for each.

A select of a hundred models is two hundred templates otherwise; the form before a list took a sixth of its page.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.forms.renderers import DjangoTemplates
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

FOLDER: Final = "django/forms/widgets/"
INPUTS: Final = ("checkbox", "date", "email", "hidden", "number", "password", "search", "text", "url")


class QuickWidgets(DjangoTemplates):
    """Inputs, selects and lists of checkboxes by hand; whatever else there is by Django's templates."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> SafeString:
        """The widget's HTML."""
        write = WRITERS.get(template_name)
        if write is None:
            return SafeString(super().render(template_name, context, request))
        return mark_safe(write(context["widget"]))  # noqa: S308 -- every value in it was escaped


def _attributes(attrs: Mapping[str, Any]) -> str:
    written = []
    for name, value in attrs.items():
        if value is True:
            written.append(f" {conditional_escape(name)}")
        elif value is not False:
            written.append(f' {conditional_escape(name)}="{_text(value)}"')
    return "".join(written)


def _text(value: Any) -> str:
    """As a template's ``stringformat:'s'``: of what is marked as safe, only what is really text stays so."""
    return str(conditional_escape(value if isinstance(value, str) else str(value)))


def _input(widget: Mapping[str, Any]) -> str:
    value = "" if widget["value"] is None else f' value="{_text(widget["value"])}"'
    kind, name = conditional_escape(widget["type"]), conditional_escape(widget["name"])
    return f'<input type="{kind}" name="{name}"{value}{_attributes(widget["attrs"])}>'


def _select(widget: Mapping[str, Any]) -> str:
    parts = [f'<select name="{conditional_escape(widget["name"])}"{_attributes(widget["attrs"])}>']
    for group, options, _index in widget["optgroups"]:
        if group:
            parts.append(f'\n  <optgroup label="{conditional_escape(group)}">')
        parts.extend(
            f'\n  <option value="{_text(option["value"])}"{_attributes(option["attrs"])}>'
            f"{conditional_escape(option['label'])}</option>"
            for option in options
        )
        if group:
            parts.append("\n  </optgroup>")
    return "".join([*parts, "\n</select>"])


def _checks(widget: Mapping[str, Any]) -> str:
    attrs = {name: widget["attrs"][name] for name in ("id", "class") if widget["attrs"].get(name)}
    parts = [f"<div{_attributes(attrs)}>"]
    for group, options, _index in widget["optgroups"]:
        if group:
            parts.append(f"\n  <div><label>{conditional_escape(group)}</label>")
        parts.extend(f"<div>\n    {_option(option)}</div>" for option in options)
        if group:
            parts.append("\n  </div>")
    return "".join([*parts, "\n</div>"])


def _option(option: Mapping[str, Any]) -> str:
    if not option["wrap_label"]:
        return _input(option)
    belongs = {"for": option["attrs"]["id"]} if option["attrs"].get("id") else {}
    return f"<label{_attributes(belongs)}>{_input(option)} {conditional_escape(option['label'])}</label>"


WRITERS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    **{f"{FOLDER}{name}.html": _input for name in INPUTS},
    f"{FOLDER}checkbox_select.html": _checks,
    f"{FOLDER}radio.html": _checks,
    f"{FOLDER}select.html": _select,
}
