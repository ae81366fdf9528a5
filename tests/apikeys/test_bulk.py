"""Key hygiene: which keys are untidy, and doing the same to many of them, with everything that may happen meanwhile."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob
from rest_framework.test import APIClient

from accounts import rbac
from accounts.models import AuditEvent, User
from apikeys import bulk, endings
from apikeys.bulk import carry_out, plan_bulk_change, resume, start_bulk_change, stop_bulk_change
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.risks import HYGIENE, hygiene, risk, untidy
from apikeys.services import create_api_key
from apikeys.upkeep import BulkChange, BulkChangeKey, KeyFigures
from litellm_sync import state
from litellm_sync.emulator.server import Emulator
from litemaas.foundation.errors import Conflict, Invalid, NotFound, PermissionDenied
from subscriptions.models import Subscription
from tests.races import at_once

NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=200)


@pytest.fixture
def keys(ada: User, subscribed: list[Subscription]) -> list[ApiKey]:
    """Five of Ada's keys, made long ago and never used."""
    made = [create_api_key(ada, name=f"key {number}", models=["gpt-4o"]).key for number in range(5)]
    ApiKey.objects.update(created_at=LONG_AGO)
    KeyFigures.objects.create(as_of=NOW)
    return made


def jobs() -> int:
    """How many jobs of bulk changes are queued."""
    return ProcrastinateJob.objects.filter(task_name=bulk.TASK).count()


def statuses() -> list[str]:
    """Of the keys, by name."""
    return list(ApiKey.objects.order_by("name").values_list("status", flat=True))


def started(ann: User, action: str = "revoke", which: str = "never_used") -> BulkChange:
    """A bulk change that a job can carry out."""
    change = plan_bulk_change(ann, action=action, which=which, reason="spring clean")
    return start_bulk_change(ann, change_id=change.pk)


def fresh(change: BulkChange) -> BulkChange:
    """As it stands now."""
    return BulkChange.objects.get(pk=change.pk)


# --- Which keys ------------------------------------------------------------------------------------------------------

# What makes the first key untidy in one way, and what does not.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expiring": ({"expires_at": NOW + timedelta(days=6)}, {"expires_at": NOW + timedelta(days=8)}),
    "idle": ({"last_used_at": NOW - timedelta(days=91)}, {"last_used_at": NOW - timedelta(days=89)}),
    "never_used": ({"last_used_at": None}, {"last_used_at": NOW}),
    "no_expiry": ({"expires_at": None}, {"expires_at": NOW + timedelta(days=100)}),
    "no_limit": ({"max_budget": None}, {"max_budget": 0}),
}
TIDY: dict[str, Any] = {"last_used_at": NOW, "expires_at": NOW + timedelta(days=100), "max_budget": 5}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_key_is_untidy_in_the_way_that_it_is(keys: list[ApiKey], way: str) -> None:
    untidy_columns, tidy_columns = WAYS[way]
    first = ApiKey.objects.filter(pk=keys[0].pk)
    ApiKey.objects.update(**TIDY)
    first.update(**TIDY | untidy_columns)
    assert hygiene() == dict.fromkeys(HYGIENE, 0) | {way: 1}
    assert list(untidy(ApiKey.objects.all(), way)) == [keys[0]]
    first.update(**TIDY | tidy_columns)
    assert hygiene()[way] == 0


def test_keys_of_the_deactivated_are_found_and_dead_keys_are_not(keys: list[ApiKey], ada: User) -> None:
    assert hygiene()["owner_inactive"] == 0
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert hygiene()["owner_inactive"] == 5
    ApiKey.objects.filter(pk=keys[0].pk).update(status="revoked")
    ApiKey.objects.filter(pk=keys[1].pk).update(deleted_at=NOW)
    ApiKey.objects.filter(pk=keys[2].pk).update(expires_at=LONG_AGO)
    assert (hygiene()["owner_inactive"], hygiene()["never_used"]) == (2, 2)


def test_a_new_key_is_not_called_never_used(keys: list[ApiKey]) -> None:
    ApiKey.objects.update(created_at=NOW - timedelta(days=6))
    assert hygiene()["never_used"] == 0


def test_the_figures_are_two_statements(keys: list[ApiKey]) -> None:
    with CaptureQueriesContext(connection) as asked:
        hygiene()
    assert len(asked) == 2, "the counts, and how old they are"


