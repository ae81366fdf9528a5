"""What the dashboard says: what needs somebody, and the figures. Few statements, and LiteLLM is never asked."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db.models import Count, F, Max, Min, Model, Q, QuerySet, Sum, Value, Window

from accounts.models import User
from accounts.rbac import Actor, Permission, check_permission
from apikeys.models import ApiKey
from apikeys.risks import KNOWN_UNTIL, RISKS, risk
from litellm_sync import proof, reconcile
from litellm_sync.disappearance import refused_models
from litellm_sync.drift import DriftKind
from litellm_sync.failures import FAILING, KINDS, failures, shown
from litellm_sync.health import last_runs
from litellm_sync.models import RunKind, RunStatus, SyncRun, Upstream
from litellm_sync.reports import told
from litellm_sync.state import SyncStatus
from litellm_sync.versions import known_version
from litemaas.foundation.limits import NEARLY_SPENT
from subscriptions.models import Availability, Subscription, SubscriptionStatus
from subscriptions.models import Model as CatalogueModel
from teams.models import Team
from usage import queries
from usage.charts import column_chart
from usage.models import DailyTotal

ROWS: Final = 5
CHART_DAYS: Final = 30


def overview(actor: Actor) -> dict[str, Any]:
    """Everything on the dashboard."""
    today = datetime.now(UTC).date()
    people, models = User.objects.count(), _models()
    keys = _keys()
    figures = _figures(today)
    return {
        "approvals": _approvals(),
        "drift": _drift(),
        "pushes": _pushes(),
        "upstream": (upstream := Upstream.objects.first()),
        "release": known_version(upstream),
        "configured": bool(settings.LITELLM_API_URL),
        "runs": _runs(),
        "keys": keys,
        "risky": _risky(),
        "spenders": _spenders(),
        "figures": figures,
        "top_models": _top(actor, today, "model"),
        "top_people": _top(actor, today, "user"),
        "people": people,
        "models": models,
        "is_new": not models["all"],
        "may_hide": check_permission(actor, Permission.MODELS_HIDE),
        "may_sync": check_permission(actor, Permission.INTEGRATION_SYNC),
        **_chart(actor, today),
    }


# --- What needs somebody ---------------------------------------------------------------------------------------------


def _approvals() -> dict[str, Any]:
    """The oldest requests; all are counted in the same statement."""
    pending = Subscription.objects.filter(status=SubscriptionStatus.PENDING).select_related("user")
    rows: list[Any] = list(pending.annotate(total=Window(Count("pk"))).order_by("created_at")[:ROWS])
    return {"rows": rows, "total": rows[0].total if rows else 0}


def _pushes() -> dict[str, Any]:
    """What waits for LiteLLM and what it refuses, over all tables."""
    summary: dict[str, Any] = {"pending": 0, "failed": 0, "tried": 0, "next_at": None, "since": None}
    parts = [_summary(table) for table in KINDS]
    for row in parts[0].union(*parts[1:], all=True):
        summary["pending"] += row["pending"]
        summary["failed"] += row["failed"]
        summary["tried"] = max(summary["tried"], row["tried"] or 0)
        for first in ("next_at", "since"):
            summary[first] = min(filter(None, (summary[first], row[first])), default=None)
    return {**summary, "failures": shown(failures()[:ROWS]) if summary["failed"] else []}


def _summary(table: type[Model]) -> QuerySet[Any, dict[str, Any]]:
    waiting = Q(sync_status=SyncStatus.PENDING) & ~FAILING
    rows: Any = table._base_manager.exclude(sync_status=SyncStatus.SYNCED).order_by()
    found: QuerySet[Any, dict[str, Any]] = (
        rows.annotate(table=Value(table._meta.label_lower))
        .values("table")
        .annotate(
            pending=Count("pk", filter=waiting),
            failed=Count("pk", filter=FAILING),
            tried=Max("sync_attempts", filter=waiting),
            next_at=Min("sync_next_at", filter=waiting),
            since=Min("sync_requested_at", filter=waiting),
        )
    )
    return found


def _drift() -> dict[str, Any]:
    """What differs, by kind and the gravest first, and the secrets that must not work and did."""
    found = reconcile.drift_by_kind()
    return {
        "kinds": [(kind, DriftKind(kind).label, number) for kind, number in found.items()],
        "total": sum(found.values()),
        "alarms": list(proof.alarms().select_related("key").order_by("-worked_at")[:ROWS]),
    }


def _runs() -> list[dict[str, Any]]:
    """What is fetched all the time: its newest run, and when one last succeeded. The centre shows the others too."""
    found = last_runs()
    return [told(kind, found[kind]) | _ended(found[kind]) for kind in (RunKind.MODELS, RunKind.USAGE)]


def _ended(runs: Mapping[str, SyncRun]) -> dict[str, Any]:
    """Not the run that goes on: what it will find is not known yet."""
    over = [runs[status] for status in (RunStatus.DONE, RunStatus.FAILED) if status in runs]
    ended = max(over, key=lambda run: run.created_at, default=None)
    return {"ended": ended, "refused": refused_models(ended) if ended else []}


def _keys() -> dict[str, int | None]:
    """How many keys work, and how many of them are a risk of each kind; None where nobody knows which were used."""
    found = {name: Count("pk", filter=risk(name)) for name in RISKS}
    counts = ApiKey.objects.alive().aggregate(active=Count("pk"), known=Max(KNOWN_UNTIL), **found)
    is_known = counts.pop("known") is not None or not counts["active"]
    return counts if is_known else counts | {"unused": None}


def _risky() -> list[ApiKey]:
    """The keys that will stop soonest; those without bounds and the unused are counted, not listed."""
    urgent = risk("over_80") | risk("expiring")
    return list(
        ApiKey.objects.alive().filter(urgent).for_display().order_by(F("expires_at").asc(nulls_last=True))[:ROWS]
    )


def _spenders() -> list[dict[str, Any]]:
    """People and teams that have used most of their budget."""
    people = [
        {"page": "accounts_user", "row": row} for row in User.objects.filter(NEARLY_SPENT).order_by("-spend")[:ROWS]
    ]
    teams = [{"page": "teams_team", "row": row} for row in Team.objects.filter(NEARLY_SPENT).order_by("-spend")[:ROWS]]
    return [*people, *teams]


# --- Figures ---------------------------------------------------------------------------------------------------------


def same_day_before(today: date) -> tuple[date, date]:
    """The first of the month before, and the day of it that is as far on as today."""
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last.replace(day=min(today.day, last.day))


def _figures(today: date) -> dict[str, Any]:
    """Today, this month, and the month before up to the same day, in one statement."""
    first = today.replace(day=1)
    before, until = same_day_before(today)
    ranges = {"today": (today, today), "month": (first, today), "before": (before, until)}
    sums = {
        f"{name}_{column}": Sum(column, filter=Q(date__range=days), default=Decimal(0) if column == "spend" else 0)
        for name, days in ranges.items()
        for column in ("spend", "requests")
    }
    found = DailyTotal.objects.filter(date__range=(before, today)).aggregate(**sums)
    return {**found, "before_from": before, "before_to": until}


def _top(actor: Actor, today: date, by: str) -> list[dict[str, Any]]:
    """The dearest of this month, less what is nobody's."""
    month = queries.Question(today.replace(day=1), today)
    found = queries.breakdown(actor, month, by=by, limit=ROWS + 1)  # type: ignore[arg-type]  # whoever is here is signed in
    rows = [{"pk": part[by], "name": part["name"], "cost": part["spend"], "number": part["requests"]} for part in found]
    return [row for row in rows if row["pk"] is not None][:ROWS]


def _models() -> dict[str, int]:
    available = Count("pk", filter=Q(availability=Availability.AVAILABLE))
    return CatalogueModel.objects.aggregate(all=Count("pk"), available=available)


def _chart(actor: Actor, today: date) -> dict[str, Any]:
    """Everybody's spend of the last days, as the portal draws it."""
    question = queries.Question.of(start=today - timedelta(days=CHART_DAYS - 1), end=today)
    freshness = queries.freshness(question)
    rows = queries.timeseries(actor, question)  # type: ignore[arg-type]  # whoever is here is signed in
    return {"chart": column_chart(rows, "spend", missing=freshness.missing_days), "freshness": freshness}
