"""What the tests of the admin portal share: a world with something in every table, and the pages of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model as Table
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import BrowserSession, FailedSignIn, RefreshFamily, User
from accounts.personal_tokens import create_personal_token
from apikeys.bulk import plan_bulk_change
from apikeys.models import ApiKey
from apikeys.services import IssuedKey, create_api_key
from litellm_sync.models import Drift, SyncRun
from subscriptions.models import Model, Subscription
from usage.services import Fact, replace_day

Browser = Callable[[User | None], Client]


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription]) -> IssuedKey:
    """Ada's key for two models, with its secret."""
    return create_api_key(ada, name="notebook", models=["gpt-4o", "claude-sonnet"], max_budget=Decimal(10))


@pytest.fixture
def key(issued: IssuedKey) -> ApiKey:
    """Ada's key."""
    return issued.key


@pytest.fixture
def filled(key: ApiKey, ada: User, ann: User) -> ApiKey:
    """Something in every table that the portal shows; returns Ada's key."""
    today = datetime.now(UTC).date()
    digest = key.secrets.get().digest
    replace_day(today, [Fact(digest, "gpt-4o", 3, 2, 1, 1000, 500, 0, Decimal("0.25"))])
    SyncRun.objects.create(
        kind="models",
        status="done",
        requested_by=ann.pk,
        done=3,
        total=3,
        report={"added": ["gpt-4o"], "changed": {"gpt-4o": {"mode": ["chat", "embedding"]}}, "unchanged": 1},
    )
    compared = SyncRun.objects.create(kind="reconcile", status="done", report={"compared": 3, "unknown": 1})
    told = {"alias": "langfuse", "models": ["gpt-4o"], "blocked": False}
    now = timezone.now()
    Drift.objects.create(
        run=compared, what="key", kind="unknown", object_id="0" * 64, name="langfuse", details=told, seen_at=now
    )
    FailedSignIn.objects.create(account="ada", address="10.0.0.1")
    RefreshFamily.objects.create(user=ada, current="x", expires_at=timezone.now() + timedelta(days=1))
    BrowserSession.objects.create(user=ada, digest="ada-elsewhere", data="")
    create_personal_token(ada, name="nightly", scope="read")
    plan_bulk_change(ann, action="block", which="no_expiry")
    return key


def tables() -> list[type[Table]]:
    """Every table of the portal."""
    return list(admin.site._registry)


def listing(table: type[Table]) -> str:
    """The address of a table's list."""
    return reverse(f"admin:{table._meta.label_lower.replace('.', '_')}_changelist")


def page(row: Table, kind: str = "change") -> str:
    """The address of a row's page, or of one of its verbs."""
    return reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_{kind}", args=[quote(row.pk)])


def send(client: Client, address: str, typed: dict[str, Any], **options: Any) -> Any:
    """Open a form that shows what is there, type and send it."""
    opened: Any = client.get(address)
    return client.post(address, {"as_shown": opened.context["as_shown"], **typed}, **options)


def pages() -> list[str]:
    """Every page that can be read, with a row of every table."""
    from apikeys.policy import get_policy  # noqa: PLC0415 -- only where a test has a database

    found = [reverse("admin:index")]
    for table in tables():
        row: Any = get_policy() if table.__name__ == "KeyPolicy" else table._default_manager.first()
        assert row is not None, table
        found += [listing(table), page(row)]
    return found


def restricted(model: Model) -> Model:
    """A model that needs approval."""
    Model.objects.filter(pk=model.pk).update(restricted=True)
    return model
