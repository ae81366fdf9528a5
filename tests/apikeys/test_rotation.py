"""The verbs that replace a secret, delete a key and reset its spend: who may, when, and what is left behind."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.people import deactivate_user
from apikeys.endings import block_api_key, delete_api_key, reset_spend, revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.policy import update_policy
from apikeys.rotation import end_old_secret, keep_until_arrived, rotate_api_key
from apikeys.services import IssuedKey, create_api_key, update_api_key
from litellm_sync import state
from litellm_sync.client import LiteLLM
from litemaas.foundation import rate_limits
from litemaas.foundation.crypto import DecryptionFailed, secret_digest
from litemaas.foundation.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied, RateLimited
from subscriptions.models import Subscription
from teams.models import Team
from teams.services import set_provider_teams
from tests.races import at_once, wait_for_a_lock

Subscribed = list[Subscription]
GONE = timedelta(seconds=90)


@pytest.fixture
def issued(ada: User, subscribed: Subscribed) -> IssuedKey:
    """A key of ada's that LiteLLM has."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"], max_budget=Decimal(5), rpm_limit=7)
    arrived()
    return made


def arrived() -> None:
    """LiteLLM has every secret."""
    ApiKeySecret.objects.update(pending_secret=None, pushed_at=timezone.now(), sync_status="synced")


def facts(key: ApiKey) -> dict[str, Any]:
    """Everything about a key that a rotation must leave alone."""
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    return row | {"models": list(key.links.values_list("model", flat=True))}


def test_trap_21_rotation_changes_the_secret_alone(ada: User, issued: IssuedKey) -> None:
    before = facts(issued.key)
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    assert facts(issued.key) == before
    assert rotated.secret != issued.secret
    old, new = ApiKeySecret.objects.order_by("created_at")
    assert (old.digest, new.digest) == (secret_digest(issued.secret), secret_digest(rotated.secret))
    assert old.valid_until is not None
    assert abs(old.valid_until - timezone.now() - timedelta(seconds=600)) < timedelta(seconds=60)
    assert (new.valid_until, new.pending_secret) == (None, rotated.secret)
    assert {old.sync_status, new.sync_status} == {"pending"}
    event = AuditEvent.objects.get(action="apikey.rotated")
    until = old.valid_until.isoformat(timespec="seconds")
    kept = {"grace_seconds": 600, "kept": str(old), "valid_until": until}
    assert event.details == {"old": str(old), "new": str(new), **kept}
    assert rotated.secret not in str(event.details)


def test_the_grace_is_the_policys_unless_somebody_says_otherwise(ada: User, issued: IssuedKey) -> None:
    KeyPolicy.objects.create(default_grace_seconds=120, maximum_grace_seconds=300)
    rotate_api_key(ada, key_id=issued.key.pk)
    old = ApiKeySecret.objects.earliest("created_at")
    assert old.valid_until is not None
    assert abs(old.valid_until - timezone.now() - timedelta(seconds=120)) < timedelta(seconds=60)


@pytest.mark.parametrize(("seconds", "code"), [(-1, "invalid"), (301, "exceeds_policy")])
def test_trap_05_a_grace_beyond_the_policy_is_refused(seconds: int, code: str, ada: User, issued: IssuedKey) -> None:
    KeyPolicy.objects.create(default_grace_seconds=120, maximum_grace_seconds=300)
    with pytest.raises(Invalid) as refused:
        rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=seconds)
    assert (refused.value.code, refused.value.details["field"]) == (code, "grace_seconds")
    assert ApiKeySecret.objects.count() == 1


def ended() -> list[bool]:
    """Which secrets have ended, the oldest first."""
    now = timezone.now()
    return [secret.has_ended(now) for secret in ApiKeySecret.objects.order_by("created_at")]


