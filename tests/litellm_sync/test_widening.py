"""What would let a key reach models that nobody gave it is taken away, in both releases, and as soon as it is ours."""

from typing import Any

import pytest
import requests

from accounts.models import User
from apikeys.models import ApiKeySecret
from apikeys.services import IssuedKey, create_api_key
from litellm_sync import mending, state
from litellm_sync.client import LiteLLM
from litellm_sync.client.bodies import KeyChanges, only
from litellm_sync.drift import Drift
from litellm_sync.emulator import catalogue
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from subscriptions.models import Model
from subscriptions.services import create_subscription
from tests.litellm_sync.test_reconcile import KIND, age, compare, found, post, push_everything

pytestmark = pytest.mark.django_db
GPT = "Hello from the mocked gpt-4o."
CLAUDE = "Hello from the mocked Claude."
FALLBACK = {"fallbacks": [{"gpt-4o": ["claude-sonnet"]}]}


@pytest.fixture(params=["litellm", "old_litellm"])
def upstream(request: pytest.FixtureRequest) -> Emulator:
    """Each of both releases."""
    found: Emulator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def issued(ada: User, models: list[Model], upstream: Emulator) -> IssuedKey:
    """A key of ada's for one model, and everything in step."""
    for model in models:
        create_subscription(ada, model=model.id)
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    push_everything()
    return made


def answer(upstream: Emulator, secret: str, model: str = "gpt-4o") -> str:
    """What the model says to the key; the reason where it says nothing."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {secret}"}
    found = requests.post(f"{upstream.url}/chat/completions", json=body, headers=headers, timeout=10).json()
    return str(found["choices"][0]["message"]["content"] if "choices" in found else found["error"]["type"])


def widened(upstream: Emulator, name: str) -> dict[str, Any]:
    """What somebody gives a key in LiteLLM, by the name of the field."""
    group = post(upstream, "/v1/access_group", access_group_name="g", access_model_names=["claude-sonnet"])
    given = {
        "access_group_ids": [group["access_group_id"]],
        "aliases": {"gpt-4o": "claude-sonnet"},
        "router_settings": FALLBACK,
    }
    return {name: given[name]}


def reaches_another(upstream: Emulator, secret: str) -> bool:
    """Whether the key, which is for gpt-4o alone, gets an answer of another model, also where its own one fails."""
    answers = [answer(upstream, secret, model) for model in ("gpt-4o", "claude-sonnet")]
    (deployment,) = upstream.state.models.where("model_name", "gpt-4o")
    parameters = deployment["litellm_params"]
    failing = parameters | {"mock_response": catalogue.FAILS}
    upstream.state.models.update(deployment["model_info"]["id"], {"litellm_params": failing})
    answers.append(answer(upstream, secret))
    upstream.state.models.update(deployment["model_info"]["id"], {"litellm_params": parameters})
    return CLAUDE in answers


NAMES = ["access_group_ids", "aliases", "router_settings"]


@pytest.mark.parametrize("name", NAMES)
def test_what_somebody_adds_to_a_key_is_found_and_taken_away(issued: IssuedKey, upstream: Emulator, name: str) -> None:
    secret = issued.key.secrets.get()
    post(upstream, "/key/update", key=secret.digest, **widened(upstream, name))
    # New releases judge the model of an alias or a fallback.
    assert reaches_another(upstream, issued.secret) is (name == "access_group_ids" or upstream.state.version.is_old)
    compare()
    assert list(Drift.objects.get().details["fields"]) == [name]
    state.request_pushes(ApiKeySecret, [secret.pk])
    push(KIND, str(secret.pk), limit=5)
    assert not reaches_another(upstream, issued.secret)
    assert answer(upstream, issued.secret) == GPT
    age()
    compare()
    assert found() == []


@pytest.mark.parametrize("name", NAMES)
def test_an_adopted_key_keeps_no_way_to_other_models(
    issued: IssuedKey, ann: User, upstream: Emulator, name: str
) -> None:
    made = post(upstream, "/key/generate", models=["gpt-4o"], **widened(upstream, name))
    compare()
    key = mending.adopt_key(ann, drift_id=Drift.objects.get(kind="unknown", what="key").pk, owner="ada")
    push(KIND, str(key.secrets.get().pk), limit=5)
    assert not reaches_another(upstream, made["key"])
    assert answer(upstream, made["key"]) == GPT


def test_a_push_is_not_settled_while_the_key_still_reaches_more(
    issued: IssuedKey, upstream: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release may take what is empty for what was left out, and say so with 200."""
    secret = issued.key.secrets.get()
    post(upstream, "/key/update", key=secret.digest, **widened(upstream, "access_group_ids"))
    update = LiteLLM.update_key

    def deaf(self: LiteLLM, token: str, changes: KeyChanges) -> None:
        update(self, token, only(changes, set(changes) - {"access_group_ids"}))

    monkeypatch.setattr(LiteLLM, "update_key", deaf)
    state.request_pushes(ApiKeySecret, [secret.pk])
    push(KIND, str(secret.pk), limit=5)
    secret.refresh_from_db()
    assert (secret.sync_status, secret.sync_error) == ("pending", "not_as_sent")
