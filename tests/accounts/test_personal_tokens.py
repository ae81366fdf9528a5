"""Personal access tokens: their form, what they open, what they never may, their ends, their number, their pages."""

import re
import shlex
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import personal_tokens, rbac
from accounts.models import AuditEvent, PersonalToken, User
from accounts.personal_tokens import FOR_PEOPLE_ONLY, Grant, create_personal_token, require_scope
from accounts.tokens import generate_token_pair
from litemaas.foundation import crypto
from litemaas.foundation.access import PUBLIC, SIGNED_IN
from litemaas.foundation.errors import Invalid, PermissionDenied
from litemaas.foundation.once import new_ticket
from tests.answers import problem_of, wrong_fields
from tests.guards.routes import routes
from tests.races import at_once

pytestmark = pytest.mark.django_db

ME, TOKENS, SESSIONS, CLAIMS = "/api/v1/me", "/api/v1/me/tokens", "/api/v1/me/sessions", "/api/v1/auth/token/claims"
Api = Callable[[User | None], APIClient]
Browser = Callable[[User | None], Client]


def script(secret: str, scheme: str = "Bearer") -> APIClient:
    """A script that comes with a token."""
    return APIClient(HTTP_AUTHORIZATION=f"{scheme} {secret}", raise_request_exception=False)


def secret_of(user: User, scope: str = "read", **more: Any) -> str:
    """A token of somebody's."""
    return create_personal_token(user, name="script", scope=scope, **more).secret


# --- Form ------------------------------------------------------------------------------------------------------------


def test_token_has_the_documented_form_and_a_checksum(ada: User) -> None:
    secret = secret_of(ada)
    assert re.fullmatch(crypto.TOKEN_PATTERN, secret)
    assert crypto.is_well_formed_token(secret)
    assert not crypto.is_well_formed_secret(secret)
    for wrong in (
        secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        secret[:-1],
        secret + "0",
        crypto.new_api_key_secret(),
    ):
        assert not crypto.is_well_formed_token(wrong)


def test_trap_18_only_the_digest_of_a_token_is_kept(ada: User) -> None:
    issued = create_personal_token(ada, name="script", scope="read")
    assert issued.secret not in repr(issued)
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_personaltoken t")
        row = str(cursor.fetchall())
    assert issued.secret not in row
    assert crypto.secret_digest(issued.secret) in row
    assert issued.secret not in str([vars(event) for event in AuditEvent.objects.all()])
    assert issued.token.masked == f"lmp_…{issued.secret[-4:]}"
    assert str(issued.token) == "script"


# --- What it opens ---------------------------------------------------------------------------------------------------


def test_token_works_where_an_access_token_does(ada: User) -> None:
    secret = secret_of(ada)
    for scheme in ("Bearer", "bearer"):
        assert script(secret, scheme).get(ME).json()["username"] == "ada"
    # Pages are for people: a token is no session.
    assert Client(HTTP_AUTHORIZATION=f"Bearer {secret}").get("/usage").status_code == 302


def test_authenticating_is_one_statement_and_one_more_at_most_once_a_minute(ada: User) -> None:
    client = script(secret_of(ada))

    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(ME).status_code == 200
        return [query["sql"].split()[0] for query in captured.captured_queries]

    assert statements() == ["SELECT", "UPDATE"]
    assert statements() == ["SELECT"]
    PersonalToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    assert statements() == ["SELECT", "UPDATE"]


def test_last_use_is_noted_with_its_address(ada: User) -> None:
    script(secret_of(ada)).get(ME, REMOTE_ADDR="203.0.113.9")
    token = PersonalToken.objects.get()
    assert token.last_used_at is not None
    assert token.last_used_at > timezone.now() - timedelta(minutes=1)
    assert token.last_address == "203.0.113.9"


def test_reading_token_reads_what_its_owner_may_and_nothing_else(ada: User, ro: User, eve: User) -> None:
    client = script(secret_of(ada))
    assert client.get("/api/v1/api-keys").status_code == 200
    assert client.get("/api/v1/audit").status_code == 403
    create_personal_token(eve, name="hers", scope="read")
    assert [row["name"] for row in client.get(TOKENS).json()["results"]] == ["script"]


