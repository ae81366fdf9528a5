"""The marker that says which permission a view needs; who enforces it lives above (accounts.enforcement)."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

PUBLIC: Final = "public"
SIGNED_IN: Final = "signed_in"

Marked = TypeVar("Marked", bound=Callable[..., Any])


def access(permission: str) -> Callable[[Marked], Marked]:
    """Mark a view function, a viewset's action or a whole viewset with the permission it needs.

    A view without a marker is refused to everybody: forgetting it cannot open anything.
    """

    def mark(view: Marked) -> Marked:
        view.access = permission  # type: ignore[attr-defined]  # functions carry attributes, mypy does not know which
        return view

    return mark


def required(view: Any, action: str | None = None) -> str | None:
    """The permission that a view (or the named action of a viewset) is marked with, None if unmarked."""
    handler = getattr(view, action, None) if action else None
    marked = getattr(handler, "access", None) or getattr(view, "access", None)
    return marked if isinstance(marked, str) else None
