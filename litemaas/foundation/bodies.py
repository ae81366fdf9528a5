"""How bodies come into the API and go out of it: JSON, and only JSON that can be stored and sent back."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import IO, Any

import orjson
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotAcceptable, ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

_other = JSONEncoder()


class JSONBody(JSONParser):
    """JSON as in RFC 8259, less what nobody sends by accident: nesting without end, and halves of surrogate pairs."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Raises ParseError also for texts that are no Unicode, wherever they stand, so that no field has to."""
        try:
            body = super().parse(stream, media_type, parser_context)
            json.dumps(body, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError(_("This JSON is nested too deeply.")) from error
        except UnicodeEncodeError as error:
            raise ParseError(_("A text in this JSON has half a surrogate pair.")) from error
        return body


class JSONAnswer(JSONRenderer):
    """JSON by orjson: times as ISO 8601 in UTC, ids and decimals as text, the latter without exponents."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """What orjson refuses (whole numbers beyond 64 bits) and ``indent=`` are left to the standard library."""
        context = dict(renderer_context or {})
        if data is None or self.get_indent(accepted_media_type or "", context) is not None:
            return self._slowly(data, accepted_media_type, context)
        try:
            return orjson.dumps(data, default=_written, option=orjson.OPT_UTC_Z)
        except TypeError:
            return self._slowly(data, accepted_media_type, context)

    def _slowly(self, data: Any, accepted_media_type: str | None, context: dict[str, Any]) -> bytes:
        written: bytes = super().render(data, accepted_media_type, context)
        return written


def _written(value: Any) -> Any:
    """What orjson does not know; DRF's encoder knows lazy translations and whatever else an answer may hold."""
    return f"{value:f}" if isinstance(value, Decimal) else _other.default(value)


class WhatThereIs(DefaultContentNegotiation):
    """What is asked for where there is a choice, else what there is (RFC 9110, 12.5.1, leaves that to the server)."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """A browser that accepts nothing but HTML gets JSON rather than an error."""
        offered = list(renderers)
        try:
            chosen: tuple[BaseRenderer, str] = super().select_renderer(request, offered, format_suffix)
        except NotAcceptable:
            return offered[0], str(offered[0].media_type)
        return chosen
