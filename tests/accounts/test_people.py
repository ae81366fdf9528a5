"""What administrators do to people: roles, limits, deactivation, and what protects the last administrator."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts import identities, people, rbac, tokens
from accounts.models import AuditEvent, RefreshFamily, Role, User
from accounts.services import sign_in_with_password
from accounts.sessions import count_sign_ins
from apikeys.endings import block_api_key, revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import Conflict, Invalid, NotAuthenticated, NotFound, PermissionDenied
from subscriptions.models import Subscription
from tests.cast import make_person
from tests.races import at_once

pytestmark = pytest.mark.django_db


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def event(action: str) -> AuditEvent:
    return AuditEvent.objects.get(action=action)


def given(user: User, *, hand: list[str], provider: list[str]) -> User:
    """Somebody with roles of both sources."""
    roles = rbac.effective_roles(hand, provider)
    User.objects.filter(pk=user.pk).update(roles=roles, hand_roles=hand, provider_roles=provider)
    return fresh(user)


# --- Who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["ada", "eve", "ro"])
@pytest.mark.parametrize(
    ("verb", "wish"),
    [
        (identities.set_roles, {"roles": ["admin"]}),
        (people.set_limits, {"max_budget": Decimal(1)}),
        (people.deactivate_user, {}),
        (people.reactivate_user, {}),
        (people.update_user, {"is_active": False}),
    ],
)
def test_trap_09_only_admins_change_people(
    request: pytest.FixtureRequest, who: str, verb: Callable[..., Any], wish: dict[str, Any], ada: User
) -> None:
    actor, ann = request.getfixturevalue(who), request.getfixturevalue("ann")
    with pytest.raises(PermissionDenied):
        verb(actor, user_id=ada.pk, **wish)
    with pytest.raises(PermissionDenied):
        people.set_limits_of_many(actor, ids=[ada.pk], rpm_limit=1)
    assert (fresh(ada).roles, fresh(ada).is_active, fresh(ada).max_budget) == (["user"], True, None)
    with pytest.raises(NotFound):
        verb(ann, user_id=uuid4(), **wish)


# --- Roles -----------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """The roles of both sources, those that an administrator wants, and what becomes of it."""

    hand: list[str]
    provider: list[str]
    wanted: list[str]
    kept: list[str]
    roles: list[str]


@pytest.mark.parametrize(
    "case",
    [
        Case([], [], ["admin"], ["admin"], ["admin"]),
        Case(["user"], [], ["user", "adminReadonly"], ["adminReadonly", "user"], ["adminReadonly", "user"]),
        Case(["admin"], [], ["user"], ["user"], ["user"]),
        Case(["admin"], [], [], ["user"], ["user"]),
        Case([], ["adminReadonly"], ["adminReadonly", "admin"], ["admin"], ["admin", "adminReadonly"]),
        Case(["admin"], ["adminReadonly"], ["adminReadonly"], [], ["adminReadonly"]),
        Case(["admin"], ["admin"], ["admin", "user"], ["admin", "user"], ["admin", "user"]),
    ],
)
def test_trap_12_roles_by_hand_and_of_the_provider_are_kept_apart(ada: User, ann: User, case: Case) -> None:
    hand, provider, wanted, kept, roles = case
    given(ada, hand=hand, provider=provider)
    identities.set_roles(ann, user_id=ada.pk, roles=wanted)
    now = fresh(ada)
    assert (now.roles, now.hand_roles, now.provider_roles) == (roles, kept, provider)
    details = event("user.roles_changed").details
    assert (details["old"], details["new"]) == (rbac.effective_roles(hand, provider), roles)
    assert (details["by_hand"], details["by_provider"], details["source"]) == (kept, provider, "hand")


@pytest.mark.parametrize(("hand", "provider"), [([], ["admin"]), (["user"], []), ([], []), (["admin"], ["admin"])])
def test_trap_44_the_roles_that_somebody_has_change_nothing(
    ada: User, ann: User, hand: list[str], provider: list[str]
) -> None:
    before = given(ada, hand=hand, provider=provider)
    identities.set_roles(ann, user_id=ada.pk, roles=before.roles)
    assert fresh(ada).hand_roles == hand
    assert not AuditEvent.objects.filter(action="user.roles_changed").exists()


def test_a_role_of_the_provider_is_not_taken_away_by_hand(ada: User, ann: User) -> None:
    given(ada, hand=["admin"], provider=["adminReadonly"])
    with pytest.raises(Conflict) as refused:
        identities.set_roles(ann, user_id=ada.pk, roles=["user"])
    assert (refused.value.code, refused.value.details["roles"]) == ("role_from_provider", ["adminReadonly"])
    assert fresh(ada).roles == ["admin", "adminReadonly"]


def test_an_unknown_role_is_refused(ada: User, ann: User) -> None:
    with pytest.raises(Invalid) as refused:
        identities.set_roles(ann, user_id=ada.pk, roles=["admin", "root"])
    assert refused.value.code == "unknown_role"
    assert fresh(ada).roles == ["user"]


def test_a_new_role_counts_at_once_for_tokens_that_are_out(ada: User, ann: User, passwords: None) -> None:
    program = APIClient(HTTP_AUTHORIZATION=f"Bearer {tokens.generate_token_pair(ada).access}")
    assert program.get("/api/v1/audit").status_code == 403
    identities.set_roles(ann, user_id=ada.pk, roles=["adminReadonly"])
    assert program.get("/api/v1/audit").status_code == 200
    identities.set_roles(ann, user_id=ada.pk, roles=["user"])
    assert program.get("/api/v1/audit").status_code == 403


def test_a_role_that_is_given_to_a_stale_copy_loses_no_other(ada: User, ann: User) -> None:
    stale = fresh(ada)
    identities.set_roles(ann, user_id=ada.pk, roles=["adminReadonly"])
    identities.grant(ann, stale, Role.ADMIN)
    assert fresh(ada).roles == ["admin", "adminReadonly"] == stale.roles


# --- The last administrator ------------------------------------------------------------------------------------------


def test_trap_12_the_last_admin_is_neither_demoted_nor_deactivated(ann: User) -> None:
    """Bob is an administrator when the verb begins, and none any more when it looks."""
    bob = make_person("bob", Role.ADMIN)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    verbs: list[tuple[Any, dict[str, Any]]] = [
        (identities.set_roles, {"roles": ["user"]}),
        (people.deactivate_user, {}),
    ]
    for verb, wish in verbs:
        with pytest.raises(Conflict) as refused:
            verb(bob, user_id=ann.pk, **wish)
        assert refused.value.code == "last_admin"
    assert (fresh(ann).roles, fresh(ann).is_active) == (["admin"], True)


def test_an_admin_may_step_down_while_there_is_another(ann: User) -> None:
    with pytest.raises(Conflict):
        identities.set_roles(ann, user_id=ann.pk, roles=["user"])
    make_person("bob", Role.ADMIN)
    identities.set_roles(ann, user_id=ann.pk, roles=["user"])
    assert fresh(ann).roles == ["user"]


def test_nobody_deactivates_oneself_by_accident(ann: User) -> None:
    make_person("bob", Role.ADMIN)
    with pytest.raises(Conflict) as refused:
        people.deactivate_user(ann, user_id=ann.pk)
    assert refused.value.code == "own_account"
    assert fresh(ann).is_active


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["demote", "deactivate", "one of each"])
def test_trap_38_two_admins_who_end_each_other_at_once_do_not_both_succeed(real_transactions: None, verb: str) -> None:
    both = [make_person(name, Role.ADMIN) for name in ("ann", "bob")]

    def end(turn: int) -> str:
        actor, other = both[turn], both[1 - turn]
        try:
            if verb == "demote" or (verb == "one of each" and turn):
                identities.set_roles(actor, user_id=other.pk, roles=["user"])
            else:
                people.deactivate_user(actor, user_id=other.pk)
        except Conflict as error:
            return error.code
        return "ok"

    assert sorted(at_once(2, end)) == ["last_admin", "ok"]
    assert User.objects.admins().count() == 1


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_limits_are_changed_cleared_and_audited_with_old_and_new(ada: User, ann: User) -> None:
    User.objects.update(sync_status=SyncStatus.SYNCED)
    changed = people.set_limits(ann, user_id=ada.pk, max_budget=Decimal("12.50"), budget_duration="1mo", rpm_limit=9)
    assert (changed.max_budget, changed.budget_duration, changed.tpm_limit, changed.rpm_limit) == (
        Decimal("12.5"),
        "1mo",
        None,
        9,
    )
    assert changed.sync_status == SyncStatus.PENDING
    assert event("user.limits_changed").details == {
        "old": {"max_budget": None, "budget_duration": "", "rpm_limit": None},
        "new": {"max_budget": "12.5", "budget_duration": "1mo", "rpm_limit": 9},
    }
    cleared = people.set_limits(ann, user_id=ada.pk, max_budget=None, budget_duration=None)
    assert (cleared.max_budget, cleared.budget_duration, cleared.rpm_limit) == (None, "", 9)


def test_trap_44_the_same_limits_change_nothing(ada: User, ann: User) -> None:
    people.set_limits(ann, user_id=ada.pk, max_budget=Decimal(5), rpm_limit=9)
    User.objects.update(sync_status=SyncStatus.SYNCED)
    same = people.set_limits(ann, user_id=ada.pk, max_budget=Decimal("5.00"), rpm_limit=9, tpm_limit=None)
    assert same.sync_status == SyncStatus.SYNCED
    assert AuditEvent.objects.filter(action="user.limits_changed").count() == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_budget", Decimal(-1)), ("budget_duration", "weekly"), ("tpm_limit", 0), ("rpm_limit", 2**31)],
)
def test_limits_that_cannot_be_are_refused(ada: User, ann: User, name: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        people.set_limits(ann, user_id=ada.pk, **{name: value})
    assert refused.value.details["field"] == name
    with pytest.raises(Invalid):
        people.set_limits_of_many(ann, ids=[ada.pk], **{name: value})
    assert not AuditEvent.objects.filter(action="user.limits_changed").exists()


def test_trap_43_limits_of_many_answer_row_by_row_and_audit_each(ada: User, eve: User, ann: User) -> None:
    people.set_limits(ann, user_id=eve.pk, tpm_limit=100, rpm_limit=5)
    User.objects.update(sync_status=SyncStatus.SYNCED)
    nobody = uuid4()
    outcomes = people.set_limits_of_many(ann, ids=[ada.pk, nobody, eve.pk, ada.pk], tpm_limit=100)
    assert [(one.id, one.ok, one.code) for one in outcomes] == [
        (str(ada.pk), True, "ok"),
        (str(nobody), False, "not_found"),
        (str(eve.pk), True, "ok"),
    ]
    assert (fresh(ada).tpm_limit, fresh(eve).tpm_limit, fresh(eve).rpm_limit) == (100, 100, 5)
    assert (fresh(ada).sync_status, fresh(eve).sync_status) == (SyncStatus.PENDING, SyncStatus.SYNCED)
    changed = AuditEvent.objects.filter(action="user.limits_changed", target_id=str(ada.pk))
    assert [one.details for one in changed] == [{"old": {"tpm_limit": None}, "new": {"tpm_limit": 100}}]
    with pytest.raises(Invalid) as refused:
        people.set_limits_of_many(ann, ids=[ada.pk])
    assert refused.value.code == "no_limits"


def test_limits_of_many_cost_the_same_for_two_and_for_thirty(ann: User, django_assert_num_queries: Any) -> None:
    crowd = [make_person(f"p{n}").pk for n in range(30)]
    with django_assert_num_queries(7):
        people.set_limits_of_many(ann, ids=crowd[:2], rpm_limit=1)
    with django_assert_num_queries(7):
        people.set_limits_of_many(ann, ids=crowd, rpm_limit=2)


# --- Deactivation ----------------------------------------------------------------------------------------------------


def test_deactivation_ends_every_sign_in_and_they_do_not_come_back(ada: User, eve: User, ann: User) -> None:
    page, other = Client(), Client()
    page.force_login(ada)
    other.force_login(eve)
    pair = tokens.generate_token_pair(ada)
    assert count_sign_ins(ada) == 2
    people.deactivate_user(ann, user_id=ada.pk, reason="left")
    assert count_sign_ins(ada) == 0
    assert RefreshFamily.objects.get().revoked_at is not None
    details = event("user.deactivated").details
    assert (details["reason"], details["sign_ins"]) == ("left", 2)
    people.reactivate_user(ann, user_id=ada.pk)
    assert page.get("/profile").status_code == 302
    with pytest.raises(NotAuthenticated):
        tokens.refresh_token(pair.refresh)
    assert other.get("/profile").status_code == 200


def test_who_is_deactivated_gets_in_neither_by_password_nor_by_token(
    ada: User, ann: User, passwords: None, api: Callable[..., APIClient]
) -> None:
    program = APIClient(HTTP_AUTHORIZATION=f"Bearer {tokens.generate_token_pair(ada).access}")
    assert program.get("/api/v1/me").status_code == 200
    people.deactivate_user(ann, user_id=ada.pk)
    assert program.get("/api/v1/me").status_code == 401
    with pytest.raises(PermissionDenied):
        sign_in_with_password(username="ada", password="ada", address="10.0.0.1")
    people.reactivate_user(ann, user_id=ada.pk)
    assert sign_in_with_password(username="ada", password="ada", address="10.0.0.1") == ada


def test_trap_38_again_changes_nothing_and_is_audited_once(ada: User, ann: User) -> None:
    for _ in range(2):
        assert not people.deactivate_user(ann, user_id=ada.pk).is_active
    for _ in range(2):
        assert people.reactivate_user(ann, user_id=ada.pk).is_active
    assert AuditEvent.objects.filter(action="user.deactivated").count() == 1
    assert AuditEvent.objects.filter(action="user.reactivated").count() == 1


def test_trap_13_deactivation_asks_for_a_push_of_every_living_key(
    ada: User, eve: User, ann: User, subscribed: list[Subscription]
) -> None:
    works, blocked, ended = (create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("w", "b", "e"))
    block_api_key(ann, key_id=blocked.pk)
    revoke_api_key(ada, key_id=ended.pk)
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)

    def waiting() -> set[str]:
        return set(ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING).values_list("key__name", flat=True))

    def shown() -> dict[str, str]:
        return {key.name: str(key.current_status) for key in ApiKey.objects.for_answer()}

    people.deactivate_user(ann, user_id=ada.pk)
    assert waiting() == {"w", "b"}
    assert shown() == {"w": "blocked", "b": "blocked", "e": "revoked"}
    assert {str(key.current_status) for key in ApiKey.objects.for_display()} == {"blocked", "revoked"}
    assert set(ApiKey.objects.with_status("blocked").values_list("name", flat=True)) == {"w", "b"}
    assert not ApiKey.objects.with_status("active").exists()
    assert set(ApiKey.objects.values_list("name", "status")) == {("w", "active"), ("b", "blocked"), ("e", "revoked")}
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    people.reactivate_user(ann, user_id=ada.pk)
    assert waiting() == {"w", "b"}
    assert shown() == {"w": "active", "b": "blocked", "e": "revoked"}
    assert set(ApiKey.objects.with_status("active").values_list("name", flat=True)) == {"w"}
    assert works.pk in ApiKey.objects.with_status("active").values_list("pk", flat=True)


def test_two_thousand_keys_are_asked_for_in_as_many_statements_as_two(
    ada: User, ann: User, subscribed: list[Subscription], django_assert_num_queries: Any
) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    ApiKeySecret.objects.bulk_create(ApiKeySecret(key=key, digest=f"{n:064}", last4="0000") for n in range(2000))
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    with django_assert_num_queries(15):
        people.deactivate_user(ann, user_id=ada.pk)
    assert ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING).count() == 2001
    key.secrets.exclude(digest__endswith="1").delete()
    people.reactivate_user(ann, user_id=ada.pk)
    with django_assert_num_queries(15):
        people.deactivate_user(ann, user_id=ada.pk)


def test_who_was_deactivated_meanwhile_makes_no_key(ada: User, ann: User, subscribed: list[Subscription]) -> None:
    people.deactivate_user(ann, user_id=ada.pk)
    assert ada.is_active, "the request has read the person before"
    with pytest.raises(NotAuthenticated):
        create_api_key(ada, name="k", models=["gpt-4o"])
    assert not ApiKey.objects.exists()


# --- Several at once -------------------------------------------------------------------------------------------------


def test_several_changes_are_made_together_or_not_at_all(ada: User, ann: User) -> None:
    with pytest.raises(Conflict):
        people.update_user(ann, user_id=ann.pk, rpm_limit=5, is_active=False)
    assert fresh(ann).rpm_limit is None
    changed = people.update_user(ann, user_id=ada.pk, roles=["adminReadonly"], is_active=False, rpm_limit=5)
    assert (changed.roles, changed.is_active, changed.rpm_limit) == (["adminReadonly"], False, 5)
    back = people.update_user(ann, user_id=ada.pk, is_active=True)
    assert (back.roles, back.is_active, back.rpm_limit) == (["adminReadonly"], True, 5)


# --- Finding ---------------------------------------------------------------------------------------------------------


def test_people_are_found_by_the_beginnings_of_words() -> None:
    lea, leo = make_person("lea.lang"), make_person("leo")
    User.objects.filter(pk=lea.pk).update(full_name="Lea Lang-Müller")
    search = User.objects.search
    assert list(search("LANG")) == list(search("mül le")) == list(search("lea@test")) == [lea]
    assert set(search("le")) == {lea, leo}
    assert list(search("ang")) == list(search("' OR 1=1")) == list(search("--")) == []
