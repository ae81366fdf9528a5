"""The only place that makes the people, keys and usage that pictures and browser tests look at.

It runs in ``manage.py shell`` of a product that does not serve yet, in front of the emulator. What a verb can do
is done by it; only what takes days or bad luck (an expired key, a refused push) is written into the rows.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import requests
from django.apps import apps
from django.conf import settings
from django.contrib.admin.utils import quote
from django.contrib.auth.hashers import ScryptPasswordHasher
from django.test import override_settings
from django.utils import timezone

from accounts.models import BrowserSession, FailedSignIn, Identity, PersonalToken, RefreshFamily, User
from accounts.people import deactivate_user
from accounts.personal_tokens import create_personal_token, revoke_personal_token
from apikeys.bulk import plan_bulk_change
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.policy import update_policy
from apikeys.rotation import rotate_api_key
from apikeys.services import create_api_key
from apikeys.upkeep import BulkChange, KeyFigures
from litellm_sync import activity, state
from litellm_sync.catalogue import sync_models
from litellm_sync.client import LiteLLM
from litellm_sync.models import Drift, SyncRun
from litemaas import demo
from litemaas.foundation.crypto import secret_digest
from litemaas.people.offboarding import offboard_user
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from teams.services import provision_user
from tests.guards.access_matrix import ADMIN_TABLES
from usage.services import replace_day

People = dict[str, User]

DAYS: Final = 100
# How old the days are on which somebody spent a five-digit amount: what is about this month and the one before shows
# nothing of it, what looks further back has to find room for it.
DEAR_DAYS: Final = range(64, 88)
DEAR: Final = 15_678.90
NEWCOMERS: Final = ("nora", "nils", "ned")
# One for each flow, so that no test sees what another has done.
ACTORS: Final = tuple(f"actor{number}" for number in range(1, 41))
COLLEAGUES: Final = {
    "carla": "Carla Costa",
    "david": "David Dubois",
    "emma": "Emma Eriksson",
    "farid": "Farid Fathi",
    "grace": "Grace Green",
    "hiro": "Hiro Hayashi",
    "ines": "Inés Ibáñez",
    "jonas": "Jonas Jäger",
    "kavya": "Kavya Kumar",
    "liam": "Liam Lindqvist",
    "long": "Maximiliane-Alexandra von und zu Hohenlohe-Waldenburg-Schillingsfürst",
}
# Whose usage -> the models with their weight, and the usual number of requests a working day.
HABITS: Final[dict[str, tuple[dict[str, int], int]]] = {
    "alice": ({"claude-sonnet": 5, "gpt-4o": 3, "text-embedding-3-small": 2}, 260),
    "bob": ({"gpt-4o-mini": 1}, 60),
    "carla": ({"gemini-2.5-flash": 3, "gpt-4.1": 1}, 340),
    "david": ({"qwen3-coder": 4, "codestral": 2}, 420),
    "emma": ({"gpt-4o": 1}, 40),
    "farid": ({"llama-3.3-70b": 1}, 700),
    "grace": ({"gpt-4.1-mini": 2, "bge-m3": 3}, 500),
    "hiro": ({"deepseek-r1": 1, "o4-mini": 1}, 25),
}
SPENT: Final = {"Mail summaries": 22.41, "Prototype": 25.37}
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "alice": ("Support assistant", "Nightly evaluation"),
    "bob": ("Notebook",),
    "carla": ("Newsletter drafts", "Translation service", "Meeting minutes"),
    "david": ("IDE plug-in", "Code review bot", "Release notes", "Playground"),
    "emma": ("Thesis",),
    "farid": ("Ticket triage", "Ticket triage (staging)"),
    "grace": ("Search index", "Search index (staging)", "Knowledge base"),
    "hiro": ("Proof checker", "Notebook"),
}


class QuickHasher(ScryptPasswordHasher):
    """The product's own with hardly any work; the product hashes a password anew when its owner signs in."""

    work_factor = 2


def main() -> dict[str, Any]:
    """Make everything; the order is that in which it happens in life."""

    sync_models()
    # Seventy passwords at a third of a second each are most of the time that everything else takes.
    with override_settings(PASSWORD_HASHERS=["tests.e2e.scene.QuickHasher"]):
        demo.make_people()
        people = _people()
    _restrict()
    _relaxed_policy(people["admin"])
    keys = _keys(people) | _states(people)
    _usage(people)
    _subscriptions(people)
    _operations(people)
    _differences(states=keys)
    return {"keys": keys, "subscriptions": _subscription_ids(people), "rows": _rows()}


