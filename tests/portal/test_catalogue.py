"""The pages of the catalogue: filters in the address, my access to a model, decisions in place, one subscription."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from subscriptions.models import Availability, Model, Subscription, SubscriptionStatus
from subscriptions.services import create_subscription, deny_subscription
from tests.cast import make_person
from tests.portal.conftest import Browser
from tests.portal.test_pages import body, check_outline


@pytest.fixture
def varied(db: None) -> list[Model]:
    """Four models that differ in everything that one can filter by."""
    rows: list[dict[str, Any]] = [
        {"id": "alpha", "provider": "p1", "capabilities": ["vision"], "input_cost_per_token": 0},
        {"id": "beta", "provider": "p2", "capabilities": ["vision", "reasoning"], "input_cost_per_token": "0.000001"},
        {"id": "gamma", "provider": "p3", "mode": "embedding", "input_cost_per_token": "0.00001", "context_length": 9},
        {"id": "delta", "provider": "p1", "description": "Knows no price", "context_length": 5},
    ]
    return [Model.objects.create(**{"mode": "chat", **row}) for row in rows]


@pytest.fixture
def pending(ada: User, models: list[Model]) -> Subscription:
    """Ada asked for a restricted model."""
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    return create_subscription(ada, model="gpt-4o", justification="A study of <whales>")


def shown(client: Client, query: str) -> list[str]:
    """The models of the first page."""
    return [model.id for model in client.get(f"/models?{query}").context["page"].object_list]


def page_of(subscription: Subscription, name: str = "subscription") -> str:
    """The address of a subscription's page."""
    return reverse(name, kwargs={"subscription_id": subscription.pk})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["alpha", "beta", "delta", "gamma"]),
        ("provider=p1", ["alpha", "delta"]),
        ("provider=p1&provider=p2&provider=gone", ["alpha", "beta", "delta"]),
        ("capability=vision", ["alpha", "beta"]),
        ("capability=vision&capability=reasoning", ["beta"]),
        ("mode=embedding", ["gamma"]),
        ("max_input_cost=free", ["alpha"]),
        ("max_input_cost=1", ["alpha", "beta"]),
        ("max_input_cost=20", ["alpha", "beta", "gamma"]),
        ("q=PRICE", ["delta"]),
        ("availability=unavailable", []),
        ("mine=1", ["beta"]),
        ("mine=0", ["alpha", "delta", "gamma"]),
        ("provider=p2&capability=vision&mine=1&max_input_cost=5&mode=chat&q=bet", ["beta"]),
        ("sort=-name", ["gamma", "delta", "beta", "alpha"]),
        ("sort=provider", ["alpha", "delta", "beta", "gamma"]),
        ("sort=input", ["alpha", "beta", "gamma", "delta"]),
        ("sort=-input", ["gamma", "beta", "alpha", "delta"]),
        ("sort=-context", ["gamma", "delta", "alpha", "beta"]),
        ("sort=context", ["delta", "gamma", "alpha", "beta"]),
        ("max_input_cost=nonsense&mine=7&availability=x&mode=x&sort=x&q=%00", ["alpha", "beta", "delta", "gamma"]),
    ],
)
def test_the_catalogue_is_narrowed_and_sorted_by_its_address(
    browser: Browser, ada: User, varied: list[Model], query: str, expected: list[str]
) -> None:
    create_subscription(ada, model="beta")
    assert shown(browser(ada), query) == expected


def test_active_filters_are_shown_and_each_can_be_taken_away(browser: Browser, ada: User, varied: list[Model]) -> None:
    client = browser(ada)
    response = client.get("/models?q=&provider=p1&provider=p2&capability=vision&sort=input&page=1")
    chips = {f"{chip.label}: {chip.words}": chip.url for chip in response.context["chips"]}
    assert chips == {
        "Provider: p1": "?provider=p2&capability=vision&sort=input",
        "Provider: p2": "?provider=p1&capability=vision&sort=input",
        "Can do: vision": "?provider=p1&provider=p2&sort=input",
    }
    assert 'href="?provider=p2&amp;capability=vision&amp;sort=input"' in body(response)
    assert "Clear filters" in body(response)
    assert "Clear filters" not in body(client.get("/models?sort=input"))
    check_outline(response)