def test_reading_token_is_refused_at_every_unsafe_method_of_the_api(ann: User) -> None:
    client, tried = script(secret_of(ann)), 0
    for route in routes():
        if not route.path.startswith("/api/") or route.path.startswith("/api/v1/auth/token"):
            continue
        if route.path == "/api/v1/api-keys/validate":  # a question, though it is sent by POST
            continue
        path = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", route.path)
        path = re.sub(r"<path:\w+>", "gpt-4o", path)
        path = re.sub(r"<int:\w+>", "1", path)
        path = re.sub(r"<slug:\w+>", "models", path)
        for method in set(route.handlers) - {"GET", "HEAD"}:
            answer = getattr(client, method.lower())(path, {}, format="json")
            problem_of(answer, 403, "token_scope")
            tried += 1
    assert tried >= 17


def test_writing_token_writes_what_its_owner_may(ada: User) -> None:
    client = script(secret_of(ada, "write"))
    assert client.patch(ME, {"full_name": "Ada L."}, format="json").status_code == 200
    ada.refresh_from_db()
    assert ada.full_name == "Ada L."
    problem_of(client.post("/api/v1/integration/sync", {"what": "usage"}, format="json"), 403, "permission_denied")


def test_token_makes_no_tokens_and_ends_nothing(ann: User, ada: User) -> None:
    client = script(secret_of(ann, "write"))
    generate_token_pair(ann)
    theirs = create_personal_token(ada, name="ada's", scope="read").token
    mine = PersonalToken.objects.get(user=ann)
    session = client.get(SESSIONS).json()["results"][0]["id"]
    asked = [
        client.post(TOKENS, {"name": "successor", "scope": "write"}, format="json"),
        client.delete(f"{TOKENS}/{theirs.pk}"),
        client.delete(f"{TOKENS}/{mine.pk}"),
        client.delete(SESSIONS),
        client.delete(f"{SESSIONS}/{session}"),
    ]
    for answer in asked:
        problem_of(answer, 403, "not_with_a_token")
    assert PersonalToken.objects.alive(timezone.now()).count() == 2
    assert client.get(SESSIONS).json()["count"] == 1


@pytest.mark.parametrize("permission", [None, PUBLIC, SIGNED_IN, *sorted(FOR_PEOPLE_ONLY)])
def test_what_is_not_allowed_to_tokens_is_refused(permission: str | None, ada: User) -> None:
    grant = Grant(ada.pk, "write")
    require_scope(grant, "GET", permission)
    require_scope(grant, "POST", rbac.Permission.APIKEYS_CREATE)
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANYTHING", ""):
        with pytest.raises(PermissionDenied):
            require_scope(grant, method, permission)
        with pytest.raises(PermissionDenied):
            require_scope(Grant(ada.pk, "read"), method, rbac.Permission.APIKEYS_CREATE)


# --- Ends ------------------------------------------------------------------------------------------------------------


def refusals() -> list[str]:
    """Why tokens were refused, as the audit log has it."""
    return [event.details["reason"] for event in AuditEvent.objects.filter(action="token.refused").order_by("id")]


def test_revoked_token_is_refused_at_once_and_the_log_says_so_once_an_hour(ada: User) -> None:
    client = script(secret_of(ada))
    assert client.get(ME).status_code == 200
    personal_tokens.revoke_personal_token(ada, token_id=PersonalToken.objects.get().pk)
    for _ in range(3):
        problem_of(client.get(ME), 401, "token_revoked")
    assert refusals() == ["revoked"]
    PersonalToken.objects.update(refused_at=timezone.now() - timedelta(minutes=61))
    client.get(ME)
    assert refusals() == ["revoked", "revoked"]


def test_expired_token_is_refused(ada: User) -> None:
    client = script(secret_of(ada, days=1))
    PersonalToken.objects.update(created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now())
    problem = problem_of(client.get(ME), 401, "token_expired")
    assert problem["detail"] == "This access token has expired. Make a new one."
    assert refusals() == ["expired"]


