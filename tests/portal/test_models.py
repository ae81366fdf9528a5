"""The pages of the catalogue and of subscriptions."""

from decimal import Decimal

from django.urls import reverse

from accounts.models import User
from apikeys.models import ApiKey
from subscriptions.models import Model, Subscription
from tests.portal.conftest import Browser

SUBSCRIBE = "/subscriptions/create"


def test_subscribing_leads_back_to_the_list(browser: Browser, ada: User, models: list[Model]) -> None:
    client = browser(ada)
    response = client.post(SUBSCRIBE, {"model": "gpt-4o", "next": "/models?q=gpt"}, follow=True)
    assert response.redirect_chain == [("/models?q=gpt", 302)]
    page = response.content.decode()
    assert "You can use “gpt-4o” now." in page
    assert page.count(">Subscribed<") == 1


def test_subscribing_twice_is_told_and_changes_nothing(
    browser: Browser, ada: User, subscribed: list[Subscription]
) -> None:
    client = browser(ada)
    response = client.post(SUBSCRIBE, {"model": "gpt-4o"}, headers={"Referer": "http://testserver/models"}, follow=True)
    assert "You have subscribed to “gpt-4o” already." in response.content.decode()
    assert Subscription.objects.count() == len(subscribed)


def test_restricted_model_is_asked_for_with_a_reason(browser: Browser, ada: User, models: list[Model]) -> None:
    Model.objects.filter(pk="gpt-4o").update(restricted=True)
    client = browser(ada)
    assert "Request access" in client.get("/models").content.decode()
    assert "What do you need it for?" in client.get("/models/gpt-4o").content.decode()
    too_long = client.post(SUBSCRIBE, {"model": "gpt-4o", "justification": "x" * 1001})
    assert too_long.status_code == 422
    assert "at most 1000 characters" in too_long.content.decode()
    client.post(SUBSCRIBE, {"model": "gpt-4o", "justification": "A study"})
    subscription = Subscription.objects.get()
    assert (subscription.status, subscription.justification) == ("pending", "A study")
    assert "Pending approval" in client.get("/models").content.decode()


def test_cancelling_asks_first_and_names_keys_that_need_the_model(
    browser: Browser, ada: User, key: ApiKey, subscribed: list[Subscription]
) -> None:
    client = browser(ada)
    needed, free = (next(s for s in subscribed if s.model_id == name) for name in ("gpt-4o", "gpt-4o-mini"))
    url = reverse("subscription-cancel", kwargs={"subscription_id": needed.pk})
    assert "Cancel “gpt-4o”?" in client.get(url).content.decode()
    refused = client.post(url)
    assert refused.status_code == 422
    assert "These keys still use the model: notebook." in refused.content.decode()
    url = reverse("subscription-cancel", kwargs={"subscription_id": free.pk})
    assert "You cancelled “gpt-4o-mini”." in client.post(url, follow=True).content.decode()
    assert not Subscription.objects.filter(pk=free.pk).exists()


def test_model_page_shows_a_call_that_fits_its_kind(browser: Browser, ada: User, db: None) -> None:
    Model.objects.create(id="azure/embed:2024@eu", provider="azure", mode="embedding", context_length=8191)
    Model.objects.create(id="oracle", provider="delphi", mode="prophecy")
    client = browser(ada)
    url = reverse("model", kwargs={"model_id": "azure/embed:2024@eu"})
    page = client.get(url).content.decode()
    assert "/v1/embeddings" in page
    assert "client.embeddings.create(" in page
    assert "8,191" in page
    assert "There is no ready-made call" in client.get("/models/oracle").content.decode()
    assert client.get("/models/unheard-of").status_code == 404


def test_names_of_models_cannot_break_out_of_the_examples(browser: Browser, ada: User, db: None) -> None:
    name = 'it\'s <b>"$(id)"</b>'
    Model.objects.create(id=name, provider="x", mode="chat")
    page = browser(ada).get(reverse("model", kwargs={"model_id": name})).content.decode()
    assert "<b>" not in page
    assert "it&#x27;&quot;&#x27;&quot;&#x27;s" in page  # quoted for the shell, then for HTML


def test_catalogue_is_searched_filtered_and_sorted(browser: Browser, ada: User, models: list[Model]) -> None:
    Model.objects.create(
        id="dear", provider="acme", mode="chat", input_cost_per_token=Decimal("0.00003"), description="Very <i>good</i>"
    )
    client = browser(ada)
    page = client.get("/models?provider=acme").content.decode()
    assert "$30.00" in page
    assert "Very &lt;i&gt;good" in page
    assert "gpt-4o" not in page
    assert client.get("/models?sort=input").context["page"].object_list[0].id == "dear"
    assert "No model fits" in client.get("/models?q=zzz").content.decode()
    assert len(client.get("/models?provider=nonsense&sort=nonsense&q=%00").context["page"].object_list) == 4
