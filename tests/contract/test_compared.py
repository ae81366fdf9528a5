"""What a push compares with LiteLLM: what was sent stays as it was sent, and what was left out is gone.

Were it otherwise, each push would send the same thing again, or a limit that was taken away would go on limiting.
"""

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from apikeys.models import ApiKeySecret, KeyModel
from apikeys.services import create_api_key, update_api_key
from litellm_sync import key_bodies, state
from litellm_sync.client import LiteLLM, transport
from litellm_sync.key_bodies import LLM_ROUTES, LOOSENING, PER_MODEL
from litellm_sync.push import push
from subscriptions.models import Subscription
from tests.contract.proxy import Key, Proxy, fresh

ROUTES = list(LLM_ROUTES)
UPDATES: dict[str, dict[str, Any]] = {
    "alias": {"key_alias": fresh("alias")},
    "budget": {"max_budget": 2.5, "budget_duration": "30d"},
    "end": {"duration": "1h"},
    "metadata": {"metadata": {"b": 2}},
    "models": {"models": ["gpt-4o-mini"]},
    "no end": {"duration": "-1"},
    "nulls": {"max_budget": None, "tpm_limit": None, "rpm_limit": None, "max_parallel_requests": None},
    "routes": {"allowed_routes": ROUTES},
    "spend": {"spend": 1.5},
}
# What a push leaves out of a key's metadata: values that LiteLLM takes.
LEFT_OUT: dict[str, Any] = {
    "allowed_passthrough_routes": ["/somewhere"],
    "disable_global_guardrails": True,
    "litellm_disabled_callbacks": ["generic_api"],
    "model_rpm_limit": {"gpt-4o": 5},
    "model_tpm_limit": {"gpt-4o": 5000},
    "permissions": {"allow_pii_controls": True},
    "rpm_limit_type": "best_effort_throughput",
    "temp_budget_expiry": "2099-01-01T00:00:00Z",
    "temp_budget_increase": 1000,
    "throttle_on_budget_exceeded": True,
    "tpm_limit_type": "best_effort_throughput",
}


def shown(litellm: Proxy, key: Key, field: str) -> list[Any]:
    """A field of a key in each of the answers from which the product reads it."""
    [listed] = litellm.read("/key/list", key_hash=key.token, return_full_object="true")["keys"]
    [of_user] = litellm.read("/user/info", user_id=key.user_id)["keys"]
    return [place[field] for place in (litellm.key(key.token), listed, of_user)]


class TestRoutes:
    @pytest.mark.parametrize("update", UPDATES)
    def test_no_update_moves_them(self, litellm: Proxy, update: str) -> None:
        key = litellm.new_key(models=["gpt-4o"], max_budget=5, tpm_limit=9, metadata={"a": 1})
        litellm.done("/key/update", {"key": key.token} | UPDATES[update])
        assert shown(litellm, key, "allowed_routes") == [ROUTES] * 3

    def test_neither_calls_nor_blocking_move_them(self, litellm: Proxy) -> None:
        key = litellm.new_key(metadata={"a": 1})
        assert litellm.chat(key).status == 200
        for path in ("/key/block", "/key/unblock"):
            litellm.done(path, {"key": key.token})
            assert shown(litellm, key, "allowed_routes") == [ROUTES] * 3
        assert litellm.eventually(lambda: litellm.key(key.token)["spend"], lambda spend: spend > 0) > 0
        assert shown(litellm, key, "allowed_routes") == [ROUTES] * 3
        assert shown(litellm, key, "metadata") == [{"a": 1}] * 3

    @pytest.mark.parametrize("routes", [ROUTES, ["info_routes", *ROUTES], [*ROUTES, "info_routes"]])
    def test_an_ordinary_key_gets_those_that_are_sent_in_their_order(self, litellm: Proxy, routes: list[str]) -> None:
        key = litellm.new_key(key_type="default")
        for _again in range(2):
            litellm.done("/key/update", {"key": key.token, "allowed_routes": routes})
            assert shown(litellm, key, "allowed_routes") == [routes] * 3


class TestMetadata:
    def test_every_name_that_is_left_out_is_looked_at(self) -> None:
        assert set(LEFT_OUT) == LOOSENING.union(PER_MODEL.values())

    @pytest.mark.parametrize("name", LEFT_OUT)
    def test_a_name_that_is_left_out_is_gone(self, litellm: Proxy, name: str) -> None:
        key = litellm.new_key(metadata={"kept": 1, "gone": 2, name: LEFT_OUT[name]})
        assert shown(litellm, key, "metadata") == [{"kept": 1, "gone": 2, name: LEFT_OUT[name]}] * 3
        litellm.done("/key/update", {"key": key.token, "metadata": {"kept": 1}})
        assert shown(litellm, key, "metadata") == [{"kept": 1}] * 3

    def test_an_update_without_metadata_leaves_it(self, litellm: Proxy) -> None:
        key = litellm.new_key(metadata={"a": {"b": [1, None, "2"]}})
        litellm.done("/key/update", {"key": key.token, "max_budget": 3.0, "allowed_routes": ROUTES})
        assert shown(litellm, key, "metadata") == [{"a": {"b": [1, None, "2"]}}] * 3

    def test_a_models_limit_that_is_left_out_limits_no_more(self, litellm: Proxy) -> None:
        key = litellm.new_key(metadata={"model_rpm_limit": {"gpt-4o": 0}})
        assert litellm.chat(key).status == 429
        litellm.done("/key/update", {"key": key.token, "metadata": {}})
        assert litellm.chat(key).status == 200


@pytest.mark.django_db
def test_a_push_finds_what_the_last_one_sent(
    litellm: Proxy, settings: Any, ada: User, subscribed: list[Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LITELLM_API_URL, settings.LITELLM_API_KEY = litellm.url, litellm.master_key
    transport.shared.cache_clear()
    limits = {"gpt-4o": {"rpm_limit": 5, "tpm_limit": 7000}}
    key = create_api_key(
        ada, name="k", models=["gpt-4o"], max_budget=Decimal("2.5"), budget_duration="30d", model_limits=limits
    ).key
    posted: list[str] = []
    post = LiteLLM._post

    def pushed() -> list[str]:
        """What a push sends; afterwards nothing differs."""
        posted.clear()
        secret = ApiKeySecret.objects.get()
        state.request_push(secret, immediately=False)
        push("apikeys.apikeysecret", str(secret.pk), limit=30)
        secret = ApiKeySecret.objects.select_related("key__user", "key__team").get()
        found = LiteLLM(30).get_key_info(secret.digest)
        assert secret.sync_status == "synced"
        assert found is not None
        models = sorted(KeyModel.objects.filter(key=secret.key).effective().values_list("model_id", flat=True))
        assert key_bodies.differences_of(secret, models, found) == {}
        return list(posted)

    def noted(self: LiteLLM, operation: str, path: str, body: Any) -> Any:
        posted.append(path)
        return post(self, operation, path, body)

    monkeypatch.setattr(LiteLLM, "_post", noted)
    assert "/key/generate" in pushed()
    assert pushed() == []
    token = ApiKeySecret.objects.get().digest
    theirs = litellm.key(token)["metadata"]
    loosened = {"metadata": theirs | LEFT_OUT, "allowed_routes": [], "models": ["gpt-4o", "gpt-4o-mini"]}
    litellm.done("/key/update", {"key": token} | loosened)
    update_api_key(ada, key_id=key.pk, model_limits=None)
    assert pushed() == ["/key/update"]
    assert litellm.key(token)["metadata"] == {"managed_by": "litemaas"}
    assert pushed() == []
