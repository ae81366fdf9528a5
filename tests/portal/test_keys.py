"""The pages of API keys: making one, seeing its secret once, ending it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey, KeyPolicy
from apikeys.services import IssuedKey
from litellm_sync.emulator.server import Emulator
from subscriptions.models import Subscription
from tests.portal.conftest import Browser, creation, pages_of

CREATE = "/api-keys/create"


@pytest.mark.usefixtures("litellm")
@pytest.mark.django_db(transaction=True)
def test_secret_is_shown_once_with_calls_that_fit(
    browser: Browser, litellm: Emulator, ada: User, subscribed: list[Subscription]
) -> None:
    client = browser(ada)
    response = client.post(CREATE, creation(ada))
    page = response.content.decode()
    key = ApiKey.objects.get()
    secret = response.context["secret"]
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert page.count(secret) == 4  # the box, curl, Python, JavaScript
    assert f"curl {litellm.url}/v1/chat/completions" in page
    assert "is ready" in page
    for url in pages_of(key, subscribed[0]):
        assert secret not in client.get(url).content.decode(), url


def test_page_says_that_the_key_will_work_later(browser: Browser, ada: User, subscribed: list[Subscription]) -> None:
    page = browser(ada).post(CREATE, creation(ada)).content.decode()
    assert "LiteLLM is not reachable; your key is saved and will start working when it is back." in page


@pytest.mark.usefixtures("subscribed")
def test_empty_limits_get_the_defaults_of_the_policy(browser: Browser, ada: User) -> None:
    KeyPolicy.objects.create(default_max_budget=Decimal(7), maximum_rpm_limit=50, default_expires_days=20)
    page = browser(ada).get(CREATE).content.decode()
    assert "Left empty: 7.00." in page
    assert "At most 50." in page
    browser(ada).post(CREATE, creation(ada))
    key = ApiKey.objects.get()
    assert (key.max_budget, key.rpm_limit, key.tpm_limit) == (Decimal(7), 50, None)
    assert key.expires_at is not None
    assert key.expires_at.date() == (timezone.now() + timedelta(days=20)).date()


@pytest.mark.usefixtures("subscribed")
def test_filled_limits_arrive(browser: Browser, ada: User) -> None:
    wish = {"max_budget": "12.5", "budget_duration": "1mo", "tpm_limit": "1000", "rpm_limit": "10"}
    wish |= {"max_parallel_requests": "2", "expires_at": "date", "expires_on": "2099-12-31", "description": "nightly"}
    browser(ada).post(CREATE, creation(ada, models=["gpt-4o", "claude-sonnet"], **wish))
    key = ApiKey.objects.get()
    assert key.model_ids == ["claude-sonnet", "gpt-4o"]
    assert (key.max_budget, key.budget_duration, key.description) == (Decimal("12.5"), "1mo", "nightly")
    assert (key.tpm_limit, key.rpm_limit, key.max_parallel_requests) == (1000, 10, 2)
    assert key.expires_at == datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a\u202eb"}, "invisible character"),
        ({"models": []}, "Choose at least one model."),
        ({"models": ["unheard-of"]}, "Select a valid choice."),
        ({"max_budget": "-1"}, "The budget must be at least 0"),
        ({"max_budget": "99999999999999999999"}, "The budget must be at least 0"),
        ({"rpm_limit": "0"}, "The limit must be between 1"),
        ({"rpm_limit": "many"}, "Enter a whole number."),
        ({"expires_at": "date"}, "Name the date."),
        ({"expires_at": "date", "expires_on": "2001-01-01"}, "The expiry must lie in the future."),
        ({"max_budget": "70"}, "At most 50 is allowed here"),
    ],
)
def test_bad_input_is_answered_422_and_kept(changes: dict[str, Any], message: str, browser: Browser, ada: User) -> None:
    KeyPolicy.objects.create(maximum_max_budget=Decimal(50))
    response = browser(ada).post(CREATE, creation(ada, description="kept as it was", **changes))
    page = response.content.decode()
    assert response.status_code == 422
    assert message in page
    assert "kept as it was" in page
    assert not ApiKey.objects.exists()


@pytest.mark.usefixtures("subscribed")
def test_form_that_is_sent_twice_makes_one_key(browser: Browser, ada: User) -> None:
    client, data = browser(ada), creation(ada)
    assert client.post(CREATE, data).status_code == 200
    again = client.post(CREATE, data)
    assert again.status_code == 422
    assert "sent before" in again.content.decode()
    assert ApiKey.objects.count() == 1


@pytest.mark.usefixtures("subscribed")
def test_ticket_of_somebody_else_is_worth_nothing(browser: Browser, ada: User, eve: User) -> None:
    stolen = {**creation(ada), "ticket": creation(eve)["ticket"]}
    assert browser(ada).post(CREATE, stolen).status_code == 422
    assert browser(ada).post(CREATE, creation(ada, ticket="nonsense")).status_code == 422
    assert not ApiKey.objects.exists()


@pytest.mark.usefixtures("subscribed")
def test_input_that_was_wrong_once_can_be_sent_again(browser: Browser, ada: User) -> None:
    client = browser(ada)
    wrong = client.post(CREATE, creation(ada, max_budget="-1"))
    assert client.post(CREATE, creation(ada, ticket=wrong.context["ticket"])).status_code == 200


def test_too_many_keys_are_refused_in_words(browser: Browser, ada: User, issued: IssuedKey) -> None:
    KeyPolicy.objects.create(keys_per_user=1)
    response = browser(ada).post(CREATE, creation(ada))
    assert response.status_code == 422
    assert "You have 1 active keys, and more are not allowed." in response.content.decode()


def test_without_a_subscription_one_is_told_what_to_do(browser: Browser, ada: User) -> None:
    assert "Subscribe to a model first" in browser(ada).get(CREATE).content.decode()


def test_revoking_asks_first_and_names_the_key(browser: Browser, ada: User, key: ApiKey) -> None:
    client, url = browser(ada), reverse("api-key-revoke", kwargs={"key_id": key.pk})
    assert "Revoke “notebook”?" in client.get(url).content.decode()
    key.refresh_from_db()
    assert key.status == "active"
    page = client.post(url, follow=True).content.decode()
    assert "“notebook” is revoked and refused from now on." in page
    key.refresh_from_db()
    assert key.status == "revoked"
    detail = client.get(reverse("api-key", kwargs={"key_id": key.pk})).content.decode()
    assert detail.count("by ada") == 2  # created, revoked


def test_readers_may_look_but_not_revoke(browser: Browser, ro: User, key: ApiKey) -> None:
    client = browser(ro)
    assert client.get(reverse("api-key", kwargs={"key_id": key.pk})).status_code == 200
    assert client.get(reverse("api-key-revoke", kwargs={"key_id": key.pk})).status_code == 403


def test_list_is_searched_and_filtered_in_the_address(browser: Browser, ada: User, key: ApiKey) -> None:
    client = browser(ada)
    assert "notebook" in client.get("/api-keys?q=NOTE&status=active").content.decode()
    assert "No key fits" in client.get("/api-keys?q=other").content.decode()
    assert "No key fits" in client.get("/api-keys?status=revoked").content.decode()
    assert "notebook" in client.get("/api-keys?status=nonsense&page=nonsense").content.decode()


def test_detail_says_which_models_work(browser: Browser, ada: User, key: ApiKey) -> None:
    Subscription.objects.filter(user=ada, model="gpt-4o").update(status="suspended")
    page = browser(ada).get(reverse("api-key", kwargs={"key_id": key.pk})).content.decode()
    assert page.count("Usable now") == 1
    assert page.count("Not usable now") == 1
