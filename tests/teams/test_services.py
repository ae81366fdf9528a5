"""Teams: the default one, how people come into being, and which team is whose first."""

from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import AuditEvent, Role, User
from accounts.rbac import SCOPES, Permission
from litemaas.foundation.errors import Conflict, PermissionDenied
from teams.models import DEFAULT_TEAM_ID, Membership, MembershipRole, Team
from teams.services import ensure_default_team, get_user_primary_team, provision_user, set_provider_teams
from tests.races import at_once, real_transactions

__all__ = ["real_transactions"]

pytestmark = pytest.mark.django_db


def test_the_default_team_is_as_the_product_fixed_it(db: None) -> None:
    team = ensure_default_team()
    assert team.pk == DEFAULT_TEAM_ID == UUID("a0000000-0000-4000-8000-000000000001")
    assert (team.name, team.allowed_models, str(team)) == ("Default Team", [], "Default Team")
    assert (team.max_budget, team.budget_duration) == (Decimal(10_000), "1mo")
    assert (team.tpm_limit, team.rpm_limit) == (50_000, 1_000)
    assert [event.action for event in AuditEvent.objects.all()] == ["team.created"]


def test_it_is_made_once_and_left_as_it_was_changed(db: None) -> None:
    ensure_default_team()
    Team.objects.update(max_budget=7, name="Everybody")
    again = ensure_default_team()
    assert (again.max_budget, again.name) == (Decimal(7), "Everybody")
    assert (Team.objects.count(), AuditEvent.objects.count()) == (1, 1)


@pytest.mark.usefixtures("real_transactions")
def test_the_first_people_at_once_share_one_default_team() -> None:
    made = at_once(6, lambda turn: provision_user(None, username=f"p{turn}").pk)
    assert len(set(made)) == 6
    assert Team.objects.count() == 1
    assert Membership.objects.filter(team=DEFAULT_TEAM_ID).count() == 6
    assert AuditEvent.objects.filter(action="team.created").count() == 1


