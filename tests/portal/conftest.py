"""What the tests of pages share: pages by name, and a key that was made by its owner."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from apikeys.models import ApiKey
from apikeys.services import IssuedKey, create_api_key
from litemaas.foundation.once import new_ticket
from subscriptions.models import Subscription
from usage.services import Fact, replace_day

Browser = Callable[[User | None], Client]
PAGES = (
    *("home", "models", "subscriptions", "api-keys", "api-key-create", "usage"),
    *("profile", "profile-activity", "profile-sessions", "profile-tokens", "profile-token-create"),
)


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription]) -> IssuedKey:
    """Ada's key for two models, with its secret."""
    return create_api_key(ada, name="notebook", models=["gpt-4o", "claude-sonnet"], max_budget=Decimal(10))


@pytest.fixture
def key(issued: IssuedKey) -> ApiKey:
    """Ada's key."""
    return issued.key


@pytest.fixture
def used(key: ApiKey) -> Decimal:
    """Three requests a day with Ada's key in the last 60 days; what a day cost."""
    today = datetime.now(UTC).date()
    digest = key.secrets.get().digest
    for days in range(60):
        fact = Fact(digest, "gpt-4o", 3, 2, 1, prompt_tokens=1000, completion_tokens=500, spend=Decimal("0.25"))
        replace_day(today - timedelta(days=days), [fact])
    return Decimal("0.25")


def creation(user: User, **changes: Any) -> dict[str, Any]:
    """What the form of a new key sends when only name and model are filled in."""
    limits = ("max_budget", "budget_duration", "tpm_limit", "rpm_limit", "max_parallel_requests")
    empty = dict.fromkeys(("description", *limits, "expires_at", "expires_on"), "")
    return {"ticket": new_ticket(user.pk), "name": "program", "models": ["gpt-4o"], **empty, **changes}


def pages_of(key: ApiKey, subscription: Subscription) -> list[str]:
    """The addresses of every page that shows something of somebody."""
    return [
        *(reverse(name) for name in PAGES),
        reverse("model", kwargs={"model_id": "gpt-4o"}),
        reverse("api-key", kwargs={"key_id": key.pk}),
        reverse("api-key-edit", kwargs={"key_id": key.pk}),
        reverse("api-key-revoke", kwargs={"key_id": key.pk}),
        reverse("subscription-cancel", kwargs={"subscription_id": subscription.pk}),
    ]