def _people() -> People:
    names = COLLEAGUES | {"nora": "Nora Neumann", "nils": "Nils Nyberg", "ned": "Ned Nolan", "kim": "Kim Keys"}
    names |= {name: f"Actor {name.removeprefix('actor')}" for name in ACTORS}
    for name, full_name in names.items():
        provision_user(None, username=name, email=f"{name}@demo.example", full_name=full_name, password=name)
    carla = {"provider": "company", "issuer": "https://sso.demo.example", "subject": "7f3c2a90"}
    Identity.objects.create(user=User.objects.get(username="carla"), **carla)
    return {user.username: user for user in User.objects.all()}


def _restrict() -> None:
    """Three models that must be asked for."""
    Model.objects.filter(pk__in=("claude-opus", "o4-mini", "gemini-2.5-pro")).update(restricted=True)


def _relaxed_policy(admin: User) -> None:
    update_policy(admin, creations_per_hour=100, keys_per_user=50)


def _subscribe(user: User, *models: str) -> None:
    for model in models:
        if not Subscription.objects.filter(user=user, model=model).exists():
            create_subscription(user, model=model, justification="For the evaluation of the new search.")
            Subscription.objects.filter(user=user, model=model, status="pending").update(status="active")


def _keys(people: People) -> dict[str, str]:
    """The keys that are used every day; alice's first one has it all."""
    made: dict[str, str] = {}
    for name, titles in KEYS.items():
        user, models = people[name], list(HABITS[name][0])
        _subscribe(user, *models)
        for number, title in enumerate(titles):
            limits: dict[str, Any] = {"max_budget": Decimal(400), "budget_duration": "1mo", "rpm_limit": 600}
            issued = create_api_key(user, name=title, models=models[: 3 - number] or models[:1], **limits)
            _call(issued.secret, models[0])
            made.setdefault(name, str(issued.key.pk))
    _subscribe(people["nils"], "gpt-4o-mini")
    _subscribe(people["ned"], "gpt-4o-mini")
    made["ned"] = str(create_api_key(people["ned"], name="First steps", models=["gpt-4o-mini"]).key.pk)
    return made


def _call(secret: str, model: str) -> None:
    """One real call, so that LiteLLM knows when the key was last used."""
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    url, headers = f"{settings.LITELLM_API_URL}/chat/completions", {"Authorization": f"Bearer {secret}"}
    requests.post(url, json=body, headers=headers, timeout=30).raise_for_status()


