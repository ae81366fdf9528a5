"""What the guards need to visit the admin portal: a row in every table, in a state that every verb fits."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.utils import timezone

from accounts.admin_shown import sealed
from accounts.models import FailedSignIn, Identity, RefreshFamily, User
from apikeys import bulk
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.policy import get_policy
from apikeys.rotation import rotate_api_key
from apikeys.services import create_api_key
from litellm_sync.emulator.server import Emulator
from litellm_sync.emulator.shapes import new_key
from litellm_sync.models import Drift, SyncRun
from litellm_sync.schedules import intervals
from litemaas.administration.centre import present
from litemaas.foundation.crypto import secret_digest
from subscriptions.models import Model, Subscription
from teams.models import DEFAULT_TEAM_ID, Membership
from teams.services import provision_user
from usage.services import Fact, replace_day

BULK = {
    "accounts/user": "retry",
    "apikeys/apikey": "revoke",
    "litellm_sync/drift": "mend",
    "subscriptions/model": "restrict",
    "subscriptions/subscription": "approve",
    "teams/membership": "retry",
    "teams/team": "retry",
}


def furnish(ada: User, key: ApiKey) -> None:
    """Fill the tables that nothing else fills, and bring rows into states."""
    restricted = Model.objects.create(id="restricted-model", provider="openai", mode="chat", restricted=True)
    Subscription.objects.create(user=ada, model=restricted, status="pending")
    blocked = create_api_key(ada, name="blocked", models=["gpt-4o"]).key
    ApiKey.objects.filter(pk=blocked.pk).update(status="blocked")
    rotated, ended = (create_api_key(ada, name=name, models=["gpt-4o"]).key for name in ("rotated", "ended"))
    ApiKey.objects.filter(pk=ended.pk).update(status="revoked")
    ApiKeySecret.objects.update(pending_secret=None)
    rotate_api_key(ada, key_id=rotated.pk, grace_seconds=600)
    ApiKeySecret.objects.filter(key=rotated).update(pending_secret=None)
    Membership.objects.filter(user=ada).update(sync_status="failed")
    provision_user(None, username="gone")
    User.objects.filter(username="gone").update(is_active=False)
    User.objects.create(username="lost", roles=["user"])
    FailedSignIn.objects.create(account="ada", address="10.0.0.1")
    RefreshFamily.objects.create(user=ada, current="x", expires_at=timezone.now() + timedelta(days=1))
    refused = {"code": "mass_disappearance", "gone": 1, "available": 1, "refused": ["gpt-4o"]}
    SyncRun.objects.create(kind="models", status="failed", report=refused)
    Identity.objects.create(user=ada, provider="company", issuer="https://idp.test", subject="s-1")
    ann = User.objects.get(username="ann")
    planned = bulk.plan_bulk_change(ann, action="block", which="no_limit")
    running = bulk.plan_bulk_change(ann, action="revoke", which="no_expiry")
    bulk.start_bulk_change(ann, change_id=running.pk)
    assert planned.status == "planned"
    differ(key)
    replace_day(datetime.now(UTC).date(), [Fact(key.secrets.get().digest, "gpt-4o", 1, 1)])


FOREIGN = ("sk-foreign-key", "sk-foreign-blocked")


def differ(key: ApiKey) -> None:
    """What a comparison could have found: a key of ours that is missing, and two that were made in LiteLLM."""
    secret, run = key.secrets.get(), SyncRun.objects.create(kind="reconcile", status="done")
    now = timezone.now()
    Drift.objects.create(
        run=run, what="key", kind="missing", object_id=secret.digest, row_id=str(secret.pk), name="ours", seen_at=now
    )
    for name in FOREIGN:
        details = {"blocked": name.endswith("blocked"), "models": ["gpt-4o"]}
        Drift.objects.create(
            run=run, what="key", kind="unknown", object_id=secret_digest(name), name=name, details=details, seen_at=now
        )


def made_in(litellm: Emulator) -> None:
    """The two keys, in LiteLLM, without a call."""
    for name in FOREIGN:
        row = new_key(
            token=secret_digest(name),
            key_name=f"sk-...{name[-4:]}",
            models=["gpt-4o"],
            blocked=name.endswith("blocked") or None,
        )
        litellm.state.keys.put(row["token"], row)


def _row(path: str) -> Any:
    """A row that the page or verb of an address fits."""
    _nothing, _admin, app, model, *rest = path.split("/")
    rows = apps.get_model(app, model)._default_manager.order_by("pk")
    fitting: dict[str, dict[str, Any]] = {
        "assign": {"memberships": None},
        "apikey/delete": {"status": "revoked"},
        "apikey/edit": {"name": "notebook"},
        "apikey/end-old-secret": {"name": "rotated"},
        "apikey/reset-spend": {"name": "notebook"},
        "apikey/retry": {"name": "notebook"},
        "apikey/revoke": {"name": "notebook"},
        "approve": {"status": "pending"},
        "block": {"name": "notebook"},
        "confirm": {"report__code": "mass_disappearance"},
        "deny": {"status": "pending"},
        "deactivate": {"username": "ada"},
        "end": {"digest": "ada-elsewhere"},
        "limits": {"username": "ada"},
        "link": {"username": "ada"},
        "migrate": {"pk": DEFAULT_TEAM_ID},
        "offboard": {"username": "ada"},
        "open": {"restricted": True},
        "reactivate": {"is_active": False},
        "roles": {"username": "ada"},
        "start": {"status": "planned"},
        "stop": {"status": "running"},
        "restrict": {"restricted": False},
        "unblock": {"status": "blocked"},
        "unlink": {"username": "ada"},
    }
    if model == "drift":
        fitting = DIFFERENT
    verb = rest[1] if len(rest) > 1 and rest[1] else BULK.get(f"{app}/{model}", "")
    found = rows.filter(**fitting.get(f"{model}/{verb}", fitting.get(verb, {}))).first()
    return 1 if model == "keypolicy" else found.pk


DIFFERENT: dict[str, dict[str, Any]] = {
    "adopt": {"name": FOREIGN[0]},
    "block": {"name": FOREIGN[0]},
    "mend": {"name": "ours"},
    "unblock": {"name": FOREIGN[1]},
}


def address(path: str) -> str:
    """An address with a row filled in."""
    path = path.replace("<slug:what>", "models")
    return path.replace("<path:object_id>", quote(str(_row(path)))) if "<path:object_id>" in path else path


def body(path: str) -> dict[str, Any]:
    """What is sent there in earnest."""
    if path.strip("/").removeprefix("admin/") in BULK:
        table = path.strip("/").removeprefix("admin/")
        chosen = {"action": BULK[table], "_selected_action": [str(_row(path))], "index": "0", "confirmed": "1"}
        return {**chosen, "reason": "because"}
    bodies: dict[str, dict[str, Any]] = {
        "/admin/accounts/user/add/": {"username": "newcomer", "role": "user"},
        "/admin/accounts/user/<path:object_id>/limits/": {"max_budget": "5"},
        "/admin/accounts/user/<path:object_id>/link/": {"provider": "company", "subject": "s-2"},
        "/admin/accounts/user/<path:object_id>/unlink/": {
            "identity": Identity.objects.values_list("pk", flat=True).first()
        },
        "/admin/accounts/user/<path:object_id>/roles/": {"roles": ["adminReadonly"]},
        "/admin/litellm_sync/drift/<path:object_id>/adopt/": {"owner": "ada"},
        "/admin/litellm_sync/drift/mend-all/": {"kind": "missing"},
        "/admin/integration/schedule/": _schedule(),
        "/admin/apikeys/bulkchange/plan/": {"action": "block", "which": "no_limit"},
        "/admin/litellm_sync/syncrun/start/": {"what": "usage"},
        "/admin/apikeys/apikey/<path:object_id>/edit/": {"name": "renamed", "models": ["gpt-4o"]},
        "/admin/apikeys/keypolicy/<path:object_id>/edit/": {
            "default_grace_seconds": 86400,
            "maximum_grace_seconds": 604800,
            "keys_per_user": 7,
            "creations_per_hour": 60,
            "minimum_budget_duration": "1d",
        },
    }
    if path not in bodies:
        return {"reason": "because"}
    return bodies[path] | ({"as_shown": _as_shown(path)} if "<path:object_id>" in path else {})


def _schedule() -> dict[str, Any]:
    """Another interval for the models, all others as they are."""
    shown = present(intervals())
    return {**shown, "models": "300", "as_shown": sealed(shown, about="/admin/integration/schedule/")}


def _as_shown(path: str) -> str:
    """What the form says that it showed."""
    _nothing, _admin, app, model, _object, name, _end = path.split("/")
    found: Any = admin.site._registry[apps.get_model(app, model)]
    row = get_policy() if model == "keypolicy" else found.model._default_manager.get(pk=_row(path))
    verb = next(verb for verb in found.all_verbs() if verb.name == name)
    return sealed(verb.initial(row), about=address(path))
