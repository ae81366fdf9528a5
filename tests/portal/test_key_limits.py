"""Limits per model: the same fields where a key is made and where it is changed, within the policy in every face."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.model_limits import field_name
from apikeys.models import ApiKey, KeyPolicy
from apikeys.services import IssuedKey, update_api_key
from subscriptions.models import Subscription
from tests.admin.conftest import page as admin_page
from tests.admin.conftest import send
from tests.portal.conftest import Browser, creation

CREATE = "/api-keys/create"
RPM, TPM = field_name("gpt-4o", "rpm_limit"), field_name("gpt-4o", "tpm_limit")
OF_ANOTHER = field_name("claude-sonnet", "rpm_limit")


def errors_at(page: str, name: str) -> str:
    """What is said beside a field, by the id that the field itself names."""
    described = re.search(rf'<input[^>]*name="{name}"[^>]*>', page)
    assert described is not None, name
    ids = re.search(r'aria-describedby="([^"]*)"', described[0])
    named = ids[1].split() if ids else []
    found = [re.search(rf'id="{one}"[^>]*>(.*?)</(?:ul|p|div)>', page, re.DOTALL) for one in named]
    return html.unescape(" ".join(one[1] for one in found if one))


@pytest.mark.usefixtures("subscribed")
def test_limits_of_models_are_set_when_a_key_is_made(browser: Browser, ada: User) -> None:
    page = browser(ada).get(CREATE).content.decode()
    assert page.count("data-limits-of=") == 3, "each model that one may choose has its fields, without a script too"
    models = ["gpt-4o", "claude-sonnet"]
    answer = browser(ada).post(CREATE, creation(ada, models=models, **{RPM: "5", TPM: "700", OF_ANOTHER: "9"}))
    assert answer.status_code == 200
    limits = {"gpt-4o": {"rpm_limit": 5, "tpm_limit": 700}, "claude-sonnet": {"rpm_limit": 9}}
    assert ApiKey.objects.get().model_limits == limits


@pytest.mark.usefixtures("subscribed")
def test_empty_limits_of_models_are_none(browser: Browser, ada: User) -> None:
    assert browser(ada).post(CREATE, creation(ada, **{RPM: "", TPM: ""})).status_code == 200
    assert ApiKey.objects.get().model_limits == {}


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize(
    ("typed", "name", "words"),
    [
        ({RPM: "51"}, RPM, "At most 50 is allowed here"),
        ({RPM: "5", TPM: "0"}, TPM, "The limit must be between 1"),
        ({TPM: "many"}, TPM, "Enter a whole number."),
        ({OF_ANOTHER: "5"}, OF_ANOTHER, "Choose this model too, or leave its limit empty."),
    ],
)
def test_a_wrong_limit_is_said_beside_its_field(
    browser: Browser, ada: User, typed: dict[str, str], name: str, words: str
) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=50)
    answer = browser(ada).post(CREATE, creation(ada, **typed))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in errors_at(page, name)
    assert [name for name in typed if answer.context["form"][name].value() == typed[name]] == list(typed), "kept"
    assert 'class="card fold" open' in page
    assert not ApiKey.objects.exists()


def test_what_the_policy_allows_for_a_model_is_said(browser: Browser, ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=5000)
    for address in (CREATE, f"/api-keys/{key.pk}/edit"):
        assert "At most 5,000." in errors_at(browser(ada).get(address).content.decode(), RPM)


def test_a_model_is_added_with_its_limit_at_once(browser: Browser, ada: User, key: ApiKey) -> None:
    client, address = browser(ada), f"/api-keys/{key.pk}/edit"
    form = client.get(address).context["form"]
    sent: dict[str, Any] = {}
    for bound in form:
        value = "" if bound.value() is None else bound.value()
        sent |= {bound.html_name: value, bound.html_initial_name: value}
    added = field_name("gpt-4o-mini", "tpm_limit")
    sent |= {"models": ["claude-sonnet", "gpt-4o", "gpt-4o-mini"], added: "70"}
    assert client.post(address, sent).status_code == 302
    changed = ApiKey.objects.get()
    assert changed.model_ids == ["claude-sonnet", "gpt-4o", "gpt-4o-mini"]
    assert changed.model_limits == {"gpt-4o-mini": {"tpm_limit": 70}}


# --- The policy, in every face ---------------------------------------------------------------------------------------

Api = Callable[[User | None], APIClient]
Face = Callable[[Browser, Api, User, User, ApiKey, Any], int]


def api_create(_browser: Browser, api: Api, ada: User, _ann: User, _key: ApiKey, limit: Any) -> int:
    body = {"name": "k", "models": ["gpt-4o"], "model_limits": {"gpt-4o": {"rpm_limit": limit}}}
    return int(api(ada).post("/api/v1/api-keys", body).status_code)


def api_change(_browser: Browser, api: Api, ada: User, _ann: User, key: ApiKey, limit: Any) -> int:
    body = {"model_limits": {"gpt-4o": {"rpm_limit": limit}}}
    return int(api(ada).patch(f"/api/v1/api-keys/{key.pk}", body).status_code)


def portal_create(browser: Browser, _api: Api, ada: User, _ann: User, _key: ApiKey, limit: Any) -> int:
    return int(browser(ada).post(CREATE, creation(ada, **{RPM: str(limit)})).status_code)


def portal_change(browser: Browser, _api: Api, ada: User, _ann: User, key: ApiKey, limit: Any) -> int:
    typed = {"name": key.name, "models": key.model_ids, "max_budget": "10", RPM: str(limit)}
    shown = {"initial-name": key.name, "initial-models": key.model_ids, "initial-max_budget": "10"}
    return int(browser(ada).post(f"/api-keys/{key.pk}/edit", typed | shown).status_code)


def admin_change(browser: Browser, _api: Api, _ada: User, ann: User, key: ApiKey, limit: Any) -> int:
    typed = {"name": key.name, "models": key.model_ids, "max_budget": "10", RPM: str(limit)}
    return int(send(browser(ann), admin_page(key, "edit"), typed).status_code)


FACES: dict[str, Face] = {
    face.__name__: face for face in (admin_change, api_change, api_create, portal_change, portal_create)
}


@pytest.mark.parametrize("face", sorted(FACES))
def test_trap_05_the_policy_bounds_limits_per_model_in_every_face(
    browser: Browser, api: Api, ada: User, ann: User, *, issued: IssuedKey, face: str
) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=50)
    ApiKey.objects.update(rpm_limit=None)
    ask, key = FACES[face], ApiKey.objects.for_display().get()
    for limit in (51, 0, -1, 10**12):
        assert ask(browser, api, ada, ann, key, limit) == 422, limit
    assert list(ApiKey.objects.values_list("model_limits", flat=True)) == [{}]
    assert ask(browser, api, ada, ann, key, 50) in {200, 201, 302}
    assert ApiKey.objects.filter(model_limits={"gpt-4o": {"rpm_limit": 50}}).count() == 1


# --- The admin portal ------------------------------------------------------------------------------------------------


def shown(key: ApiKey) -> dict[str, Any]:
    """What the administrators' form sends when nothing is touched."""
    empty = {field_name(model, limit): "" for model in key.model_ids for limit in ("rpm_limit", "tpm_limit")}
    return {"name": key.name, "models": key.model_ids, "max_budget": "10", **empty}


