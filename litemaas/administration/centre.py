"""What the integration centre shows: how LiteLLM and we stand, from our own tables, and the form of the schedule."""

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from accounts.rbac import Permission, check_permission
from litellm_sync import failures, health, integration, state
from litellm_sync.default_team import get_default_team_stats
from litellm_sync.models import UNFINISHED, RunKind, RunStatus, SyncRun
from litellm_sync.reports import STATUS, counts, told
from litellm_sync.schedules import FETCHED, LEAST, OFF, Interval, intervals
from teams.models import DEFAULT_TEAM_ID
from usage.charts.lines import spark_line

ROWS: Final = 8
FAILURES_A_PAGE: Final = 20
# What is fetched by the clock succeeds all day long; among the last runs it counts only when it does not.
OF_NOTE: Final = Q(parent=None) & (Q(requested_by__isnull=False) | ~Q(kind__in=FETCHED) | ~Q(status=RunStatus.DONE))
# What each kind does, in a few words.
EXPLAINED: Final = {
    RunKind.MODELS: gettext_lazy("The catalogue becomes what LiteLLM lists."),
    RunKind.USAGE: gettext_lazy("What was used and spent is fetched."),
    RunKind.RECONCILE: gettext_lazy("Both sides are compared; what differs is listed, and mended as the settings say."),
    RunKind.TEAMS: gettext_lazy("Every team is compared and mended in LiteLLM."),
    RunKind.USERS: gettext_lazy("Everybody with their memberships, the default team first."),
    RunKind.KEYS: gettext_lazy("Every key that is to exist in LiteLLM."),
    RunKind.ALL: gettext_lazy("All of the above, one after the other."),
    RunKind.ORPHANS: gettext_lazy("Whoever is in no team joins the default team."),
}
CIRCUIT: Final = {
    "closed": gettext_lazy("closed"),
    "open": gettext_lazy("open"),
    "half-open": gettext_lazy("half-open"),
    None: gettext_lazy("unknown"),
}
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
# What the schedule offers, in seconds; a kind shows those that it allows.
OFFERED: Final = (15, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR, 12 * HOUR, DAY, 7 * DAY)


def overview(actor: User, sent: QueryDict) -> dict[str, Any]:
    """Everything on the page. ``sent`` narrows the failed pushes (``kind``) and turns their pages (``page``)."""
    runs = health.last_runs()
    known = health.get_integration_health(runs)
    kinds = _kinds(runs)
    return {
        "health": known,
        "spark": spark_line(health.seen()),
        "circuits": [(words, CIRCUIT.get(known["circuit"][name], name)) for name, words in _processes()],
        "queues": [(words, known["queues"][state.kind_of(table)]) for table, words in failures.KINDS.items()],
        "oldest": _oldest(known["oldest_pending"]),
        "drift": _drift(),
        "kinds": kinds,
        "going": any(entry["going"] for entry in kinds),
        "may_sync": check_permission(actor, Permission.INTEGRATION_SYNC),
        "may_schedule": check_permission(actor, Permission.INTEGRATION_SCHEDULE),
        "may_assign": check_permission(actor, Permission.TEAMS_ASSIGN),
        "history": [_row(run) for run in SyncRun.objects.filter(OF_NOTE)[:ROWS]],
        "events": integration.generate_audit_log(actor)[:ROWS],
        "team": get_default_team_stats(),
        "team_id": DEFAULT_TEAM_ID,
        **_failing(sent),
    }


def _processes() -> tuple[tuple[str, str], ...]:
    return (("web", _("Circuit of this web process")), ("worker", _("Circuit of the worker")))


def _oldest(waiting: dict[str, Any] | None) -> dict[str, Any] | None:
    if waiting is None:
        return None
    return {"since": waiting["since"], "what": failures.what(waiting["kind"])}


def _drift() -> dict[str, Any] | None:
    run = health.last_comparison()
    return {"run": run, "counts": counts(run)} if run else None


def _kinds(runs: dict[str, dict[str, SyncRun]]) -> list[dict[str, Any]]:
    every, now = intervals(), timezone.now()
    return [
        {
            **told(kind, runs[kind]),
            "explained": EXPLAINED.get(kind, ""),
            "interval": in_words(every[kind].seconds),
            "is_off": every[kind].seconds == OFF,
            "next_at": _next(every[kind], runs[kind].get(""), now),
        }
        for kind in RunKind
    ]


def _next(interval: Interval, last: SyncRun | None, now: datetime) -> datetime | None:
    if interval.seconds == OFF or (last is not None and last.status in UNFINISHED):
        return None
    return max(now, last.created_at + timedelta(seconds=interval.seconds)) if last else now


def _row(run: SyncRun) -> dict[str, Any]:
    return {"run": run, "label": STATUS[RunStatus(run.status)], "counts": counts(run)}


def _failing(sent: QueryDict) -> dict[str, Any]:
    kinds = {state.kind_of(table): words for table, words in failures.KINDS.items()}
    kind = sent.get("kind", "")
    kind = kind if kind in kinds else ""
    page = Paginator(failures.failures(kind or None), FAILURES_A_PAGE).get_page(sent.get("page"))
    return {"page": page, "failing": failures.shown(page.object_list), "kind": kind, "failing_kinds": kinds}


# --- The schedule ----------------------------------------------------------------------------------------------------


def in_words(seconds: int) -> str:
    """An interval as people say it."""
    if seconds == OFF:
        return _("only when asked")
    if seconds % DAY == 0:
        return ngettext("every day", "every %(count)s days", seconds // DAY) % {"count": seconds // DAY}
    if seconds % HOUR == 0:
        return ngettext("every hour", "every %(count)s hours", seconds // HOUR) % {"count": seconds // HOUR}
    if seconds % MINUTE == 0:
        return ngettext("every minute", "every %(count)s minutes", seconds // MINUTE) % {"count": seconds // MINUTE}
    return ngettext("every second", "every %(count)s seconds", seconds) % {"count": seconds}


class ScheduleForm(forms.Form):
    """A choice for each kind; the empty one is what the settings say."""

    def __init__(self, *args: Any, every: dict[RunKind, Interval], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, interval in every.items():
            self.fields[kind.value] = forms.ChoiceField(label=kind.label, choices=_choices(interval), required=False)


def _choices(interval: Interval) -> list[tuple[str, str]]:
    settings = _("As the settings say: %(interval)s") % {"interval": in_words(interval.default)}
    offered = {seconds for seconds in OFFERED if seconds >= LEAST[interval.kind]}
    offered |= set() if interval.is_default or interval.seconds == OFF else {interval.seconds}
    return [("", settings), ("0", in_words(OFF)), *((str(one), in_words(one)) for one in sorted(offered))]


def present(every: dict[RunKind, Interval]) -> dict[str, str]:
    """What the form starts with."""
    return {kind.value: "" if interval.is_default else str(interval.seconds) for kind, interval in every.items()}


def wished(chosen: dict[str, str]) -> dict[str, int | None]:
    """Choices of the form as seconds; None for what the settings say."""
    return {kind: int(seconds) if seconds else None for kind, seconds in chosen.items()}
