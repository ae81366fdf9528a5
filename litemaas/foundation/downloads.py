"""The only place that sends files made for a request: each is made whole before it is sent, and few are under way.

Web servers end an answer that breaks off as if it were complete. So PostgreSQL's failure has to show before the first
byte: as an answer of its own. Whoever reads slowly holds a thread of the web server, no connection to PostgreSQL.
"""

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _

from litemaas.foundation.compression import accepts_gzip, compressed, mark
from litemaas.foundation.errors import RateLimited

# Bytes that are handed to the web server at once, which frees the thread; what is larger goes through the disk.
SMALL: Final = 1_000_000
BLOCK: Final = 64 * 1024
RETRY_SECONDS: Final = 10

_lock = threading.Lock()
_under_way: Counter[str] = Counter()


def download(
    request: HttpRequest, pieces: Iterable[bytes], *, name: str, content_type: str, subject: Any
) -> HttpResponse | StreamingHttpResponse:
    """The file as an answer. ``subject`` is whose download it is; half of WEB_DOWNLOADS may be one person's.

    Raises RateLimited when too many are under way in this process, and whatever making the pieces raises.
    """
    zipped = accepts_gzip(request)
    with ExitStack() as at_the_end:
        at_the_end.callback(_begin(str(subject)))
        file: IO[bytes] = at_the_end.enter_context(SpooledTemporaryFile(max_size=SMALL))
        for piece in compressed(pieces) if zipped else pieces:
            file.write(piece)
        if not connection.in_atomic_block:
            connection.close()
        size = file.tell()
        file.seek(0)
        sent = file.read() if size <= SMALL else _Sent(file, at_the_end.pop_all())
    headers = {
        "Content-Type": content_type,
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    answer = HttpResponse if isinstance(sent, bytes) else StreamingHttpResponse
    response = answer(sent, headers=headers)
    if zipped:
        mark(response)
    return response


def _begin(subject: str) -> Callable[[], None]:
    """Count a download of somebody's; what is returned counts it off again."""
    with _lock:
        one_person = max(1, settings.WEB_DOWNLOADS // 2)
        if _under_way.total() >= settings.WEB_DOWNLOADS or _under_way[subject] >= one_person:
            message = _("Too many downloads at once. Wait until one of them is complete.")
            raise RateLimited(message, retry_after=RETRY_SECONDS, limit="WEB_DOWNLOADS")
        _under_way[subject] += 1
    return partial(_end, subject)


def _end(subject: str) -> None:
    with _lock:
        _under_way[subject] -= 1
        if not _under_way[subject]:
            del _under_way[subject]


class _Sent:
    """A file that is read while it is sent, and gone afterwards, also when whoever asked for it is gone first."""

    def __init__(self, file: IO[bytes], at_the_end: ExitStack) -> None:
        self._file = file
        self.close = weakref.finalize(self, at_the_end.close)

    def __iter__(self) -> Iterator[bytes]:
        yield from iter(partial(self._file.read, BLOCK), b"")
