"""The product's main job, from outside, as a person's program would do it."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Product, Speaker, wait_for

pytestmark = pytest.mark.e2e

REFUSED = {401, 403, 404}


def refusal(answer: requests.Response) -> str:
    """LiteLLM's kind of refusal; the statuses differ between versions."""
    assert answer.status_code in REFUSED, answer.text
    return str(answer.json()["error"]["type"])


def key_in_litellm(product: Product, secret: str) -> dict[str, Any]:
    """What LiteLLM itself says about a key."""
    token = hashlib.sha256(secret.encode()).hexdigest()
    headers = {"Authorization": f"Bearer {product.litellm_key}"}
    answer = requests.get(f"{product.litellm_url}/key/info", params={"key": token}, headers=headers, timeout=30)
    return dict(answer.json()["info"])


def settled(alice: Speaker, key_id: str) -> dict[str, Any]:
    """A key of alice's, once LiteLLM agrees with it."""
    return dict(
        wait_for(lambda: (k := alice("GET", f"/api-keys/{key_id}"))["sync_status"] == "synced" and k, what="agreement")
    )


def usage_of(alice: Speaker, key_id: str) -> dict[str, Any]:
    """Alice's figures of one key."""
    return dict(alice("GET", "/usage/summary", params={"api_key": key_id}))


def test_main_job_from_sign_in_to_a_dead_key(product: Product) -> None:
    admin, alice = product.sign_in("admin"), product.sign_in("alice")

    # The worker synchronises the catalogue by itself; an administrator may ask for it.
    wait_for(lambda: alice("GET", "/models")["count"], what="the catalogue")
    offered = {model["id"]: model for model in alice("GET", "/models", params={"page_size": 100})["results"]}
    assert offered["gpt-4o"]["input_cost_per_million"] == "2.5"
    assert offered["gpt-4o"]["subscription"] is None

    subscriptions = {
        model: alice("POST", "/subscriptions", 201, json={"model": model}) for model in ("gpt-4o", "gpt-4o-mini")
    }
    assert {s["status"] for s in subscriptions.values()} == {"active"}
    assert alice("GET", "/models/gpt-4o")["subscription"] == "active"

    body = {"name": "notebook", "models": ["gpt-4o"], "max_budget": "5", "budget_duration": "30d", "rpm_limit": 100}
    made = alice("POST", "/api-keys", 201, json=body)
    secret = made.pop("secret")
    assert made["status"] == "active"
    # Usually at once; on a busy machine the worker does it a moment later.
    shown = settled(alice, made["id"])
    assert (shown["status"], "secret" in shown) == ("active", False)

    answers = [product.chat(secret, "gpt-4o") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert refusal(product.chat(secret, "gpt-4o-mini")) == "key_model_access_denied"

    info = key_in_litellm(product, secret)
    me = alice("GET", "/me")
    assert (info["user_id"], info["models"], info["max_budget"]) == (me["id"], ["gpt-4o"], 5.0)
    assert info["team_id"] == made["team"]
    assert info["key_alias"] == f"litemaas-{made['id']}-{hashlib.sha256(secret.encode()).hexdigest()[:8]}"

    figures = wait_for(
        lambda: (f := usage_of(alice, made["id"]))["successful_requests"] == 3 and f, what="usage of three calls"
    )
    charged = [answer.json()["usage"] for answer in answers]
    prompt, completion = (sum(usage[f"{kind}_tokens"] for usage in charged) for kind in ("prompt", "completion"))
    assert (figures["prompt_tokens"], figures["completion_tokens"]) == (prompt, completion)
    assert figures["total_tokens"] == prompt + completion
    assert Decimal(figures["spend"]) == prompt * Decimal("0.0000025") + completion * Decimal("0.00001")
    assert figures["source"] == "litellm"
    assert figures["as_of"]
    by_model = {part["model"]: part for part in alice("GET", "/usage/breakdown")["results"]}
    assert Decimal(by_model["gpt-4o"]["spend"]) == Decimal(figures["spend"])
    spent = wait_for(
        lambda: (k := alice("GET", f"/api-keys/{made['id']}"))["spend"] != "0.0000000000" and k, what="the key's spend"
    )
    assert Decimal(spent["spend"]) == Decimal(figures["spend"])
    assert spent["budget_resets_at"]

    refused = alice("DELETE", f"/subscriptions/{subscriptions['gpt-4o']['id']}", 409)
    assert refused["code"] == "active_keys_exist"
    assert refused["details"]["api_keys"] == [{"id": made["id"], "name": "notebook"}]

    revoked = alice("POST", f"/api-keys/{made['id']}/revoke")
    assert revoked["status"] == "revoked"
    settled(alice, made["id"])
    assert refusal(product.chat(secret, "gpt-4o")) == "token_not_found_in_db"

    alice("DELETE", f"/subscriptions/{subscriptions['gpt-4o']['id']}", 204)
    assert alice("GET", "/models/gpt-4o")["subscription"] is None
    actions = [event["action"] for event in admin("GET", "/audit", params={"actor": me["id"]})["results"]]
    assert actions[:3] == ["subscription.cancelled", "apikey.revoked", "apikey.created"]
