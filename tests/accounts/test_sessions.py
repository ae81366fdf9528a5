"""Sessions: both lifetimes, what the person is told, the list, its ends, what is noted and what is forgotten."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as product
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import sessions
from accounts.models import AuditEvent, BrowserSession, PersonalToken, RefreshFamily, SignInAttempt, User
from accounts.personal_tokens import create_personal_token
from accounts.session_store import SessionStore
from accounts.tokens import generate_token_pair
from accounts.ways_in import Ending
from litemaas.foundation.errors import PermissionDenied
from tests.answers import problem_of
from tests.races import at_once

pytestmark = pytest.mark.django_db

ME, LIST = "/api/v1/me", "/api/v1/me/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
Browser = Callable[[User | None], Client]


@pytest.fixture
def ada_signs_in(ada: User, settings: Any) -> Callable[..., Client]:
    """Ada signs in on the page, from an address, with a browser."""
    settings.PASSWORD_SIGN_IN = True

    def sign_in(client: Client | None = None, agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
        client = client or Client(raise_request_exception=False)
        client.defaults |= {"HTTP_USER_AGENT": agent, "REMOTE_ADDR": address}
        assert client.post("/sign-in", {"username": "ada", "password": "ada"}).status_code == 302
        return client

    return sign_in


def cookie(client: Client) -> str:
    """What the browser has for a session."""
    return client.cookies[product.SESSION_COOKIE_NAME].value


def row_of(client: Client) -> BrowserSession:
    """The row of a browser's session."""
    store = SessionStore(cookie(client))
    store.load()
    assert store.row is not None
    return store.row


def age(client: Client, **columns: timedelta) -> None:
    """Make moments of a browser's session earlier."""
    row = row_of(client)
    BrowserSession.objects.filter(pk=row.pk).update(**{name: timezone.now() - ago for name, ago in columns.items()})


def told(client: Client, path: str = "/usage") -> str:
    """What the sign-in page says to somebody who comes with a session that is over."""
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in?next=")
    return str(client.get(response["Location"]).content.decode())


# --- Lifetimes -------------------------------------------------------------------------------------------------------


def test_session_ends_when_it_is_not_used(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    age(client, seen_at=product.SESSION_IDLE_LIFETIME - timedelta(minutes=1))
    assert client.get("/usage").status_code == 200
    age(client, seen_at=product.SESSION_IDLE_LIFETIME)
    assert "because you did nothing here for 120 minutes" in told(client)
    assert "did nothing here" not in told(client)
    assert client.get("/usage").status_code == 302


def test_session_ends_some_time_after_the_sign_in_however_much_it_is_used(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    age(client, begun_at=product.SESSION_LIFETIME - timedelta(minutes=1))
    session = client.session
    session["something"] = "saved"  # saving prolongs nothing
    session.save()
    assert client.get("/usage").status_code == 200
    age(client, begun_at=product.SESSION_LIFETIME)
    assert "A session lasts 12 hours, and yours is over." in told(client)


def test_lifetimes_are_those_of_the_settings_of_now(ada_signs_in: Callable[..., Client], settings: Any) -> None:
    client = ada_signs_in()
    age(client, begun_at=timedelta(hours=2), seen_at=timedelta(minutes=20))
    assert client.get("/profile").status_code == 200
    age(client, begun_at=timedelta(hours=2), seen_at=timedelta(minutes=20))
    settings.SESSION_IDLE_LIFETIME = timedelta(minutes=15)
    assert "for 15 minutes" in told(client)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"seen_at": product.SESSION_IDLE_LIFETIME}, "session_idle"),
        ({"begun_at": product.SESSION_LIFETIME}, "session_expired"),
    ],
)
def test_programs_and_forms_are_told_why_a_session_is_over(
    ada_signs_in: Callable[..., Client], columns: dict[str, timedelta], code: str
) -> None:
    client = ada_signs_in()
    age(client, **columns)
    problem_of(client.get(ME), 401, code)
    assert client.cookies[product.SESSION_COOKIE_NAME].value == ""  # it is good for nothing any more
    client = ada_signs_in()
    age(client, **columns)
    response = client.post("/subscriptions/create", {"model": "gpt-4o"})
    assert response.status_code == 401
    assert "Sign in to go on." in response.content.decode()