def test_the_number_is_announced_and_htmx_gets_a_clean_address(
    browser: Browser, ada: User, varied: list[Model]
) -> None:
    client = browser(ada)
    query = "/models?q=&provider=p1&mode=&max_input_cost=&sort="
    response = client.get(query, headers={"HX-Request": "true"})
    assert response["HX-Push-Url"] == "/models?provider=p1"
    assert re.search(r'id="count"[^>]* role="status">2 models<', body(response))
    assert client.get("/models?q=&sort=", headers={"HX-Request": "true"})["HX-Push-Url"] == "/models"
    assert "HX-Push-Url" not in client.get(query).headers


def test_trap_39_the_catalogue_is_paged_to_its_end_with_its_filters(browser: Browser, ada: User) -> None:
    Model.objects.bulk_create(
        Model(id=f"m{number:03}", provider=f"p{number % 2}", mode="chat") for number in range(120)
    )
    client, seen, url = browser(ada), [], "/models?provider=p1"
    while url:
        response = client.get(url)
        seen += [model.id for model in response.context["page"].object_list]
        found = re.search(r'rel="next" href="([^"]+)"', body(response))
        url = f"/models{found[1].replace('&amp;', '&')}" if found else ""
    assert seen == [f"m{number:03}" for number in range(120) if number % 2]


def test_an_empty_catalogue_says_why(browser: Browser, ada: User) -> None:
    client = browser(ada)
    assert "There are no models yet" in body(client.get("/models"))
    Model.objects.create(id="m", provider="p", mode="chat")
    assert "No model fits" in body(client.get("/models?q=zzz"))


def test_models_that_are_gone_are_marked_for_who_has_them(
    browser: Browser, ada: User, eve: User, subscribed: list[Subscription]
) -> None:
    Model.objects.filter(pk="gpt-4o").update(availability=Availability.UNAVAILABLE)
    assert shown(browser(ada), "availability=unavailable") == ["gpt-4o"]
    assert body(browser(ada).get("/models?q=gpt-4o&availability=unavailable")).count(">Unavailable<") >= 1
    assert "does not list this model at present" in body(browser(ada).get("/models/gpt-4o"))
    assert "gpt-4o" not in shown(browser(eve), "")
    assert browser(eve).get("/models/gpt-4o").status_code == 404


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_the_model_page_offers_the_next_action(
    browser: Browser, ada: User, key: ApiKey, status: SubscriptionStatus
) -> None:
    Subscription.objects.filter(model="gpt-4o").update(status=status, reason="" if status == "active" else "Too dear")
    page = body(browser(ada).get("/models/gpt-4o"))
    assert ("Create a key" in page) == (status == "active")
    assert ("Your keys with this model" in page) == (status == "active")
    assert (reverse("api-key", kwargs={"key_id": key.pk}) in page) == (status == "active")
    assert (">Ask again<" in page) == (status == "denied")
    assert ("Too dear" in page) == (status != "active")
    assert ("waits for an administrator" in page) == (status == "pending")


def test_the_model_page_shows_siblings_and_nothing_of_others(
    browser: Browser, ada: User, eve: User, key: ApiKey
) -> None:
    Model.objects.create(id="other", provider="acme", mode="chat")
    page = body(browser(ada).get("/models/gpt-4o"))
    assert "/models/gpt-4o-mini" in page
    assert "/models/other" not in page
    assert "notebook" not in body(browser(eve).get("/models/gpt-4o"))
    assert "Not subscribed" not in page


def test_administrators_alone_restrict_on_the_model_page(
    browser: Browser, ann: User, ro: User, subscribed: list[Subscription]
) -> None:
    assert "Require approval" not in body(browser(ro).get("/models/gpt-4o"))
    client = browser(ann)
    assert "Require approval" in body(client.get("/models/gpt-4o"))
    response = client.post(reverse("model-restrict"), {"model": "gpt-4o", "restricted": "1"}, follow=True)
    assert "New subscriptions to “gpt-4o” need approval from now on." in body(response)
    assert "Open to everybody" in body(response)
    assert Subscription.objects.filter(status="active").count() == 3
    assert client.post(reverse("model-restrict"), {"model": "gpt-4o", "restricted": "x"}).status_code == 302
    assert Model.objects.get(pk="gpt-4o").restricted


