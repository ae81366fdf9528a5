"""What the tests of usage share: facts of two people over five days, one of which was never fetched."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from tests.races import real_transactions
from usage.services import Fact, replace_day

__all__ = ["real_transactions"]

FIRST = date(2026, 3, 1)
MISSING = FIRST + timedelta(days=2)


def day(number: int) -> date:
    """The first day of the facts is 0."""
    return FIRST + timedelta(days=number)


def fact(token: str, model: str, scale: int = 1) -> Fact:
    """Five requests, four of which succeeded, and their tokens; everything times ``scale``."""
    return Fact(
        token, model, 5 * scale, 4 * scale, scale, 100 * scale, 50 * scale, 10 * scale, Decimal("0.0123456789") * scale
    )


@pytest.fixture
def keys(ada: User, eve: User, models: list[Model], subscribed: list[Subscription]) -> dict[str, ApiKey]:
    """Two keys of Ada's, one of Eve's."""
    create_subscription(eve, model="gpt-4o")
    Model.objects.filter(pk="claude-sonnet").update(provider="anthropic")
    return {
        "one": create_api_key(ada, name="one", models=["gpt-4o", "claude-sonnet"]).key,
        "two": create_api_key(ada, name="two", models=["gpt-4o"]).key,
        "eves": create_api_key(eve, name="eves", models=["gpt-4o"]).key,
    }


@pytest.fixture
def facts(keys: dict[str, ApiKey]) -> dict[str, Any]:
    """Facts on days 0, 1, 3 and 4; day 2 was never fetched. One key and one model are not ours."""
    digest = {name: key.secrets.get().digest for name, key in keys.items()}
    replace_day(
        day(0), [fact(digest["one"], "gpt-4o", 2), fact(digest["eves"], "gpt-4o", 7), fact("foreign", "gpt-4o")]
    )
    replace_day(
        day(1), [fact(digest["one"], "claude-sonnet", 3), fact(digest["two"], "gpt-4o"), fact("", "unheard-of")]
    )
    replace_day(day(3), [])
    replace_day(day(4), [fact(digest["two"], "gpt-4o", 4), fact(digest["eves"], "gpt-4o", 11)])
    return dict(keys)
