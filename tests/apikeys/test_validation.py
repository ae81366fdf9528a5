"""Whether a key may be used: every answer of /api-keys/validate, who may ask, and what asking costs."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEvent, Role, User
from accounts.personal_tokens import create_personal_token
from apikeys import validation
from apikeys.endings import block_api_key, revoke_api_key, unblock_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyModel
from apikeys.services import IssuedKey, create_api_key
from apikeys.validation import Code, validate_api_key
from litellm_sync.emulator.server import Emulator
from litemaas.foundation import crypto, rate_limits
from litemaas.foundation.errors import NotAuthenticated, PermissionDenied, RateLimited
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.cast import make_person
from tests.races import at_once

Api = Callable[[User | None], APIClient]
ADDRESS = "/api/v1/api-keys/validate"
PAST, FUTURE = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=30)


@pytest.fixture
def gateway(db: None) -> User:
    """A service that asks about everybody's keys."""
    return make_person("gateway", Role.GATEWAY)


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription]) -> IssuedKey:
    """Ada's key for two of her three models."""
    return create_api_key(ada, name="notebook", models=["gpt-4o", "claude-sonnet"], max_budget=Decimal(10))


@contextmanager
def limited(settings: Any, **limits: str) -> Iterator[None]:
    """With other limits."""
    settings.RATE_LIMITS = rate_limits.read(f"{name}={limit}" for name, limit in limits.items())
    yield


def says(actor: User, issued: IssuedKey, model: str | None = "gpt-4o") -> str:
    """The code of an answer."""
    return validate_api_key(actor, key=issued.secret, model=model).code.value


# --- What is said ----------------------------------------------------------------------------------------------------


def test_a_good_key_is_valid_with_what_it_may_do(gateway: User, issued: IssuedKey, ada: User) -> None:
    ApiKey.objects.update(spend=Decimal("2.5"), model_limits={"gpt-4o": {"rpm_limit": 5}, "claude-sonnet": {}})
    User.objects.filter(pk=ada.pk).update(max_budget=Decimal(4), spend=Decimal(1))
    verdict = validate_api_key(gateway, key=issued.secret, model="gpt-4o")
    assert (verdict.valid, verdict.code, verdict.stopped_by) == (True, Code.OK, None)
    assert (verdict.api_key, verdict.user, verdict.team) == (issued.key.pk, ada.pk, DEFAULT_TEAM_ID)
    assert verdict.limits is not None
    assert verdict.limits["remaining_budget"] == Decimal(3)
    assert verdict.limits["model_limits"] == {"gpt-4o": {"rpm_limit": 5}}
    assert says(gateway, issued, None) == "ok"


def test_a_key_that_was_made_in_litellm_and_adopted_is_known_too(gateway: User, issued: IssuedKey) -> None:
    foreign = "sk-made_elsewhere-0123456789"
    assert validate_api_key(gateway, key=foreign).code is Code.UNKNOWN_KEY
    ApiKeySecret.objects.update(digest=crypto.secret_digest(foreign), last4=foreign[-4:])
    assert validate_api_key(gateway, key=foreign).code is Code.OK
    assert says(gateway, issued) == "unknown_key"


def _change(rows: Any, **columns: Any) -> Callable[[], Any]:
    return lambda: rows.objects.update(**columns)