def test_whoever_comes_straight_to_the_sign_in_page_is_told_too(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    age(client, seen_at=product.SESSION_IDLE_LIFETIME)
    assert "did nothing here" in client.get("/sign-in").content.decode()


def test_one_comes_back_to_where_one_was(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    age(client, seen_at=product.SESSION_IDLE_LIFETIME)
    page = client.get("/usage?days=7")
    assert page["Location"] == "/sign-in?next=%2Fusage%3Fdays%3D7"
    sent = client.post("/sign-in", {"username": "ada", "password": "ada", "next": "/usage?days=7"})
    assert sent["Location"] == "/usage?days=7"
    elsewhere = Client().post("/sign-in", {"username": "ada", "password": "ada", "next": "//evil.example/usage"})
    assert elsewhere["Location"] == "/"


def test_the_cookie_lives_longer_than_the_session(ada_signs_in: Callable[..., Client]) -> None:
    found = ada_signs_in().cookies[product.SESSION_COOKIE_NAME]
    assert found["max-age"] > product.SESSION_LIFETIME.total_seconds()
    assert (found["httponly"], found["samesite"]) == (True, "Lax")


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_sign_in_changes_the_key_so_that_nobody_can_fix_it_before(ada_signs_in: Callable[..., Client]) -> None:
    planted = SessionStore()
    planted["anything"] = "of the attacker's"
    planted.create()
    victim = Client(raise_request_exception=False)
    victim.cookies[product.SESSION_COOKIE_NAME] = str(planted.session_key)
    ada_signs_in(victim)
    assert victim.get("/usage").status_code == 200
    assert cookie(victim) != str(planted.session_key)
    attacker = Client(raise_request_exception=False)
    attacker.cookies[product.SESSION_COOKIE_NAME] = str(planted.session_key)
    assert attacker.get("/usage").status_code == 302
    assert not SessionStore().exists(planted.session_key)


def test_sign_in_begins_both_lifetimes_anew(ada_signs_in: Callable[..., Client]) -> None:
    client = Client(raise_request_exception=False)
    store = SessionStore()
    store["seen"] = "the sign-in page"
    store.create()
    BrowserSession.objects.update(begun_at=timezone.now() - timedelta(hours=11))
    client.cookies[product.SESSION_COOKIE_NAME] = str(store.session_key)
    ada_signs_in(client)
    assert row_of(client).begun_at > timezone.now() - timedelta(minutes=1)


def test_trap_18_the_key_of_a_session_is_nowhere_in_the_database(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_browsersession t")
        rows = str(cursor.fetchall())
    assert str(row_of(client).pk) in rows
    assert cookie(client) not in rows
    for path in ("/profile/sessions", LIST):
        page = client.get(path).content.decode()
        assert cookie(client) not in page
        assert row_of(client).digest not in page


def test_request_that_still_runs_does_not_bring_an_ended_session_back(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    running = SessionStore(cookie(client))
    running["slow"] = "answer"
    sessions.end_other_sign_ins(User.objects.get(), current=None)
    with pytest.raises(UpdateError):
        running.save()
    assert client.get("/usage").status_code == 302


def test_request_whose_session_ends_while_it_runs_is_told_to_sign_in(
    ada_signs_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ada_signs_in()

    def end_meanwhile(session: Any, _place: Any) -> None:
        session["something"] = "to save"
        sessions.end_other_sign_ins(User.objects.get(), current=None)

    monkeypatch.setattr(sessions, "note_session_use", end_meanwhile)
    response = client.get("/usage")
    assert response.status_code == 401
    assert 'href="/sign-in"' in response.content.decode()


def test_session_of_somebody_who_was_deleted_is_gone(ada_signs_in: Callable[..., Client]) -> None:
    client = ada_signs_in()
    User.objects.all().delete()
    assert client.get("/usage").status_code == 302
    assert not BrowserSession.objects.exists()


def test_store_does_what_django_asks_of_one() -> None:
    store = SessionStore()
    assert (store.load(), store.exists("nothing-there"), SessionStore("short").session_key) == ({}, False, None)
    store["a"] = 1
    store.save()
    again = SessionStore(store.session_key)
    assert again["a"] == 1
    again.cycle_key()
    assert (again["a"], store.exists(store.session_key or "")) == (1, False)
    again.flush()
    assert not BrowserSession.objects.exists()


def test_key_that_somebody_has_is_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = SessionStore()
    taken.create()
    fresh = SessionStore()
    keys = iter([taken.session_key, "a-key-that-nobody-has"])
    monkeypatch.setattr(fresh, "_get_new_session_key", lambda: next(keys))
    fresh.create()
    assert fresh.session_key == "a-key-that-nobody-has"
    assert BrowserSession.objects.count() == 2


# --- The list --------------------------------------------------------------------------------------------------------


def test_list_has_browsers_and_programs_with_device_and_place(ada_signs_in: Callable[..., Client], eve: User) -> None:
    client = ada_signs_in()
    other = ada_signs_in(agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1")
    program = APIClient(HTTP_USER_AGENT="curl/8.5.0", REMOTE_ADDR="198.51.100.9")
    assert program.post("/api/v1/auth/token", {"username": "ada", "password": "ada"}).status_code == 200
    Client().force_login(eve)
    page = client.get(LIST).json()
    assert page["count"] == 3
    first, *others = page["results"]
    assert first["id"] == str(row_of(client).pk)
    assert (first["kind"], first["device"], first["address"]) == ("browser", "Firefox on Linux", "192.0.2.7")
    assert first["is_current"]
    seen = {(one["kind"], one["device"], one["address"], one["is_current"]) for one in others}
    assert seen == {("browser", "Safari on iPhone", "192.0.2.7", False), ("api", "curl", "198.51.100.9", False)}
    shown = other.get("/profile/sessions").content.decode()
    for words in ("Safari on iPhone", "Firefox on Linux", "curl", "198.51.100.9", "This one"):
        assert words in shown


def test_list_is_paged_and_costs_the_same_whatever_its_length(ada: User, browser: Browser) -> None:
    client = browser(ada)

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"{LIST}?page_size=2").status_code == 200
        return len(captured)

    generate_token_pair(ada)
    few = statements()
    for _ in range(30):
        generate_token_pair(ada)
        browser(ada)
    assert statements() == few
    assert client.get(f"{LIST}?page=4").json()["count"] == 62
    assert len(client.get(f"{LIST}?page=4").json()["results"]) == 2
    assert "Page" in client.get("/profile/sessions?page=2").content.decode()


def test_pages_of_the_list_are_all_of_it_in_order_and_read_no_more_than_they_show(ada: User, browser: Browser) -> None:
    for _ in range(4):
        generate_token_pair(ada)
        browser(ada)
    program = APIClient(HTTP_AUTHORIZATION=f"Bearer {generate_token_pair(ada).access}")
    mine = RefreshFamily.objects.latest("created_at")
    RefreshFamily.objects.filter(pk=mine.pk).update(last_used_at=timezone.now() - timedelta(days=3))
    everything = program.get(LIST).json()["results"]
    pages = [program.get(f"{LIST}?page_size=2&page={number}").json()["results"] for number in range(1, 6)]
    assert [one["id"] for page in pages for one in page] == [one["id"] for one in everything]
    assert [one["is_current"] for one in everything] == [True] + [False] * 8
    used = [one["last_used_at"] for one in everything[1:]]
    assert used == sorted(used, reverse=True)
    assert {one["kind"] for one in everything} == {"api", "browser"}
    with CaptureQueriesContext(connection) as captured:
        assert len(sessions.sign_ins_of(ada, current=mine.pk)[2:4]) == 2
    assert all("LIMIT 4" in query["sql"] for query in captured)
    assert (sessions.count_sign_ins(ada), sessions.sign_ins_of(ada, current=mine.pk).others()) == (9, 8)


@pytest.mark.usefixtures("passwords")
def test_a_person_has_so_many_programs_signed_in_and_the_least_used_ends(
    ada: User, eve: User, sign_in: Callable[..., Any], settings: Any
) -> None:
    settings.API_SIGN_INS_PER_USER = 3
    theirs = generate_token_pair(eve)
    pairs = [sign_in("ada").json() for _ in range(3)]
    pairs[0] = APIClient().post("/api/v1/auth/token/refresh", {"refresh": pairs[0]["refresh"]}).json()
    pairs.append(sign_in("ada").json())
    answers = [APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {pair['access']}").status_code for pair in pairs]
    assert answers == [200, 401, 200, 200]
    assert APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {theirs.access}").status_code == 200
    assert AuditEvent.objects.get(action="session.ended").details == {"number": 1, "reason": "too_many"}


@pytest.mark.usefixtures("real_transactions")
def test_programs_that_sign_in_at_once_do_not_pass_their_number(ada: User, settings: Any) -> None:
    settings.API_SIGN_INS_PER_USER = 2
    at_once(6, lambda _n: generate_token_pair(ada))
    assert RefreshFamily.objects.filter(user=ada, revoked_at=None).count() == 2


def test_list_leaves_out_what_is_over(ada: User, browser: Browser) -> None:
    client, idle, ended = browser(ada), browser(ada), browser(ada)
    age(idle, seen_at=product.SESSION_IDLE_LIFETIME)
    BrowserSession.objects.filter(pk=row_of(ended).pk).update(ended_at=timezone.now(), ended_by="elsewhere")
    pairs = [generate_token_pair(ada) for _ in range(2)]
    assert len(pairs) == 2
    first, second = RefreshFamily.objects.all()
    RefreshFamily.objects.filter(pk=first.pk).update(revoked_at=timezone.now())
    RefreshFamily.objects.filter(pk=second.pk).update(expires_at=timezone.now())
    assert [one["is_current"] for one in client.get(LIST).json()["results"]] == [True]


def test_a_program_finds_itself_in_the_list(ada: User) -> None:
    pair = generate_token_pair(ada)
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    (found,) = client.get(LIST).json()["results"]
    assert (found["kind"], found["is_current"], found["device"]) == ("api", True, "Unknown device")


# --- Ends ------------------------------------------------------------------------------------------------------------


def test_signing_out_elsewhere_works_at_once_and_is_told_there(ada_signs_in: Callable[..., Client]) -> None:
    here, there = ada_signs_in(), ada_signs_in()
    response = here.post(f"/profile/sessions/{row_of(there).pk}/end", follow=True)
    assert "You are signed out there." in response.content.decode()
    page = told(there)
    assert "signed out here from another of your sessions" in page
    assert "did nothing here" not in page
    assert here.get("/usage").status_code == 200
    ended = BrowserSession.objects.get(ended_by=Ending.ELSEWHERE)
    assert ended.data == ""
    assert AuditEvent.objects.get(action="session.ended").details == {"session": str(ended.pk)}


def test_signing_out_everywhere_else_ends_browsers_programs_and_their_access_tokens(
    ada_signs_in: Callable[..., Client], eve: User, browser: Browser
) -> None:
    here, there, stranger = ada_signs_in(), ada_signs_in(), browser(eve)
    ada = User.objects.get(username="ada")
    pair, script = generate_token_pair(ada), create_personal_token(ada, name="script", scope="read")
    page = here.post("/profile/sessions/end-others", follow=True).content.decode()
    assert "signed out of 2 other places" in page
    assert [client.get("/usage").status_code for client in (here, there, stranger)] == [200, 302, 200]
    problem_of(APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {pair.access}"), 401, "token_revoked")
    assert APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {script.secret}").status_code == 200
    assert "signed out of 0 other places" in here.post("/profile/sessions/end-others", follow=True).content.decode()
    assert AuditEvent.objects.filter(action="session.ended").count() == 1


def test_programs_end_sessions_through_the_api(ada: User, eve: User, browser: Browser) -> None:
    page, pair, other = browser(ada), generate_token_pair(ada), generate_token_pair(ada)
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {pair.access}", raise_request_exception=False)
    ids = {one["id"]: one["is_current"] for one in client.get(LIST).json()["results"]}
    theirs = generate_token_pair(eve)
    foreign = RefreshFamily.objects.get(user=eve).pk
    assert client.delete(f"{LIST}/{row_of(page).pk}").status_code == 204
    assert page.get("/usage").status_code == 302
    problem_of(client.delete(f"{LIST}/{foreign}"), 404, "not_found")
    assert APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {theirs.access}").status_code == 200
    assert client.delete(LIST).status_code == 204
    problem_of(APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {other.access}"), 401, "token_revoked")
    (mine,) = [one for one, is_current in ids.items() if is_current]
    assert [client.delete(f"{LIST}/{mine}").status_code, client.get(ME).status_code] == [204, 401]


def test_ending_again_changes_nothing(ada: User, browser: Browser) -> None:
    here, there = browser(ada), row_of(browser(ada)).pk
    assert [here.delete(f"{LIST}/{there}").status_code for _ in range(2)] == [204, 204]
    assert AuditEvent.objects.filter(action="session.ended").count() == 1


def test_everybody_may_end_sessions_of_their_own_and_of_nobody_else(ada: User, ro: User, browser: Browser) -> None:
    auditor, lost, hers = browser(ro), browser(ro), browser(ada)
    assert auditor.delete(f"{LIST}/{row_of(hers).pk}").status_code == 404
    assert auditor.delete(f"{LIST}/{row_of(lost).pk}").status_code == 204
    assert [hers.get("/usage").status_code, lost.get("/usage").status_code] == [200, 302]


def test_administrators_end_everything_of_somebody(ada: User, ann: User, eve: User, ro: User, browser: Browser) -> None:
    client, pair = browser(ada), generate_token_pair(ada)
    for stranger in (eve, ro):
        with pytest.raises(PermissionDenied):
            sessions.end_all_sign_ins(stranger, ada)
    assert sessions.end_all_sign_ins(ann, ada) == 2
    problem_of(APIClient().get(ME, HTTP_AUTHORIZATION=f"Bearer {pair.access}"), 401, "token_revoked")
    assert "An administrator has ended your session." in told(client)
    noted = AuditEvent.objects.get(action="session.ended")
    assert (noted.actor_name, noted.target_name, noted.details) == ("ann", "ada", {"number": 2})
    assert sessions.end_all_sign_ins(ann, ada) == 0


def test_administrators_end_one_session_on_its_page(ada: User, ann: User, browser: Browser) -> None:
    client, admin = browser(ada), browser(ann)
    path = f"/admin/accounts/browsersession/{row_of(client).pk}"
    shown = admin.get(f"{path}/change/").content.decode()
    assert row_of(client).digest not in shown
    assert admin.post(f"{path}/end/").status_code == 302
    assert client.get("/usage").status_code == 302
    assert admin.post(f"{path}/end/").status_code in {302, 409}
    assert AuditEvent.objects.filter(action="session.ended").count() == 1


# --- Deactivation, roles ---------------------------------------------------------------------------------------------


def test_deactivation_ends_what_a_session_may_at_once_and_says_so(ada: User, browser: Browser) -> None:
    client = browser(ada)
    assert client.get("/usage").status_code == 200
    User.objects.filter(pk=ada.pk).update(is_active=False)
    problem_of(client.get(ME), 401, "user_deactivated")
    assert "Your account is deactivated." in told(client)
    User.objects.filter(pk=ada.pk).update(is_active=True)
    assert client.get("/usage").status_code == 200


def test_a_change_of_role_counts_at_once_for_every_way_in(ada: User, browser: Browser) -> None:
    page = browser(ada)
    access, script = generate_token_pair(ada).access, create_personal_token(ada, name="s", scope="write").secret
    clients = [APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}") for secret in (access, script)]

    def statuses() -> list[int]:
        return [page.get("/admin/").status_code, *(client.get("/api/v1/audit").status_code for client in clients)]

    assert statuses() == [403, 403, 403]
    User.objects.filter(pk=ada.pk).update(roles=["adminReadonly"])
    assert statuses() == [200, 200, 200]
    assert [client.patch(ME, {"full_name": "A"}, format="json").status_code for client in clients] == [403, 403]
    User.objects.filter(pk=ada.pk).update(roles=["user"])
    assert statuses() == [403, 403, 403]


# --- Use -------------------------------------------------------------------------------------------------------------


def writes(client: Any, path: str, **extra: Any) -> list[str]:
    """The statements of a request that change something."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path, **extra).status_code == 200
    return [query["sql"] for query in captured.captured_queries if "UPDATE" in query["sql"]]


def test_use_is_noted_once_a_minute_with_its_place(ada: User, browser: Browser) -> None:
    client = browser(ada)
    assert writes(client, "/usage") == []
    age(client, seen_at=timedelta(seconds=61))
    assert len(writes(client, "/usage", REMOTE_ADDR="203.0.113.5")) == 1
    row = row_of(client)
    assert row.seen_at > timezone.now() - timedelta(minutes=1)
    assert row.address == "203.0.113.5"
    assert writes(client, "/usage") == []


def test_use_of_a_programs_sign_in_is_noted_once_a_minute(ada: User) -> None:
    pair, client = generate_token_pair(ada), APIClient()
    extra = {"HTTP_AUTHORIZATION": f"Bearer {pair.access}", "REMOTE_ADDR": "203.0.113.6"}
    assert writes(client, ME, **extra) == []
    RefreshFamily.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    assert len(writes(client, ME, **extra)) == 1
    assert RefreshFamily.objects.get().address == "203.0.113.6"
    assert writes(client, ME, **extra) == []


@pytest.mark.usefixtures("real_transactions")
def test_noting_the_use_waits_for_nobody(ada: User, browser: Browser) -> None:
    client = browser(ada)
    age(client, seen_at=timedelta(minutes=5))
    row = row_of(client)
    held, let_go = threading.Event(), threading.Event()

    def hold(_turn: int) -> int:
        with transaction.atomic():
            BrowserSession.objects.select_for_update().get(pk=row.pk)
            held.set()
            assert let_go.wait(timeout=60)
        return 0

    def ask(_turn: int) -> int:
        assert held.wait(timeout=60)
        try:
            return int(client.get("/usage").status_code)
        finally:
            let_go.set()

    assert at_once(2, lambda turn: (hold, ask)[turn](turn)) == [0, 200]
    assert BrowserSession.objects.get(pk=row.pk).seen_at == row.seen_at


# --- What tidies up --------------------------------------------------------------------------------------------------


def test_what_is_over_is_forgotten_and_the_rest_stays(ada: User) -> None:
    now, week = timezone.now(), timedelta(days=7)
    idle: timedelta = product.SESSION_IDLE_LIFETIME

    def session(name: str, user: User | None, ago: timedelta) -> None:
        BrowserSession.objects.create(digest=name, data="", user=user, begun_at=now - ago, seen_at=now - ago)

    session("good", ada, timedelta(0))
    session("over, to be told", ada, idle + timedelta(minutes=1))
    session("long over", ada, idle + week)
    session("nobody's", None, idle - timedelta(minutes=1))
    session("nobody's, over", None, idle)
    for name, days in (("old", -1), ("new", 1)):
        Session.objects.create(session_key=name, session_data="", expire_date=now + timedelta(days=days))
    for name, expires, revoked in (("a", 1, None), ("b", -6, None), ("c", -8, None), ("d", 1, -6), ("e", 1, -8)):
        ended = now + timedelta(days=revoked) if revoked else None
        RefreshFamily.objects.create(user=ada, current=name, expires_at=now + timedelta(days=expires), revoked_at=ended)
    for name, minutes in (("x", 59), ("y", 61)):
        SignInAttempt.objects.create(state=name, browser="b", begun_at=now - timedelta(minutes=minutes))
    for name, days in (("kept", 89), ("gone", 91)):
        ended = now - timedelta(days=days)
        created = ended - timedelta(days=1)
        PersonalToken.objects.create(
            user=ada, name=name, digest=name, scope="read", created_at=created, expires_at=ended
        )
    assert sessions.forget_old_sign_ins() == 2 + 1 + 2 + 1 + 1
    assert set(BrowserSession.objects.values_list("digest", flat=True)) == {"good", "over, to be told", "nobody's"}
    assert set(Session.objects.values_list("session_key", flat=True)) == {"new"}
    assert set(RefreshFamily.objects.values_list("current", flat=True)) == {"a", "b", "d"}
    assert set(SignInAttempt.objects.values_list("state", flat=True)) == {"x"}
    assert set(PersonalToken.objects.values_list("name", flat=True)) == {"kept"}
    SessionStore.clear_expired()
    assert BrowserSession.objects.count() == 3
