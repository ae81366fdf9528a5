"""The export: the same rows as file and as JSON, safe in a spreadsheet, whole or not at all."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from litemaas.foundation import rate_limits
from litemaas.foundation.errors import NotAuthenticated
from teams.models import DEFAULT_TEAM_ID
from tests.answers import problem_of
from tests.usage.conftest import MISSING, day, fact
from usage import export as usage_export
from usage.export import HEAD, export
from usage.queries import METRICS, Question
from usage.services import replace_day

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
EXPORT = "/api/v1/usage/export"
RANGE = {"start": str(day(0)), "end": str(day(4))}


def text_of(response: Any) -> str:
    """The whole file."""
    assert response.status_code == 200
    file: bytes = response.getvalue()
    assert response["Content-Length"] == str(len(file))
    return str(file, "utf-8")


def rows_of(response: Any) -> list[dict[str, str]]:
    """The rows of a CSV answer."""
    return list(csv.DictReader(text_of(response).splitlines()))


def test_csv_has_fixed_columns_and_a_name(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    response = api(ada).get(EXPORT, RANGE | {"format": "csv"})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="usage-2026-03-01-2026-03-05.csv"'
    lines = text_of(response).split("\r\n")
    assert lines[0] == ",".join(HEAD)
    key = facts["one"].pk
    assert lines[1] == (
        f"2026-03-01,gpt-4o,openai,{key},one,{DEFAULT_TEAM_ID},Default Team,{ada.pk},ada,"
        "10,8,2,200,100,20,0.0246913578,300"
    )
    assert lines[-1] == ""
    assert len(lines) == 1 + 4 + 1


def test_json_has_the_frame_of_every_answer(api: Api, ann: User, facts: dict[str, ApiKey]) -> None:
    response = api(ann).get(EXPORT, RANGE | {"format": "json"})
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"].endswith('.json"')
    answer = json.loads(text_of(response))
    assert set(answer) == {"start", "end", "source", "as_of", "missing_days", "results"}
    assert answer["missing_days"] == [str(MISSING)]
    assert {frozenset(row) for row in answer["results"]} == {frozenset(HEAD)}
    foreign = [row for row in answer["results"] if row["api_key"] is None]
    assert {row["model"] for row in foreign} == {"gpt-4o", "unheard-of"}
    assert {row["user_name"] for row in foreign} == {None}


@pytest.mark.parametrize("filters", [{}, {"model": "gpt-4o"}, {"provider": "anthropic"}], ids=str)
def test_trap_35_the_file_adds_up_to_the_summary(
    api: Api, ann: User, facts: dict[str, ApiKey], filters: dict[str, str]
) -> None:
    rows = rows_of(api(ann).get(EXPORT, RANGE | filters))
    whole = api(ann).get("/api/v1/usage/summary", RANGE | filters).json()
    for name in METRICS:
        assert sum(Decimal(row[name]) for row in rows) == Decimal(whole[name])


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
def test_trap_19_what_looks_like_a_formula_is_text(api: Api, ada: User, facts: dict[str, ApiKey], name: str) -> None:
    ApiKey.objects.filter(pk=facts["two"].pk).update(name=name)
    replace_day(day(1), [fact(facts["two"].secrets.get().digest, name)])
    (row,) = rows_of(api(ada).get(EXPORT, {"start": str(day(1)), "end": str(day(1))}))
    assert row["api_key_name"] == row["model"] == f"'{name}"
    assert row["requests"] == "5"
    plain = api(ada).get(EXPORT, {"start": str(day(1)), "end": str(day(1)), "format": "json"}).getvalue().decode()
    assert [row["model"] for row in json.loads(plain)["results"]] == [name]


def test_letters_of_every_script_survive(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    ApiKey.objects.filter(pk=facts["two"].pk).update(name='Übung "eins", 猫')
    names = {row["api_key_name"] for row in rows_of(api(ada).get(EXPORT, RANGE))}
    assert names == {"one", 'Übung "eins", 猫'}


def test_several_secrets_of_a_key_are_one_row(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    key = facts["two"]
    ApiKeySecret.objects.create(key=key, digest="n" * 64, last4="nnnn")
    replace_day(day(3), [fact(key.secrets.get(last4="nnnn").digest, "gpt-4o"), fact(_digest(key), "gpt-4o", 2)])
    rows = rows_of(api(ada).get(EXPORT, {"start": str(day(3)), "end": str(day(3))}))
    assert [(row["api_key_name"], row["requests"]) for row in rows] == [("two", "15")]


def _digest(key: ApiKey) -> str:
    return key.secrets.exclude(last4="nnnn").get().digest


@pytest.mark.parametrize("file_format", ["focus", "xml", ""])
def test_other_formats_are_422(api: Api, ada: User, file_format: str) -> None:
    (entry,) = problem_of(api(ada).get(EXPORT, {"format": file_format}), 422)["errors"]
    assert entry["field"] == "format"


def test_wrong_dates_are_422_before_anything_is_sent(api: Api, ada: User) -> None:
    problem_of(api(ada).get(EXPORT, {"start": "2026-03-02", "end": "2026-03-01", "format": "csv"}), 422)


def test_strangers_get_a_file_with_their_own_nothing(api: Api, eve: User, ada: User, facts: dict[str, ApiKey]) -> None:
    assert rows_of(api(ada).get(EXPORT, RANGE | {"user": str(eve.pk)})) == []
    text = text_of(api(eve).get(EXPORT, RANGE))
    assert "eves" in text
    assert str(ada.pk) not in text


def test_nobody_is_refused_at_once(ada: User) -> None:
    ada.is_active = False
    with pytest.raises(NotAuthenticated):
        export(ada, Question(day(0), day(1)), file_format="csv")


def test_rows_come_from_a_cursor_in_one_statement_whatever_their_number(ada: User, facts: dict[str, ApiKey]) -> None:
    digest = facts["one"].secrets.get().digest
    counts = []
    for number in (1, 50):
        replace_day(day(0), [fact(digest, f"m{n}") for n in range(number)])
        with CaptureQueriesContext(connection) as captured:
            pieces = export(ada, Question(day(0), day(0)), file_format="csv")
            before = len(captured)
            assert b"".join(pieces).count(b"\r\n") == number + 1
        counts.append((before, len(captured)))
    assert counts[0] == counts[1]


def test_days_are_written_alike_whatever_postgresql_is_set_to(api: Api, ada: User, facts: dict[str, ApiKey]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL DateStyle = 'German'")
    days = {row["date"] for row in rows_of(api(ada).get(EXPORT, RANGE))}
    assert days == {str(day(0)), str(day(1)), str(day(4))}


def test_exports_are_limited_for_each_person(
    api: Api, ada: User, eve: User, facts: dict[str, ApiKey], settings: Any
) -> None:
    settings.RATE_LIMITS = rate_limits.read(["usage_exports=2/1h"])
    answers = [api(ada).get(EXPORT, RANGE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem_of(answers[2], 429)["details"]["limit"] == "usage_exports"
    assert int(answers[2]["Retry-After"]) > 0
    assert api(eve).get(EXPORT, RANGE).status_code == 200


MANY = """
    INSERT INTO usage_dailyusage (date, token, model, provider, user_id, requests, successful_requests,
                                  failed_requests, prompt_tokens, completion_tokens, cached_tokens, spend)
    SELECT %s, '', 'model-' || n, 'openai', %s, 1, 1, 0, 1, 1, 0, 1 FROM generate_series(1, 150000) n
"""
ENDED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND datname = current_database() "
    "AND backend_type = 'client backend' AND state = 'active'"
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_file_that_breaks_off_is_no_file(
    api: Api, ann: User, real_transactions: None, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MANY, [day(0), ann.pk])
    packed, ended = usage_export._packed, []

    def breaking_off(pieces: Iterator[bytes]) -> Iterator[bytes]:
        for number, piece in enumerate(packed(pieces)):
            if number == 1:
                with connection.copy().cursor() as another:
                    another.execute(ENDED)
                    ended.extend(another.fetchall())
                    another.db.close()
            yield piece

    monkeypatch.setattr(usage_export, "_packed", breaking_off)
    response = api(ann).get(EXPORT, RANGE, headers={"Accept-Encoding": encoding})
    connection.close()
    assert ended == [(True,)]
    problem = gzip.decompress(response.content) if response.has_header("Content-Encoding") else response.content
    assert (response.status_code, json.loads(problem)["code"]) == (503, "database_unavailable")
    monkeypatch.undo()
    again = api(ann).get(EXPORT, RANGE)
    assert connection.connection is None  # nobody else waits for it while the file is read
    assert again.streaming
    assert text_of(again).count("\r\n") == 150_001