def test_token_of_somebody_deactivated_is_refused_at_once_and_works_again_after_it(ada: User) -> None:
    client = script(secret_of(ada))
    User.objects.filter(pk=ada.pk).update(is_active=False)
    problem_of(client.get(ME), 401, "user_deactivated")
    assert refusals() == ["deactivated"]
    User.objects.filter(pk=ada.pk).update(is_active=True)
    assert client.get(ME).status_code == 200


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1] + "é", lambda s: s[:-6] + "000000", lambda _s: "lmp_", lambda s: s + "x"]
)
def test_typing_error_costs_no_statement_but_its_count(change: Callable[[str], str], ada: User) -> None:
    header = f"Bearer {change(secret_of(ada))}".encode().decode("latin-1")
    with CaptureQueriesContext(connection) as captured:
        answer = APIClient(raise_request_exception=False).get(ME, HTTP_AUTHORIZATION=header)
    problem_of(answer, 401, "token_not_valid")
    assert ["foundation_ratecount" in query["sql"] for query in captured] == [True]


def test_token_that_nobody_has_is_refused_and_not_audited(ada: User) -> None:
    answer = script(crypto.new_personal_token()).get(ME)
    problem_of(answer, 401, "token_not_valid")
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert refusals() == []
    problem_of(APIClient(raise_request_exception=False).get(ME, HTTP_AUTHORIZATION="Bearer lmp_a b"), 401)


def test_owner_and_administrators_revoke_and_nobody_else(ada: User, eve: User, ann: User, ro: User, api: Api) -> None:
    first, second = (create_personal_token(ada, name=name, scope="read").token for name in ("one", "two"))
    problem_of(api(eve).delete(f"{TOKENS}/{first.pk}"), 404, "not_found")
    problem_of(api(ro).delete(f"{TOKENS}/{first.pk}"), 403, "permission_denied")
    assert [api(ada).delete(f"{TOKENS}/{first.pk}").status_code for _ in range(2)] == [204, 204]
    assert api(ann).delete(f"{TOKENS}/{second.pk}").status_code == 204
    noted = AuditEvent.objects.filter(action="token.revoked").order_by("id")
    assert [(event.actor_name, event.target_name, event.details["token"]) for event in noted] == [
        ("ada", "ada", "one"),
        ("ann", "ada", "two"),
    ]


def test_administrators_revoke_on_a_page_that_shows_no_secret(ada: User, ann: User, browser: Browser) -> None:
    issued = create_personal_token(ada, name="script", scope="read")
    path = f"/admin/accounts/personaltoken/{issued.token.pk}"
    for page in ("/admin/accounts/personaltoken/", f"{path}/change/"):
        shown = browser(ann).get(page).content.decode()
        assert "script" in shown
        assert crypto.secret_digest(issued.secret) not in shown
    assert browser(ann).post(f"{path}/revoke/").status_code == 302
    problem_of(script(issued.secret).get(ME), 401, "token_revoked")


# --- Making ----------------------------------------------------------------------------------------------------------


