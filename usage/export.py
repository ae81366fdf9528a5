"""The facts of a question as a file: one row a day, model, key, team, person and provider, streamed."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from django.db.models import F
from django.utils.translation import gettext as _
from rest_framework.utils.encoders import JSONEncoder

from accounts import rbac
from accounts.models import User
from litemaas.foundation import spreadsheets
from litemaas.foundation.errors import Invalid
from usage import queries
from usage.models import DailyUsage
from usage.queries import METRICS, Question

FORMATS: Final = ("csv", "json")
TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
# Column of the file -> where it comes from; names are joined when somebody reads.
COLUMNS: Final = {
    "date": "date",
    "model": "model",
    "provider": "provider",
    "api_key": "api_key_id",
    "api_key_name": "api_key__name",
    "team": "team_id",
    "team_name": "team__name",
    "user": "user_id",
    "user_name": "user__username",
}
HEAD: Final = (*COLUMNS, *METRICS)
ORDER: Final = ("date", "model", "provider", "user_id", "api_key_id", "team_id")
CHUNK: Final = 2000
ROWS_A_PIECE: Final = 500

Row = dict[str, Any]


def export(actor: User, question: Question, *, file_format: str) -> Iterator[str]:
    """The file in pieces. Who asks and for what is checked at once, what is found is read while it is sent.

    Memory does not grow with the rows: they come from a cursor in the database. Raises Invalid for other formats.
    """
    rbac.require(actor, rbac.Permission.USAGE_READ)
    writers: dict[str, Callable[[Iterator[Row], Question], Iterator[str]]] = {"csv": _csv, "json": _json}
    if file_format not in FORMATS:
        message = _("Choose one of: %(allowed)s.") % {"allowed": ", ".join(FORMATS)}
        raise Invalid(message, field="format")
    return _packed(writers[file_format](_rows(actor, question), question))


def _packed(pieces: Iterator[str]) -> Iterator[str]:
    """Some hundred rows at a time: each piece is compressed and sent on its own, which costs more than its row."""
    while packed := "".join(islice(pieces, ROWS_A_PIECE)):
        yield packed


def _rows(actor: User, question: Question) -> Iterator[Row]:
    facts = DailyUsage.objects.visible_to(actor).filter(date__range=(question.start, question.end))
    for name, column in queries.DIMENSIONS.items():
        if wanted := getattr(question, name):
            facts = facts.filter(**{f"{column}__in": wanted})
    named = {f"column_{name}": F(source) for name, source in COLUMNS.items()}
    found: Any = facts.values(**named).annotate(**queries.sums()).order_by(*ORDER)
    for row in found.iterator(chunk_size=CHUNK):
        found = queries.figures(row)
        yield {name: row[f"column_{name}"] for name in COLUMNS} | found | {"spend": f"{found['spend']:.10f}"}


def _csv(rows: Iterator[Row], _question: Question) -> Iterator[str]:
    yield spreadsheets.line(HEAD)
    for row in rows:
        described = (spreadsheets.harmless(row[name]) for name in COLUMNS)
        yield spreadsheets.line([*described, *(row[name] for name in METRICS)])


def _json(rows: Iterator[Row], question: Question) -> Iterator[str]:
    """What the other answers have around their results, then the rows."""
    fresh = queries.freshness(question)
    frame = {"start": question.start, "end": question.end, "source": fresh.source, "as_of": fresh.as_of}
    head = json.dumps(frame | {"missing_days": fresh.missing_days}, cls=JSONEncoder)
    yield f'{head[:-1]}, "results": ['
    between = ""
    for row in rows:
        yield between + json.dumps(row, cls=JSONEncoder, ensure_ascii=False)
        between = ",\n"
    yield "]}"
