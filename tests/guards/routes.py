"""The URL map, walked: every address of the product with its view, and the methods that it offers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    """One address as the URL map writes it, and who answers it."""

    path: str
    name: str
    view: Callable[..., Any]

    @property
    def is_api(self) -> bool:
        """Whether programs ask here."""
        return self.path.startswith("/api/")

    @property
    def drf_class(self) -> type[Any] | None:
        """The class of a view of the REST framework; csp_update and the like wrap it and keep its attributes."""
        found: type[Any] | None = getattr(self.view, "cls", None)
        return found

    @property
    def handlers(self) -> dict[str, str]:
        """Method -> name of the method of the class that answers it; empty for functions."""
        if self.drf_class is None:
            return {}
        actions: dict[str, str] = getattr(self.view, "actions", None) or {
            method.lower(): method.lower() for method in METHODS if hasattr(self.drf_class, method.lower())
        }
        return {method.upper(): handler for method, handler in actions.items() if method.upper() in METHODS}


def routes() -> list[Route]:
    """Every address of the product."""
    return sorted(_walk(get_resolver().url_patterns, "/"), key=lambda route: route.path)


def _walk(patterns: list[Any], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + _written(pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        else:
            assert isinstance(pattern, URLPattern)
            yield Route(path, pattern.name or "", pattern.callback)


def _written(pattern: URLPattern | URLResolver) -> str:
    text = str(pattern.pattern)
    if isinstance(pattern.pattern, RegexPattern):
        return text.removeprefix("^").removesuffix("$").removesuffix("\\Z").replace("(?P<pk>.+)", "<path:pk>")
    return text