# What is changed behind a good key, and what is said of it then.
CASES: dict[str, tuple[Callable[[], Any], str, str | None]] = {
    "blocked": (_change(ApiKey, status="blocked"), "blocked", None),
    "blocked and expired": (_change(ApiKey, status="blocked", expires_at=PAST), "expired", None),
    "budget of nothing": (_change(ApiKey, max_budget=0), "budget_exceeded", "key"),
    "budget of nothing, reset passed": (
        _change(ApiKey, max_budget=0, budget_resets_at=PAST),
        "budget_exceeded",
        "key",
    ),
    "budget reset passed": (_change(ApiKey, spend=11, budget_resets_at=PAST), "ok", None),
    "budget spent": (_change(ApiKey, spend=10, budget_resets_at=FUTURE), "budget_exceeded", "key"),
    "budget nearly spent": (_change(ApiKey, spend=Decimal("9.9999999999")), "ok", None),
    "deleted": (_change(ApiKey, status="revoked", deleted_at=PAST), "unknown_key", None),
    "expired": (_change(ApiKey, expires_at=PAST), "expired", None),
    "expires later": (_change(ApiKey, expires_at=FUTURE), "ok", None),
    "member's budget spent": (_change(Membership, max_budget=1, spend=1), "team_limit", "member"),
    "model gone": (_change(Model, availability="unavailable"), "model_not_allowed", None),
    "model not for the team": (_change(Team, allowed_models=["claude-sonnet"]), "model_not_allowed", None),
    "owner deactivated": (_change(User, is_active=False), "user_inactive", None),
    "owner's budget reset passed": (_change(User, max_budget=1, spend=2, budget_resets_at=PAST), "ok", None),
    "owner's budget spent": (_change(User, max_budget=1, spend=2), "budget_exceeded", "user"),
    "quota exhausted": (_change(Subscription, exhausted=True), "quota_exceeded", "subscription"),
    "quota not reached": (_change(Subscription, quota_requests=5, used_requests=4), "ok", None),
    "quota of nothing": (_change(Subscription, quota_tokens=0, resets_at=PAST), "quota_exceeded", "subscription"),
    "quota of requests": (_change(Subscription, quota_requests=5, used_requests=5), "quota_exceeded", "subscription"),
    "quota of tokens": (_change(Subscription, quota_tokens=5, used_tokens=6), "quota_exceeded", "subscription"),
    "quota reset passed": (
        _change(Subscription, exhausted=True, quota_tokens=5, used_tokens=6, resets_at=PAST),
        *("ok", None),
    ),
    "revoked": (_change(ApiKey, status="revoked"), "revoked", None),
    "revoked and expired": (_change(ApiKey, status="revoked", expires_at=PAST), "revoked", None),
    "secret in its grace": (_change(ApiKeySecret, valid_until=FUTURE), "ok", None),
    "secret over": (_change(ApiKeySecret, valid_until=PAST), "expired", None),
    "subscription denied": (_change(Subscription, status="denied"), "model_not_allowed", None),
    "subscription suspended": (_change(Subscription, status="suspended"), "model_not_allowed", None),
    "team's budget spent": (_change(Team, max_budget=1, spend=1), "team_limit", "team"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_state_has_its_code(issued: IssuedKey, ann: User, name: str) -> None:
    change, code, stopped_by = CASES[name]
    change()
    User.objects.filter(pk=ann.pk).update(is_active=True, max_budget=None)
    verdict = validate_api_key(ann, key=issued.secret, model="gpt-4o")
    assert (verdict.code.value, verdict.stopped_by, verdict.valid) == (code, stopped_by, code == "ok")


def test_only_the_models_of_the_key_are_allowed(gateway: User, issued: IssuedKey) -> None:
    assert says(gateway, issued, "claude-sonnet") == "ok"
    # Subscribed to, but not wished for this key; and what is no model at all.
    for model in ("gpt-4o-mini", "", "no such", "gpt-4o\0", "x" * 300, "\ud800", "*", "all-team-models"):
        assert says(gateway, issued, model) == "model_not_allowed", model


def test_without_a_model_one_that_can_be_used_is_enough(gateway: User, issued: IssuedKey) -> None:
    Subscription.objects.filter(model="gpt-4o").update(exhausted=True)
    assert (says(gateway, issued, None), says(gateway, issued)) == ("ok", "quota_exceeded")
    Subscription.objects.filter(model="claude-sonnet").update(quota_requests=3, used_requests=3)
    assert says(gateway, issued, None) == "quota_exceeded"
    Subscription.objects.update(status="suspended")
    assert says(gateway, issued, None) == "model_not_allowed"
    KeyModel.objects.all().delete()
    assert says(gateway, issued, None) == "model_not_allowed"


def test_a_key_of_a_team_that_its_owner_has_left_may_use_nothing(gateway: User, issued: IssuedKey, ada: User) -> None:
    team = Team.objects.create(name="Data Science", max_budget=1, spend=1)
    ApiKey.objects.update(team=team)
    assert says(gateway, issued) == "model_not_allowed"
    membership = Membership.objects.create(team=team, user=ada)
    assert says(gateway, issued) == "team_limit"
    Team.objects.filter(pk=team.pk).update(spend=0)
    assert says(gateway, issued) == "ok"
    membership.delete()
    # That the owner is in another team, with a budget of its own, makes no difference.
    assert says(gateway, issued) == "model_not_allowed"


def test_somebody_elses_subscription_and_membership_do_not_count(gateway: User, issued: IssuedKey, eve: User) -> None:
    create_subscription(eve, model="gpt-4o")
    Subscription.objects.exclude(user=eve).filter(model="gpt-4o").update(status="suspended")
    assert says(gateway, issued) == "model_not_allowed"
    Subscription.objects.exclude(user=eve).update(status="active")
    Membership.objects.filter(user=eve).update(max_budget=0)
    Subscription.objects.filter(user=eve).update(exhausted=True)
    assert says(gateway, issued) == "ok"


def test_validation_and_push_agree_about_every_model(gateway: User, issued: IssuedKey, models: list[Model]) -> None:
    Team.objects.update(allowed_models=["claude-sonnet", "gpt-4o-mini"])
    effective = set(KeyModel.objects.filter(key=issued.key).effective().values_list("model_id", flat=True))
    assert {model.pk for model in models if says(gateway, issued, model.pk) == "ok"} == effective == {"claude-sonnet"}


def test_every_secret_of_a_key_speaks_for_it(gateway: User, issued: IssuedKey) -> None:
    second = crypto.new_api_key_secret()
    ApiKeySecret.objects.create(key=issued.key, digest=crypto.secret_digest(second), last4=second[-4:])
    ApiKeySecret.objects.exclude(last4=second[-4:]).update(valid_until=FUTURE)
    for secret in (issued.secret, second):
        assert validate_api_key(gateway, key=secret).api_key == issued.key.pk
    ApiKeySecret.objects.exclude(last4=second[-4:]).update(valid_until=PAST)
    assert says(gateway, issued) == "expired"
    assert validate_api_key(gateway, key=second).valid


def test_the_verbs_are_seen_at_once(gateway: User, issued: IssuedKey, ada: User, ann: User) -> None:
    block_api_key(ann, key_id=issued.key.pk)
    assert says(gateway, issued) == "blocked"
    unblock_api_key(ann, key_id=issued.key.pk)
    assert says(gateway, issued) == "ok"
    revoke_api_key(ada, key_id=issued.key.pk)
    assert says(gateway, issued) == "revoked"


MALFORMED = ("", "sk", "sk-lm-", "nonsense", "sk-lm-" + "a" * 49, "sk-lm-\0", "\u2028", "x" * 20_000)


@pytest.mark.parametrize("secret", MALFORMED, ids=[str(number) for number in range(len(MALFORMED))])
def test_what_cannot_be_a_key_is_unknown_and_costs_no_look(gateway: User, secret: str) -> None:
    with CaptureQueriesContext(connection) as asked:
        assert validate_api_key(gateway, key=secret) == validation.UNKNOWN
    assert ["ratecount" in query["sql"] for query in asked] == [True]


# --- Who may ask -----------------------------------------------------------------------------------------------------


def test_who_may_ask_about_which_key(issued: IssuedKey, gateway: User, ann: User, eve: User, ro: User) -> None:
    ada = issued.key.user
    assert [says(actor, issued) for actor in (gateway, ann, ada)] == ["ok"] * 3
    assert validate_api_key(eve, key=issued.secret, model="gpt-4o") == validation.UNKNOWN
    with pytest.raises(PermissionDenied):
        says(ro, issued)
    User.objects.filter(pk=gateway.pk).update(is_active=False)
    with pytest.raises(NotAuthenticated):
        says(User.objects.get(pk=gateway.pk), issued)


def test_a_stranger_learns_nothing_and_leaves_no_trace(issued: IssuedKey, eve: User) -> None:
    revoke_api_key(issued.key.user, key_id=issued.key.pk)
    before = AuditEvent.objects.count()
    assert validate_api_key(eve, key=issued.secret) == validation.UNKNOWN
    assert AuditEvent.objects.count() == before
    assert ApiKey.objects.get().last_used_at is None


def test_a_gateway_makes_nothing(gateway: User, models: list[Model], api: Api) -> None:
    client = api(gateway)
    assert client.post("/api/v1/api-keys", {"name": "k", "models": ["gpt-4o"]}).status_code == 403
    assert client.post("/api/v1/subscriptions", {"model": "gpt-4o"}).status_code == 403
    assert client.get("/api/v1/users").status_code == 403
    assert client.get("/api/v1/me").json()["role"] == "gateway"


@pytest.mark.parametrize("scope", ["read", "write"])
def test_a_gateway_asks_with_an_access_token_of_either_scope(gateway: User, issued: IssuedKey, scope: str) -> None:
    token = create_personal_token(gateway, name="proxy", scope=scope)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token.secret}")
    answer = client.post(ADDRESS, {"key": issued.secret, "model": "gpt-4o"})
    assert (answer.status_code, answer.json()["code"]) == (200, "ok")


# --- Over HTTP -------------------------------------------------------------------------------------------------------


def test_the_answer_is_flat_and_kept_by_nobody(issued: IssuedKey, gateway: User, ada: User, api: Api) -> None:
    ApiKey.objects.update(rpm_limit=60, expires_at=datetime(2030, 1, 2, tzinfo=UTC))
    answer = api(gateway).post(ADDRESS, {"key": issued.secret, "model": "gpt-4o", "metadata": {"x": 1}})
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert answer.json() == {
        "valid": True,
        "code": "ok",
        "stopped_by": None,
        "api_key": str(issued.key.pk),
        "user": str(ada.pk),
        "team": str(DEFAULT_TEAM_ID),
        "limits": {
            "max_budget": "10.0000000000",
            "spend": "0.0000000000",
            "budget_resets_at": None,
            "remaining_budget": "10.0000000000",
            "tpm_limit": None,
            "rpm_limit": 60,
            "max_parallel_requests": None,
            "model_limits": {},
            "expires_at": "2030-01-02T00:00:00Z",
        },
    }


NOTHING: dict[str, Any] = {"api_key": None, "user": None, "team": None, "limits": None}


@pytest.mark.parametrize("key", [None, "", 5, [], {}, True, "sk-lm-x", "\0"], ids=repr)
def test_whatever_is_sent_as_a_key_is_answered(gateway: User, api: Api, key: Any) -> None:
    answer = api(gateway).post(ADDRESS, {"key": key})
    assert answer.status_code == 200
    assert answer.json() == {"valid": False, "code": "unknown_key", "stopped_by": None, **NOTHING}


@pytest.mark.parametrize("model", ["", 5, [], {}, "\0", "x" * 300], ids=lambda value: repr(value)[:20])
def test_whatever_is_sent_as_a_model_is_answered(gateway: User, api: Api, issued: IssuedKey, model: Any) -> None:
    answer = api(gateway).post(ADDRESS, {"key": issued.secret, "model": model})
    assert (answer.status_code, answer.json()["code"]) == (200, "model_not_allowed")
    assert api(gateway).post(ADDRESS, {"key": issued.secret, "model": None}).json()["code"] == "ok"


def test_a_question_without_a_key_is_none(gateway: User, api: Api) -> None:
    answer = api(gateway).post(ADDRESS, {"model": "gpt-4o"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "key")
    assert api(gateway).post(ADDRESS, [1]).status_code == 422
    assert api(None).post(ADDRESS, {"key": "x"}).status_code == 401


def test_trap_18_no_answer_and_no_entry_has_the_secret(
    gateway: User, api: Api, issued: IssuedKey, caplog: Any, settings: Any
) -> None:
    client = api(gateway)
    bodies = [{"key": issued.secret, "model": "nope"}, {"key": f" {issued.secret}"}, {"keys": issued.secret}]
    seen = [client.post(ADDRESS, body).content.decode() for body in bodies]
    seen.append(client.get(f"{ADDRESS}?key=x").content.decode())
    revoke_api_key(issued.key.user, key_id=issued.key.pk)
    seen.append(client.post(ADDRESS, {"key": issued.secret}).content.decode())
    with limited(settings, validations="1/1h"):
        seen += [client.post(ADDRESS, {"key": issued.secret}).content.decode() for _turn in range(9)]
    assert "rate_limited" in seen[-1]
    seen += [caplog.text, json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))]
    assert not any(issued.secret in text for text in seen)


