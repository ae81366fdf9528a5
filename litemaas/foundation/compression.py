"""The only place that compresses what is made for each request; static files were compressed when they were made."""

import secrets
from collections.abc import Iterable, Iterator
from gzip import GzipFile
from http import HTTPStatus
from io import BytesIO
from typing import Final

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware, re_accepts_gzip
from django.utils.cache import patch_vary_headers

LARGE: Final = 100_000  # bytes
# Django's own level makes a file of an export a seventh smaller, and takes four times as long for it.
LEVEL: Final = 2
COLLECTED: Final = ("text/css", "text/javascript", "application/javascript")


class CompressionMiddleware(GZipMiddleware):
    """As in Django, but what is large is compressed less, and files are left as they are: they may be parts of one."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Pages and ordinary answers are left to Django."""
        if not isinstance(response, HttpResponse):
            return _as_delivered(request, response)
        is_new = not response.has_header("Content-Encoding")
        if is_new and accepts_gzip(request) and len(response.content) > LARGE:
            response.content = b"".join(compressed([response.content]))
            response.headers["Content-Length"] = str(len(response.content))
            mark(response)
        return super().process_response(request, response)


def _as_delivered(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Styles and scripts are compressed when they are collected; where they are not, as in the demo, here."""
    is_whole = request.method == "GET" and response.status_code == HTTPStatus.OK and isinstance(response, FileResponse)
    is_kind = response.headers.get("Content-Type", "").startswith(COLLECTED)
    if settings.COMPRESS_STATIC or response.has_header("Content-Encoding"):
        return response
    if is_whole and is_kind and accepts_gzip(request):
        response.streaming_content = compressed(iter(response))  # type: ignore[attr-defined]  # a file's response has it
        del response.headers["Content-Length"]
        mark(response)
    return response


def accepts_gzip(request: HttpRequest) -> bool:
    """Whether whoever asks can read what is compressed."""
    return bool(re_accepts_gzip.search(request.headers.get("Accept-Encoding", "")))


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Each piece as soon as it is there, behind a name of a length that nobody can foretell (BREACH)."""
    buffer = BytesIO()
    name = "a" * secrets.randbelow(GZipMiddleware.max_random_bytes)
    with GzipFile(filename=name, mode="wb", compresslevel=LEVEL, fileobj=buffer, mtime=0) as zipped:
        for piece in pieces:
            zipped.write(piece)
            if ready := buffer.getvalue():
                yield ready
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


def mark(response: HttpResponseBase) -> None:
    """Say that it is compressed; its bytes differ from time to time, so its ETag is a weak one (RFC 9110, 8.8.1)."""
    patch_vary_headers(response, ("Accept-Encoding",))
    response.headers["Content-Encoding"] = "gzip"
    if (tag := response.headers.get("ETag", "")).startswith('"'):
        response.headers["ETag"] = f"W/{tag}"
