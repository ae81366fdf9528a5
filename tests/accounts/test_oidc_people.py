"""From what a provider says to a person: made with a team, linked, given roles by groups, or refused."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from procrastinate.contrib.django.models import ProcrastinateJob
from rest_framework.test import APIClient

from accounts import identities
from accounts.claims import Claims
from accounts.models import AuditEvent, Identity, Role, User
from accounts.personal_tokens import create_personal_token
from accounts.services import update_profile
from accounts.tokens import generate_token_pair
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import Conflict, PermissionDenied
from litemaas.foundation.providers import Provider
from litemaas.sign_in import sign_in_through
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from teams.services import provision_user

ISSUER = "https://idp.test"
COMPANY = Provider("company", label="Company", issuer=ISSUER, client_id="litemaas")
LEA = Claims("company", ISSUER, "s-1", "lea", "lea@company.test", email_verified=True, full_name="Lea Lang")
ROLES = {"admins": "admin", "auditors": "adminReadonly"}

pytestmark = pytest.mark.django_db


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


# --- A newcomer ------------------------------------------------------------------------------------------------------


def test_newcomer_is_a_member_and_queued_while_litellm_is_away() -> None:
    lea = sign_in_through(COMPANY, LEA)
    assert (lea.username, lea.email, lea.full_name, lea.roles) == ("lea", "lea@company.test", "Lea Lang", ["user"])
    assert not lea.has_usable_password()
    membership = Membership.objects.get(user=lea)
    assert membership.team_id == DEFAULT_TEAM_ID
    assert (lea.sync_status, membership.sync_status) == (SyncStatus.PENDING, SyncStatus.PENDING)
    queued = {(job.args["kind"], job.args["object_id"]) for job in ProcrastinateJob.objects.all()}
    assert {("accounts.user", str(lea.pk)), ("teams.membership", str(membership.pk))} <= queued
    assert Identity.objects.get().last_sign_in_at is not None
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"user.created", "membership.added", "identity.linked", "sign_in.succeeded"} <= actions


def test_nothing_of_a_newcomer_remains_when_a_part_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person without a team, or without the link, would never get in again."""

    def fail(*_args: Any, **_more: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("litemaas.sign_in.set_provider_teams", fail)
    with pytest.raises(RuntimeError):
        sign_in_through(COMPANY, LEA)
    assert not User.objects.exists()
    assert not Identity.objects.exists()
    assert not Membership.objects.exists()


def test_second_time_finds_the_same_person_whatever_changed() -> None:
    lea = sign_in_through(COMPANY, LEA)
    renamed = replace(LEA, username="lea.lang", email="lang@company.test")
    again = sign_in_through(COMPANY, renamed)
    assert again == lea
    assert (fresh(lea).username, fresh(lea).email) == ("lea", "lang@company.test")
    event = AuditEvent.objects.get(action="user.email_changed")
    assert (event.details["old"], event.details["new"]) == ("lea@company.test", "lang@company.test")


def test_name_that_the_person_chose_stays() -> None:
    lea = sign_in_through(COMPANY, LEA)
    update_profile(lea, full_name="Lea")
    assert sign_in_through(COMPANY, LEA).full_name == "Lea"


@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_a_newcomer_make_one_person(real_transactions: None) -> None:
    def enter(_number: int) -> Any:
        try:
            return sign_in_through(COMPANY, LEA).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        people = set(threads.map(enter, range(4)))
    assert len(people) == 1
    assert User.objects.count() == Identity.objects.count() == 1


# --- Linking ---------------------------------------------------------------------------------------------------------


def test_trap_14_same_id_of_another_issuer_is_somebody_else() -> None:
    lea = sign_in_through(COMPANY, LEA)
    other = replace(LEA, issuer="https://other.test", username="leo", email="leo@other.test")
    assert sign_in_through(replace(COMPANY, issuer="https://other.test"), other) != lea


def test_trap_14_e_mail_links_nobody_by_default() -> None:
    provision_user(None, username="lea.old", email="lea@company.test")
    assert sign_in_through(COMPANY, LEA).username == "lea"


def test_trap_14_unverified_e_mail_links_nobody() -> None:
    provision_user(None, username="boss", email="lea@company.test")
    linking = replace(COMPANY, link_by_email=True)
    assert sign_in_through(linking, replace(LEA, email_verified=False)).username == "lea"


def test_trap_14_verified_e_mail_links_where_a_setting_allows_it() -> None:
    old = provision_user(None, username="lea.old", email="LEA@company.test")
    assert sign_in_through(replace(COMPANY, link_by_email=True), LEA) == old
    assert AuditEvent.objects.filter(action="identity.linked", target_id=str(old.pk)).exists()


def test_trap_14_nobody_is_linked_to_an_address_that_was_only_claimed() -> None:
    """Whoever claimed the address of a colleague first would otherwise share the colleague's account."""
    thief = sign_in_through(
        replace(COMPANY, issuer="https://lax.test"),
        Claims("lax", "https://lax.test", "t-1", "thief", "lea@company.test", email_verified=False),
    )
    assert sign_in_through(replace(COMPANY, link_by_email=True), LEA) != thief


def test_trap_14_e_mail_of_two_accounts_links_neither() -> None:
    for name in ("one", "two"):
        provision_user(None, username=name, email="lea@company.test")
    assert sign_in_through(replace(COMPANY, link_by_email=True), LEA).username == "lea"


def test_trap_14_account_that_the_provider_knows_otherwise_is_not_linked_again() -> None:
    """The address was given to a new colleague."""
    linking = replace(COMPANY, link_by_email=True)
    former = sign_in_through(linking, LEA)
    assert sign_in_through(linking, replace(LEA, subject="s-2", username="lea2")) != former


def test_taken_name_is_refused_and_nothing_is_linked() -> None:
    provision_user(None, username="Lea")
    with pytest.raises(Conflict) as refused:
        sign_in_through(COMPANY, LEA)
    assert refused.value.code == "username_taken"
    assert not Identity.objects.exists()


def test_id_of_somebody_else_cannot_be_linked() -> None:
    sign_in_through(COMPANY, LEA)
    other = provision_user(None, username="leo")
    with pytest.raises(Conflict, match="somebody else"):
        identities.link(None, other, provider="company", issuer=ISSUER, subject="s-1")


# --- Refusals --------------------------------------------------------------------------------------------------------


def test_deactivated_account_is_refused() -> None:
    lea = sign_in_through(COMPANY, LEA)
    User.objects.filter(pk=lea.pk).update(is_active=False)
    before = AuditEvent.objects.count()
    with pytest.raises(PermissionDenied) as refused:
        sign_in_through(COMPANY, replace(LEA, email="new@company.test", groups=frozenset({"admins"})))
    assert refused.value.code == "account_deactivated"
    assert AuditEvent.objects.count() == before
    assert fresh(lea).email == "lea@company.test"


def test_person_outside_of_the_required_group_is_refused_before_coming_into_being() -> None:
    closed = replace(COMPANY, required_group="maas")
    with pytest.raises(PermissionDenied) as refused:
        sign_in_through(closed, replace(LEA, groups=frozenset({"maas-fans"})))
    assert refused.value.code == "group_required"
    assert not User.objects.exists()
    assert sign_in_through(closed, replace(LEA, groups=frozenset({"maas"}))).username == "lea"


def test_who_has_left_the_required_group_keeps_no_way_in(ann: User) -> None:
    """The refusal alone would leave roles, sessions and tokens as they were for as long as they live."""
    Team.objects.create(name="Data Science")
    closed = replace(COMPANY, required_group="maas", roles=ROLES, teams={"ds": "Data Science"})
    lea = sign_in_through(closed, replace(LEA, groups=frozenset({"maas", "admins", "ds"})))
    identities.grant(ann, lea, Role.ADMIN_READONLY)
    page, program, script = Client(), APIClient(), APIClient()
    page.force_login(lea)
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {generate_token_pair(lea).access}")
    script.credentials(HTTP_AUTHORIZATION=f"Bearer {create_personal_token(lea, name='s', scope='write').secret}")
    ways = (page, program, script)
    assert [way.get("/api/v1/users").status_code for way in ways] == [200] * 3
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            sign_in_through(closed, replace(LEA, groups=frozenset({"auditors"})))
    answers = [way.get("/api/v1/users") for way in ways]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert "does not list you any more" in answers[0].json()["detail"]
    lea = fresh(lea)
    assert (lea.roles, lea.provider_roles, lea.is_active) == (["adminReadonly"], ["adminReadonly"], True)
    assert list(lea.memberships.values_list("team", flat=True)) == [DEFAULT_TEAM_ID]
    for action in ("session.ended", "token.revoked", "membership.removed"):
        assert AuditEvent.objects.get(action=action).actor_name == "system"
    assert sign_in_through(closed, replace(LEA, groups=frozenset({"maas"}))) == lea
    assert script.get("/api/v1/me").status_code == 401


def test_nobody_is_shut_out_by_an_address_alone(ada: User) -> None:
    """Whoever is refused is no proof about an account that was never linked."""
    closed = replace(COMPANY, required_group="maas", link_by_email=True)
    page = Client()
    page.force_login(ada)
    with pytest.raises(PermissionDenied):
        sign_in_through(closed, replace(LEA, email=ada.email))
    assert page.get("/api/v1/me").status_code == 200


# --- Roles -----------------------------------------------------------------------------------------------------------


def test_trap_12_leaving_a_group_demotes(ann: User) -> None:
    mapped = replace(COMPANY, roles=ROLES)
    lea = sign_in_through(mapped, replace(LEA, groups=frozenset({"admins", "others"})))
    assert (lea.roles, lea.provider_roles, lea.hand_roles) == (["admin"], ["admin"], [])
    lea = sign_in_through(mapped, replace(LEA, groups=frozenset({"auditors"})))
    assert lea.roles == ["adminReadonly"]
    assert sign_in_through(mapped, LEA).roles == ["user"]
    events = AuditEvent.objects.filter(action="user.roles_changed").order_by("id")
    assert [(e.details["old"], e.details["new"]) for e in events] == [
        (["user"], ["admin"]),
        (["admin"], ["adminReadonly"]),
        (["adminReadonly"], ["user"]),
    ]


def test_trap_12_role_given_by_hand_survives_leaving_the_group(ann: User) -> None:
    mapped = replace(COMPANY, roles=ROLES)
    lea = sign_in_through(mapped, replace(LEA, groups=frozenset({"admins"})))
    identities.grant(ann, lea, Role.ADMIN_READONLY)
    lea = sign_in_through(mapped, LEA)
    assert (lea.roles, lea.provider_roles, lea.hand_roles) == (["adminReadonly"], [], ["adminReadonly"])


def test_trap_12_last_admin_is_not_lost_by_leaving_the_group() -> None:
    mapped = replace(COMPANY, roles=ROLES)
    lea = sign_in_through(mapped, replace(LEA, groups=frozenset({"admins"})))
    assert sign_in_through(mapped, LEA).roles == ["admin"]
    provision_user(None, username="ann", roles=[Role.ADMIN])
    assert sign_in_through(mapped, LEA).roles == ["user"]
    assert fresh(lea).roles == ["user"]


def test_trap_12_deactivated_admin_is_no_admin_to_rely_on(ann: User) -> None:
    mapped = replace(COMPANY, roles=ROLES)
    sign_in_through(mapped, replace(LEA, groups=frozenset({"admins"})))
    User.objects.filter(pk=ann.pk).update(is_active=False)
    assert sign_in_through(mapped, LEA).roles == ["admin"]


@pytest.mark.django_db(transaction=True)
def test_trap_12_two_last_admins_cannot_both_be_lost_at_once(real_transactions: None) -> None:
    mapped = replace(COMPANY, roles=ROLES)
    both = [replace(LEA, subject=f"s-{n}", username=f"lea{n}", email=f"lea{n}@company.test") for n in range(2)]
    for claims in both:
        sign_in_through(mapped, replace(claims, groups=frozenset({"admins"})))

    def leave(claims: Claims) -> list[str]:
        try:
            return sign_in_through(mapped, claims).roles
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(leave, both)) == [["admin"], ["user"]]