# --- What asking costs and leaves ------------------------------------------------------------------------------------


def statements(actor: User, issued: IssuedKey, model: str | None) -> int:
    """How many a validation takes."""
    with CaptureQueriesContext(connection) as asked:
        validate_api_key(actor, key=issued.secret, model=model)
    return len(asked)


def test_two_statements_whatever_there_is(gateway: User, issued: IssuedKey, ada: User) -> None:
    for table in (ApiKey, ApiKeySecret):
        table.objects.update(last_used_at=timezone.now())
    few = [statements(gateway, issued, model) for model in ("gpt-4o", None, "nope")]
    more = [Model.objects.create(id=f"more-{number}", provider="p", mode="chat") for number in range(30)]
    for model in more:
        create_subscription(ada, model=model.pk)
    KeyModel.objects.bulk_create(KeyModel(key=issued.key, model=model) for model in more)
    for number in range(5):
        Membership.objects.create(team=Team.objects.create(name=f"Team {number}"), user=ada)
    assert few == [statements(gateway, issued, model) for model in ("gpt-4o", None, "nope")] == [2, 2, 2]


def test_the_digest_is_found_by_its_index(issued: IssuedKey) -> None:
    old = [ApiKeySecret(key=issued.key, digest=f"{number:064x}", last4="0000") for number in range(5_000)]
    ApiKeySecret.objects.bulk_create(old)
    sql, params = validation._statement(with_model=True)
    given = {validation.DIGEST: crypto.secret_digest(issued.secret), validation.MODEL: "gpt-4o"}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE apikeys_apikeysecret")
        cursor.execute(f"EXPLAIN {sql}", [given.get(p, p) if isinstance(p, str) else p for p in params])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert re.search(r"Index Scan using apikeys_apikeysecret_digest\w+ on apikeys_apikeysecret", plan)


