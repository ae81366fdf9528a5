"""What holds for every endpoint of the API: errors, request ids, bodies, addresses, paging, garbage."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from litellm_sync.models import RunStatus, SyncRun
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from tests.answers import page_of, problem_of, send
from usage.services import Fact, replace_day

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
BASE = "/api/v1"
LISTS = ("api-keys", "audit", "integration/runs", "models", "subscriptions")
HALVES = ("\ud800", "\udfff\ud800")
# What takes a body: method and path.
BODIES = [
    ("POST", "auth/token"),
    ("POST", "auth/token/refresh"),
    ("POST", "auth/token/revoke"),
    ("PATCH", "me"),
    ("POST", "subscriptions"),
    ("POST", "api-keys"),
    ("PUT", "api-keys/policy"),
    ("POST", "integration/sync"),
]


@pytest.fixture
def admin(api: Api, ann: User, settings: Any) -> APIClient:
    """Somebody whom no permission stops."""
    settings.PASSWORD_SIGN_IN = True
    return api(ann)


# --- Request ids -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["me", "nowhere", "models/nothing"])
def test_the_request_id_that_came_is_the_one_that_goes(admin: APIClient, path: str) -> None:
    response = admin.get(f"{BASE}/{path}", HTTP_X_REQUEST_ID="trace-7.A_b")
    assert response["X-Request-ID"] == "trace-7.A_b"


@pytest.mark.parametrize("odd", ["", "a b", "x" * 65, "é", "a\nb", "<script>"])
def test_odd_request_ids_are_replaced(admin: APIClient, odd: str) -> None:
    response = admin.get(f"{BASE}/me", HTTP_X_REQUEST_ID=odd)
    assert response["X-Request-ID"].isalnum()
    assert len(response["X-Request-ID"]) == 32


# --- Bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_broken_json_is_400(admin: APIClient, method: str, path: str) -> None:
    bodies: tuple[Any, ...] = ("{", "{'a': 1}", b"\xff\xfe", '{"a": NaN}', "[" * 100_000, '{"a":' * 50_000)
    for body in bodies:
        response = admin.generic(method, f"{BASE}/{path}", body, content_type="application/json")
        problem_of(response, 400, "malformed")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_halves_of_surrogate_pairs_are_400_wherever_they_stand(admin: APIClient, method: str, path: str) -> None:
    for half in HALVES:
        for body in ({"name": half}, {half: 1}, [{"a": {half: [half]}}], half):
            problem_of(send(admin, method, f"{BASE}/{path}", body), 400, "malformed")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_json_that_is_no_object_is_422(admin: APIClient, method: str, path: str) -> None:
    bodies: tuple[Any, ...] = ([], [{}], "text", 7, None, True)
    for body in bodies:
        problem_of(send(admin, method, f"{BASE}/{path}", body), 422, "invalid")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_other_kinds_of_body_are_400(admin: APIClient, method: str, path: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"):
        problem_of(admin.generic(method, f"{BASE}/{path}", "a=1", content_type=kind), 400, "malformed")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_ten_megabytes_are_413(api: Api, method: str, path: str) -> None:
    body = json.dumps({"name": "x" * 10_000_000})
    problem_of(api(None).generic(method, f"{BASE}/{path}", body, content_type="application/json"), 413, "too_large")


@pytest.mark.parametrize("length", ["-1", "abc", "²", "1e3"])
def test_a_length_that_is_no_number_is_400(api: Api, length: str) -> None:
    response = api(None).generic("POST", f"{BASE}/auth/token", "{}", "application/json", CONTENT_LENGTH=length)
    problem_of(response, 400, "malformed")


# --- Addresses and methods -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nowhere",
        "me/",
        "api-keys/",
        "api-keys/not-a-uuid",
        "api-keys/not-a-uuid/revoke",
        "api-keys/6a3d1e7e-1111-4111-8111-000000000000x",
        "api-keys/6a3d1e7e-1111-4111-8111-000000000000",
        "subscriptions/1",
        "integration/runs/1",
        "models/",
        "audit/1",
        "me%00",
        "models/%00",
        "models/a%00b",
        "models/%ff",
        "models/%ED%A0%80",
        "models/a%0Ab",
        f"models/{'x' * 300}",
    ],
)
def test_unknown_addresses_are_404(admin: APIClient, path: str) -> None:
    problem_of(admin.get(f"{BASE}/{path}"), 404, "not_found")


@pytest.mark.parametrize("path", ["nowhere", "api-keys/not-a-uuid"])
def test_unknown_addresses_are_404_for_the_anonymous_too(api: Api, path: str) -> None:
    problem_of(api(None).get(f"{BASE}/{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "offered"),
    [
        ("DELETE", "me", "GET, PATCH"),
        ("POST", "me", "GET, PATCH"),
        ("PUT", "api-keys", "GET, POST"),
        ("GET", "auth/token", "POST"),
        ("PATCH", "api-keys/policy", "GET, PUT"),
        ("DELETE", "audit", "GET"),
        ("POST", "models", "GET"),
        ("DELETE", "models/gpt-4o", "GET, PATCH"),
        ("GET", "integration/sync", "POST"),
        ("OPTIONS", "me", "GET, PATCH"),
        ("OPTIONS", "api-keys/policy", "GET, PUT"),
        ("OPTIONS", "usage/summary", "GET"),
        ("TRACE", "me", "GET, PATCH"),
        ("QUERY", "me", "GET, PATCH"),
    ],
)
def test_methods_that_are_not_offered_are_405(admin: APIClient, method: str, path: str, offered: str) -> None:
    response = admin.generic(method, f"{BASE}/{path}")
    problem_of(response, 405, "method_not_allowed")
    named = {name.strip() for name in response["Allow"].split(",")} - {"HEAD", "OPTIONS"}
    assert named == set(offered.split(", "))


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/json; indent=4", "*/*", "nonsense"])
def test_answers_are_json_whatever_is_accepted(admin: APIClient, accept: str) -> None:
    response = admin.get(f"{BASE}/me", HTTP_ACCEPT=accept)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("application/json")
    problem_of(admin.get(f"{BASE}/nowhere", HTTP_ACCEPT=accept), 404)


def test_the_problem_of_the_schema_is_json_too(api: Api, db: None) -> None:
    for path in ("schema", "docs"):
        problem_of(api(None).get(f"{BASE}/{path}", HTTP_ACCEPT="application/yaml"), 401, "not_authenticated")


# --- Lists -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(ada: User, ann: User) -> dict[str, int]:
    """Forty-odd rows in every list, many of which look alike in what one may sort by."""
    models = [Model(id=f"m{n:02}", provider="openai", mode="chat", context_length=1000) for n in range(43)]
    Model.objects.bulk_create(models)
    Subscription.objects.bulk_create(Subscription(user=ada, model=model) for model in models)
    key = create_api_key(ada, name="same", models=["m00"]).key
    copies = [ApiKey(user=ada, team_id=key.team_id, name="same") for _ in range(42)]
    ApiKey.objects.bulk_create(copies)
    moment = key.created_at
    ApiKey.objects.update(created_at=moment)
    Subscription.objects.update(created_at=moment)
    AuditEvent.objects.bulk_create(AuditEvent(actor_name="x", action="x.y", category="x", at=moment) for _ in range(40))
    SyncRun.objects.bulk_create(SyncRun(kind="models", status=RunStatus.DONE) for _ in range(43))
    SyncRun.objects.update(created_at=moment)
    return {
        "api-keys": 43,
        "audit": AuditEvent.objects.count(),
        "integration/runs": 43,
        "models": 43,
        "subscriptions": 43,
    }


ORDERINGS = {
    "api-keys": ("", "name", "-created_at", "spend", "expires_at", "-last_used_at"),
    "audit": ("", "at", "-at"),
    "integration/runs": ("", "-created_at"),
    "models": ("", "provider", "-context_length", "input_cost_per_token", "-id"),
    "subscriptions": ("", "status", "-status", "created_at", "model"),
}


@pytest.mark.parametrize("path", LISTS)
def test_trap_39_every_list_is_paged_to_its_end_in_every_order(
    admin: APIClient, rows: dict[str, int], path: str
) -> None:
    for ordering in ORDERINGS[path]:
        url: str | None = f"{BASE}/{path}?page_size=7&ordering={ordering}"
        seen: list[Any] = []
        while url:
            response = admin.get(url)
            seen += [row["id"] for row in page_of(response)]
            assert response.json()["count"] == rows[path]
            url = response.json()["next"]
        assert len(seen) == len(set(seen)) == rows[path], ordering


@pytest.mark.parametrize("path", LISTS)
def test_pages_have_twenty_rows_and_a_hundred_at_most(admin: APIClient, rows: dict[str, int], path: str) -> None:
    assert len(page_of(admin.get(f"{BASE}/{path}"))) == 20
    assert len(page_of(admin.get(f"{BASE}/{path}?page_size=1"))) == 1
    AuditEvent.objects.bulk_create(AuditEvent(actor_name="x", action="x.y", category="x") for _ in range(100))
    expected = 100 if path == "audit" else rows[path]
    assert len(page_of(admin.get(f"{BASE}/{path}?page_size=1000"))) == expected
    first = admin.get(f"{BASE}/{path}?page_size=20&page=1").json()
    assert first["previous"] is None
    second = admin.get(first["next"]).json()
    assert second["previous"] is not None
    assert {row["id"] for row in first["results"]} & {row["id"] for row in second["results"]} == set()


@pytest.mark.parametrize("path", LISTS)
def test_a_page_beyond_the_end_is_404_and_the_first_of_nothing_is_empty(admin: APIClient, path: str) -> None:
    problem_of(admin.get(f"{BASE}/{path}?page=9999"), 404, "not_found")
    assert page_of(admin.get(f"{BASE}/{path}?search=zzz-there-is-no-such-thing")) == []


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=abc",
        "page=",
        "page=1.5",
        f"page={'9' * 5000}",
        "page=last",
        "page_size=0",
        "page_size=-5",
        "page_size=abc",
        "ordering=password",
        "ordering=,",
        "ordering=name%3Bdrop",
        "ordering=user__password",
    ],
)
def test_garbage_in_what_all_lists_understand_is_422(admin: APIClient, path: str, query: str) -> None:
    problem = problem_of(admin.get(f"{BASE}/{path}?{query}"), 422, "invalid")
    assert [entry["field"] for entry in problem["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize("path", LISTS)
def test_a_search_for_what_no_text_holds_is_422(admin: APIClient, path: str) -> None:
    problem_of(admin.get(f"{BASE}/{path}?search=%00"), 422, "invalid")


@pytest.mark.parametrize(
    ("path", "parameter", "garbage"),
    [
        ("api-keys", "status", "asleep"),
        ("api-keys", "team", "x"),
        ("api-keys", "user", "x"),
        ("api-keys", "model", "\x00"),
        ("audit", "actor", "x"),
        ("audit", "start", "yesterday"),
        ("audit", "end", "2026-02-30"),
        ("audit", "action", "\x00"),
        ("integration/runs", "kind", "cheese"),
        ("integration/runs", "status", "asleep"),
        ("models", "availability", "perhaps"),
        ("models", "restricted", "perhaps"),
        ("models", "provider", "\x00"),
        ("subscriptions", "status", "asleep"),
        ("subscriptions", "user", "x"),
        ("subscriptions", "model", "\x00"),
        ("usage/summary", "start", "yesterday"),
        ("usage/summary", "end", "2026-13-01"),
        ("usage/summary", "team", "x"),
        ("usage/summary", "user", "x"),
        ("usage/summary", "api_key", "x"),
        ("usage/summary", "model", "\x00"),
        ("usage/timeseries", "metric", "happiness"),
        ("usage/timeseries", "group_by", "password"),
        ("usage/breakdown", "by", "user__password"),
        ("usage/breakdown", "by", ""),
        ("usage/breakdown", "start", "x"),
    ],
)
def test_garbage_in_filters_is_422(admin: APIClient, path: str, parameter: str, garbage: str) -> None:
    problem = problem_of(admin.get(f"{BASE}/{path}", {parameter: garbage}), 422, "invalid")
    assert {entry["field"].partition(".")[0] for entry in problem["errors"]} == {parameter}


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("side", ["start", "end"])
@pytest.mark.parametrize("path", ["audit", "usage/summary", "usage/timeseries", "usage/breakdown"])
def test_the_first_and_the_last_day_of_all_are_days(admin: APIClient, path: str, side: str, day: str) -> None:
    response = admin.get(f"{BASE}/{path}", {side: day})
    assert response.status_code in {200, 422}
    assert admin.get(f"{BASE}/{path}", {"start": day, "end": day}).status_code == 200


def test_too_many_parameters_are_400(admin: APIClient) -> None:
    problem_of(admin.get(f"{BASE}/usage/summary?" + "&".join("model=a" for _ in range(6000))), 400, "malformed")


# --- Texts that no database takes ------------------------------------------------------------------------------------

ODD_TEXTS = (*HALVES, "\x00", "a\x00b", "a" * 100_000, "\u202e\u2066", "\uffff", "𝕊" * 300, "'; --", "%s{}")


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_never_break_anything(admin: APIClient, ann: User, models: list[Model], text: str) -> None:
    create_subscription(ann, model="gpt-4o")
    key = {"name": "k", "models": ["gpt-4o"]}
    wishes: list[tuple[str, str, Any]] = [
        ("POST", "auth/token", {"username": text, "password": text}),
        ("POST", "auth/token/refresh", {"refresh": text}),
        ("PATCH", "me", {"full_name": text}),
        ("POST", "subscriptions", {"model": text, "justification": text}),
        ("POST", "subscriptions", {"model": "claude-sonnet", "justification": text}),
        ("POST", "api-keys", {"name": text, "models": [text]}),
        ("POST", "api-keys", key | {"description": text}),
        ("POST", "api-keys", key | {"budget_duration": text}),
        ("POST", "api-keys", key | {"team": text, "max_budget": text, "expires_at": text, "rpm_limit": text}),
        ("POST", "api-keys", key | {"model_limits": {text: {"rpm_limit": 1}}}),
        ("POST", "api-keys", key | {"model_limits": {"gpt-4o": {text: 1}}}),
        ("POST", "api-keys", {**key, text: text}),
        ("PUT", "api-keys/policy", {"default_budget_duration": text}),
        ("PUT", "api-keys/policy", {text: text}),
        ("POST", "integration/sync", {"what": text}),
    ]
    for method, path, body in wishes:
        response = send(admin, method, f"{BASE}/{path}", body)
        assert response.status_code < 500, (path, body, response.content[:300])
        if response.status_code >= 400:
            problem_of(response, response.status_code)


@pytest.mark.parametrize("path", [*LISTS, "usage/summary", "usage/breakdown", "usage/timeseries"])
@pytest.mark.parametrize("text", ["%00", "%ED%A0%80", "%FF", "%F0%9D%95%8A", "a" * 5000])
def test_odd_texts_in_queries_never_break_anything(admin: APIClient, path: str, text: str) -> None:
    names = ("search", "ordering", "page", "page_size", "model", "provider", "status", "user", "team", "api_key", "by")
    for name in (*names, "metric", "group_by", "start", "end", "actor", "target", "kind", "availability"):
        assert admin.get(f"{BASE}/{path}?{name}={text}").status_code < 500, name


# --- Nothing leaks ---------------------------------------------------------------------------------------------------


def test_an_error_of_ours_tells_nothing(admin: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr("apikeys.policy.get_policy", broken)
    problem = problem_of(admin.get(f"{BASE}/api-keys/policy"), 500, "internal_error")
    assert "secret" not in json.dumps(problem)
    assert "ZeroDivision" not in json.dumps(problem)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "a b"])
def test_foreign_hosts_are_400(host: str) -> None:
    problem_of(Client(raise_request_exception=False).get(f"{BASE}/me", headers={"host": host}), 400, "malformed")


def test_times_of_usage_do_not_depend_on_the_clock_of_the_machine(admin: APIClient, ann: User) -> None:
    today = date(2026, 1, 31)
    replace_day(today, [Fact("", "m", 1)])
    one = admin.get(f"{BASE}/usage/summary", {"start": "2026-01-31", "end": "2026-01-31"}).json()
    assert one["requests"] == 1
    none = admin.get(f"{BASE}/usage/summary", {"start": "2026-01-30", "end": str(today - timedelta(days=1))}).json()
    assert none["requests"] == 0