def _usage(people: People) -> None:
    """Months of calls: into LiteLLM's books first, from there into ours, as the worker would do it."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=age) for age in range(DAYS, -1, -1)]
    rows = [row for name in HABITS for row in _calls_of(people[name], days)] + list(_spent(today))
    rows += _dear(people["long"], today)
    requests.post(f"{settings.LITELLM_API_URL}/emulator/activity", json={"rows": rows}, timeout=60).raise_for_status()
    for day in days:
        facts = activity.get_usage_from_litellm(LiteLLM(activity.DAY_SECONDS), day)
        replace_day(day, [activity._fact(row) for row in facts])
    activity.pull_key_spend(LiteLLM(activity.PAGE_SECONDS))
    KeyFigures.objects.update_or_create(id=1, defaults={"as_of": timezone.now()})


def _calls_of(user: User, days: list[date]) -> Iterator[dict[str, Any]]:
    """Weekdays are busy, weekends are not, and it grows; the same figures in every run of the same day."""
    dice = random.Random(user.username)  # noqa: S311 -- a scene, no secret
    weights, usual = HABITS[user.username]
    used = ApiKeySecret.objects.filter(key__user=user, key__name__in=KEYS[user.username]).order_by("key__name")
    tokens = list(used.values_list("digest", flat=True))
    for number, day in enumerate(days):
        busy = (0.12 if day.weekday() > 4 else 1.0) * (0.45 + number / len(days)) * dice.uniform(0.6, 1.3)
        for token in tokens:
            for model, weight in weights.items():
                calls = int(usual * busy * weight / sum(weights.values()) / len(tokens))
                if calls:
                    yield _row(dice, day, token, model, calls, charge=(days[-1] - day).days < days[-1].day)


def _spent(today: date) -> Iterator[dict[str, Any]]:
    """What brings one key near its budget of 25 USD and another one over it, spread over this month."""
    days = [today.replace(day=day) for day in range(1, today.day + 1)]
    for name, spend in SPENT.items():
        for secret in ApiKeySecret.objects.filter(key__name=name):
            calls = {"requests": 31, "prompt_tokens": 240_000, "completion_tokens": 90_000, "charge": True}
            for day in days:
                yield {"date": str(day), "token": secret.digest, "model": "gpt-4o", "spend": spend / len(days)} | calls


def _dear(user: User, today: date) -> Iterator[dict[str, Any]]:
    """An amount that needs room, of somebody whose names do too."""
    calls = {"requests": 61_234, "failed": 1_987, "prompt_tokens": 98_765_432, "completion_tokens": 12_345_678}
    for secret in ApiKeySecret.objects.filter(key__user=user):
        for age in DEAR_DAYS:
            row = {"date": str(today - timedelta(days=age)), "token": secret.digest, "model": "gpt-4o"}
            yield row | calls | {"spend": DEAR / len(DEAR_DAYS), "charge": False}


def _row(dice: random.Random, day: date, token: str, model: str, calls: int, *, charge: bool) -> dict[str, Any]:
    return {
        "date": str(day),
        "token": token,
        "model": model,
        "requests": calls,
        "failed": int(calls * dice.uniform(0, 0.03)),
        "prompt_tokens": calls * dice.randint(700, 2400),
        "completion_tokens": calls * dice.randint(120, 700),
        "charge": charge,
    }


def _states(people: People) -> dict[str, str]:
    """A key of alice's in each state that a key can be in."""
    alice, now = people["alice"], timezone.now()

    def key(name: str, **changes: Any) -> str:
        limits: dict[str, Any] = {"max_budget": Decimal(25), "budget_duration": "1mo"}
        made = create_api_key(alice, name=name, models=["gpt-4o"], **limits).key
        ApiKey.objects.filter(pk=made.pk).update(**changes)
        return str(made.pk)

    states = {
        "expiring": key("Workshop in Lyon", expires_at=now + timedelta(days=3)),
        "expired": key("Hackathon", expires_at=now - timedelta(days=9)),
        "nearly": key("Mail summaries"),
        "over": key("Prototype"),
        "blocked": key("Intern's notebook", status="blocked"),
        "failed": key("Old dashboard"),
        "pending": key("Data pipeline"),
        "revoked": key("Leaked in a chat"),
        "rotated": key("Shop assistant"),
        "spare": key("Spare"),
    }
    revoke_api_key(alice, key_id=states["revoked"])
    rotate_api_key(alice, key_id=states["rotated"], grace_seconds=86_400)
    _subscribe(people["long"], "gpt-4o")
    name, description = ("a rather long name of a key " * 3).strip(), "What it is for. " * 25
    issued = create_api_key(people["long"], name=name, description=description, models=["gpt-4o"])
    states["long"] = str(issued.key.pk)
    return states


def _subscriptions(people: People) -> None:
    """A subscription of alice's in each state, and what waits for the administrators."""
    alice = people["alice"]
    words = "We compare answers to support requests, about 2,000 a day until the end of the quarter."
    for name, model in (("alice", "claude-opus"), ("carla", "o4-mini"), ("grace", "claude-opus")):
        create_subscription(people[name], model=model, justification=words)
    for model in ("gemini-2.5-pro", "codestral", "phi-4", "gemma-3-27b", "llama-4-scout"):
        create_subscription(alice, model=model, justification=words)
    mine = Subscription.objects.filter(user=alice)
    mine.filter(model="gemini-2.5-pro").update(status="denied", reason="Please use gemini-2.5-flash for this.")
    mine.filter(model="codestral").update(status="suspended", reason="Suspended until the audit is over.")
    mine.filter(model="phi-4").update(status="expired")


def _subscription_ids(people: People) -> dict[str, str]:
    mine = Subscription.objects.filter(user=people["alice"])
    return {model: str(pk) for model, pk in mine.values_list("model_id", "pk")}


