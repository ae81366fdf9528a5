"""Somebody goes, comes back and leaves for good: what a program with the person's key meets in LiteLLM."""

from typing import Any

import pytest
import requests

from tests.e2e.conftest import Product, wait_for

pytestmark = pytest.mark.e2e


def test_trap_13_46_deactivation_and_off_boarding_reach_litellm(product: Product) -> None:
    admin, bob = product.sign_in("admin"), product.sign_in("bob")
    wait_for(lambda: bob("GET", "/models")["count"], what="the catalogue")
    bob("POST", "/subscriptions", 201, json={"model": "gpt-4o"})
    secret, spare = (
        bob("POST", "/api-keys", 201, json={"name": name, "models": ["gpt-4o"]}) for name in ("notebook", "spare")
    )
    admin("POST", f"/api-keys/{spare['id']}/block")
    person = f"/users/{bob('GET', '/me')['id']}"

    def answers(*statuses: int) -> bool:
        return [product.chat(key["secret"], "gpt-4o").status_code for key in (secret, spare)] == [*statuses]

    def agreed() -> Any:
        keys = admin("GET", "/api-keys", params={"search": "bob"})["results"]
        return all(key["sync_status"] == "synced" for key in keys) and {key["name"]: key["status"] for key in keys}

    wait_for(lambda: answers(200, 401), what="a key that works and one that is blocked")

    admin("PATCH", person, json={"is_active": False, "reason": "away"})
    bob("GET", "/me", 401)
    wait_for(lambda: answers(401, 401), what="the refusal of both")
    assert wait_for(agreed, what="agreement") == {"notebook": "blocked", "spare": "blocked"}

    admin("PATCH", person, json={"is_active": True})
    wait_for(lambda: answers(200, 401), what="what was before")
    assert wait_for(agreed, what="agreement") == {"notebook": "active", "spare": "blocked"}
    bob("GET", "/me", 401)  # the sign-in has ended for good
    product.sign_in("bob")("GET", "/me")

    admin("PATCH", person, json={"max_budget": "5", "rpm_limit": 60})
    wait_for(lambda: admin("GET", person)["sync_status"] == "synced", what="the limits")
    headers = {"Authorization": f"Bearer {product.litellm_key}"}
    user_id = person.rpartition("/")[2]

    def there() -> dict[str, Any]:
        asked = requests.get(
            f"{product.litellm_url}/user/info", params={"user_id": user_id}, headers=headers, timeout=30
        )
        return dict(asked.json()["user_info"])

    assert (there()["max_budget"], there()["rpm_limit"]) == (5.0, 60)
    admin("PATCH", person, json={"max_budget": None, "rpm_limit": None})
    wait_for(lambda: admin("GET", person)["sync_status"] == "synced", what="no limits")
    # 1.81 clears a rate limit by the sentinel for "none".
    assert (there()["max_budget"], there()["rpm_limit"] or 2_147_483_647) == (None, 2_147_483_647)

    planned = admin("POST", f"{person}/offboard", json={"dry_run": True})
    done = admin("POST", f"{person}/offboard", json={"reason": "left"})
    assert planned["done"] == done["done"]
    assert (done["done"]["keys"], done["done"]["subscriptions"]) == (2, ["gpt-4o"])
    wait_for(lambda: answers(401, 401), what="the end of both")
    wait_for(lambda: not any(admin("POST", f"{person}/offboard")["waiting"].values()), what="LiteLLM's agreement")
    assert there()["user_id"] == user_id
