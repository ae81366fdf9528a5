"""Bringing LiteLLM's activity and spend here: the figures that people see are always read from our tables."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

from django.db.models import Max

from apikeys.models import ApiKeySecret
from litellm_sync import spend
from litellm_sync.client import Activity, LiteLLM
from usage import services as usage
from usage.models import UsageDay

DAY_SECONDS, KEYS_SECONDS = 60.0, 120.0
# LiteLLM writes late: days younger than this are fetched again with each pull.
UNSETTLED_DAYS = 3
FIRST_PULL_DAYS = 30


def days_to_pull(today: date) -> list[date]:
    """Today, what is not settled, and every day since the last pull; thirty days the first time."""
    newest = UsageDay.objects.aggregate(newest=Max("date"))["newest"]
    first = today - timedelta(days=FIRST_PULL_DAYS - 1) if newest is None else newest
    start = min(first, today - timedelta(days=UNSETTLED_DAYS - 1))
    return [start + timedelta(days=offset) for offset in range((today - start).days + 1)]


def get_usage_from_litellm(litellm: LiteLLM, day: date) -> list[Activity]:
    """All activity of one UTC day.

    Days are asked for one by one: LiteLLM pages by position, so a row that is written today while a longer answer is
    read would shift the rows of closed days from one page to the next, to be counted twice or never.
    """
    return [row for row in litellm.get_daily_activity(day, day) if row.date == day]


def pull_usage(progress: Callable[[int, int], None] | None = None) -> dict[str, int]:
    """Fetch and replace the days that may have changed, then the spend of the keys. Returns counts.

    Each day is kept as soon as it is there, so that a pull that fails half-way goes on from where it was.
    """
    days = days_to_pull(datetime.now(UTC).date())
    litellm = LiteLLM(DAY_SECONDS)
    rows = 0
    for number, day in enumerate(days, start=1):
        found = get_usage_from_litellm(litellm.with_limit(DAY_SECONDS), day)
        rows += usage.replace_day(day, (_fact(row) for row in found))
        if progress is not None:
            progress(number, len(days))
    return {"days": len(days), "rows": rows, "keys": pull_key_spend(litellm.with_limit(KEYS_SECONDS))}


def _fact(row: Activity) -> usage.Fact:
    figures = asdict(row)
    del figures["date"]
    return usage.Fact(**figures)


def pull_key_spend(litellm: LiteLLM) -> int:
    """Copy spend, the next reset and the last use of every key that is ours. Returns how many keys changed.

    A key has spent what its secrets have together; what passed from one to the next counts once.
    """
    found = {info.token: info for info in litellm.get_keys()}
    secrets: dict[str, list[ApiKeySecret]] = {}
    for secret in ApiKeySecret.objects.filter(digest__in=found).select_related("key").order_by("created_at", "pk"):
        secrets.setdefault(str(secret.key_id), []).append(secret)
    noted = [secret for together in secrets.values() for secret in spend.note_secrets(together, found)]
    spend.save_noted(noted, spend.NOTED)
    keys = [together[-1].key for together in secrets.values() if spend.note_key(together[-1].key, together, found)]
    spend.save_noted(keys, spend.SHOWN)
    return len(keys)
