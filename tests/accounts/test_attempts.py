"""Several tabs that sign in at the same time, and what a session may that its provider has not confirmed for long."""

import time
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as product
from django.test import Client

from accounts.attempts import MOST
from accounts.models import SignInAttempt
from litemaas.foundation import rate_limits
from tests.answers import problem_of
from tests.races import at_once, real_transactions
from tests.sign_in import Company, assert_refused, is_signed_in

__all__ = ["real_transactions"]

pytestmark = pytest.mark.django_db

ME = "/api/v1/me"


def make_due(client: Client, *, ago: float) -> None:
    """The provider should have confirmed its session some seconds ago."""
    session = client.session
    session["provider"] = session["provider"] | {"renew_at": time.time() - ago}
    session.save()


def tab_of(client: Client) -> Client:
    """Another tab of the same browser."""
    tab = Client(raise_request_exception=False)
    tab.cookies = client.cookies
    return tab


# --- Tabs ------------------------------------------------------------------------------------------------------------


def test_tabs_that_leave_after_one_another_all_come_back(company: Company) -> None:
    addresses = [company.server.authorize(company.leave(next=f"/usage?days={n}")) for n in (7, 30)]
    assert company.come_back(addresses[1])["Location"] == "/usage?days=30"
    # The first tab comes back after the session got a new key.
    assert company.come_back(addresses[0])["Location"] == "/usage?days=7"


@pytest.mark.usefixtures("real_transactions")
def test_tabs_that_leave_at_the_same_moment_all_come_back(company: Company) -> None:
    company.sign_in()
    make_due(company.client, ago=1)

    def leave(turn: int) -> str:
        return company.leave(tab_of(company.client), next=f"/usage?days={turn + 1}", prompt="none")

    there = at_once(6, leave)
    back = [company.come_back(company.server.authorize(address)) for address in there]
    assert [response["Location"] for response in back] == [f"/usage?days={n}" for n in range(1, 7)]
    assert is_signed_in(company.client)


@pytest.mark.usefixtures("real_transactions")
def test_answer_that_comes_twice_at_the_same_moment_is_good_once(company: Company) -> None:
    address = company.server.authorize(company.leave())
    statuses = at_once(4, lambda _turn: company.come_back(address, tab_of(company.client)).status_code)
    assert sorted(statuses) == [302, 400, 400, 400]


def test_attempts_of_a_browser_are_bounded(company: Company) -> None:
    first = company.server.authorize(company.leave())
    others = [company.leave() for _ in range(MOST)]
    assert SignInAttempt.objects.count() == MOST
    assert_refused(company, company.come_back(first), 400, "sign_in_unknown")
    assert company.come_back(company.server.authorize(others[0])).status_code == 302


def test_nothing_of_an_attempt_stands_in_the_database_in_clear(company: Company) -> None:
    company.leave(next="/usage?secret=place")
    row = str(SignInAttempt.objects.values().get())
    browser = company.client.session["sign_in_browser"]
    state, *_rest = company.leave().partition("&state=")[2].split("&")
    for secret in ("/usage", browser, state):
        assert secret not in row


def test_attempt_that_cannot_be_read_any_more_is_told_as_too_old(company: Company, settings: Any) -> None:
    address = company.server.authorize(company.leave())
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert_refused(company, company.come_back(address), 400, "sign_in_expired")


# --- Confirmation that is overdue ------------------------------------------------------------------------------------


def test_forms_and_programs_wait_for_a_confirmation_that_is_long_overdue(company: Company) -> None:
    company.sign_in()
    grace: float = product.RENEWAL_GRACE.total_seconds()
    make_due(company.client, ago=grace - 60)
    assert company.client.get(ME).status_code == 200
    assert company.client.post("/subscriptions/create", {"model": "gpt-4o"}).status_code != 401
    make_due(company.client, ago=grace + 60)
    problem_of(company.client.get(ME), 401, "session_unconfirmed")
    refused = company.client.post("/subscriptions/create", {"model": "gpt-4o"})
    assert refused.status_code == 401
    assert "has to be confirmed" in refused.content.decode()
    assert company.client.post("/theme", {"theme": "dark"}).status_code == 302  # what everybody may
    # A page asks the provider, and everything goes on.
    there = company.client.get(company.client.get("/usage")["Location"])["Location"]
    assert company.come_back(company.server.authorize(there))["Location"] == "/usage"
    assert company.client.get(ME).status_code == 200


def test_session_of_a_provider_that_is_away_goes_on_when_a_page_has_asked(company: Company) -> None:
    company.sign_in()
    make_due(company.client, ago=product.RENEWAL_GRACE.total_seconds() + timedelta(minutes=1).total_seconds())
    problem_of(company.client.get(ME), 401, "session_unconfirmed")
    company.server.instead["/.well-known/openid-configuration"] = (503, {})
    from_there = company.client.get(company.client.get("/usage")["Location"])
    assert from_there.status_code == 302


def test_strangers_behind_the_same_address_stop_nobodys_work(company: Company, settings: Any) -> None:
    settings.RATE_LIMITS = rate_limits.read(["sign_in_starts=2/1h"])
    company.sign_in()
    assert [Client().get("/sign-in/company").status_code for _ in range(2)] == [302, 429]
    make_due(company.client, ago=1)
    there = company.client.get(company.client.get("/usage")["Location"])["Location"]
    assert company.come_back(company.server.authorize(there))["Location"] == "/usage"
    assert company.client.get("/usage").status_code == 200


def test_who_asks_for_too_many_confirmations_is_let_through_for_as_long_as_forms_are(
    company: Company, settings: Any
) -> None:
    settings.RATE_LIMITS = rate_limits.read(["session_confirmations=1/1h"])
    company.sign_in()
    make_due(company.client, ago=1)
    addresses = [company.client.get("/sign-in/company?prompt=none&next=/usage")["Location"] for _ in range(2)]
    assert addresses[0].startswith(company.server.url)
    assert addresses[1] == "/usage"
    assert company.client.get("/usage").status_code == 200
    # That it was asked and nobody answered is no confirmation.
    make_due(company.client, ago=product.RENEWAL_GRACE.total_seconds() + 60)
    problem_of(company.client.get(ME), 401, "session_unconfirmed")
    session = company.client.session
    session["provider"] = session["provider"] | {"ask_at": 0}
    session.save()
    assert company.client.get("/sign-in/company?prompt=none&next=/usage").status_code == 401


def test_sign_in_with_a_password_needs_no_confirmation(company: Company, ada: Any, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = True
    company.client.post("/sign-in", {"username": "ada", "password": "ada"})
    assert company.client.get(ME).status_code == 200