def test_the_statement_that_is_written_once_holds_no_moment() -> None:
    for with_model in (False, True):
        _sql, params = validation._statement(with_model=with_model)
        assert not [value for value in params if isinstance(value, datetime)]


def test_litellm_is_not_asked(litellm: Emulator, gateway: User, issued: IssuedKey) -> None:
    before = list(litellm.calls)
    assert says(gateway, issued) == "ok"
    assert list(litellm.calls) == before


def test_last_used_is_noted_once_a_minute(gateway: User, issued: IssuedKey) -> None:
    assert statements(gateway, issued, None) == 3
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    assert statements(gateway, issued, None) == 2
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    says(gateway, issued)
    assert (ApiKey.objects.get().last_used_at or first) >= first


def test_the_use_of_each_secret_is_noted(gateway: User, issued: IssuedKey) -> None:
    other = crypto.new_api_key_secret()
    old = ApiKeySecret.objects.get()
    new = ApiKeySecret.objects.create(key=issued.key, digest=crypto.secret_digest(other), last4=other[-4:])
    validate_api_key(gateway, key=other)
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.last_used_at, new.last_used_at) == (None, ApiKey.objects.get().last_used_at)
    assert statements(gateway, issued, None) == 3  # the key's own is fresh, this secret's is not
    assert statements(gateway, issued, None) == 2
    old.refresh_from_db()
    assert old.last_used_at is not None
    assert ApiKey.objects.get().last_used_at == new.last_used_at


