"""Roles and permissions, the own profile, and an audit log that nobody can change."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import structlog
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import audit, holders, rbac, services, tokens
from accounts.enforcement import enforce_api_access
from accounts.models import AuditEvent, FailedSignIn, Role, User
from accounts.rbac import Permission, Scope
from litemaas.foundation.access import PUBLIC, SIGNED_IN
from litemaas.foundation.errors import Invalid, NotAuthenticated, PermissionDenied
from tests.answers import is_moment, page_of, problem_of, wrong_fields

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
ME, AUDIT = "/api/v1/me", "/api/v1/audit"


# --- Roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "strongest"),
    [
        (["user"], "user"),
        (["user", "adminReadonly"], "adminReadonly"),
        (["adminReadonly", "user", "admin"], "admin"),
        (["admin"], "admin"),
    ],
)
def test_the_strongest_role_counts(ada: User, roles: list[str], strongest: str) -> None:
    ada.roles = roles
    assert rbac.role_of(ada) == strongest
    assert {role.value for role in Role if rbac.has_role(ada, role)} == set(roles)
    assert rbac.can_access_admin_features(ada) is (strongest != "user")
    assert rbac.permissions_of(ada) == sorted(rbac.SCOPES[Role(strongest)])


def test_nobody_and_the_deactivated_are_nothing(ada: User, ann: User) -> None:
    ann.is_active = False
    for actor in (AnonymousUser(), ann):
        assert rbac.role_of(actor) is None
        assert not rbac.has_role(actor, Role.ADMIN)
        assert not rbac.can_access_admin_features(actor)
        assert rbac.permissions_of(actor) == []
        assert {rbac.scope(actor, permission) for permission in Permission} == {Scope.NOTHING}
        assert not rbac.check_permission(actor, Permission.APIKEYS_READ, ada)
        assert list(rbac.filter_resources_by_role(actor, Permission.APIKEYS_READ, User.objects.all(), owner="pk")) == []
        with pytest.raises(NotAuthenticated):
            rbac.require(actor, Permission.MODELS_READ)


def test_a_permission_on_ones_own_ends_at_ones_own(ada: User, eve: User, ann: User, ro: User) -> None:
    assert rbac.check_permission(ada, Permission.PROFILE_WRITE, ada)
    assert not rbac.check_permission(ada, Permission.PROFILE_WRITE, eve)
    assert rbac.check_permission(ann, Permission.PROFILE_WRITE, eve)
    assert not rbac.check_permission(ro, Permission.PROFILE_WRITE, ro)
    assert rbac.check_permission(ro, Permission.PROFILE_READ, eve)
    with pytest.raises(PermissionDenied) as caught:
        rbac.require(ada, Permission.PROFILE_WRITE, eve)
    assert caught.value.details == {"permission": "profile.write"}
    everybody = User.objects.order_by("username")
    seen = {
        who.username: list(rbac.filter_resources_by_role(who, Permission.PROFILE_READ, everybody, owner="pk"))
        for who in (ada, ro)
    }
    assert seen == {"ada": [ada], "ro": [ada, ann, eve, ro]}


def test_permissions_and_actions_keep_one_grammar() -> None:
    for names in (list(Permission), list(audit.Action)):
        assert names == sorted(names)
        assert all(name.count(".") == 1 and name.replace(".", "").replace("_", "").islower() for name in names)


def test_enforcement_refuses_what_is_not_marked(ada: User) -> None:
    enforce_api_access(AnonymousUser(), PUBLIC)
    enforce_api_access(ada, SIGNED_IN)
    enforce_api_access(ada, "models.read")
    for actor, permission, error in (
        (AnonymousUser(), SIGNED_IN, NotAuthenticated),
        (AnonymousUser(), None, NotAuthenticated),
        (ada, None, PermissionDenied),
        (ada, "audit.read", PermissionDenied),
    ):
        with pytest.raises(error):
            enforce_api_access(actor, permission)
    with pytest.raises(ValueError, match=r"no\.such"):
        enforce_api_access(ada, "no.such")


# --- The own profile -------------------------------------------------------------------------------------------------


def test_the_profile_is_shown_with_role_and_permissions(api: Api, ada: User) -> None:
    shown = api(ada).get(ME).json()
    assert is_moment(shown.pop("created_at"))
    assert shown == {
        "id": str(ada.pk),
        "username": "ada",
        "email": "ada@test.example",
        "full_name": "",
        "language": "",
        "time_zone": "",
        "role": "user",
        "roles": ["user"],
        "permissions": sorted(rbac.SCOPES[Role.USER]),
        "is_active": True,
        "max_budget": None,
        "budget_duration": "",
        "budget_resets_at": None,
        "spend": "0.0000000000",
        "tpm_limit": None,
        "rpm_limit": None,
        "sync_status": "pending",
    }


def test_only_name_language_and_time_zone_can_be_changed(api: Api, ada: User) -> None:
    wish = {"full_name": " Ada L. ", "username": "root", "roles": ["admin"], "role": "admin", "max_budget": 1}
    more = {"is_active": False, "email": "x@y.example", "spend": 5, "permissions": ["users.create"], "id": "1"}
    before = api(ada).get(ME).json()
    assert api(ada).patch(ME, wish | more).json() == before | {"full_name": "Ada L."}
    assert api(ada).get(ME).json() == before | {"full_name": "Ada L."}
    event = AuditEvent.objects.get(action="profile.changed")
    assert event.details == {"old": {"full_name": ""}, "new": {"full_name": "Ada L."}}
    assert api(ada).patch(ME, {"language": "de", "time_zone": "asia/kolkata"}).json()["time_zone"] == "Asia/Kolkata"
    newest = AuditEvent.objects.first()
    assert newest
    assert newest.details["new"] == {"language": "de", "time_zone": "Asia/Kolkata"}


def test_trap_44_changing_nothing_changes_nothing(api: Api, ada: User) -> None:
    before = AuditEvent.objects.count()
    for wish in ({}, {"full_name": ""}, {"full_name": "  "}, {"metadata": {"a": 1}}):
        assert api(ada).patch(ME, wish).status_code == 200
    assert AuditEvent.objects.count() == before


def test_names_that_are_none_are_422(api: Api, ada: User) -> None:
    for name in (None, ["a"], "x" * 201, "a\x00b"):
        assert wrong_fields(api(ada).patch(ME, {"full_name": name})) == ["full_name"]
    with pytest.raises(Invalid):
        services.update_profile(ada, full_name="x" * 201)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "fr"),
        ("language", "DE"),
        ("language", "x" * 11),
        ("language", None),
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "posixrules"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", None),
    ],
)
def test_languages_and_zones_that_there_are_not_are_422(api: Api, ada: User, field: str, value: Any) -> None:
    assert wrong_fields(api(ada).patch(ME, {field: value, "full_name": "Ada"})) == [field]
    ada.refresh_from_db()
    assert (ada.full_name, ada.language, ada.time_zone) == ("", "", "")


def test_moments_of_the_api_are_utc_whatever_the_persons_zone(browser: Callable[..., Client], ada: User) -> None:
    services.update_profile(ada, time_zone="Pacific/Auckland", language="de")
    client = browser(ada)
    client.get("/profile")  # the same thread has just served a page in the zone
    assert is_moment(client.get(ME).json()["created_at"])


# --- The own part of the audit log -----------------------------------------------------------------------------------


def test_one_reads_the_own_part_of_the_audit_log_to_its_end(api: Api, ada: User, eve: User, ann: User) -> None:
    for number in range(45):
        services.update_profile(ada, full_name=f"Ada {number}")
    services.update_profile(eve, full_name="Eve")
    seen: list[int] = []
    url: str | None = f"{ME}/activity"
    while url:
        answer = api(ada).get(url)
        seen += [row["id"] for row in page_of(answer)]
        url = answer.json()["next"]
    assert len(seen) == len(set(seen)) == AuditEvent.objects.about(ada).count() == 46
    found = page_of(api(ada).get(f"{ME}/activity?category=user&action=user.created"))
    assert [row["target_name"] for row in found] == ["ada"]
    assert page_of(api(ada).get(f"{ME}/activity?end=2001-01-01")) == []
    assert api(ada).get(f"{ME}/activity").json()["results"][0]["details"]["new"] == {"full_name": "Ada 44"}
    problem_of(api(ada).get(f"{ME}/activity?start=yesterday"), 422)


def test_from_where_administrators_work_is_their_own_business(api: Api, ada: User, ann: User) -> None:
    structlog.contextvars.bind_contextvars(address="192.0.2.7")
    audit.record(ann, audit.Action.PROFILE_CHANGED, ada)
    structlog.contextvars.bind_contextvars(address="192.0.2.8")
    audit.record(ada, audit.Action.PROFILE_CHANGED, ada)
    structlog.contextvars.clear_contextvars()
    rows = page_of(api(ada).get(f"{ME}/activity?category=profile"))
    assert [(row["actor_name"], row["address"]) for row in rows] == [("ada", "192.0.2.8"), ("ann", "")]


# --- The audit log ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditevent SET actor_name = 'nobody'",
        "UPDATE accounts_auditevent SET success = true",
        "DELETE FROM accounts_auditevent",
        "DELETE FROM accounts_auditevent WHERE action = 'user.created'",
    ],
)
def test_the_database_refuses_to_change_the_audit_log(ada: User, statement: str) -> None:
    before = list(AuditEvent.objects.values())
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(AuditEvent.objects.values()) == before


def test_the_audit_log_outlives_what_it_is_about(ada: User) -> None:
    services.update_profile(ada, full_name="Ada")
    User.objects.filter(pk=ada.pk).delete()
    event = AuditEvent.objects.get(action="profile.changed")
    assert (event.actor_id, event.actor_name, event.target_name) == (ada.pk, "ada", "ada")
    assert list(AuditEvent.objects.about(ada).values_list("action", flat=True)) == ["profile.changed", "user.created"]


def test_an_entry_says_who_what_and_from_where(ada: User) -> None:
    structlog.contextvars.bind_contextvars(request_id="r" * 80, address="a" * 80)
    try:
        event = audit.record(ada, audit.Action.PROFILE_CHANGED, ada, why="x")
    finally:
        structlog.contextvars.clear_contextvars()
    assert (event.request_id, event.address) == ("r" * 64, "a" * 64)
    assert (event.category, event.target_type, event.target_id) == ("profile", "user", str(ada.pk))
    assert str(event) == f"{event.at:%Y-%m-%d %H:%M} ada profile.changed ada"
    bare = audit.record(AnonymousUser(), audit.Action.SIGN_IN_FAILED, success=False)
    assert (bare.actor_id, bare.actor_name, bare.target_id, bare.success) == (None, "system", "", False)


def test_administrators_read_the_audit_log(api: Api, ada: User, ann: User) -> None:
    services.update_profile(ada, full_name="Ada")
    rows = page_of(api(ann).get(AUDIT))
    assert [row["action"] for row in rows][:2] == ["profile.changed", "membership.added"]
    newest = rows[0]
    assert is_moment(newest.pop("at"))
    assert isinstance(newest.pop("id"), int)
    assert newest == {
        "actor": str(ada.pk),
        "actor_name": "ada",
        "action": "profile.changed",
        "category": "profile",
        "target_type": "user",
        "target_id": str(ada.pk),
        "target_name": "ada",
        "details": {"old": {"full_name": ""}, "new": {"full_name": "Ada"}},
        "success": True,
        "request_id": "",
        "address": "",
        "credential": "",
    }
    problem_of(api(ada).get(AUDIT), 403, "permission_denied")


def test_the_audit_log_is_filtered_and_trap_43_its_dates_are_inclusive(api: Api, ann: User, ada: User) -> None:
    services.update_profile(ada, full_name="Ada")
    midnight = timezone.now().replace(year=2026, month=3, day=1, hour=0, minute=0, second=0, microsecond=0)
    moments = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1, microseconds=-1)]
    moments.append(midnight + timedelta(days=1))
    AuditEvent.objects.bulk_create(
        AuditEvent(actor_name=f"n{n}", action="x.y", category="x", at=at) for n, at in enumerate(moments)
    )

    def found(query: str) -> list[str]:
        return [row["actor_name"] for row in page_of(api(ann).get(f"{AUDIT}?{query}"))]

    assert found("start=2026-03-01&end=2026-03-01") == ["n2", "n1"]
    assert found("category=x&end=2026-02-28") == ["n0"]
    assert found("category=x&start=2026-03-02") == ["n3"]
    assert found("action=x.y&ordering=at") == ["n0", "n1", "n2", "n3"]
    assert found(f"actor={ada.pk}") == ["ada"]
    assert found(f"target={ada.pk}&action=user.created") == ["system"]
    assert found("search=n3") == ["n3"]
    AuditEvent.objects.create(actor_name="n5", action="x.y", category="x", success=False)
    assert found("category=x&success=false") == ["n5"]
    assert found("category=x&success=true&end=2026-02-28") == ["n0"]
    assert wrong_fields(api(ann).get(f"{AUDIT}?success=perhaps")) == ["success"]


# --- What tidies up --------------------------------------------------------------------------------------------------


def test_old_failures_are_forgotten_and_young_ones_kept(db: None) -> None:
    for minutes in (1, 14, 16, 60):
        at = timezone.now() - timedelta(minutes=minutes)
        FailedSignIn.objects.create(account=f"a{minutes}", address="x", at=at)
    assert services.forget_old_failures() == 2
    assert set(FailedSignIn.objects.values_list("account", flat=True)) == {"a1", "a14"}
    assert str(FailedSignIn.objects.get(account="a1")) == "a1 from x"


def test_signing_out_is_noted(ada: User) -> None:
    services.sign_out(ada)
    assert AuditEvent.objects.get(action="sign_out.succeeded").actor_id == ada.pk


def test_tokens_are_not_printed(ada: User) -> None:
    pair: Any = tokens.generate_token_pair(ada)
    assert pair.access not in repr(pair)
    assert pair.refresh not in repr(pair)


# --- People found by a written statement ----------------------------------------------------------------------------


def test_a_person_found_by_a_statement_is_as_the_orm_reads_it(ada: User) -> None:
    ada.max_budget = Decimal("12.5")
    ada.last_login = timezone.now()
    ada.save()
    statement = "SELECT 7 AS number, person.* FROM accounts_user person WHERE person.id = %s"
    found = holders.found_by(statement, [ada.pk])
    read = User.objects.get(pk=ada.pk)
    assert {**vars(found), "_state": None} == {**vars(read), "_state": None, "number": 7}
    assert not found._state.adding
    assert holders.found_by(statement, [uuid4()]) is None
