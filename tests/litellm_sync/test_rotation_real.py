"""A rotation from its beginning to its end on every real LiteLLM that is named, whose spend is written down late."""

import os
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.rotation import end_old_secret, rotate_api_key
from apikeys.services import create_api_key
from litellm_sync import keys
from litellm_sync.client import KeyInfo, LiteLLM, transport
from litellm_sync.push import push
from litellm_sync.state import SyncStatus
from litemaas.foundation.crypto import secret_digest
from subscriptions.models import Model
from subscriptions.services import create_subscription

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real]
URLS = [url.strip().rstrip("/") for url in os.environ.get("LITELLM_REAL_URLS", "").split(",") if url.strip()]
PATIENCE = 90.0


@pytest.fixture(params=URLS)
def upstream(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    """The address of a real LiteLLM that the product talks to; what it spends is written down within ten seconds."""
    settings.LITELLM_API_URL = settings.LITELLM_PUBLIC_URL = request.param
    settings.LITELLM_API_KEY = os.environ.get("LITELLM_REAL_KEY", "sk-litellm-master-key")
    settings.LITELLM_SPEND_SETTLES_SECONDS = 10
    transport.shared.cache_clear()
    yield request.param
    transport.shared.cache_clear()


def chat(upstream: str, secret: str) -> Decimal | None:
    """What a call cost; None where it was refused."""
    headers, words = {"Authorization": f"Bearer {secret}"}, [{"role": "user", "content": "hi"}]
    body = {"model": "gpt-4o", "messages": words}
    answer = requests.post(f"{upstream}/v1/chat/completions", json=body, headers=headers, timeout=30)
    return Decimal(answer.headers["x-litellm-response-cost"]) if answer.status_code == 200 else None


def there(secret: str) -> KeyInfo | None:
    """What LiteLLM has of it."""
    return LiteLLM(20).get_key_info(secret_digest(secret))


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    """Do what the workers do until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, what
        keys.follow_the_clock(timezone.now())
        for pk in ApiKeySecret.objects.filter(sync_status=SyncStatus.PENDING).values_list("pk", flat=True):
            push("apikeys.apikeysecret", str(pk), limit=20)


def spent(secret: str) -> Decimal:
    """What LiteLLM has written down."""
    found = there(secret)
    return found.spend if found else Decimal(0)


def near(one: Decimal, other: Decimal) -> bool:
    """Equal but for the noise of floats."""
    return abs(one - other) < Decimal("1e-9")


def test_trap_21_spend_is_carried_over_to_the_cent(upstream: str, ada: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    first = create_api_key(ada, name="k", models=["gpt-4o"], max_budget=Decimal(10), budget_duration="30d")
    wait_for(lambda: there(first.secret) is not None, "the key")
    costs = [chat(upstream, first.secret) for _ in range(2)]
    total = sum((cost for cost in costs if cost), Decimal(0))
    assert total > 0
    wait_for(lambda: near(spent(first.secret), total), "the first spend")
    second = rotate_api_key(ada, key_id=first.key.pk, grace_seconds=3600)
    wait_for(lambda: there(second.secret) is not None, "the new secret")
    assert near(spent(second.secret), total)
    late = [chat(upstream, secret) for secret in (first.secret, second.secret, first.secret)]
    assert None not in late
    end_old_secret(ada, key_id=first.key.pk)
    wait_for(lambda: chat(upstream, first.secret) is None, "the end of the old secret")
    total += sum((cost for cost in late if cost), Decimal(0))
    wait_for(lambda: there(first.secret) is None, "the old secret's deletion")
    wait_for(lambda: near(spent(second.secret), total), "the whole spend")
    wait_for(lambda: ApiKeySecret.objects.filter(sync_status="synced").count() == 2, "agreement")
    assert near(ApiKey.objects.get().spend, total) or ApiKey.objects.get().spend < total
    assert chat(upstream, second.secret) is not None
