"""The facts of a question as a file: one row a day, model, key, team, person and provider.

PostgreSQL adds up, joins the names, writes the lines and sends them by COPY; here they are only handed on. Memory does
not grow with the rows. The days are written as ISO 8601 wants them, whatever DateStyle PostgreSQL has.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from django.db import connection
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _
from rest_framework.utils.encoders import JSONEncoder

from accounts import rbac
from accounts.models import User
from litemaas.foundation import rate_limits, spreadsheets
from litemaas.foundation.errors import Invalid
from usage import queries
from usage.models import DailyUsage
from usage.queries import METRICS, Question

FORMATS: Final = ("csv", "json")
TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
# Column of the file -> its source: what facts are added up by, and the names of today, joined afterwards.
COLUMNS: Final = {
    "date": "to_char(facts.date, 'YYYY-MM-DD')",
    "model": "facts.model",
    "provider": "facts.provider",
    "api_key": "facts.api_key_id",
    "api_key_name": "key.name",
    "team": "facts.team_id",
    "team_name": "team.name",
    "user": "facts.user_id",
    "user_name": "person.username",
}
HEAD: Final = (*COLUMNS, *METRICS)
# Texts that come from somewhere else: a spreadsheet must not take them for formulas.
TYPED: Final = ("model", "provider", "api_key_name", "team_name", "user_name")
GROUPS: Final = ("date", "model", "provider", "user_id", "api_key_id", "team_id")
FIGURES: Final = {
    **{name: f"facts.sum_{name}" for name in METRICS if name != "total_tokens"},
    "total_tokens": "facts.sum_prompt_tokens + facts.sum_completion_tokens",
}
NAMED: Final = """
    LEFT JOIN apikeys_apikey key ON key.id = facts.api_key_id
    LEFT JOIN teams_team team ON team.id = facts.team_id
    LEFT JOIN accounts_user person ON person.id = facts.user_id
"""
ROWS_A_PIECE: Final = 500
# JSON has none of these characters, it escapes them; so each line comes as it is, without quotes around or in it.
AS_IT_IS: Final = r"FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02'"


def export(actor: User, question: Question, *, file_format: str) -> Iterator[bytes]:
    """The file in pieces, which PostgreSQL is asked for as they are taken.

    Raises Invalid for other formats, RateLimited (usage_exports).
    """
    rbac.require(actor, rbac.Permission.USAGE_READ)
    if file_format not in FORMATS:
        message = _("Choose one of: %(allowed)s.") % {"allowed": ", ".join(FORMATS)}
        raise Invalid(message, field="format")
    rate_limits.spend("usage_exports", actor.pk)
    return _packed(_csv(actor, question) if file_format == "csv" else _json(actor, question, _frame(question)))


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Some hundred rows at a time: each piece is compressed on its own, which costs more than its row."""
    while packed := b"".join(islice(pieces, ROWS_A_PIECE)):
        yield packed


def _csv(actor: User, question: Question) -> Iterator[bytes]:
    yield spreadsheets.line(HEAD).encode()
    columns = {name: spreadsheets.harmless_sql(source) if name in TYPED else source for name, source in COLUMNS.items()}
    for row in _rows(actor, question, ", ".join((columns | FIGURES).values()), "FORMAT csv"):
        yield row[:-1] + b"\r\n"  # RFC 4180; PostgreSQL ends lines with a line feed alone


def _json(actor: User, question: Question, frame: str) -> Iterator[bytes]:
    """What the other answers have around their results, then the rows."""
    yield f'{frame[:-1]}, "results": [\n'.encode()
    written = COLUMNS | FIGURES | {"spend": f"({FIGURES['spend']})::text"}
    pairs = ", ".join(f"'{name}', {source}" for name, source in written.items())
    between = b""
    for row in _rows(actor, question, f"json_build_object({pairs})", AS_IT_IS):
        yield between + row[:-1]
        between = b",\n"
    yield b"\n]}"


def _frame(question: Question) -> str:
    """Range and freshness as JSON."""
    fresh = queries.freshness(question)
    frame = {"start": question.start, "end": question.end, "source": fresh.source, "as_of": fresh.as_of}
    return json.dumps(frame | {"missing_days": fresh.missing_days}, cls=JSONEncoder)


def _rows(actor: User, question: Question, columns: str, options: str) -> Iterator[bytes]:
    """Each row as a line with its end. The texts of the statement are ours, the values of the question parameters.

    Day by day within one statement: what a day holds is added up and sorted in memory, and the first row is there at
    once; the rows of a month together went through the disk.
    """
    facts = DailyUsage.objects.visible_to(actor).filter(date=RawSQL("%s::date + step.n", [question.start]))
    for name, column in queries.DIMENSIONS.items():
        if wanted := getattr(question, name):
            facts = facts.filter(**{f"{column}__in": wanted})
    added: Any = facts.order_by().values(*GROUPS).annotate(**queries.sums())
    if added.query.is_empty():
        return
    inner, values = added.query.sql_with_params()
    order = ", ".join(f"facts.{column}" for column in GROUPS)
    day = f"SELECT {columns} FROM ({inner}) facts {NAMED} ORDER BY {order}"  # noqa: S608 -- as said
    steps = f"generate_series(0, {len(question.days()) - 1}) step(n)"
    statement = f"COPY (SELECT day.* FROM {steps} CROSS JOIN LATERAL ({day}) day) TO STDOUT ({options})"  # noqa: S608 -- as said
    # COPY takes no parameters, so the values are written into it, by psycopg.
    complete = connection.ops.compose_sql(statement, values)  # type: ignore[attr-defined]  # only PostgreSQL's has it
    # Django turns the errors of its own cursor's methods into its own, and copy() is none of them.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(complete) as copy:
        yield from map(bytes, copy)