def test_keys_are_judged_as_of_the_last_figures(keys: list[ApiKey]) -> None:
    """Nobody has heard for ten days which keys are used: what was made or fell silent since then may be in use."""
    KeyFigures.objects.update(as_of=NOW - timedelta(days=10))
    ApiKey.objects.update(**TIDY)
    young = ApiKey.objects.filter(pk=keys[0].pk)
    young.update(last_used_at=None, created_at=NOW - timedelta(days=16))
    ApiKey.objects.filter(pk=keys[1].pk).update(last_used_at=NOW - timedelta(days=99))
    assert (hygiene()["never_used"], hygiene()["idle"]) == (0, 0)
    young.update(created_at=NOW - timedelta(days=18))
    ApiKey.objects.filter(pk=keys[1].pk).update(last_used_at=NOW - timedelta(days=101))
    assert (hygiene()["never_used"], hygiene()["idle"]) == (1, 1)


@pytest.mark.parametrize("way", ["idle", "never_used"])
def test_nothing_is_claimed_of_keys_whose_use_was_never_fetched(
    keys: list[ApiKey], ann: User, api: Callable[[User | None], APIClient], way: str
) -> None:
    change = started(ann)
    KeyFigures.objects.all().delete()
    assert hygiene()[way] is None
    assert not untidy(ApiKey.objects.all(), way).exists()
    assert risk_of_being_unused() == 0
    with pytest.raises(Conflict) as refused:
        plan_bulk_change(ann, action="revoke", which=way)
    assert refused.value.code == "uses_unknown"
    answer = api(ann).get(f"/api/v1/api-keys?hygiene={way}")
    assert (answer.status_code, answer.json()["code"]) == (409, "uses_unknown")
    carry_out(str(change.pk))
    assert statuses() == ["active"] * 5
    assert change.rows.outcomes() == {"skipped": 5}


def risk_of_being_unused() -> int:
    """How many keys the dashboard calls so."""
    return ApiKey.objects.filter(risk("unused")).count()


def test_the_api_filters_by_hygiene(
    keys: list[ApiKey], ada: User, ann: User, eve: User, api: Callable[[User | None], APIClient]
) -> None:
    ApiKey.objects.filter(pk=keys[0].pk).update(last_used_at=NOW)
    for actor, number in ((ann, 4), (ada, 4), (eve, 0)):
        assert api(actor).get("/api/v1/api-keys?hygiene=never_used").json()["count"] == number
    assert api(ann).get("/api/v1/api-keys?hygiene=nonsense").status_code == 422


# --- Planning --------------------------------------------------------------------------------------------------------


def test_a_plan_changes_nothing(keys: list[ApiKey], ann: User) -> None:
    change = plan_bulk_change(ann, action="revoke", which="never_used")
    assert (change.status, change.total, change.matching, jobs()) == ("planned", 5, 5, 0)
    assert set(change.rows.values_list("key", flat=True)) == {key.pk for key in keys}
    assert statuses() == ["active"] * 5
    carry_out(str(change.pk))
    assert statuses() == ["active"] * 5
    entry = AuditEvent.objects.get(action="apikey.bulk_planned")
    assert (entry.actor_id, entry.details) == (ann.pk, {"what": "revoke", "which": "never_used", "keys": 5})