def test_token_is_made_and_listed_through_the_api(ada: User, api: Api, settings: Any) -> None:
    answer = api(ada).post(TOKENS, {"name": "nightly", "scope": "write", "days": 7})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made = answer.json()
    assert made["secret"].startswith("lmp_")
    listed = api(ada).get(TOKENS).json()["results"]
    assert listed == [{name: value for name, value in made.items() if name != "secret"}]
    token = PersonalToken.objects.get()
    assert token.expires_at - token.created_at == timedelta(days=7)
    noted = AuditEvent.objects.get(action="token.created")
    assert noted.details == {"token": "nightly", "id": str(token.pk), "scope": "write", "days": 7}
    usual = api(ada).post(TOKENS, {"name": "usual", "scope": "read"}).json()
    life = PersonalToken.objects.get(pk=usual["id"])
    assert life.expires_at - life.created_at == timedelta(days=settings.PERSONAL_TOKEN_DAYS)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name", "scope"]),
        ({"name": "", "scope": "all"}, ["name", "scope"]),
        ({"name": " x", "scope": "read"}, ["name"]),
        ({"name": "x\x00", "scope": "read"}, ["name"]),
        ({"name": "x" * 101, "scope": None}, ["name", "scope"]),
        ({"name": "x", "scope": "read", "days": 0}, ["days"]),
        ({"name": "x", "scope": "read", "days": 366}, ["days"]),
        ({"name": "x", "scope": "read", "days": "soon"}, ["days"]),
    ],
)
def test_what_is_wrong_with_a_new_token_is_named(body: dict[str, Any], fields: list[str], ada: User, api: Api) -> None:
    assert sorted(set(wrong_fields(api(ada).post(TOKENS, body, format="json")))) == fields
    assert not PersonalToken.objects.exists()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"name": " ", "scope": "read"}, "name"),
        ({"name": "x", "scope": "all"}, "scope"),
        ({"name": "x", "scope": "read", "days": 0}, "days"),
        ({"name": "x", "scope": "read", "days": 10**6}, "days"),
    ],
)
def test_verb_refuses_what_no_face_lets_pass(wish: dict[str, Any], field: str, ada: User) -> None:
    with pytest.raises(Invalid) as refused:
        create_personal_token(ada, **wish)
    assert refused.value.details["field"] == field


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_number_of_tokens_holds_when_many_are_made_at_once(ada: User, settings: Any) -> None:
    settings.PERSONAL_TOKENS_PER_USER = 5
    access = generate_token_pair(ada).access

    def make(turn: int) -> int:
        return int(script(access).post(TOKENS, {"name": f"t{turn}", "scope": "read"}, format="json").status_code)

    statuses = at_once(12, make)
    assert (statuses.count(201), statuses.count(409)) == (5, 7)
    assert PersonalToken.objects.count() == 5
    problem = problem_of(
        script(access).post(TOKENS, {"name": "t", "scope": "read"}, format="json"), 409, "too_many_tokens"
    )
    assert problem["details"] == {"limit": 5}
    PersonalToken.objects.filter(name__gte="t").update(revoked_at=timezone.now())
    assert make(99) == 201


# --- What one has come with ------------------------------------------------------------------------------------------


def test_claims_say_what_one_has_come_with(ada: User, browser: Browser) -> None:
    issued, pair = create_personal_token(ada, name="script", scope="read"), generate_token_pair(ada)
    found = script(issued.secret).get(CLAIMS).json()
    assert (found["kind"], found["name"], found["scope"], found["id"]) == (
        "personal_token",
        "script",
        "read",
        str(issued.token.pk),
    )
    assert found["user"] == {"id": str(ada.pk), "username": "ada", "roles": ["user"]}
    assert (found["role"], found["claims"]) == ("user", None)
    access = script(pair.access).get(CLAIMS).json()
    assert (access["kind"], access["scope"], access["claims"]["sub"]) == ("access_token", "write", str(ada.pk))
    assert access["claims"]["family"] == access["id"]
    assert access["expires_at"] > access["issued_at"]
    session = browser(ada).get(CLAIMS).json()
    assert (session["kind"], session["claims"], session["expires_at"] > session["issued_at"]) == ("session", None, True)
    User.objects.filter(pk=ada.pk).update(roles=["admin", "user"])
    assert script(pair.access).get(CLAIMS).json()["role"] == "admin"


def test_claims_of_what_is_not_good_any_more_are_the_reason(ada: User) -> None:
    pair, secret = generate_token_pair(ada), secret_of(ada)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    for client in (script(pair.access), script(secret)):
        problem_of(client.get(CLAIMS), 401, "user_deactivated")
    problem_of(APIClient(raise_request_exception=False).get(CLAIMS), 401, "not_authenticated")


# --- Pages -----------------------------------------------------------------------------------------------------------


def wish(user: User, **changes: Any) -> dict[str, Any]:
    """What the form sends."""
    return {"name": "nightly", "scope": "read", "days": "30", "ticket": new_ticket(user.pk)} | changes