def test_administrators_decide_in_place(browser: Browser, ann: User, ro: User, pending: Subscription) -> None:
    url = "/subscriptions?of=everybody&status=pending"
    assert "formaction" not in body(browser(ro).get(url))
    client = browser(ann)
    page = client.get(url)
    check_outline(page)
    assert "A study of &lt;whales&gt;" in body(page)
    assert page_of(pending, "subscription-approve") in body(page)
    refused = client.post(page_of(pending, "subscription-deny"), {"reason": " ", "next": url})
    assert refused.status_code == 422
    assert "This field is required." in body(refused)
    check_outline(refused)
    done = client.post(page_of(pending, "subscription-deny"), {"reason": "Too dear", "next": url}, follow=True)
    assert done.redirect_chain == [(url, 302)]
    assert "You denied “gpt-4o” to ada, who sees the reason." in body(done)
    assert "No subscription fits" in body(done)
    late = client.post(
        page_of(pending, "subscription-approve"),
        {"next": url},
        follow=True,
        headers={"Referer": f"http://testserver{url}"},
    )
    assert "was decided meanwhile: Denied." in body(late)
    again = client.post(page_of(pending, "subscription-deny"), {"reason": "No", "next": url})
    assert (again.status_code, "was decided meanwhile" in body(again)) == (422, True)
    assert Subscription.objects.get().reason == "Too dear"


def test_approving_in_place_tells_the_person(browser: Browser, ada: User, ann: User, pending: Subscription) -> None:
    url = page_of(pending, "subscription-approve")
    too_long = browser(ann).post(url, {"reason": "x" * 1001})
    assert too_long.status_code == 422
    done = browser(ann).post(url, {"reason": "Up to June", "next": "https://evil.example/"}, follow=True)
    assert done.redirect_chain == [("/subscriptions", 302)]
    assert "ada can use “gpt-4o” now." in body(done)
    assert "Up to June" in body(browser(ada).get(page_of(pending)))


def test_a_denied_person_reads_why_and_asks_again(
    browser: Browser, ada: User, ann: User, pending: Subscription
) -> None:
    deny_subscription(ann, subscription_id=pending.pk, reason="Too dear")
    client = browser(ada)
    assert "Too dear" in body(client.get("/subscriptions"))
    page = client.get(page_of(pending))
    check_outline(page)
    assert ("Too dear" in body(page), "Take the request back" in body(page)) == (True, False)
    empty = client.post(page_of(pending, "subscription-review"), {"message": ""})
    assert empty.status_code == 422
    check_outline(empty)
    done = client.post(page_of(pending, "subscription-review"), {"message": "Cheaper <now>"}, follow=True)
    assert "You asked again for “gpt-4o”." in body(done)
    assert "Cheaper &lt;now&gt;" in body(done)
    assert "Review of a denial requested" in body(done)
    assert "Denied before: Too dear" in re.sub(r"\s+", " ", body(client.get("/subscriptions")))
    referer = {"Referer": f"http://testserver{page_of(pending)}"}
    again = client.post(page_of(pending, "subscription-review"), {"message": "And?"}, follow=True, headers=referer)
    assert again.redirect_chain == [(page_of(pending), 302)]
    assert "Only a subscription that was denied can be reviewed again." in body(again)


@pytest.mark.parametrize(
    ("who", "name", "wrong", "home"),
    [
        ("ann", "subscription-approve", {"reason": "x" * 1001}, "subscription"),
        ("ada", "subscription-create", {"model": "gpt-4o", "justification": "x" * 1001}, "models"),
        ("ann", "model-restrict", {"model": "gpt-4o", "restricted": "x"}, "models"),
        ("ada", "subscription-review", {"message": ""}, "subscription"),
    ],
)
def test_a_refused_form_may_be_reloaded_and_keeps_the_switches_usable(
    browser: Browser, pending: Subscription, ada: User, ann: User, *, who: str, name: str, wrong: Any, home: str
) -> None:
    ids = {"subscription_id": pending.pk}
    of_one = {"subscription", "subscription-approve", "subscription-review"}
    url, where = (reverse(one, kwargs=ids if one in of_one else None) for one in (name, home))
    client = browser({"ada": ada, "ann": ann}[who])
    assert client.post(url, wrong).status_code in {302, 422}
    reloaded = client.get(url, follow=True)
    assert (reloaded.redirect_chain, reloaded.status_code) == ([(where, 302)], 200)
    switched = client.post("/theme", {"theme": "dark", "next": url}, follow=True)
    assert (switched.redirect_chain[-1], switched.status_code) == ((where, 302), 200)


