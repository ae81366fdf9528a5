"""People through the API: lists, changes, many at once, off-boarding."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.claims import Claims
from accounts.identities import link_identity
from accounts.models import AuditEvent, Identity, Role, User
from accounts.personal_tokens import create_personal_token
from accounts.tokens import generate_token_pair
from apikeys.services import create_api_key
from litemaas.foundation.errors import Conflict
from litemaas.foundation.providers import Provider
from litemaas.sign_in import sign_in_through
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID
from tests.answers import is_moment, page_of, problem_of, wrong_fields
from tests.cast import make_person

pytestmark = pytest.mark.django_db

Api = Callable[[User | None], APIClient]
USERS = "/api/v1/users"


def names(answer: Any) -> list[str]:
    """Who is on a page."""
    return [row["username"] for row in page_of(answer)]


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_a_person_is_shown_with_both_sources_of_roles_limits_and_state(ada: User, ro: User, api: Api) -> None:
    User.objects.filter(pk=ada.pk).update(
        full_name="Ada Lang", roles=["admin", "user"], provider_roles=["admin"], max_budget=Decimal("12.5"), rpm_limit=9
    )
    row = next(row for row in page_of(api(ro).get(USERS)) if row["username"] == "ada")
    assert is_moment(row.pop("created_at"))
    assert row == {
        "id": str(ada.pk),
        "username": "ada",
        "email": "ada@test.example",
        "full_name": "Ada Lang",
        "role": "admin",
        "roles": ["admin", "user"],
        "hand_roles": ["user"],
        "provider_roles": ["admin"],
        "is_active": True,
        "max_budget": "12.5000000000",
        "budget_duration": "",
        "budget_resets_at": None,
        "spend": "0.0000000000",
        "tpm_limit": None,
        "rpm_limit": 9,
        "sync_status": "pending",
        "last_login": None,
    }
    Identity.objects.create(user=ada, provider="company", issuer="https://idp.test", subject="s-1")
    whole = api(ro).get(f"{USERS}/{ada.pk}").json()
    assert {name: value for name, value in whole.items() if name in row} == row
    assert whole["teams"] == [str(DEFAULT_TEAM_ID)]
    assert [(one["provider"], one["subject"]) for one in whole["identities"]] == [("company", "s-1")]
    assert problem_of(api(ro).get(f"{USERS}/{uuid4()}"), 404)["code"] == "not_found"


def test_people_are_searched_filtered_and_ordered(ada: User, eve: User, ro: User, ann: User, api: Api) -> None:
    User.objects.filter(pk=eve.pk).update(full_name="Eve Lang", is_active=False, spend=5, sync_status="synced")
    ask = api(ro).get
    assert names(ask(USERS)) == ["ada", "ann", "eve", "ro"]
    assert names(ask(USERS, {"search": "LANG"})) == names(ask(USERS, {"search": "ev lan"})) == ["eve"]
    assert names(ask(USERS, {"search": "ada@test"})) == ["ada"]
    assert names(ask(USERS, {"search": "da"})) == names(ask(USERS, {"search": "nobody"})) == []
    assert names(ask(USERS, {"role": "admin"})) == ["ann"]
    assert names(ask(USERS, {"is_active": "false"})) == ["eve"]
    assert names(ask(USERS, {"is_active": "true", "role": "user"})) == ["ada"]
    assert names(ask(USERS, {"sync_status": "synced"})) == ["eve"]
    assert names(ask(USERS, {"ordering": "-spend"}))[0] == "eve"
    assert names(ask(USERS, {"ordering": "-username"})) == ["ro", "eve", "ann", "ada"]
    assert wrong_fields(ask(USERS, {"role": "root"})) == ["role"]
    assert wrong_fields(ask(USERS, {"ordering": "password"})) == ["ordering"]


def test_trap_39_people_are_paged_to_the_end_in_a_constant_number_of_statements(ro: User, api: Api) -> None:
    def cost(page: int) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert api(ro).get(USERS, {"page": page, "page_size": 5}).status_code == 200
        return len(asked)

    for n in range(4):
        make_person(f"p{n:02}")
    few = cost(1)
    for n in range(4, 22):
        make_person(f"p{n:02}")
    assert cost(1) == cost(5) == few == 2
    found = [name for page in range(1, 6) for name in names(api(ro).get(USERS, {"page": page, "page_size": 5}))]
    assert found == [f"p{n:02}" for n in range(22)] + ["ro"]


def test_trap_18_no_password_is_shown(ada: User, ro: User, api: Api) -> None:
    for address in (USERS, f"{USERS}/{ada.pk}"):
        assert ada.password not in api(ro).get(address).content.decode()


# --- Changing --------------------------------------------------------------------------------------------------------


def test_a_person_is_added_with_a_team(ann: User, api: Api) -> None:
    answer = api(ann).post(USERS, {"username": "lea", "email": "lea@company.test", "roles": ["adminReadonly"]})
    assert answer.status_code == 201
    lea = User.objects.get(username="lea")
    assert answer.json()["id"] == str(lea.pk)
    assert (lea.roles, lea.email_verified, lea.has_usable_password()) == (["adminReadonly"], True, False)
    assert problem_of(api(ann).post(USERS, {"username": "LEA"}), 409)["code"] == "username_taken"
    assert wrong_fields(api(ann).post(USERS, {"email": "x", "roles": []})) == ["username", "email", "roles"]


def test_roles_limits_and_activity_are_changed(ada: User, ann: User, api: Api) -> None:
    answer = api(ann).patch(
        f"{USERS}/{ada.pk}", {"roles": ["admin"], "max_budget": "7.25", "budget_duration": "1mo", "is_active": False}
    )
    row = answer.json()
    assert answer.status_code == 200
    assert (row["role"], row["max_budget"], row["budget_duration"], row["is_active"]) == (
        "admin",
        "7.2500000000",
        "1mo",
        False,
    )
    again = api(ann).patch(f"{USERS}/{ada.pk}", {"max_budget": None, "is_active": True, "reason": "back"}).json()
    assert (again["max_budget"], again["budget_duration"], again["is_active"]) == (None, "1mo", True)
    assert AuditEvent.objects.get(action="user.reactivated").details["reason"] == "back"


def test_what_is_not_sent_or_not_known_changes_nothing(ada: User, ann: User, api: Api) -> None:
    before = User.objects.filter(pk=ada.pk).values().get()
    for body in ({}, {"username": "other", "password": "x", "spend": "0", "is_superuser": True}):
        assert api(ann).patch(f"{USERS}/{ada.pk}", body).status_code == 200
    assert User.objects.filter(pk=ada.pk).values().get() == before


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"roles": []}, "roles"),
        ({"roles": ["root"]}, "roles.0"),
        ({"roles": None}, "roles"),
        ({"is_active": None}, "is_active"),
        ({"max_budget": "-1"}, "max_budget"),
        ({"max_budget": "much"}, "max_budget"),
        ({"budget_duration": "weekly"}, "budget_duration"),
        ({"rpm_limit": 0}, "rpm_limit"),
        ({"tpm_limit": 1.5}, "tpm_limit"),
    ],
)
def test_what_cannot_be_is_refused(ada: User, ann: User, api: Api, body: dict[str, Any], fields: str) -> None:
    before = User.objects.filter(pk=ada.pk).values().get()
    assert wrong_fields(api(ann).patch(f"{USERS}/{ada.pk}", body | {"full_name": "x"})) == [fields]
    assert User.objects.filter(pk=ada.pk).values().get() == before


def test_trap_09_a_script_changes_limits_and_nobodys_roles(ada: User, ann: User) -> None:
    """A token that leaked must not be able to make an administrator, whichever field it comes in."""
    secret = create_personal_token(ann, name="script", scope="write").secret
    script = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")
    refused = problem_of(script.patch(f"{USERS}/{ada.pk}", {"roles": ["admin"], "rpm_limit": 5}), 403)
    assert refused["code"] == "not_with_a_token"
    assert (User.objects.get(pk=ada.pk).roles, User.objects.get(pk=ada.pk).rpm_limit) == (["user"], None)
    assert script.post(USERS, {"username": "lea", "roles": ["admin"]}).status_code == 403
    assert script.patch(f"{USERS}/{ada.pk}", {"rpm_limit": 5}).status_code == 200
    reading = create_personal_token(ann, name="report", scope="read").secret
    report = APIClient(HTTP_AUTHORIZATION=f"Bearer {reading}")
    assert report.get(USERS).status_code == 200
    for address, body in ((f"{USERS}/{ada.pk}", {"is_active": True}), (f"{USERS}/bulk-limits", {"rpm_limit": 1})):
        assert (report.post if "bulk" in address else report.patch)(address, body).status_code == 403


def test_trap_09_a_script_ends_nobody(ada: User, ann: User) -> None:
    """Off-boarding and deactivation take roles, end sign-ins and revoke tokens, which no token may."""
    bob = make_person("bob", Role.ADMIN)
    script = APIClient(HTTP_AUTHORIZATION=f"Bearer {create_personal_token(ann, name='s', scope='write').secret}")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    for answer in (
        script.post(f"{USERS}/{bob.pk}/offboard", {}),
        script.post(f"{USERS}/{bob.pk}/offboard", {"dry_run": True}),
        script.patch(f"{USERS}/{bob.pk}", {"is_active": False}),
        script.patch(f"{USERS}/{ada.pk}", {"is_active": True}),
    ):
        assert problem_of(answer, 403)["code"] == "not_with_a_token"
    assert (User.objects.get(pk=bob.pk).is_active, User.objects.get(pk=bob.pk).roles) == (True, ["admin"])
    assert User.objects.get(pk=ada.pk).is_active is False


def test_the_last_admin_and_the_own_account_are_protected(ann: User, api: Api) -> None:
    address = f"{USERS}/{ann.pk}"
    assert problem_of(api(ann).patch(address, {"roles": ["user"]}), 409)["code"] == "last_admin"
    make_person("bob", Role.ADMIN)
    for answer in (
        api(ann).patch(address, {"is_active": False}),
        api(ann).post(f"{address}/offboard"),
        api(ann).post(f"{address}/offboard", {"dry_run": True}),
    ):
        assert problem_of(answer, 409)["code"] == "own_account"


def test_limits_of_many_answer_row_by_row(ada: User, eve: User, ann: User, api: Api) -> None:
    nobody = str(uuid4())
    answer = api(ann).post(f"{USERS}/bulk-limits", {"ids": [str(ada.pk), nobody], "tpm_limit": 100, "rpm_limit": None})
    assert answer.json() == {
        "results": [
            {"id": str(ada.pk), "ok": True, "code": "ok", "message": ""},
            {"id": nobody, "ok": False, "code": "not_found", "message": "There is nobody with this id."},
        ]
    }
    assert User.objects.get(pk=ada.pk).tpm_limit == 100
    assert User.objects.get(pk=eve.pk).tpm_limit is None
    assert problem_of(api(ann).post(f"{USERS}/bulk-limits", {"ids": [nobody]}), 422)["code"] == "no_limits"
    assert wrong_fields(api(ann).post(f"{USERS}/bulk-limits", {"ids": ["x"], "rpm_limit": 1})) == ["ids.0"]
    too_many = {"ids": [nobody] * 1001, "rpm_limit": 1}
    assert wrong_fields(api(ann).post(f"{USERS}/bulk-limits", too_many)) == ["ids"]


# --- Off-boarding ----------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_the_deed_then_does(
    ada: User, ann: User, api: Api, subscribed: list[Subscription]
) -> None:
    create_api_key(ada, name="notebook", models=["gpt-4o"])
    address = f"{USERS}/{ada.pk}/offboard"
    planned = api(ann).post(address, {"dry_run": True}).json()
    assert User.objects.get(pk=ada.pk).is_active
    done = api(ann).post(address, {"reason": "left"}).json()
    assert (planned.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert (
        planned["done"]
        == done["done"]
        == {
            "deactivate": True,
            "sign_ins": 0,
            "tokens": 0,
            "token_names": [],
            "keys": 1,
            "key_names": ["notebook"],
            "subscriptions": ["claude-sonnet", "gpt-4o", "gpt-4o-mini"],
            "teams": [],
            "roles": [],
        }
    )
    assert done["waiting"] == {"keys": 1, "person": 1, "failed": 0}
    again = api(ann).post(address).json()
    assert not any(again["done"].values())
    assert AuditEvent.objects.filter(action="user.offboarded").count() == 1


# --- How sign-in services know somebody ------------------------------------------------------------------------------

COMPANY = Provider("company", label="Company", issuer="https://idp.test", client_id="litemaas")
CLAIMS = Claims("company", "https://idp.test", "s-1", username="lea", email="lea@company.test", email_verified=True)


@pytest.fixture
def company(settings: Any) -> Provider:
    """A provider that nobody reaches."""
    settings.SIGN_IN_PROVIDERS = {"company": COMPANY}
    return COMPANY


def test_who_was_added_gets_in_once_linked(company: Provider, ann: User, api: Api) -> None:
    made = api(ann).post(USERS, {"username": "lea", "email": "lea@company.test"}).json()
    with pytest.raises(Conflict) as refused:
        sign_in_through(company, CLAIMS)
    assert refused.value.code == "username_taken"
    way = f"{USERS}/{made['id']}/identities"
    first = api(ann).post(way, {"provider": "company", "subject": " s-1 "})
    assert first.status_code == 201, first.json()
    assert (first.json()["issuer"], first.json()["subject"]) == ("https://idp.test", "s-1")
    assert str(sign_in_through(company, CLAIMS).pk) == made["id"]
    assert api(ann).post(way, {"provider": "company", "subject": "s-1"}).json()["id"] == first.json()["id"]
    entry = AuditEvent.objects.get(action="identity.linked")
    assert (entry.actor_name, entry.target_name, entry.details["subject"]) == ("ann", "lea", "s-1")


@pytest.mark.parametrize(
    ("provider", "answer"), [("nobody", (422, "unknown_provider")), ("company", (409, "identity_taken"))]
)
@pytest.mark.usefixtures("company")
def test_what_cannot_be_linked_is_refused(
    ada: User, ann: User, api: Api, provider: str, answer: tuple[int, str]
) -> None:
    Identity.objects.create(user=ann, provider="company", issuer="https://idp.test", subject="s-1")
    problem_of(api(ann).post(f"{USERS}/{ada.pk}/identities", {"provider": provider, "subject": "s-1"}), *answer)
    assert problem_of(api(ann).post(f"{USERS}/{uuid4()}/identities", {"provider": "company", "subject": "s"}), 404)
    assert not ada.identities.exists()


def test_whoever_is_unlinked_is_out_and_a_stranger(company: Provider, ada: User, ann: User, api: Api) -> None:
    link_identity(ann, user_id=ada.pk, provider="company", subject="s-1")
    User.objects.filter(pk=ada.pk).update(roles=["admin", "user"], hand_roles=["user"], provider_roles=["admin"])
    pair, script = generate_token_pair(ada), create_personal_token(ada, name="script", scope="read").secret
    row = api(ann).get(f"{USERS}/{ada.pk}").json()["identities"][0]
    address = f"{USERS}/{ada.pk}/identities/{row['id']}"
    problem_of(api(ann).delete(f"{USERS}/{ann.pk}/identities/{row['id']}"), 404)
    assert api(ann).delete(address).status_code == 204
    problem_of(api(ann).delete(address), 404)
    now = User.objects.get(pk=ada.pk)
    assert (now.roles, now.provider_roles) == (["user"], [])
    problem_of(APIClient().get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {pair.access}"), 401, "token_revoked")
    assert APIClient().get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {script}").status_code == 200
    entry = AuditEvent.objects.get(action="identity.unlinked")
    assert (entry.details["subject"], entry.details["sign_ins"]) == ("s-1", 1)
    assert sign_in_through(company, CLAIMS).pk != ada.pk


def test_the_last_administrator_keeps_the_last_way_in(company: Provider, ann: User, api: Api) -> None:
    known = [link_identity(ann, user_id=ann.pk, provider="company", subject=name).pk for name in ("s-1", "s-2")]
    way = f"{USERS}/{ann.pk}/identities"
    assert api(ann).delete(f"{way}/{known[0]}").status_code == 204
    problem_of(api(ann).delete(f"{way}/{known[1]}"), 409, "last_admin")
    assert list(ann.identities.values_list("pk", flat=True)) == known[1:]


def test_a_personal_token_links_nobody(company: Provider, ada: User, ann: User) -> None:
    script = APIClient(
        headers={"Authorization": f"Bearer {create_personal_token(ann, name='s', scope='write').secret}"}
    )
    body = {"provider": "company", "subject": "s-1"}
    problem_of(script.post(f"{USERS}/{ada.pk}/identities", body), 403, "not_with_a_token")