def test_trap_21_while_an_old_secret_works_or_settles_there_is_no_third(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    arrived()
    for _ in ("in its grace", "settling"):
        with pytest.raises(Conflict) as refused:
            rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
        assert refused.value.code == "rotation_running"
        assert ApiKeySecret.objects.count() == 2
        end_old_secret(ada, key_id=issued.key.pk)
    ApiKeySecret.objects.filter(valid_until__isnull=False).update(carried_at=timezone.now())
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    assert ended() == [True, False, False]


@pytest.mark.parametrize("asked", [None, 60, 3600])
def test_a_new_secret_that_got_lost_is_replaced_where_somebody_says_so(
    asked: int | None, ada: User, issued: IssuedKey
) -> None:
    """Whether programs use it nobody knows for minutes, so nothing but its owner's word ends it."""
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    arrived()
    with pytest.raises(Conflict) as refused:
        rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=asked)
    assert (refused.value.code, ended()) == ("rotation_running", [False, False])
    until = ApiKeySecret.objects.earliest("created_at").valid_until
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=asked, replace_newest=True)
    old, lost, newest = ApiKeySecret.objects.order_by("created_at")
    assert (ended(), old.valid_until) == ([False, True, False], until), "the old one keeps its own time"
    assert until is not None
    details = AuditEvent.objects.filter(action="apikey.rotated").latest("id").details
    kept = {"kept": str(old), "valid_until": until.isoformat(timespec="seconds")}
    assert details == {"old": str(lost), "new": str(newest), "grace_seconds": 0, **kept}


def test_trap_05_no_old_secret_outlives_the_longest_grace_of_the_policy(ada: User, issued: IssuedKey) -> None:
    KeyPolicy.objects.create(default_grace_seconds=300, maximum_grace_seconds=300)
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=300)
    for _ in range(3):
        arrived()
        ApiKeySecret.objects.filter(valid_until__gt=timezone.now()).update(valid_until=F("valid_until") - GONE)
        until = ApiKeySecret.objects.earliest("created_at").valid_until
        rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=300, replace_newest=True)
        assert ApiKeySecret.objects.earliest("created_at").valid_until == until


@pytest.mark.parametrize("where", ["arrived", "settling", "underway"])
def test_a_grace_of_nothing_ends_every_secret_whatever_is_going_on(where: str, ada: User, issued: IssuedKey) -> None:
    """Whichever of them has leaked: it ends now, and not when a rotation may be done."""
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    if where != "underway":
        arrived()
    if where == "settling":
        end_old_secret(ada, key_id=issued.key.pk)
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    assert ended() == [True, True, False]
    assert rotated.key.old_secret_valid_until is None
    details = AuditEvent.objects.filter(action="apikey.rotated").latest("id").details
    assert (details["kept"], details["valid_until"]) == ("", None)


def test_a_policy_without_grace_ends_nothing_of_a_running_rotation_unasked(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    arrived()
    KeyPolicy.objects.create(default_grace_seconds=0)
    with pytest.raises(Conflict) as refused:
        rotate_api_key(ada, key_id=issued.key.pk)
    assert (refused.value.code, ended()) == ("rotation_running", [False, False])


def test_nothing_is_lost_where_no_rotation_is_running(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600, replace_newest=True)
    assert ended() == [False, False]


def test_nothing_working_is_replaced_while_spend_settles(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    arrived()
    with pytest.raises(Conflict) as refused:
        rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600, replace_newest=True)
    assert (refused.value.code, ended()) == ("rotation_running", [True, False])


@pytest.mark.django_db(transaction=True)
def test_trap_05_the_policy_of_a_rotation_is_that_of_its_moment(
    ada: User, ann: User, issued: IssuedKey, real_transactions: None
) -> None:
    """While it waits for the owner's row an administrator allows less."""

    def act(turn: int) -> str:
        if turn:
            with transaction.atomic():
                User.objects.select_for_update().get(pk=ada.pk)
                locked.set()
                wait_for_a_lock()
                update_policy(ann, default_grace_seconds=60, maximum_grace_seconds=60)
            return ""
        assert locked.wait(60)
        with pytest.raises(Invalid) as refused:
            rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
        return refused.value.code

    locked = threading.Event()
    assert at_once(2, act) == ["exceeds_policy", ""]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["subscription", "team"])
