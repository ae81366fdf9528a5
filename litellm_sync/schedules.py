"""How often each kind is synchronised: what an administrator has decided, else what the settings say."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q

from litellm_sync.models import RunKind, RunStatus, SyncRun, SyncSchedule

OFF: Final = 0
MONTH: Final = 30 * 24 * 3600
HOUR: Final = 3600
# Kind -> the fewest seconds between two runs. Whole tables ask LiteLLM at least once for each row.
LEAST: Final = {
    RunKind.MODELS: 60,
    RunKind.USAGE: 15,
    RunKind.TEAMS: HOUR,
    RunKind.USERS: HOUR,
    RunKind.KEYS: HOUR,
    RunKind.ALL: HOUR,
    RunKind.ORPHANS: HOUR,
    RunKind.RECONCILE: 600,
}
# A failed fetch is tried again soon, whatever the interval: without a catalogue nobody can do anything.
RETRY_AFTER: Final = timedelta(seconds=30)
# What pushes whole tables has the pushes' own back-off besides.
RETRY_TABLES_AFTER: Final = timedelta(minutes=15)
FETCHED: Final = frozenset({RunKind.MODELS, RunKind.USAGE})
# Many models are missing: an administrator decides that, or the list is whole again. Asking at once says the same.
MASS_DISAPPEARANCE: Final = "mass_disappearance"


@dataclass(frozen=True)
class Interval:
    """``seconds`` between two runs of a kind, OFF for never; ``default`` is what the settings say."""

    kind: RunKind
    seconds: int
    default: int
    is_default: bool

    @property
    def least(self) -> int:
        """The fewest seconds that may be set."""
        return LEAST[self.kind]

    def is_due(self, now: datetime) -> bool:
        """Whether the interval has passed since the last run began, or a failed one is to be tried again.

        One that was answered and changed nothing, because too much was missing, has not failed in this sense.
        """
        if self.seconds == OFF:
            return False
        every = timedelta(seconds=self.seconds)
        retry = min(every, RETRY_AFTER if self.kind in FETCHED else RETRY_TABLES_AFTER)
        answered = ~Q(status=RunStatus.FAILED) | Q(report__code=MASS_DISAPPEARANCE)
        counts = Q(created_at__gt=now - every) & answered
        counts |= Q(created_at__gt=now - retry, status=RunStatus.FAILED)
        return not SyncRun.objects.filter(counts, kind=self.kind).exists()


def intervals() -> dict[RunKind, Interval]:
    """Every kind with its interval, as all workers obey it at this moment."""
    defaults = {
        RunKind.MODELS: settings.MODEL_SYNC_SECONDS,
        RunKind.RECONCILE: settings.RECONCILE_SECONDS,
        RunKind.USAGE: settings.USAGE_SYNC_SECONDS,
    }
    stored = dict(SyncSchedule.objects.values_list("kind", "seconds"))
    found = {}
    for kind in RunKind:
        default = defaults.get(kind, OFF)
        found[kind] = Interval(kind, stored.get(kind, default), default, is_default=kind not in stored)
    return found