def test_roles_may_be_granted_by_admins_only(ada: User, ro: User, ann: User) -> None:
    for actor in (ada, ro):
        with pytest.raises(PermissionDenied):
            identities.grant(actor, ada, Role.ADMIN)
        with pytest.raises(PermissionDenied):
            identities.link(actor, ada, provider="company", issuer=ISSUER, subject="s-1")
    identities.grant(ann, ada, Role.ADMIN)
    assert fresh(ada).roles == ["admin", "user"]


@pytest.mark.parametrize(
    ("named", "claims", "expected"),
    [
        ("s-1", LEA, ["admin"]),
        ("LEA@company.test", LEA, ["admin"]),
        ("lea@company.test", replace(LEA, email_verified=False), ["user"]),
        ("lea", LEA, ["user"]),  # a name is not an identity
        ("s-2", LEA, ["user"]),
    ],
)
def test_initial_admin_is_bound_to_id_or_confirmed_address(named: str, claims: Claims, expected: list[str]) -> None:
    assert sign_in_through(replace(COMPANY, initial_admins=(named,)), claims).roles == expected


def test_initial_admin_who_lost_the_role_does_not_get_it_back(ann: User) -> None:
    first = replace(COMPANY, initial_admins=("s-1",))
    lea = sign_in_through(first, LEA)
    User.objects.filter(pk=lea.pk).update(roles=["user"], hand_roles=[])
    assert sign_in_through(first, LEA).roles == ["user"]