def test_trap_07_a_new_secret_and_the_loss_of_a_model_at_once_agree(
    what: str, ada: User, ann: User, issued: IssuedKey, real_transactions: None
) -> None:
    """The loss comes while the rotation is under way: it is told to the new secret too."""
    team = Team.objects.create(name="crew")
    set_provider_teams(ada, ["crew"])
    ApiKey.objects.update(team=team)
    arrived()
    generation: dict[Any, int] = {}

    def lose() -> None:
        if what == "team":
            set_provider_teams(ada, [])
        else:
            suspend(ada)

    def act(turn: int) -> None:
        if turn:
            assert about_to_commit.wait(60)
            lose()
            return
        with transaction.atomic():
            rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
            generation.update(ApiKeySecret.objects.values_list("pk", "sync_generation"))
            about_to_commit.set()
            wait_for_a_lock()

    about_to_commit = threading.Event()
    at_once(2, act)
    for secret in ApiKeySecret.objects.order_by("pk"):
        assert secret.sync_generation > generation[secret.pk], f"{secret} was not told"


def suspend(ada: User) -> None:
    """As an administrator's decision does it."""
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update().get(user=ada, model="gpt-4o")
        Subscription.objects.filter(pk=subscription.pk).update(status="suspended")
        state.request_push(subscription, immediately=False)


@pytest.mark.parametrize(
    "columns",
    [
        {"sync_status": "failed", "sync_error": "LiteLLM refused this."},
        {"sync_status": "failed", "sync_error": "secret_unreadable"},
        {"sync_status": "pending", "sync_error": "secret_unreadable"},
    ],
    ids=["refused", "unreadable", "unreadable-blocked"],
)
def test_a_secret_that_never_arrives_is_replaced_and_the_old_one_works_on(
    columns: dict[str, str], ada: User, issued: IssuedKey
) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    newest = ApiKeySecret.objects.filter(valid_until=None)
    newest.update(**columns)
    unreadable(newest.get())
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=60)
    assert ended() == [False, True, False]


def test_the_first_secret_of_a_key_is_replaced_too_when_litellm_refused_it(ada: User, issued: IssuedKey) -> None:
    not_arrived(issued.key, ada)
    ApiKeySecret.objects.update(sync_status="failed")
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    assert ended() == [True, False]