def test_administrators_set_change_and_clear_limits_of_models(
    browser: Browser, ann: User, ada: User, subscribed: list[Subscription], key: ApiKey
) -> None:
    client, address, sent = browser(ann), admin_page(key, "edit"), shown(key)
    page = client.get(address).content.decode()
    assert page.count("data-limits-of=") == 2, "those of the key"
    assert send(client, address, sent).status_code == 302
    assert send(client, address, sent | {RPM: "5", OF_ANOTHER: "6"}).status_code == 302
    assert ApiKey.objects.get().model_limits == {"gpt-4o": {"rpm_limit": 5}, "claude-sonnet": {"rpm_limit": 6}}
    assert send(client, address, sent | {RPM: "", OF_ANOTHER: "6", TPM: "70"}).status_code == 302
    assert ApiKey.objects.get().model_limits == {"gpt-4o": {"tpm_limit": 70}, "claude-sonnet": {"rpm_limit": 6}}
    assert send(client, address, sent | {"models": ["gpt-4o"], TPM: "70", OF_ANOTHER: "6"}).status_code == 302
    assert ApiKey.objects.get().model_limits == {"gpt-4o": {"tpm_limit": 70}}


def test_an_administrators_limit_leaves_the_owners_alone(browser: Browser, ann: User, ada: User, key: ApiKey) -> None:
    """The owner has changed another limit since the form was opened."""
    client, address = browser(ann), admin_page(key, "edit")
    as_shown = client.get(address).context["as_shown"]
    update_api_key(ada, key_id=key.pk, model_limits={"claude-sonnet": {"rpm_limit": 3}})
    answer = client.post(address, shown(key) | {"as_shown": as_shown, RPM: "5"})
    assert answer.status_code == 302
    assert ApiKey.objects.get().model_limits == {"claude-sonnet": {"rpm_limit": 3}, "gpt-4o": {"rpm_limit": 5}}
    stale = client.post(address, shown(key) | {"as_shown": as_shown, OF_ANOTHER: "9"}, follow=True)
    assert "Somebody has changed this meanwhile" in stale.content.decode()
    assert ApiKey.objects.get().model_limits == {"claude-sonnet": {"rpm_limit": 3}, "gpt-4o": {"rpm_limit": 5}}


def test_an_administrator_reads_at_the_field_what_the_policy_forbids(browser: Browser, ann: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=50)
    answer = send(browser(ann), admin_page(key, "edit"), shown(key) | {RPM: "51"})
    assert answer.status_code == 422
    assert "At most 50 is allowed here" in errors_at(answer.content.decode(), RPM)
