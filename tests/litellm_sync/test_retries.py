"""Pushing again what LiteLLM refused or what waits: by whom, and what the audit log says."""

from uuid import uuid4

import pytest

from accounts.models import AuditEvent, User
from apikeys.models import ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync.emulator.server import Emulator
from litellm_sync.integration import retry_push, retry_pushes
from litemaas.foundation.errors import Invalid, NotFound, PermissionDenied
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.models import Membership

KIND = "apikeys.apikeysecret"


@pytest.fixture
def secret(ada: User, subscribed: list[Subscription]) -> ApiKeySecret:
    """Of a key of Ada's that LiteLLM refused."""
    create_api_key(ada, name="k", models=["gpt-4o"])
    refused = {"sync_status": "failed", "sync_error": "no_such_team", "sync_attempts": 4, "sync_next_at": None}
    ApiKeySecret.objects.update(**refused)
    return ApiKeySecret.objects.get()


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["failed", "pending"])
def test_what_failed_or_waits_is_due_at_once(status: str, ann: User, secret: ApiKeySecret) -> None:
    ApiKeySecret.objects.update(sync_status=status)
    row = retry_push(ann, kind=KIND, object_id=secret.pk)
    assert isinstance(row, ApiKeySecret)
    assert (row.sync_status, row.sync_error, row.sync_attempts) == ("pending", "", 0)
    assert row.sync_next_at is not None
    assert row.sync_generation == secret.sync_generation + 1
    entry = AuditEvent.objects.get(action="push.retried")
    assert (entry.actor_id, entry.target_type, entry.target_id) == (ann.pk, "apikeysecret", str(secret.pk))
    assert entry.details == {"kind": KIND, "was": status, "error": "no_such_team"}


@pytest.mark.django_db
def test_what_litellm_has_is_left_alone(ann: User, secret: ApiKeySecret) -> None:
    ApiKeySecret.objects.update(sync_status="synced")
    row = retry_push(ann, kind=KIND, object_id=secret.pk)
    assert (row.sync_status, row.sync_generation) == ("synced", secret.sync_generation)
    assert not AuditEvent.objects.filter(action="push.retried").exists()


@pytest.mark.django_db(transaction=True)
def test_the_retry_reaches_litellm(litellm: Emulator, ann: User, ada: User, models: list[Model]) -> None:
    create_subscription(ada, model="gpt-4o")
    create_api_key(ada, name="k", models=["gpt-4o"])
    ApiKeySecret.objects.update(sync_status="failed", sync_error="internal", sync_next_at=None)
    assert retry_push(ann, kind=KIND, object_id=ApiKeySecret.objects.get().pk).sync_status == "synced"


@pytest.mark.django_db
def test_every_failed_row_of_a_table_or_of_all(ann: User, secret: ApiKeySecret) -> None:
    Membership.objects.update(sync_status="failed")
    memberships = Membership.objects.count()
    User.objects.update(sync_status="synced")
    assert retry_pushes(ann, kind=KIND) == 1
    assert retry_pushes(ann, kind=KIND) == 0
    assert retry_pushes(ann) == memberships
    rows = [entry.details["rows"] for entry in AuditEvent.objects.filter(action="push.retried").order_by("at")]
    assert rows == [{KIND: 1}, {"teams.membership": memberships}]


@pytest.mark.django_db
def test_unknown_tables_and_rows(ann: User) -> None:
    for kind in ("accounts.auditevent", "nonsense", ""):
        with pytest.raises(Invalid) as caught:
            retry_push(ann, kind=kind, object_id=uuid4())
        assert (caught.value.code, caught.value.details["field"]) == ("unknown_kind", "kind")
    with pytest.raises(Invalid):
        retry_pushes(ann, kind="nonsense")
    with pytest.raises(NotFound):
        retry_push(ann, kind="accounts.user", object_id=uuid4())


@pytest.mark.django_db
def test_trap_09_only_administrators_push_again(ro: User, ada: User, secret: ApiKeySecret) -> None:
    for actor in (ro, ada):
        with pytest.raises(PermissionDenied):
            retry_push(actor, kind=KIND, object_id=secret.pk)
        with pytest.raises(PermissionDenied):
            retry_pushes(actor)
    assert ApiKeySecret.objects.get().sync_status == "failed"
