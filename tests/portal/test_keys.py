"""The pages of API keys: making one, seeing its secret once, ending it."""

import html
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.services import IssuedKey, create_api_key
from litellm_sync.emulator.server import Emulator
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.models import Membership, Team
from tests.cast import make_person
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


def _names(response: Any) -> list[str]:
    """The names of the keys on a page, in their order."""
    return [key.name for key in response.context["page"]]


@pytest.fixture
def many(ada: User, subscribed: list[Subscription]) -> Team:
    """Seven keys of Ada's in several states, one of them charged to another team, which is returned."""
    team: Team = Team.objects.create(name="Research")
    Membership.objects.create(team=team, user=ada)
    soon = timezone.now() + timedelta(days=2)
    wishes: dict[str, dict[str, Any]] = {
        "blocked": {}, "expiring": {"expires_at": soon}, "failed": {}, "fine": {}, "fine too": {"team": team.pk},
        "modelless": {"models": ["claude-sonnet"]}, "nothing": {"max_budget": 0}, "spent": {"max_budget": 10},
    }  # fmt: skip
    for name, wish in wishes.items():
        create_api_key(ada, name=name, **{"models": ["gpt-4o"], **wish})
    ApiKeySecret.objects.update(sync_status="synced")
    ApiKeySecret.objects.filter(key__name="failed").update(sync_status="failed")
    ApiKey.objects.filter(name="blocked").update(status="blocked")
    ApiKey.objects.filter(name="spent").update(spend=8)
    Subscription.objects.filter(model="claude-sonnet").update(status="suspended")
    return team


def test_list_is_filtered_by_everything_that_it_shows(browser: Browser, ada: User, many: Team) -> None:
    client = browser(ada)

    def names(**query: Any) -> list[str]:
        return _names(client.get("/api-keys", {"sort": "name", **query}))

    everything = ["blocked", "expiring", "failed", "fine", "fine too", "modelless", "nothing", "spent"]
    assert names() == everything
    assert names(status="attention") == ["blocked", "expiring", "failed", "modelless", "nothing", "spent"]
    assert names(status="blocked") == ["blocked"]
    assert names(sync="failed") == ["failed"]
    assert names(sync="synced") == [name for name in everything if name != "failed"]
    assert names(sync="pending") == []
    assert names(model="claude-sonnet") == ["modelless"]
    assert names(team=str(many.pk)) == ["fine too"]
    assert names(team=str(many.pk), model="claude-sonnet") == []
    assert names(q="FINE") == ["fine", "fine too"]
    assert names(sort="spend")[0] == "spent"
    assert names(sort="expires")[0] == "expiring"
    assert names(model="unheard-of", team="nonsense", sync="nonsense", sort="nonsense") == everything[::-1]
    page = client.get("/api-keys").content.decode()
    assert "No usable model" in page
    assert "Over 80 % of budget" in page


def test_trap_39_list_pages_to_its_end_and_keeps_its_filters(
    browser: Browser, ada: User, subscribed: list[Subscription]
) -> None:
    KeyPolicy.objects.create(keys_per_user=100, creations_per_hour=100)
    for number in range(60):
        create_api_key(ada, name=f"k{number:02}", models=["gpt-4o" if number % 2 else "gpt-4o-mini"])
    client, url, seen = browser(ada), "/api-keys?model=gpt-4o&sort=name", []
    while url:
        response = client.get(url)
        seen += _names(response)
        page = response.content.decode()
        assert "of 30" in page
        following = re.search(r'rel="next" href="([^"]+)"', page)
        url = f"/api-keys{html.unescape(following[1])}" if following else ""
    assert seen == [f"k{number:02}" for number in range(1, 60, 2)]


def test_administrators_find_a_person_among_everybodys_keys(
    browser: Browser, ann: User, ada: User, eve: User, key: ApiKey
) -> None:
    create_subscription(eve, model="gpt-4o")
    create_api_key(eve, name="hers", models=["gpt-4o"])
    for who in (ann, make_person("rob", Role.ADMIN_READONLY)):
        client = browser(who)
        assert set(_names(client.get("/api-keys?of=everybody"))) == {"notebook", "hers"}
        assert _names(client.get("/api-keys?of=everybody&person=EV")) == ["hers"]
        assert _names(client.get("/api-keys?person=eve")) == []  # among one's own there is nobody else to find
    assert _names(browser(ada).get("/api-keys?of=everybody&person=eve")) == ["notebook"]


def test_readers_are_offered_no_buttons(browser: Browser, ro: User, ann: User, key: ApiKey) -> None:
    offered = {}
    for who in (ro, ann):
        page = browser(who).get("/api-keys?of=everybody").content.decode()
        offered[who.username] = [word for word in ("/edit", "/revoke", "/create") if word in page]
    assert offered == {"ro": [], "ann": ["/edit", "/revoke", "/create"]}


@pytest.mark.usefixtures("litellm")
@pytest.mark.django_db(transaction=True)
def test_the_call_on_the_page_of_the_secret_runs_as_it_is(
    browser: Browser, ada: User, subscribed: list[Subscription]
) -> None:
    curl, python, javascript = browser(ada).post(CREATE, creation(ada)).context["examples"]
    command = ["/bin/bash", "-c", f"{curl.code} --fail --silent"]
    ran = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert json.loads(ran.stdout)["choices"][0]["message"]["content"]
    compile(python.code, "example", "exec")
    assert "await client.chat.completions.create" in javascript.code


def test_many_models_can_be_searched(browser: Browser, ada: User, subscribed: list[Subscription]) -> None:
    assert "Search the models" not in browser(ada).get(CREATE).content.decode()
    for number in range(12):
        Model.objects.create(id=f"m{number}", provider="p", mode="chat")
        create_subscription(ada, model=f"m{number}")
    page = browser(ada).get(CREATE).content.decode()
    assert "Search the models" in page
    assert "js/keys.js" in page


def test_detail_says_which_models_work(browser: Browser, ada: User, key: ApiKey) -> None:
    Subscription.objects.filter(user=ada, model="gpt-4o").update(status="suspended")
    page = browser(ada).get(reverse("api-key", kwargs={"key_id": key.pk})).content.decode()
    assert page.count("Usable now") == 1
    assert page.count("Not usable now") == 1