def test_page_shows_the_token_once_with_a_call_that_works(ada: User, browser: Browser) -> None:
    client = browser(ada)
    answer = client.post("/profile/tokens/create", wish(ada))
    assert answer.status_code == 200
    page = answer.content.decode()
    secret = answer.context["secret"]
    assert secret in page
    shown = re.search(r'<code id="code-curl">(.*?)</code>', page, re.DOTALL)
    assert shown is not None
    command, address, option, header = shlex.split(unescape(shown[1]).replace("\\\n", ""))
    assert (command, option) == ("curl", "-H")
    name, _colon, value = header.partition(": ")
    called = APIClient().get(address.removeprefix("http://testserver"), headers={name: value})
    assert called.json()["username"] == "ada"
    listed = client.get("/profile/tokens").content.decode()
    assert secret not in listed
    assert f"lmp_…{secret[-4:]}" in listed


def test_form_that_is_sent_twice_makes_one_token(ada: User, browser: Browser) -> None:
    client, sent = browser(ada), wish(ada)
    assert [client.post("/profile/tokens/create", sent).status_code for _ in range(2)] == [200, 422]
    assert PersonalToken.objects.count() == 1


def test_form_names_what_is_wrong_and_keeps_what_was_typed(ada: User, browser: Browser, settings: Any) -> None:
    client = browser(ada)
    answer = client.post("/profile/tokens/create", wish(ada, name="x" * 101, scope="write", days="400"))
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"name", "days"}
    assert re.search(r'value="write"[^>]* checked', answer.content.decode())
    settings.PERSONAL_TOKENS_PER_USER = 0
    refused = client.post("/profile/tokens/create", wish(ada))
    assert refused.status_code == 422
    assert "Revoke one that you do not need." in refused.content.decode()


def test_form_offers_no_more_days_than_the_settings(ada: User, browser: Browser, settings: Any) -> None:
    settings.PERSONAL_TOKEN_DAYS, settings.PERSONAL_TOKEN_MAX_DAYS = 14, 60
    form = browser(ada).get("/profile/tokens/create").context["form"]
    assert [days for days, _words in form.fields["days"].choices] == [7, 14, 30, 60]
    assert form.fields["days"].initial == 14


def test_token_is_revoked_on_its_page(ada: User, eve: User, browser: Browser) -> None:
    issued = create_personal_token(ada, name="nightly", scope="read")
    path = f"/profile/tokens/{issued.token.pk}/revoke"
    assert browser(eve).get(path).status_code == 404
    client = browser(ada)
    assert "Revoke “nightly”?" in client.get(path).content.decode()
    assert "is revoked and refused from now on" in client.post(path, follow=True).content.decode()
    problem_of(script(issued.secret).get(ME), 401, "token_revoked")
    assert "revoked already" in client.get(path).content.decode()


def test_list_of_tokens_is_paged_and_costs_the_same_whatever_its_length(ada: User, browser: Browser) -> None:
    client = browser(ada)

    def statements(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    now = timezone.now()

    def fill(number: int) -> None:
        rows = (
            PersonalToken(
                user=ada, name=f"t{n}", digest=f"{number}-{n}", scope="read", expires_at=now + timedelta(days=1)
            )
            for n in range(number)
        )
        PersonalToken.objects.bulk_create(rows)

    fill(1)
    few = [statements(path) for path in ("/profile/tokens", TOKENS)]
    fill(30)
    many = [statements(path) for path in ("/profile/tokens", TOKENS)]
    assert many[0] == few[0]
    assert many[1] <= few[1] + 1  # a list of one page needs no count
    assert client.get(f"{TOKENS}?page=2").json()["count"] == 31
    assert len(client.get("/profile/tokens?page=2").context["page"]) == 6


def test_whoever_only_reads_is_offered_no_token(ro: User, browser: Browser) -> None:
    page = browser(ro).get("/profile/tokens").content.decode()
    assert "Your role only reads" in page
    assert "/profile/tokens/create" not in page