def test_a_refused_call_is_no_use(gateway: User, issued: IssuedKey) -> None:
    says(gateway, issued, "nope")
    ApiKey.objects.update(status="blocked")
    says(gateway, issued)
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.usefixtures("real_transactions")
def test_whoever_holds_the_key_makes_nobody_wait(gateway: User, issued: IssuedKey) -> None:
    locked, answered = threading.Barrier(4, timeout=60), threading.Barrier(4, timeout=60)

    def act(turn: int) -> str:
        if turn:
            locked.wait()
            code = says(gateway, issued)
            answered.wait()
            return code
        with transaction.atomic():
            ApiKey.objects.select_for_update().get()
            locked.wait()
            answered.wait()
        return "held"

    assert at_once(4, act) == ["held", "ok", "ok", "ok"]
    assert ApiKey.objects.get().last_used_at is None


def test_the_refusal_of_an_ended_key_is_recorded_once(gateway: User, issued: IssuedKey, ada: User) -> None:
    says(gateway, issued, "nope")  # a mistake of the caller's is no news
    revoke_api_key(ada, key_id=issued.key.pk)
    for _turn in range(3):
        says(gateway, issued)
    entry = AuditEvent.objects.get(action="apikey.refused")
    assert (entry.actor_id, entry.target_id, entry.target_name) == (gateway.pk, str(issued.key.pk), "notebook")
    assert (entry.success, entry.details) == (False, {"reason": "revoked"})