def test_initial_admin_who_lost_the_role_does_not_get_it_back_by_another_identity(ann: User) -> None:
    lea = sign_in_through(replace(COMPANY, initial_admins=("lea@company.test",)), LEA)
    assert lea.roles == ["admin"]
    User.objects.filter(pk=lea.pk).update(roles=["user"], hand_roles=[])
    issuer, admins = "https://partners.test", ("lea@company.test",)
    partners = replace(COMPANY, issuer=issuer, link_by_email=True, initial_admins=admins)
    again = sign_in_through(partners, replace(LEA, issuer=issuer, subject="p-1"))
    assert (again, again.roles, again.identities.count()) == (lea, ["user"], 2)


# --- Teams -----------------------------------------------------------------------------------------------------------


def test_groups_give_teams() -> None:
    team = Team.objects.create(name="Data Science")
    mapped = replace(COMPANY, teams={"ds": "Data Science", "ghosts": "No Such Team"})
    lea = sign_in_through(mapped, replace(LEA, groups=frozenset({"ds", "ghosts"})))
    assert set(lea.memberships.values_list("team", flat=True)) == {DEFAULT_TEAM_ID, team.pk}
    sign_in_through(mapped, replace(LEA, groups=frozenset({"ds"})))
    assert lea.memberships.count() == 2
