"""What every answer of the API has in common, so that no test has to spell it out."""

import json
import re
from decimal import Decimal
from typing import Any

from rest_framework.test import APIClient

PROBLEM = {"type", "title", "status", "detail", "code", "errors", "details", "request_id"}
PAGE = {"count", "next", "previous", "results"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
MONEY = re.compile(r"\d+\.\d{10}")


def send(client: APIClient, method: str, path: str, body: Any) -> Any:
    """Send ``body`` as any program may: ASCII with escapes, so that also half a surrogate pair gets through."""
    return client.generic(method, path, json.dumps(body), content_type="application/json")


def problem_of(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem+json of a refusal, which must have this status, this code, and the shape of them all."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) == PROBLEM
    assert problem["status"] == status
    assert problem["type"] == f"urn:litemaas:error:{problem['code']}"
    assert problem["request_id"] == response["X-Request-ID"]
    assert problem["detail"]
    # What Python would print of an object has no place in an answer to a person.
    assert not re.search(r"ErrorDetail\(|Traceback|<class |psycopg|object at 0x", response.content.decode())
    for entry in problem["errors"]:
        assert set(entry) == {"field", "code", "message"}
    if code is not None:
        assert problem["code"] == code, problem
    return problem


def wrong_fields(response: Any) -> list[str]:
    """The names of the fields that a 422 complains about, in its order."""
    return [entry["field"] for entry in problem_of(response, 422)["errors"]]


def page_of(response: Any) -> list[dict[str, Any]]:
    """The rows of a list, whose envelope must be the one of every list."""
    assert response.status_code == 200, response.content[:500]
    body = response.json()
    assert set(body) == PAGE
    rows: list[dict[str, Any]] = body["results"]
    return rows


def is_moment(value: object) -> bool:
    """Whether it is ISO 8601 in UTC."""
    return isinstance(value, str) and MOMENT.fullmatch(value) is not None


def is_money(value: object) -> bool:
    """Whether it is an amount of USD as a decimal string."""
    return isinstance(value, str) and MONEY.fullmatch(value) is not None and Decimal(value) >= 0