def test_the_loser_of_the_race_takes_the_winners_team(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    won = ensure_default_team()
    seen = iter([None, won])
    monkeypatch.setattr(Team.objects, "filter", lambda **_kwargs: _First(next(seen)))
    assert ensure_default_team() == won


class _First:
    """A queryset that was read a moment too early."""

    def __init__(self, found: Team | None) -> None:
        self._found = found

    def first(self) -> Team | None:
        """What was there then."""
        return self._found


def test_a_person_comes_with_a_team_an_audit_trail_and_jobs(db: None) -> None:
    user = provision_user(None, username="ada", email="ada@test.example", full_name="Ada L.", password="secret")
    assert (user.roles, user.is_active, user.check_password("secret")) == (["user"], True, True)
    assert (str(user), user.display_name, user.owner_id) == ("ada", "Ada L.", user.pk)
    membership = Membership.objects.get()
    assert (membership.user, membership.team_id) == (user, DEFAULT_TEAM_ID)
    assert (membership.role, str(membership)) == (MembershipRole.MEMBER, "ada in Default Team")
    events = list(AuditEvent.objects.order_by("id").values_list("action", "actor_name"))
    assert events == [("team.created", "system"), ("user.created", "system"), ("membership.added", "system")]
    queued = {(job.args["kind"], job.args["object_id"]) for job in ProcrastinateJob.objects.all()}
    assert queued == {
        ("teams.team", str(DEFAULT_TEAM_ID)),
        ("accounts.user", str(user.pk)),
        ("teams.membership", str(membership.pk)),
    }


def test_a_person_without_password_has_none_that_works(db: None) -> None:
    user = provision_user(None, username="ada", user_id=UUID("d0000000-0000-4000-8000-000000000009"))
    assert (user.pk, user.display_name) == (UUID("d0000000-0000-4000-8000-000000000009"), "ada")
    assert not user.has_usable_password()
    assert not user.check_password("")


@pytest.mark.parametrize("name", ["ada", "ADA"])
def test_names_are_taken_once_whatever_their_case(name: str, ada: User) -> None:
    before = (User.objects.count(), Membership.objects.count(), AuditEvent.objects.count())
    with pytest.raises(Conflict) as caught:
        provision_user(None, username=name)
    assert (caught.value.code, caught.value.details) == ("username_taken", {"field": "username"})
    assert (User.objects.count(), Membership.objects.count(), AuditEvent.objects.count()) == before


def test_only_administrators_make_people(ann: User, ro: User, ada: User) -> None:
    for actor in (ro, ada):
        with pytest.raises(PermissionDenied):
            provision_user(actor, username="new")
    made = provision_user(ann, username="new", roles=[Role.ADMIN_READONLY, Role.USER])
    assert made.roles == ["adminReadonly", "user"]
    assert AuditEvent.objects.filter(action="user.created").latest("id").actor_id == ann.pk


def test_a_new_key_is_charged_to_the_default_team_by_whoever_is_in_it(ada: User) -> None:
    assert get_user_primary_team(ada).pk == DEFAULT_TEAM_ID
    other = Team.objects.create(name="other")
    Membership.objects.create(team=other, user=ada)
    assert get_user_primary_team(ada).pk == DEFAULT_TEAM_ID
    Membership.objects.filter(team=DEFAULT_TEAM_ID).delete()
    assert get_user_primary_team(ada) == other
    back = Membership.objects.create(team_id=DEFAULT_TEAM_ID, user=ada)
    assert get_user_primary_team(ada) == back.team
    Membership.objects.all().delete()
    assert get_user_primary_team(ada).pk == DEFAULT_TEAM_ID


def test_teams_are_seen_by_members_and_administrators(ada: User, eve: User, ann: User, ro: User) -> None:
    hers = Team.objects.create(name="hers")
    Membership.objects.create(team=hers, user=ada)
    default = Team.objects.get(pk=DEFAULT_TEAM_ID)
    assert list(Team.objects.visible_to(ada)) == [default, hers]
    assert list(Team.objects.visible_to(eve)) == [default]
    assert list(Team.objects.visible_to(ann)) == list(Team.objects.visible_to(ro)) == [default, hers]
    assert list(Team.objects.visible_to(AnonymousUser())) == []


def test_the_database_refuses_what_makes_no_sense(ada: User) -> None:
    for wrong in ({"max_budget": -1}, {"tpm_limit": 0}, {"rpm_limit": -5}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Team.objects.update(**wrong)
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.update(**wrong)
    for roles in ([], ["root"], ["user", "root"]):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.update(roles=roles)
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(team_id=DEFAULT_TEAM_ID, user=ada)


# --- Teams by groups -------------------------------------------------------------------------------------------------


def teams_of(user: User) -> dict[str, tuple[bool, bool]]:
    """Team -> whether it was given by hand, and by a provider."""
    rows = Membership.objects.filter(user=user).values_list("team__name", "by_hand", "by_provider")
    return {name: (by_hand, by_provider) for name, by_hand, by_provider in rows}


def test_leaving_a_group_ends_what_the_group_gave_and_nothing_else(ada: User) -> None:
    for name in ("Research", "Support", "By hand"):
        Team.objects.create(name=name)
    Membership.objects.create(team=Team.objects.get(name="By hand"), user=ada)
    Membership.objects.create(team=Team.objects.get(name="Support"), user=ada)
    set_provider_teams(ada, ["Research", "Support", "No Such Team"])
    default = ensure_default_team().name
    assert teams_of(ada) == {
        default: (True, False),
        "By hand": (True, False),
        "Research": (False, True),
        "Support": (True, True),
    }
    set_provider_teams(ada, [])
    assert teams_of(ada) == {default: (True, False), "By hand": (True, False), "Support": (True, False)}
    removed = AuditEvent.objects.get(action="membership.removed")
    assert removed.target_name == "ada in Research"
    assert removed.details == {"team": str(Team.objects.get(name="Research").pk), "user": str(ada.pk)}


def test_the_same_groups_again_change_nothing(ada: User) -> None:
    Team.objects.create(name="Research")
    set_provider_teams(ada, ["Research"])
    User.objects.update(sync_status="synced")
    before = AuditEvent.objects.count()
    set_provider_teams(ada, ["Research"])
    assert AuditEvent.objects.count() == before
    assert User.objects.get().sync_status == "synced"


def test_the_default_team_is_never_left(ada: User) -> None:
    name = ensure_default_team().name
    set_provider_teams(ada, [name])
    Membership.objects.update(by_hand=False)
    set_provider_teams(ada, [])
    assert list(teams_of(ada)) == [name]


def test_an_administrator_is_added_only_by_who_may_give_roles(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = {**SCOPES[Role.ADMIN]}
    del allowed[Permission.USERS_GRANT]
    monkeypatch.setitem(SCOPES, Role.ADMIN, allowed)
    assert provision_user(ann, username="lea", roles=[Role.USER]).roles == ["user"]
    with pytest.raises(PermissionDenied):
        provision_user(ann, username="leo", roles=[Role.ADMIN])
