"""The way from any template of the admin portal to the page of a row."""

from typing import Any

from django import template

from accounts.admin_cells import link

register = template.Library()


@register.simple_tag
def admin_link(page: str, pk: Any, words: Any) -> Any:
    """A link to the page of a row (``app_model``)."""
    return link(page, pk, words)


@register.filter
def is_list(value: Any) -> bool:
    """Whether several values were recorded."""
    return isinstance(value, list)
