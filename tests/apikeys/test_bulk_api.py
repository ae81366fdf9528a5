"""Key hygiene and bulk changes through the API: the verbs of the admin portal, with their progress."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from procrastinate.contrib.django.models import ProcrastinateJob
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from apikeys import bulk
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from apikeys.upkeep import BulkChange, KeyFigures
from subscriptions.models import Subscription

Api = Callable[[User | None], APIClient]
CHANGES, HYGIENE = "/api/v1/api-keys/bulk-changes", "/api/v1/api-keys/hygiene"
AS_OF = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)


@pytest.fixture
def keys(ada: User, subscribed: list[Subscription]) -> list[ApiKey]:
    """Three of Ada's keys, made long ago and never used."""
    made = [create_api_key(ada, name=f"key {number}", models=["gpt-4o"]).key for number in range(3)]
    for number, key in enumerate(made):
        ApiKey.objects.filter(pk=key.pk).update(created_at=AS_OF - timedelta(days=99 - number))
    KeyFigures.objects.create(as_of=AS_OF)
    return made


def planned(client: APIClient, **wish: str) -> dict[str, Any]:
    """What a plan answers."""
    answer = client.post(CHANGES, {"action": "revoke", "which": "never_used", **wish})
    assert answer.status_code == 201
    body: dict[str, Any] = answer.json()
    return body


def test_hygiene_is_counted_as_of_the_last_figures(keys: list[ApiKey], ann: User, api: Api) -> None:
    ApiKey.objects.filter(pk=keys[0].pk).update(last_used_at=AS_OF - timedelta(days=1), max_budget=5)
    counts = {"never_used": 2, "idle": 0, "no_limit": 2, "no_expiry": 3, "expiring": 0, "owner_inactive": 0}
    assert api(ann).get(HYGIENE).json() == {"as_of": "2026-11-20T08:30:00Z", **counts}
    KeyFigures.objects.all().delete()
    unknown = {"as_of": None, "never_used": None, "idle": None}
    assert api(ann).get(HYGIENE).json() == counts | unknown


def test_from_the_dry_run_to_the_end(keys: list[ApiKey], ann: User, api: Api) -> None:
    client = api(ann)
    change = planned(client, reason="spring clean")
    counts = {"matching": 3, "total": 3, "waiting": 3, "done": 0, "skipped": 0, "failed": 0}
    told = {"action": "revoke", "which": "never_used", "reason": "spring clean", "status": "planned", "error": ""}
    moments = {"figures_as_of": "2026-11-20T08:30:00Z", "started_at": None, "finished_at": None}
    fixed = {"id": change["id"], "requested_by": str(ann.pk), "created_at": change["created_at"]}
    assert change == {**told, **counts, **moments, **fixed}
    assert set(ApiKey.objects.values_list("status", flat=True)) == {"active"}, "nothing is changed"
    address = f"{CHANGES}/{change['id']}"
    started = client.post(f"{address}/start")
    assert (started.status_code, started.json()["status"]) == (202, "running")
    assert client.post(f"{address}/start").status_code == 202, "again changes nothing"
    assert ProcrastinateJob.objects.filter(task_name=bulk.TASK).count() == 1
    ApiKey.objects.filter(pk=keys[1].pk).update(last_used_at=AS_OF)
    bulk.carry_out(change["id"])
    done = client.get(address).json()
    assert {name: done[name] for name in ("status", *counts)} == {
        "status": "done", **counts, "waiting": 0, "done": 2, "skipped": 1
    }  # fmt: skip
    assert done["finished_at"] is not None
    assert [row["id"] for row in client.get(CHANGES, {"status": "done"}).json()["results"]] == [change["id"]]
    assert client.get(CHANGES, {"status": "planned"}).json()["count"] == 0
    over = client.post(f"{address}/start")
    assert (over.status_code, over.json()["code"]) == (409, "bulk_change_over")
    assert AuditEvent.objects.get(action="apikey.bulk_started").actor_id == ann.pk


def test_the_keys_of_a_change_are_listed_with_what_became_of_them(keys: list[ApiKey], ann: User, api: Api) -> None:
    client = api(ann)
    address = f"{CHANGES}/{planned(client)['id']}"
    listed = client.get(f"{address}/keys").json()
    assert [row["name"] for row in listed["results"]] == ["key 0", "key 1", "key 2"]
    first = {"key": str(keys[0].pk), "name": "key 0", "owner": str(keys[0].user_id)}
    assert listed["results"][0] == {**first, "outcome": "waiting", "code": "", "done_at": None}
    client.post(f"{address}/start")
    ApiKey.objects.filter(pk=keys[0].pk).update(last_used_at=AS_OF)
    bulk.carry_out(address.rpartition("/")[2])
    skipped = client.get(f"{address}/keys", {"outcome": "skipped"}).json()["results"]
    assert [(row["name"], row["code"]) for row in skipped] == [("key 0", "changed_meanwhile")]
    assert client.get(f"{address}/keys", {"page_size": 2, "page": 2}).json()["count"] == 3
    assert client.get(f"{address}/keys", {"outcome": "lost"}).status_code == 422
    assert client.get(f"{CHANGES}/00000000-0000-4000-8000-000000000000/keys").status_code == 404


def test_it_is_stopped_and_goes_on(keys: list[ApiKey], ann: User, api: Api) -> None:
    client = api(ann)
    address = f"{CHANGES}/{planned(client, action='block')['id']}"
    assert client.post(f"{address}/stop").status_code == 409, "what is only planned cannot be stopped"
    client.post(f"{address}/start")
    stopped = client.post(f"{address}/stop")
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["error"]) == (200, "stopped", "by_hand")
    assert client.post(f"{address}/stop").status_code == 200, "again changes nothing"
    bulk.carry_out(address.rpartition("/")[2])
    assert set(ApiKey.objects.values_list("status", flat=True)) == {"active"}
    assert client.post(f"{address}/start").json()["status"] == "running"
    bulk.carry_out(address.rpartition("/")[2])
    assert set(ApiKey.objects.values_list("status", flat=True)) == {"blocked"}


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"action": "delete", "which": "idle"}, 422, "unknown_action"),
        ({"action": "block", "which": "ugly"}, 422, "unknown_hygiene"),
        ({"action": "block", "which": "owner_inactive"}, 409, "nothing_to_do"),
        ({"action": "block"}, 422, "invalid"),
        ({"action": "block", "which": "x" * 21}, 422, "invalid"),
    ],
)
def test_wrong_wishes_are_refused(
    keys: list[ApiKey], ann: User, api: Api, *, wish: dict[str, str], status: int, code: str
) -> None:
    answer = api(ann).post(CHANGES, wish)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not BulkChange.objects.exists()


def test_who_may_not_changes_nothing(keys: list[ApiKey], ann: User, ro: User, ada: User, api: Api) -> None:
    address = f"{CHANGES}/{planned(api(ann))['id']}"
    for actor in (ada, ro):
        for path in (CHANGES, f"{address}/start", f"{address}/stop"):
            assert api(actor).post(path, {"action": "block", "which": "idle"}).status_code == 403
    for path in (CHANGES, address, f"{address}/keys", HYGIENE):
        assert api(ada).get(path).status_code == 403, "not even by the owner of the keys: others' stand there too"
        assert api(ro).get(path).status_code == 200
    assert BulkChange.objects.get().status == "planned"


def test_the_statements_do_not_grow_with_the_rows(keys: list[ApiKey], ann: User, api: Api) -> None:
    client, numbers = api(ann), []
    for _turn in range(2):
        for _more in range(3):
            planned(client)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(CHANGES).status_code == 200
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]
