"""How the commonest parts of forms are written: the same HTML as Django's templates give, without a template for each.

A select of a hundred models is two hundred templates otherwise; the form before a list took a sixth of its page.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.forms.renderers import DjangoTemplates
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

FOLDER: Final = "django/forms/widgets/"
INPUTS: Final = ("checkbox", "date", "email", "hidden", "number", "password", "search", "text", "url")

Widget = Mapping[str, Any]


class QuickWidgets(DjangoTemplates):
    """Inputs, selects and lists of checkboxes by hand; whatever else there is by Django's templates."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> SafeString:
        """The widget's HTML."""
        write = WRITERS.get(template_name)
        if write is None:
            rendered: Any = super().render(template_name, context, request)
            return rendered  # type: ignore[no-any-return]  # the stubs call it a plain text
        return write(context["widget"])


def _attributes(attrs: Widget) -> SafeString:
    written = [
        format_html(" {}", name) if value is True else format_html(' {}="{}"', name, _text(value))
        for name, value in attrs.items()
        if value is not False
    ]
    return _joined(written)


def _joined(parts: list[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))


def _text(value: Any) -> str:
    """As a template's ``stringformat:'s'``: what is marked as safe stays so."""
    return value if isinstance(value, str) else str(value)


def _input(widget: Widget) -> SafeString:
    value = "" if widget["value"] is None else format_html(' value="{}"', _text(widget["value"]))
    attributes = _attributes(widget["attrs"])
    return format_html('<input type="{}" name="{}"{}{}>', widget["type"], widget["name"], value, attributes)


def _select(widget: Widget) -> SafeString:
    parts = []
    for group, options, _index in widget["optgroups"]:
        written = format_html_join(
            "",
            '\n  <option value="{}"{}>{}</option>',
            ((_text(option["value"]), _attributes(option["attrs"]), option["label"]) for option in options),
        )
        parts.append(format_html('\n  <optgroup label="{}">{}\n  </optgroup>', group, written) if group else written)
    attributes = _attributes(widget["attrs"])
    return format_html('<select name="{}"{}>{}\n</select>', widget["name"], attributes, _joined(parts))


def _checks(widget: Widget) -> SafeString:
    parts = []
    for group, options, _index in widget["optgroups"]:
        written = format_html_join("", "<div>\n    {}</div>", ((_option(option),) for option in options))
        parts.append(format_html("\n  <div><label>{}</label>{}\n  </div>", group, written) if group else written)
    attrs = {name: widget["attrs"][name] for name in ("id", "class") if widget["attrs"].get(name)}
    return format_html("<div{}>{}\n</div>", _attributes(attrs), _joined(parts))


def _option(option: Widget) -> SafeString:
    if not option["wrap_label"]:
        return _input(option)
    belongs = {"for": option["attrs"]["id"]} if option["attrs"].get("id") else {}
    return format_html("<label{}>{} {}</label>", _attributes(belongs), _input(option), option["label"])


WRITERS: Final[dict[str, Callable[[Widget], SafeString]]] = {
    **{f"{FOLDER}{name}.html": _input for name in INPUTS},
    f"{FOLDER}checkbox_select.html": _checks,
    f"{FOLDER}radio.html": _checks,
    f"{FOLDER}select.html": _select,
}