def _operations(people: People) -> None:
    """What only administrators see: a failed run, a job that waits for long, sign-ins."""
    now = timezone.now()
    failed = {"error": "LiteLLM did not answer in time.", "started_at": now, "finished_at": now}
    SyncRun.objects.create(kind="models", status="failed", **failed)
    gone = {"code": "mass_disappearance", "gone": 2, "available": 3, "refused": ["codestral", "phi-4"]}
    words = "2 of 3 models are missing in LiteLLM's answer. Nothing was changed."
    asking = SyncRun.objects.create(kind="models", status="failed", report=gone, **failed | {"error": words})
    # One within the interval would keep the worker from synchronising; the stage makes it the newest run afterwards.
    SyncRun.objects.filter(pk=asking.pk).update(created_at=now - timedelta(hours=2))
    state.job(state.PUSH_TASK, schedule_in={"days": 30}).defer(kind="accounts.user", object_id=str(people["emma"].pk))
    FailedSignIn.objects.create(account="mallory", address="203.0.113.7")
    RefreshFamily.objects.create(user=people["david"], current="x", expires_at=now + timedelta(days=14))
    safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1"
    for name, address in (("alice", "198.51.100.23"), ("emma", "203.0.113.20")):
        made: dict[str, Any] = {"user": people[name], "agent": safari, "address": address}
        BrowserSession.objects.create(digest=f"a phone of {name}", data="", **made)
    _tokens(people["alice"])
    refused: dict[str, Any] = {"sync_status": "failed", "sync_error": "http_400", "sync_next_at": None}
    research = Team.objects.create(name="Research", description="Long experiments.", **refused)
    Membership.objects.create(team=research, user=people["emma"], **refused)
    User.objects.filter(username="emma").update(**refused)
    # Somebody from an import: no verb leaves anybody without a team.
    settled = {"sync_status": "synced", "synced_at": now}
    User.objects.create(username="lena", full_name="Lena Lund", roles=["user"], **settled)
    _leavers(people)
    _bulk_changes(people["admin"])
    User.objects.filter(username="hiro").update(max_budget=Decimal(50), budget_duration="1mo", spend=Decimal("44.10"))


def _differences(states: dict[str, str]) -> None:
    """What a comparison found, one of each kind, and a key that must not work and does."""
    run = SyncRun.objects.create(
        kind="reconcile", status="done", done=61, total=61, report={"compared": 61, "missing": 1}
    )
    secret = ApiKeySecret.objects.get(key__id=UUID(states["nearly"]))
    about: dict[str, Any] = {"run": run, "what": "key", "seen_at": timezone.now()}
    row = {"row_id": str(secret.pk), "details": {"key": states["nearly"], "owner": "alice", "needs_rotation": "told"}}
    Drift.objects.create(kind="missing", object_id=secret.digest, name=f"Mail summaries ({secret})", **row, **about)
    fields = {"max_budget": ["25", "250"], "models": [["gpt-4o"], ["gpt-4o", "claude-opus"]], "blocked": [False, True]}
    changed = {"row_id": str(secret.pk), "details": {"key": states["over"], "owner": "alice", "fields": fields}}
    Drift.objects.create(kind="different", object_id="c0ffee" * 10 + "c0ff", name="Prototype", **changed, **about)
    for name, blocked in (("langfuse-nightly", False), ("old-notebook", True)):
        told: dict[str, Any] = {
            "alias": name,
            "key_name": "sk-...Xk3Q",
            "user": "svc-langfuse",
            "models": [],
            "spend": "12.5",
        }
        told |= {"blocked": blocked, "may_manage": True}
        Drift.objects.create(kind="unknown", object_id=secret_digest(name), name=name, details=told, **about)
    worked = {"stopped_at": timezone.now(), "worked_at": timezone.now(), "proof_due_at": None}
    ApiKeySecret.objects.filter(key__id=UUID(states["revoked"])).update(pushed_at=timezone.now(), **worked)
    proved = {"stopped_at": timezone.now(), "proven_at": timezone.now(), "proof_due_at": None, "sync_status": "synced"}
    for name, way in (("blocked", "read_back_and_log"), ("expired", "read_back")):
        ended = ApiKeySecret.objects.filter(key__id=UUID(states[name]))
        ended.update(pushed_at=timezone.now(), proven_by=way, **proved)


def _tokens(user: User) -> None:
    """A token in each state, and the sign-in of a program."""
    program: dict[str, Any] = {"agent": "python-requests/2.32.3", "address": "198.51.100.7"}
    RefreshFamily.objects.create(user=user, current="y", expires_at=timezone.now() + timedelta(days=9), **program)
    wishes = (
        ("Nightly report", "read", 30),
        ("Terraform", "write", 365),
        ("Old laptop", "read", 90),
        ("Trial", "read", 7),
    )
    for name, scope, days in wishes:
        create_personal_token(user, name=name, scope=scope, days=days)
    mine = PersonalToken.objects.filter(user=user)
    mine.filter(name="Nightly report").update(last_used_at=timezone.now(), last_address="198.51.100.7")
    revoke_personal_token(user, token_id=mine.get(name="Old laptop").pk)
    long_ago = timezone.now() - timedelta(days=8)
    mine.filter(name="Trial").update(created_at=long_ago, expires_at=long_ago + timedelta(days=7))