def unreadable(secret: ApiKeySecret) -> None:
    """No configured key opens what is kept of it."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE apikeys_apikeysecret SET pending_secret = 'x' WHERE id = %s", [secret.pk])


def test_an_unreadable_secret_says_that_it_is_there(issued: IssuedKey) -> None:
    secret = ApiKeySecret.objects.get()
    assert not secret.has_pending
    unreadable(secret)
    secret = ApiKeySecret.objects.get()
    assert secret.has_pending
    with pytest.raises(DecryptionFailed):
        assert secret.pending_secret


# --- The end of a grace waits for the new secret ---------------------------------------------------------------------


def old_ends_in(seconds: int) -> ApiKeySecret:
    """The old secret, so long before the end of its grace."""
    at = timezone.now() + timedelta(seconds=seconds)
    ApiKeySecret.objects.exclude(valid_until=None).update(valid_until=at, sync_status="synced")
    return ApiKeySecret.objects.earliest("created_at")


def test_an_old_secret_does_not_end_before_the_new_one_arrived(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    assert keep_until_arrived(timezone.now()) == 0, "there is time"
    before = old_ends_in(20)
    assert keep_until_arrived(timezone.now()) == 1
    after = ApiKeySecret.objects.earliest("created_at")
    assert before.valid_until is not None
    assert after.valid_until is not None
    assert after.valid_until > before.valid_until + timedelta(minutes=5)
    assert (after.due_at, after.sync_status) == (after.valid_until, "pending")
    old_ends_in(20)
    arrived()
    assert keep_until_arrived(timezone.now()) == 0


def test_trap_05_an_old_secret_is_kept_as_long_as_the_policy_allows_and_the_history_says_so(
    ada: User, issued: IssuedKey
) -> None:
    KeyPolicy.objects.create(default_grace_seconds=60, maximum_grace_seconds=900)
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=60)
    ApiKeySecret.objects.filter(valid_until=None).update(sync_status="failed", sync_error="LiteLLM refused this.")
    newest = ApiKeySecret.objects.latest("created_at")
    last = newest.created_at + timedelta(seconds=900)
    seen = []
    for _ in range(4):
        old = ApiKeySecret.objects.earliest("created_at")
        assert old.valid_until is not None
        keep_until_arrived(old.valid_until - timedelta(seconds=20))
        seen.append(ApiKeySecret.objects.earliest("created_at").valid_until)
    assert seen[-3:] == [last] * 3, "not a moment longer"
    event = AuditEvent.objects.get(action="apikey.grace_prolonged")
    assert event.details == {"old": str(old), "valid_until": last.isoformat(timespec="seconds")}
    assert (event.actor_id, event.target_id) == (None, str(issued.key.pk))


@pytest.mark.django_db(transaction=True)
def test_secrets_whose_grace_ends_are_found_without_reading_all(ada: User, issued: IssuedKey) -> None:
    """It is asked every five seconds, over the secrets of years."""
    rows = """INSERT INTO apikeys_apikeysecret (key_id, digest, last4, sync_status, sync_error, sync_generation,
        sync_attempts, spend, spend_passed_on, created_at, valid_until, carried_at)
        SELECT %s, md5(g::text) || md5(g::text), 'aaaa', 'synced', '', 0, 0, 0, 0, now(),
        CASE WHEN g > 10000 THEN now() END, CASE WHEN g > 10000 THEN now() END FROM generate_series(1, 20000) g"""
    with connection.cursor() as cursor:
        cursor.execute(rows, [issued.key.pk])
        cursor.execute("ANALYZE apikeys_apikeysecret")
    with CaptureQueriesContext(connection) as asked:
        keep_until_arrived(timezone.now())
    question = next(one["sql"] for one in asked if "valid_until" in one["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {question}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "api_key_secret_in_grace" in plan
    assert "Seq Scan on apikeys_apikeysecret" not in plan


def test_what_must_end_is_not_kept(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    old_ends_in(20)
    end_old_secret(ada, key_id=issued.key.pk, force=True)
    assert keep_until_arrived(timezone.now()) == 0
    old_ends_in(20)
    ApiKey.objects.update(expires_at=timezone.now())
    assert keep_until_arrived(timezone.now()) == 0
    ApiKey.objects.update(expires_at=None, status="revoked", revoked_at=timezone.now())
    assert keep_until_arrived(timezone.now()) == 0


def test_a_rotation_takes_no_room_of_another_key(ada: User, issued: IssuedKey) -> None:
    KeyPolicy.objects.create(keys_per_user=1, creations_per_hour=1)
    rotate_api_key(ada, key_id=issued.key.pk)
    assert ApiKey.objects.count() == 1


def test_rotation_does_not_lengthen_a_life(ada: User, issued: IssuedKey) -> None:
    expires = timezone.now().replace(microsecond=0) + timedelta(days=2)
    update_api_key(ada, key_id=issued.key.pk, expires_at=expires)
    rotated = rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=604_800)
    assert rotated.key.expires_at == expires
    assert {secret.ends_at for secret in rotated.key.secrets.all()} == {expires}


def revoked(key: ApiKey, ada: User) -> None:
    """Ended for ever."""
    revoke_api_key(ada, key_id=key.pk)


def expired(key: ApiKey, ada: User) -> None:
    """Ended by the clock."""
    ApiKey.objects.update(expires_at=timezone.now())


def not_arrived(key: ApiKey, ada: User) -> None:
    """LiteLLM has not heard of it."""
    ApiKeySecret.objects.update(pending_secret="sk-lm-x", pushed_at=None)


@pytest.mark.parametrize(
    ("make", "code"),
    [(revoked, "key_revoked"), (expired, "key_expired"), (not_arrived, "secret_not_arrived")],
)
def test_what_cannot_be_rotated(make: Any, code: str, ada: User, issued: IssuedKey) -> None:
    make(issued.key, ada)
    with pytest.raises(Conflict) as refused:
        rotate_api_key(ada, key_id=issued.key.pk)
    assert refused.value.code == code
    assert ApiKeySecret.objects.count() == 1


def test_a_deleted_key_is_not_there(ada: User, issued: IssuedKey) -> None:
    revoke_api_key(ada, key_id=issued.key.pk)
    delete_api_key(ada, key_id=issued.key.pk)
    for verb in (rotate_api_key, end_old_secret, revoke_api_key, update_api_key):
        with pytest.raises(NotFound):
            verb(ada, key_id=issued.key.pk)


def test_nobody_but_the_owner_sees_a_new_secret(ada: User, ann: User, eve: User, ro: User, issued: IssuedKey) -> None:
    with pytest.raises(NotFound):
        rotate_api_key(eve, key_id=issued.key.pk)
    for actor in (ann, ro):
        with pytest.raises(PermissionDenied):
            rotate_api_key(actor, key_id=issued.key.pk)
    assert ApiKeySecret.objects.count() == 1


def test_who_was_deactivated_meanwhile_gets_no_secret(ada: User, ann: User, issued: IssuedKey) -> None:
    asked = User.objects.get(pk=ada.pk)
    deactivate_user(ann, user_id=ada.pk)
    with pytest.raises(DomainError):
        rotate_api_key(asked, key_id=issued.key.pk)
    assert ApiKeySecret.objects.count() == 1


def test_rotations_are_limited_by_themselves(ada: User, issued: IssuedKey, settings: Any) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"key_rotations": rate_limits.Limit(1, 3600)}
    rotate_api_key(ada, key_id=issued.key.pk)
    arrived()
    with pytest.raises(RateLimited):
        rotate_api_key(ada, key_id=issued.key.pk)
    create_api_key(ada, name="another", models=["gpt-4o"])


@pytest.mark.parametrize("who", ["ada", "ann"])
def test_the_old_secret_is_ended_early_once(who: str, request: pytest.FixtureRequest, issued: IssuedKey) -> None:
    actor = request.getfixturevalue(who)
    rotate_api_key(issued.key.user, key_id=issued.key.pk, grace_seconds=600)
    arrived()
    for _ in range(2):
        end_old_secret(actor, key_id=issued.key.pk)
    now = timezone.now()
    assert [secret.has_ended(now) for secret in ApiKeySecret.objects.order_by("created_at")] == [True, False]
    assert AuditEvent.objects.filter(action="apikey.old_secret_ended").count() == 1


def test_nothing_is_ended_where_there_is_one_secret(ada: User, issued: IssuedKey) -> None:
    end_old_secret(ada, key_id=issued.key.pk)
    assert ApiKeySecret.objects.get().valid_until is None
    assert not AuditEvent.objects.filter(action="apikey.old_secret_ended").exists()


def test_the_period_of_a_budget_stays_while_spend_is_carried_over(ada: User, issued: IssuedKey) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=0)
    with pytest.raises(Conflict) as refused:
        update_api_key(ada, key_id=issued.key.pk, budget_duration="7d")
    assert refused.value.code == "rotation_running"
    ApiKeySecret.objects.exclude(valid_until=None).update(carried_at=timezone.now())
    assert update_api_key(ada, key_id=issued.key.pk, budget_duration="7d").budget_duration == "7d"


@pytest.mark.parametrize("newest", ["underway", "refused", "lost"])
def test_trap_21_the_old_secret_is_ended_before_the_new_one_is_there_only_by_force(
    newest: str, ada: User, issued: IssuedKey
) -> None:
    rotate_api_key(ada, key_id=issued.key.pk, grace_seconds=600)
    now = ApiKeySecret.objects.filter(valid_until=None)
    if newest == "refused":
        now.update(sync_status="failed", sync_error="LiteLLM refused this.")
    if newest == "lost":
        now.update(pending_secret=None, sync_status="failed", sync_error="needs_rotation")
    with pytest.raises(Conflict) as refused:
        end_old_secret(ada, key_id=issued.key.pk)
    assert (refused.value.code, ended()) == ("secret_not_arrived", [False, False])
    end_old_secret(ada, key_id=issued.key.pk, force=True)
    assert ended() == [True, False]
    end_old_secret(ada, key_id=issued.key.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("there", [False, True], ids=["litellm-away", "litellm-there"])
def test_trap_50_rotations_at_once_leave_two_valid_secrets(
    ada: User, issued: IssuedKey, real_transactions: None, request: pytest.FixtureRequest, *, there: bool
) -> None:
    """The first replaces the secret; the others are refused, whether LiteLLM has the new one already or not."""
    key = issued.key
    if there:
        request.getfixturevalue("litellm")
        key = create_api_key(ada, name="there", models=["gpt-4o"]).key

    def rotate(_turn: int) -> str:
        try:
            rotate_api_key(ada, key_id=key.pk, grace_seconds=600)
        except Conflict as refused:
            return refused.code
        return "rotated"

    outcomes = at_once(5, rotate)
    assert outcomes.count("rotated") == 1
    assert set(outcomes) <= {"rotated", "secret_not_arrived", *(["rotation_running"] if there else [])}
    now, secrets = timezone.now(), list(key.secrets.order_by("created_at"))
    assert [secret.has_ended(now) for secret in secrets] == [False, False]
    if there:
        known = [LiteLLM(5).get_key_info(secret.digest) for secret in secrets]
        assert [info is not None and not info.blocked for info in known] == [True, True]


# --- Deleting --------------------------------------------------------------------------------------------------------


def test_only_a_revoked_key_is_deleted_and_its_digests_stay(ada: User, ann: User, issued: IssuedKey) -> None:
    block_api_key(ann, key_id=issued.key.pk)
    with pytest.raises(Conflict) as refused:
        delete_api_key(ada, key_id=issued.key.pk)
    assert refused.value.code == "key_not_revoked"
    revoke_api_key(ada, key_id=issued.key.pk)
    for _ in range(2):
        delete_api_key(ada, key_id=issued.key.pk)
    for actor in (ada, ann):
        assert not ApiKey.objects.visible_to(actor).exists()
    assert ApiKeySecret.objects.get().digest == secret_digest(issued.secret)
    assert AuditEvent.objects.filter(action="apikey.deleted").count() == 1


def test_strangers_and_readers_delete_nothing(eve: User, ro: User, ada: User, issued: IssuedKey) -> None:
    revoke_api_key(ada, key_id=issued.key.pk)
    with pytest.raises(NotFound):
        delete_api_key(eve, key_id=issued.key.pk)
    with pytest.raises(PermissionDenied):
        delete_api_key(ro, key_id=issued.key.pk)
    assert ApiKey.objects.get().deleted_at is None


@pytest.mark.django_db(transaction=True)
def test_trap_50_five_deletions_are_one(ada: User, issued: IssuedKey, real_transactions: None) -> None:
    revoke_api_key(ada, key_id=issued.key.pk)
    at_once(5, lambda _turn: delete_api_key(ada, key_id=issued.key.pk))
    assert AuditEvent.objects.filter(action="apikey.deleted").count() == 1
    assert connection.in_atomic_block is False


# --- Reset of spend --------------------------------------------------------------------------------------------------


def test_trap_06_only_administrators_reset_spend(ada: User, eve: User, ann: User, ro: User, issued: IssuedKey) -> None:
    ApiKey.objects.update(spend=Decimal("4.25"))
    with pytest.raises(NotFound):
        reset_spend(eve, key_id=issued.key.pk)
    for actor in (ada, ro):
        with pytest.raises(PermissionDenied):
            reset_spend(actor, key_id=issued.key.pk)
    assert ApiKey.objects.get().spend == Decimal("4.25")
    assert reset_spend(ann, key_id=issued.key.pk).spend == 0
    assert ApiKeySecret.objects.get().sync_status == "pending"
    assert AuditEvent.objects.get(action="apikey.spend_reset").details == {"spend": "4.25"}


def test_a_revoked_key_keeps_its_spend(ada: User, ann: User, issued: IssuedKey) -> None:
    ApiKey.objects.update(spend=1)
    revoke_api_key(ada, key_id=issued.key.pk)
    with pytest.raises(Conflict) as refused:
        reset_spend(ann, key_id=issued.key.pk)
    assert refused.value.code == "key_revoked"
    assert ApiKey.objects.get().spend == 1