def test_a_plan_takes_the_oldest_and_says_how_many_there_are(
    keys: list[ApiKey], ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_KEYS", 2)
    for turn, key in enumerate(keys):
        ApiKey.objects.filter(pk=key.pk).update(created_at=LONG_AGO + timedelta(days=5 - turn))
    change = plan_bulk_change(ann, action="block", which="never_used")
    assert (change.total, change.matching) == (2, 5)
    assert set(change.rows.values_list("key", flat=True)) == {keys[3].pk, keys[4].pk}


def test_what_is_blocked_is_not_blocked_again(keys: list[ApiKey], ann: User) -> None:
    ApiKey.objects.filter(pk=keys[0].pk).update(status="blocked")
    assert plan_bulk_change(ann, action="block", which="never_used").total == 4
    assert plan_bulk_change(ann, action="revoke", which="never_used").total == 5


def test_wrong_wishes_are_refused(keys: list[ApiKey], ann: User) -> None:
    for wish, code in (
        ({"action": "delete", "which": "idle"}, "unknown_action"),
        ({"action": "block", "which": "ugly"}, "unknown_hygiene"),
    ):
        with pytest.raises(Invalid) as refused:
            plan_bulk_change(ann, **wish)
        assert refused.value.code == code
    with pytest.raises(Conflict) as nothing:
        plan_bulk_change(ann, action="block", which="idle")
    assert nothing.value.code == "nothing_to_do"
    assert not BulkChange.objects.exists()


def test_only_administrators_may(keys: list[ApiKey], ann: User, ada: User, ro: User) -> None:
    change = plan_bulk_change(ann, action="block", which="never_used")
    for actor in (ada, ro):
        for verb in (start_bulk_change, stop_bulk_change):
            with pytest.raises(PermissionDenied):
                verb(actor, change_id=change.pk)
        with pytest.raises(PermissionDenied):
            plan_bulk_change(actor, action="block", which="never_used")
    with pytest.raises(NotFound):
        start_bulk_change(ann, change_id="00000000-0000-4000-8000-000000000000")
    assert (fresh(change).status, jobs()) == ("planned", 0)


# --- Carrying out ----------------------------------------------------------------------------------------------------


def test_each_key_is_revoked_by_the_verb_for_one(keys: list[ApiKey], ann: User) -> None:
    change = started(ann)
    assert jobs() == 1
    carry_out(str(change.pk))
    assert statuses() == ["revoked"] * 5
    entries = AuditEvent.objects.filter(action="apikey.revoked")
    assert {(entry.actor_id, entry.target_id) for entry in entries} == {(ann.pk, str(key.pk)) for key in keys}
    assert (fresh(change).status, change.rows.outcomes()) == ("done", {"done": 5})
    assert fresh(change).finished_at is not None
    assert not ApiKeySecret.objects.exclude(sync_status="pending").exists()


@pytest.mark.parametrize(("action", "status"), [("block", "blocked"), ("revoke", "revoked")])
def test_each_key_keeps_the_reason(keys: list[ApiKey], ann: User, action: str, status: str) -> None:
    carry_out(str(started(ann, action).pk))
    assert statuses() == [status] * 5
    entries = AuditEvent.objects.filter(action=f"apikey.{status}")
    assert [entry.details["reason"] for entry in entries] == ["spring clean"] * 5


def test_starting_twice_is_starting_once(keys: list[ApiKey], ann: User) -> None:
    change = started(ann)
    start_bulk_change(ann, change_id=change.pk)
    assert (jobs(), AuditEvent.objects.filter(action="apikey.bulk_started").count()) == (1, 1)
    carry_out(str(change.pk))
    with pytest.raises(Conflict) as over:
        start_bulk_change(ann, change_id=change.pk)
    assert over.value.code == "bulk_change_over"


def test_a_key_that_does_not_fit_any_more_is_left_alone(keys: list[ApiKey], ann: User, ada: User) -> None:
    change = started(ann)
    ApiKey.objects.filter(pk=keys[1].pk).update(last_used_at=NOW)
    endings.revoke_api_key(ada, key_id=keys[2].pk)
    ApiKey.objects.filter(pk=keys[3].pk).update(status="revoked", deleted_at=NOW)
    carry_out(str(change.pk))
    assert change.rows.outcomes() == {"done": 2, "skipped": 3}
    assert ApiKey.objects.get(pk=keys[1].pk).status == "active"
    assert set(change.rows.filter(outcome="skipped").values_list("code", flat=True)) == {"changed_meanwhile"}


def test_nobody_waits_for_litellm(keys: list[ApiKey], ann: User, litellm: Emulator) -> None:
    change = started(ann)
    before = list(litellm.calls)
    carry_out(str(change.pk))
    assert list(litellm.calls) == before
    assert statuses() == ["revoked"] * 5
    pushes = ProcrastinateJob.objects.filter(task_name=state.PUSH_TASK)
    pushed = {row.args["object_id"] for row in pushes if row.args["kind"] == "apikeys.apikeysecret"}
    assert pushed == {str(pk) for pk in ApiKeySecret.objects.values_list("pk", flat=True)}


def lose_permission(ann: User) -> None:
    """By losing the role."""
    User.objects.filter(pk=ann.pk).update(roles=["adminReadonly"])


def be_deactivated(ann: User) -> None:
    """By losing the account."""
    User.objects.filter(pk=ann.pk).update(is_active=False)


@pytest.mark.parametrize(
    ("lose", "code"), [(be_deactivated, "not_authenticated"), (lose_permission, "permission_denied")]
)
def test_it_stops_where_whoever_started_it_may_not_any_more(
    keys: list[ApiKey], ann: User, monkeypatch: pytest.MonkeyPatch, lose: Callable[[User], None], code: str
) -> None:
    change, revoke = started(ann), endings.revoke_api_key

    def revoke_and_lose(actor: User, **key: Any) -> Any:
        revoked = revoke(actor, **key)
        if statuses().count("revoked") == 2:
            lose(ann)
        return revoked

    monkeypatch.setattr(endings, "revoke_api_key", revoke_and_lose)
    carry_out(str(change.pk))
    assert statuses().count("revoked") == 2
    assert (fresh(change).status, fresh(change).error) == ("stopped", code)
    stopped = AuditEvent.objects.get(action="apikey.bulk_stopped")
    assert (stopped.actor_id, stopped.details) == (None, {"reason": code})
    carry_out(str(change.pk))
    resume()
    assert statuses().count("revoked") == 2


def test_it_can_be_stopped_and_gone_on_with_by_another_administrator(
    keys: list[ApiKey], ann: User, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "SLICE_SECONDS", -1.0)
    change = started(ann)
    carry_out(str(change.pk))
    assert (statuses().count("revoked"), fresh(change).status, jobs()) == (1, "running", 2)
    stop_bulk_change(ann, change_id=change.pk)
    carry_out(str(change.pk))
    assert (statuses().count("revoked"), fresh(change).status) == (1, "stopped")
    User.objects.filter(pk=ann.pk).update(is_active=False)
    User.objects.filter(pk=ada.pk).update(roles=["admin"])
    start_bulk_change(User.objects.get(pk=ada.pk), change_id=change.pk)
    for _turn in range(4):
        carry_out(str(change.pk))
    assert (statuses().count("revoked"), fresh(change).status) == (5, "done")
    last = AuditEvent.objects.filter(action="apikey.revoked").first()
    assert last is not None
    assert last.actor_id == ada.pk


def test_it_goes_on_in_the_name_of_whoever_took_it_over(
    keys: list[ApiKey], ann: User, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's job is at a key while somebody stops the change and starts it anew."""
    User.objects.filter(pk=ada.pk).update(roles=["admin"])
    other, change, revoke = User.objects.get(pk=ada.pk), started(ann), endings.revoke_api_key
    names = []

    def taken_over(actor: User, **key: Any) -> Any:
        names.append(actor.pk)
        if len(names) == 1:
            stop_bulk_change(other, change_id=change.pk)
            start_bulk_change(other, change_id=change.pk)
        return revoke(actor, **key)

    monkeypatch.setattr(endings, "revoke_api_key", taken_over)
    carry_out(str(change.pk))
    assert (names, fresh(change).status) == ([ann.pk], "running"), "neither goes on nor tells that it is done"
    carry_out(str(change.pk))
    assert (names, fresh(change).status) == ([ann.pk] + [ada.pk] * 4, "done")


def test_one_refusal_does_not_touch_the_others(keys: list[ApiKey], ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    change, revoke = started(ann), endings.revoke_api_key
    errors = {keys[1].pk: Conflict("no", code="key_revoked"), keys[2].pk: ZeroDivisionError("a bug")}

    def revoke_most(actor: User, **key: Any) -> Any:
        revoked = revoke(actor, **key)
        if error := errors.get(key["key_id"]):
            raise error
        return revoked

    monkeypatch.setattr(endings, "revoke_api_key", revoke_most)
    carry_out(str(change.pk))
    assert set(change.rows.filter(outcome="failed").values_list("key", "code")) == {
        (keys[1].pk, "key_revoked"),
        (keys[2].pk, "internal_error"),
    }
    # What the verb had done before it failed is undone.
    assert statuses() == ["revoked", "active", "active", "revoked", "revoked"]
    assert fresh(change).status == "done"


def test_trap_50_it_goes_on_where_a_worker_died(keys: list[ApiKey], ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    change, revoke = started(ann), endings.revoke_api_key

    def revoke_two(actor: User, **key: Any) -> Any:
        if statuses().count("revoked") == 2:
            raise OperationalError("the database is away")
        return revoke(actor, **key)

    monkeypatch.setattr(endings, "revoke_api_key", revoke_two)
    with pytest.raises(OperationalError):
        carry_out(str(change.pk))
    monkeypatch.setattr(endings, "revoke_api_key", revoke)
    carry_out(str(change.pk))  # a second job, while the first might live
    assert (statuses().count("revoked"), resume()) == (2, 0)
    BulkChange.objects.update(lease_until=timezone.now() - timedelta(minutes=2))
    assert resume() == 1
    carry_out(str(change.pk))
    assert (statuses().count("revoked"), fresh(change).status) == (5, "done")
    assert AuditEvent.objects.filter(action="apikey.revoked").count() == 5


def test_plans_that_nobody_carried_out_are_forgotten(keys: list[ApiKey], ann: User) -> None:
    plan = plan_bulk_change(ann, action="block", which="never_used")
    change = started(ann)
    BulkChange.objects.update(created_at=LONG_AGO)
    resume()
    assert list(BulkChange.objects.all()) == [change]
    assert not BulkChangeKey.objects.filter(change_id=plan.pk).exists()


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_two_workers_do_each_key_once(keys: list[ApiKey], ann: User) -> None:
    change = started(ann)

    def work(_turn: int) -> None:
        # Each as if the other had died: the claim does not keep them apart, only the rows do.
        BulkChange.objects.update(lease_until=NOW)
        carry_out(str(change.pk))

    at_once(3, work)
    carry_out(str(change.pk))
    assert statuses() == ["revoked"] * 5
    assert AuditEvent.objects.filter(action="apikey.revoked").count() == 5
    assert change.rows.outcomes() == {"done": 5}


def test_adminreadonly_has_no_part_in_it() -> None:
    for role, scopes in rbac.SCOPES.items():
        assert (rbac.Permission.APIKEYS_BULK in scopes) is (role == "admin")
