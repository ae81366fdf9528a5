"""What is limited, for whom: guessed tokens and passwords, made-up callbacks, verbs; that nothing else is counted."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.models import AuditEvent, FailedSignIn, RefreshFamily, User
from accounts.services import update_profile
from accounts.tokens import generate_token_pair, revoke_token
from litemaas.foundation import rate_limits
from litemaas.foundation.errors import RateLimited
from litemaas.foundation.models import RateCount
from litemaas.foundation.providers import Provider
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription, decide_subscriptions, request_review
from tests.answers import problem_of

pytestmark = pytest.mark.django_db

ME, REFRESH, TOKEN = "/api/v1/me", "/api/v1/auth/token/refresh", "/api/v1/auth/token"
Limits = Callable[..., None]


@pytest.fixture
def limits(settings: Any) -> Limits:
    """Set limits as RATE_LIMITS would."""

    def set_limits(*changes: str) -> None:
        settings.RATE_LIMITS = rate_limits.read(changes)

    return set_limits


def me(token: str, **more: Any) -> Any:
    return APIClient(raise_request_exception=False).get(ME, HTTP_AUTHORIZATION=f"Bearer {token}", **more)


# --- Tokens ----------------------------------------------------------------------------------------------------------


def test_guessing_tokens_ends_with_429_and_good_ones_go_on(limits: Limits, ada: User) -> None:
    limits("refused_tokens=3/1h")
    good = generate_token_pair(ada).access
    for number in range(3):
        problem_of(me(f"guess{number}"), 401)
    refused = me("guess")
    problem = problem_of(refused, 429, "rate_limited")
    assert problem["details"]["limit"] == "refused_tokens"
    assert 0 < int(refused["Retry-After"]) <= 3600
    assert me(good).status_code == 200
    assert me("guess", REMOTE_ADDR="198.51.100.8").status_code == 401


def test_guessing_refresh_tokens_counts_the_same(limits: Limits, ada: User) -> None:
    limits("refused_tokens=2/1h")
    pair = generate_token_pair(ada)
    client = APIClient(raise_request_exception=False)
    problem_of(client.post(REFRESH, {"refresh": "a.b.c"}), 401, "token_not_valid")
    problem_of(client.post("/api/v1/auth/token/revoke", {"refresh": "a.b.c"}), 401, "token_not_valid")
    problem_of(client.post(REFRESH, {"refresh": "a.b.c"}), 429, "rate_limited")
    assert client.post(REFRESH, {"refresh": pair.refresh}).status_code == 200


def test_tokens_of_ours_that_have_ended_are_no_guesses(limits: Limits, ada: User) -> None:
    limits("refused_tokens=1/1h")
    pair, left = generate_token_pair(ada), generate_token_pair(ada)
    access, refresh = AccessToken(pair.access), RefreshToken(pair.refresh)  # type: ignore[arg-type]  # their texts
    for token in (access, refresh):
        token.set_exp(lifetime=-timedelta(minutes=1))
    revoke_token(left.refresh)
    for _ in range(3):
        problem_of(me(str(access)), 401, "token_expired")
        problem_of(APIClient().post(REFRESH, {"refresh": str(refresh)}), 401, "token_expired")
        problem_of(me(left.access), 401, "token_revoked")
    assert not RateCount.objects.filter(name="refused_tokens").exists()


def test_whoever_shows_no_token_guesses_none(limits: Limits, settings: Any) -> None:
    limits("refused_tokens=1/1h")
    settings.PASSWORD_SIGN_IN = True
    client = APIClient(raise_request_exception=False)
    for _ in range(3):
        problem_of(client.get(ME), 401)
        problem_of(client.post(TOKEN, {"username": "nobody", "password": "x"}), 401, "wrong_credentials")
    assert not RateCount.objects.filter(name="refused_tokens").exists()


@pytest.mark.parametrize(
    ("proxies", "forwarded"),
    [
        (0, ["203.0.113.1", "203.0.113.2", "203.0.113.3"]),
        (1, ["203.0.113.1, 198.51.100.7", "203.0.113.2, 198.51.100.7", "198.51.100.7"]),
        (1, ["203.0.113.1, 198.51.100.7:1", "198.51.100.7:2", "198.51.100.7"]),
        (2, ["9.9.9.1, 198.51.100.7, 10.0.0.1", "9.9.9.2, 198.51.100.7, 10.0.0.1", "198.51.100.7, 10.0.0.1"]),
        (1, ["2001:db8:1:2::1", "2001:db8:1:2::2", "[2001:db8:1:2:ffff::3]:4711"]),
    ],
)
def test_trap_16_a_forged_header_makes_nobody_somebody_else(
    limits: Limits, settings: Any, proxies: int, forwarded: list[str]
) -> None:
    limits("refused_tokens=2/1h")
    settings.TRUSTED_PROXY_COUNT = proxies
    statuses = [me("guess", HTTP_X_FORWARDED_FOR=header).status_code for header in forwarded]
    assert statuses == [401, 401, 429]


def test_ordinary_requests_ask_for_no_count(ada: User, browser: Callable[..., Client]) -> None:
    client, token = browser(ada), generate_token_pair(ada).access
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert me(token).status_code == 200
        for path in ("/", "/models", "/usage", "/profile", "/api/v1/api-keys"):
            assert client.get(path).status_code == 200
    assert asked.captured_queries
    assert [query for query in asked.captured_queries if "ratecount" in query["sql"]] == []


# --- Signing in ------------------------------------------------------------------------------------------------------


@pytest.fixture
def company(settings: Any) -> None:
    """A provider that nobody reaches."""
    settings.SIGN_IN_PROVIDERS = {
        "company": Provider("company", label="Company", issuer="http://127.0.0.1:9", client_id="litemaas")
    }


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("query", ["state=made-up&code=x", "error=access_denied", ""])
def test_made_up_callbacks_are_limited_and_do_not_fill_the_audit_log(limits: Limits, query: str) -> None:
    limits("unknown_callbacks=3/1h")
    path = f"/sign-in/company/callback?{query}"
    statuses = [Client().get(path).status_code for _ in range(6)]
    assert statuses[3:] == [429] * 3
    assert 429 not in statuses[:3]
    assert AuditEvent.objects.filter(action="sign_in.failed").count() == 3
    page = Client().get(path)
    assert int(page["Retry-After"]) > 0
    assert "Too many requests" in page.content.decode()
    assert Client(REMOTE_ADDR="198.51.100.8").get(path).status_code != 429


@pytest.mark.usefixtures("company")
def test_many_addresses_do_not_fill_the_audit_log_either(limits: Limits) -> None:
    limits("unknown_callbacks_recorded=4/1h")
    for number in range(9):
        answered = Client(REMOTE_ADDR=f"198.51.100.{number}").get("/sign-in/company/callback?state=x&code=y")
        assert answered.status_code == 400
    assert AuditEvent.objects.filter(action="sign_in.failed").count() == 4


@pytest.mark.usefixtures("company")
def test_ways_to_a_provider_are_limited(limits: Limits) -> None:
    limits("sign_in_starts=2/1h")
    assert [Client().get("/sign-in/company").status_code for _ in range(3)] == [503, 503, 429]
    assert AuditEvent.objects.filter(action="sign_in.failed").count() == 2


def test_the_wait_after_wrong_passwords_is_told_as_it_is(settings: Any, ada: User) -> None:
    settings.PASSWORD_SIGN_IN = True
    ages = (14.5, 10, 5, 2, 1)
    FailedSignIn.objects.bulk_create(
        FailedSignIn(account="ada", address="192.0.2.1", at=timezone.now() - timedelta(minutes=age)) for age in ages
    )
    answered = Client().post("/sign-in", {"username": "ada", "password": "ada"})
    page = answered.content.decode()
    assert answered.status_code == 429
    assert 20 <= int(answered["Retry-After"]) <= 30
    assert "Try again in 1 minute." in page
    assert "tell an administrator that somebody is guessing" in page
    assert "The buttons above" not in page
    problem_of(APIClient().post(TOKEN, {"username": "ada", "password": "ada"}), 429, "rate_limited")


def test_who_is_locked_out_is_shown_the_other_way_in(settings: Any, company: None, ada: User) -> None:
    settings.PASSWORD_SIGN_IN = True
    FailedSignIn.objects.bulk_create(FailedSignIn(account="ada", address="192.0.2.1") for _ in range(5))
    page = Client().post("/sign-in", {"username": "ada", "password": "ada"}).content.decode()
    assert "The buttons above work meanwhile." in page


def test_addresses_of_one_ipv6_network_share_their_hundred(settings: Any, ada: User) -> None:
    settings.PASSWORD_SIGN_IN = True
    FailedSignIn.objects.bulk_create(FailedSignIn(account=f"a{n}", address="2001:db8:1:2::/64") for n in range(99))
    client = APIClient()
    wrong = {"username": "eve", "password": "x"}
    assert client.post(TOKEN, wrong, REMOTE_ADDR="2001:db8:1:2::99").status_code == 401
    right = {"username": "ada", "password": "ada"}
    assert client.post(TOKEN, right, REMOTE_ADDR="2001:db8:1:2:abcd::1").status_code == 429
    assert client.post(TOKEN, right, REMOTE_ADDR="2001:db8:1:3::1").status_code == 200


@pytest.mark.usefixtures("company")
def test_other_limits_for_passwords_can_be_set(limits: Limits, settings: Any, ada: User) -> None:
    settings.PASSWORD_SIGN_IN = True
    limits("password_account=2/1h", "password_address=off")
    wrong = {"username": "ada", "password": "x"}
    assert [APIClient().post(TOKEN, wrong).status_code for _ in range(3)] == [401, 401, 429]
    noted = AuditEvent.objects.filter(action="sign_in.failed").order_by("id")
    assert [row.details.get("tries", row.details["reason"]) for row in noted] == [1, 2, "rate_limited"]


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_changes_of_the_profile_are_limited_in_both_faces(
    limits: Limits, ada: User, eve: User, browser: Callable[..., Client]
) -> None:
    limits("profile_changes=2/1h")
    update_profile(ada, full_name="one")
    update_profile(ada, full_name="two")
    update_profile(ada, full_name="two")  # changes nothing, so it does not count
    client = browser(ada)
    problem_of(client.patch(ME, {"full_name": "three"}, content_type="application/json"), 429, "rate_limited")
    answered = client.post("/profile", {"full_name": "three", "language": "", "time_zone": ""})
    assert "Too many requests of this kind" in answered.content.decode()
    ada.refresh_from_db()
    assert ada.full_name == "two"
    update_profile(eve, full_name="one")


def test_requests_for_approval_are_limited_and_open_models_are_not(limits: Limits, ada: User) -> None:
    limits("subscription_requests=2/1h")
    for number in range(4):
        Model.objects.create(id=f"open-{number}", provider="openai", mode="chat")
        Model.objects.create(id=f"restricted-{number}", provider="openai", mode="chat", restricted=True)
        create_subscription(ada, model=f"open-{number}")
    first = create_subscription(ada, model="restricted-0")
    create_subscription(ada, model="restricted-1")
    with pytest.raises(RateLimited):
        create_subscription(ada, model="restricted-2")
    Subscription.objects.filter(pk=first.pk).update(status="denied")
    with pytest.raises(RateLimited):
        request_review(ada, subscription_id=first.pk, message="please")
    assert Subscription.objects.get(pk=first.pk).status == "denied"


def test_decisions_about_many_are_limited(limits: Limits, ann: User) -> None:
    limits("bulk_decisions=1/1h")
    decide_subscriptions(ann, ids=[], action="approve", reason="")
    with pytest.raises(RateLimited):
        decide_subscriptions(ann, ids=[], action="approve", reason="")


def test_downloads_of_the_audit_log_are_limited_and_recorded(
    limits: Limits, ro: User, browser: Callable[..., Client]
) -> None:
    limits("audit_exports=2/1h")
    address = reverse("admin:accounts_auditevent_export")
    for query in ({"action": "user.created", "q": ""}, {}):
        file: Any = browser(ro).get(address, query)
        assert file.getvalue().startswith(b"id,at,")
    refused = browser(ro).get(address)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    entries = AuditEvent.objects.filter(action="audit.exported", actor_id=ro.pk).order_by("id")
    assert [entry.details for entry in entries] == [{"filters": {"action": "user.created"}}, {"filters": {}}]


# --- Ways in, and who changes them -----------------------------------------------------------------------------------


def test_pairs_of_tokens_are_limited_for_each_account_and_each_sign_in(
    limits: Limits, settings: Any, ada: User, eve: User
) -> None:
    settings.PASSWORD_SIGN_IN = True
    limits("tokens_issued=2/1h")
    client, mine = APIClient(), {"username": "ada", "password": "ada"}
    first, second = (client.post(TOKEN, mine).json() for _ in range(2))
    problem_of(client.post(TOKEN, mine), 429, "rate_limited")
    assert RefreshFamily.objects.filter(user=ada).count() == 2
    assert client.post(TOKEN, {"username": "eve", "password": "eve"}).status_code == 200
    pair = first
    for _ in range(2):
        pair = client.post(REFRESH, {"refresh": pair["refresh"]}).json()
    refused = client.post(REFRESH, {"refresh": pair["refresh"]})
    problem_of(refused, 429, "rate_limited")
    assert int(refused["Retry-After"]) > 0
    assert client.post(REFRESH, {"refresh": second["refresh"]}).status_code == 200
    assert me(pair["access"]).status_code == 200


def test_pairs_of_tokens_are_limited_for_each_address(limits: Limits, settings: Any, ada: User) -> None:
    settings.PASSWORD_SIGN_IN = True
    limits("tokens_issued_address=1/1h")
    client, mine = APIClient(), {"username": "ada", "password": "ada"}
    pair = client.post(TOKEN, mine).json()
    problem_of(client.post(TOKEN, mine), 429, "rate_limited")
    problem_of(client.post(REFRESH, {"refresh": pair["refresh"]}), 429, "rate_limited")
    assert client.post(TOKEN, mine, REMOTE_ADDR="198.51.100.7").status_code == 200


def test_changes_of_who_may_what_are_limited_in_both_faces(
    limits: Limits, ada: User, ann: User, browser: Callable[..., Client]
) -> None:
    limits("access_changes=2/1h")
    api, client = APIClient(), browser(ann)
    api.force_authenticate(ann)
    address = f"/api/v1/users/{ada.pk}"
    for number in (5, 6):
        assert api.patch(address, {"rpm_limit": number}, format="json").status_code == 200
    problem_of(api.patch(address, {"roles": ["admin"]}, format="json"), 429, "rate_limited")
    problem_of(api.post(f"{address}/offboard", {}, format="json"), 429, "rate_limited")
    pages = [reverse(f"admin:accounts_user_{verb}", args=[ada.pk]) for verb in ("roles", "deactivate", "link")]
    for page in (*pages, reverse("admin:accounts_user_changelist")):
        answered = client.post(page, {"action": "deactivate", "confirmed": "1"}, follow=True)
        assert "Too many requests of this kind" in answered.content.decode(), page
    assert [client.get(page).status_code for page in pages] == [200] * 3
    ada.refresh_from_db()
    assert (ada.roles, ada.is_active, ada.rpm_limit) == (["user"], True, 6)


def test_making_tokens_and_ending_sessions_is_limited(
    limits: Limits, ada: User, browser: Callable[..., Client]
) -> None:
    limits("access_changes=2/1h")
    client = browser(ada)
    for name in ("a", "b"):
        made = client.post("/api/v1/me/tokens", {"name": name, "scope": "read"}, content_type="application/json")
        assert made.status_code == 201
    problem_of(client.post("/api/v1/me/tokens", {"name": "c", "scope": "read"}), 429, "rate_limited")
    problem_of(client.delete("/api/v1/me/sessions"), 429, "rate_limited")
    answered = client.post("/profile/sessions/end-others", follow=True)
    assert "Too many requests of this kind" in answered.content.decode()
    assert client.post("/sign-out").status_code == 302