# --- How often -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["validations", "validations_key", "validations_team"])
def test_asker_key_and_team_have_limits(gateway: User, issued: IssuedKey, settings: Any, name: str) -> None:
    with limited(settings, **{name: "2/1h"}):
        assert [says(gateway, issued) for _turn in range(2)] == ["ok", "ok"]
        with pytest.raises(RateLimited) as refused:
            says(gateway, issued)
    assert refused.value.details["limit"] == name
    assert 0 < refused.value.details["retry_after"] <= 3600


def test_unknown_keys_count_for_their_asker_alone(gateway: User, issued: IssuedKey, eve: User, settings: Any) -> None:
    with limited(settings, validations_own="2/1h", validations_key="1/1h"):
        for _turn in range(2):
            assert validate_api_key(eve, key=issued.secret) == validation.UNKNOWN
        with pytest.raises(RateLimited):
            validate_api_key(eve, key="nonsense")
        assert says(gateway, issued) == "ok"  # a stranger who has the secret does not use up the key's own limit


def test_whoever_asks_about_an_own_key_uses_up_nobodys_but_the_own_limit(
    gateway: User, ann: User, issued: IssuedKey, settings: Any
) -> None:
    ada = issued.key.user
    limits = {"validations": "1/1h", "validations_key": "1/1h", "validations_team": "1/1h", "validations_own": "3/1h"}
    with limited(settings, **limits):
        assert [says(ada, issued) for _turn in range(3)] == ["ok"] * 3
        for secret in (issued.secret, "nonsense"):
            with pytest.raises(RateLimited) as refused:
                validate_api_key(ada, key=secret)
            assert refused.value.details["limit"] == "validations_own"
        assert says(gateway, issued) == "ok"
        with pytest.raises(RateLimited):
            says(ann, issued)  # administrators ask about any key, and count as gateways do


def test_limits_that_are_switched_off_cost_nothing(gateway: User, issued: IssuedKey, settings: Any) -> None:
    for table in (ApiKey, ApiKeySecret):
        table.objects.update(last_used_at=timezone.now())
    with limited(settings, validations="off", validations_key="off", validations_team="off"):
        assert statements(gateway, issued, None) == 1


@pytest.mark.usefixtures("real_transactions")
def test_limits_hold_when_many_ask_at_once(gateway: User, issued: IssuedKey, settings: Any) -> None:
    def ask(_turn: int) -> str:
        try:
            return says(gateway, issued)
        except RateLimited as refused:
            return str(refused.details["limit"])

    with limited(settings, validations_key="5/1h"):
        answers = at_once(8, ask)
    assert sorted(answers) == ["ok"] * 5 + ["validations_key"] * 3


def test_the_shipped_limits_are_above_any_honest_gateway() -> None:
    for name in ("validations", "validations_key", "validations_team"):
        count = rate_limits.limit(name).count
        assert count is not None
        assert count >= 10_000