def test_a_subscription_shows_its_keys_and_who_did_what(
    browser: Browser, ann: User, eve: User, key: ApiKey, subscribed: list[Subscription]
) -> None:
    ada = key.user
    page = body(browser(ada).get(page_of(subscribed[0])))
    assert reverse("api-key", kwargs={"key_id": key.pk}) in page
    assert re.search(r"Subscribed\s*<span class=\"muted\">by ada</span>", page)
    assert "Subscription of ada" in body(browser(ann).get(page_of(subscribed[0])))
    assert browser(eve).get(page_of(subscribed[0])).status_code == 404
    assert "No key uses this model." in body(browser(ada).get(page_of(subscribed[1])))


def test_cancelling_names_the_keys_with_their_links_before_anything_is_sent(
    browser: Browser, ada: User, key: ApiKey, subscribed: list[Subscription]
) -> None:
    page = body(browser(ada).get(page_of(subscribed[0], "subscription-cancel")))
    assert reverse("api-key", kwargs={"key_id": key.pk}) in page
    assert 'type="submit">Cancel' not in page
    Subscription.objects.update(status=SubscriptionStatus.DENIED)
    page = body(browser(ada).get(page_of(subscribed[1], "subscription-cancel")))
    assert "cannot be cancelled" in page


def test_subscriptions_are_narrowed_and_sorted(browser: Browser, ann: User, subscribed: list[Subscription]) -> None:
    Model.objects.filter(pk="claude-sonnet").update(provider="anthropic")
    create_subscription(make_person("zoe"), model="gpt-4o")
    Subscription.objects.filter(pk=subscribed[1].pk).update(status="expired")
    client = browser(ann)

    def found(query: str) -> list[str]:
        rows = client.get(f"/subscriptions?of=everybody&{query}").context["page"].object_list
        return [f"{row.user.username} {row.model_id}" for row in rows]

    assert found("") == ["zoe gpt-4o", "ada claude-sonnet", "ada gpt-4o-mini", "ada gpt-4o"]
    assert found("sort=created") == found("")[::-1]
    assert found("sort=person")[0] == "ada claude-sonnet"
    assert found("sort=-model")[0] == "ada gpt-4o-mini"
    assert found("q=zoe") == ["zoe gpt-4o"]
    assert found("status=expired") == ["ada gpt-4o-mini"]
    assert found("provider=anthropic") == ["ada claude-sonnet"]
    assert len(found("provider=x&status=y&sort=z")) == 4
    assert client.get("/subscriptions").context["page"].paginator.count == 0
    (chip,) = client.get("/subscriptions?of=everybody&status=expired&sort=created").context["chips"]
    assert (chip.label, chip.words, chip.url) == ("Status", "Expired", "?sort=created&of=everybody")


def statements(client: Client, url: str) -> int:
    """How many statements a page needs; the first visit warms what is kept for good."""
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_number_of_statements_is_small_and_does_not_depend_on_the_rows(
    browser: Browser, ada: User, ann: User, key: ApiKey, subscribed: list[Subscription]
) -> None:
    urls = {
        "/models?provider=openai&sort=input": ada,
        "/models/gpt-4o": ada,
        "/subscriptions": ada,
        "/subscriptions?of=everybody&status=pending": ann,
        page_of(subscribed[0]): ada,
    }
    Model.objects.create(id="r0", provider="openai", mode="chat", restricted=True)
    create_subscription(ada, model="r0")
    few = {url: statements(browser(who), url) for url, who in urls.items()}
    assert max(few.values()) <= 10, few
    for number in range(30):
        Model.objects.create(id=f"m{number}", provider="openai", mode="chat", capabilities=["vision"])
        create_subscription(ada, model=f"m{number}")
        create_api_key(ada, name=f"key {number}", models=[f"m{number}", "gpt-4o"])
        person = make_person(f"p{number}")
        create_subscription(person, model="r0")
    assert {url: statements(browser(who), url) for url, who in urls.items()} == few