def _leavers(people: People) -> None:
    """Somebody who is away for a while, and somebody who has left for good."""
    admin = people["admin"]
    for name, full_name in (("priya", "Priya Patel"), ("tomas", "Tomás Torres")):
        _subscribe(person := provision_user(None, username=name, full_name=full_name), "gpt-4o")
        create_api_key(person, name="Notebook", models=["gpt-4o"])
    deactivate_user(admin, user_id=User.objects.get(username="priya").pk, reason="Sabbatical until March.")
    offboard_user(admin, user_id=User.objects.get(username="tomas").pk, reason="Has left the company.")


def _bulk_changes(admin: User) -> None:
    """One that is planned, one that goes on for ever, and one that stopped with something of everything."""
    plan_bulk_change(admin, action="revoke", which="no_expiry", reason="Every key needs an end.")
    going, stopped = (plan_bulk_change(admin, action="block", which="no_expiry") for _turn in range(2))
    now = timezone.now()
    outcomes = (("done", ""), ("skipped", "changed_meanwhile"), ("failed", "internal_error"))
    for pk, (outcome, code) in zip(stopped.rows.values_list("pk", flat=True)[:3], outcomes, strict=True):
        stopped.rows.filter(pk=pk).update(outcome=outcome, code=code, done_at=now)
    changes = BulkChange.objects
    changes.filter(pk=stopped.pk).update(status="stopped", error="permission_denied", started_at=now)
    # Claimed, so that no worker touches the keys of the scene.
    changes.filter(pk=going.pk).update(status="running", started_at=now, lease_until=now + timedelta(days=1))


# Table and verb of the admin portal -> a row that fits; of other tables any row does.
FITTING: Final[dict[str, dict[str, Any]]] = {
    "apikeys/apikey/block": {"name": "Spare"},
    "apikeys/apikey/revoke": {"name": "Spare"},
    "apikeys/apikey/unblock": {"status": "blocked"},
    "apikeys/apikey/delete": {"status": "revoked", "name": "Leaked in a chat"},
    "apikeys/apikey/edit": {"name": "Spare"},
    "apikeys/apikey/end-old-secret": {"name": "Shop assistant"},
    "apikeys/apikey/reset-spend": {"name": "Spare"},
    "apikeys/apikey/retry": {"name": "Old dashboard"},
    "apikeys/bulkchange": {"status": "stopped"},
    "apikeys/bulkchange/start": {"status": "planned"},
    "apikeys/bulkchange/stop": {"status": "running"},
    "litellm_sync/syncrun/confirm": {"report__code": "mass_disappearance"},
    "subscriptions/model/open": {"restricted": True},
    "subscriptions/model/restrict": {"restricted": False},
    "subscriptions/subscription/approve": {"status": "pending"},
    "subscriptions/subscription/deny": {"status": "pending"},
    "accounts/browsersession": {"address": "203.0.113.20"},
    "accounts/browsersession/end": {"address": "203.0.113.20"},
    "accounts/personaltoken": {"name": "Nightly report"},
    "accounts/personaltoken/revoke": {"name": "Nightly report"},
    "accounts/user": {"username": "alice"},
    **{
        f"accounts/user/{verb}": {"username": "carla"} for verb in ("deactivate", "limits", "link", "offboard", "roles")
    },
    "accounts/user/assign": {"username": "lena"},
    "accounts/user/unlink": {"username": "carla"},
    "accounts/user/reactivate": {"username": "priya"},
    "accounts/user/retry": {"username": "emma"},
    "teams/membership/retry": {"team__name": "Research"},
    "teams/team/migrate": {"pk": DEFAULT_TEAM_ID},
    "teams/team/retry": {"name": "Research"},
    "apikeys/apikey": {"name": "Support assistant"},
    "litellm_sync/drift": {"kind": "different"},
    "litellm_sync/drift/adopt": {"name": "langfuse-nightly"},
    "litellm_sync/drift/block": {"name": "langfuse-nightly"},
    "litellm_sync/drift/mend": {"kind": "different"},
    "litellm_sync/drift/unblock": {"name": "old-notebook"},
    "subscriptions/model": {"pk": "gpt-4o"},
    "procrastinate/procrastinatejob": {"scheduled_at__gt": timezone.now() + timedelta(days=1)},
}


def _rows() -> dict[str, str]:
    """For each table of the admin portal, and each verb there, the id of a row as it stands in addresses."""
    found = {}
    for table, (verbs, _bulk, _list_verbs) in ADMIN_TABLES.items():
        rows = apps.get_model(table.replace("/", "."))._default_manager
        for name in (table, *(f"{table}/{verb}" for verb in verbs)):
            row = rows.filter(**FITTING.get(name, {})).first()
            assert row is not None, name
            found[name] = quote(str(row.pk))
    return found | {"accounts/user/tomas": str(User.objects.get(username="tomas").pk)}
