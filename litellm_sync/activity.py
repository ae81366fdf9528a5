"""Bringing LiteLLM's activity and spend here: the figures that people see are always read from our tables."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from apikeys.models import ApiKeySecret
from apikeys.upkeep import KeyFigures
from litellm_sync import spend
from litellm_sync.client import Activity, KeyInfo, LiteLLM
from usage import services as usage
from usage.models import UsageDay

DAY_SECONDS, PAGE_SECONDS = 60.0, 30.0
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


def pull_usage(
    stored: Callable[[date, int, int], None] | None = None,
    beat: Callable[[], None] | None = None,
    *,
    after: date | None = None,
) -> dict[str, int]:
    """Fetch the spend of the keys, then replace the days that may have changed. Returns counts.

    The keys come first: their spend stops people and says which keys are in use, also while a day cannot be had. Each
    day is kept as soon as it is there: ``stored`` hears of it, and how many of how many that makes. ``beat`` is called
    after each page of keys. Whoever takes a pull up leaves out the days until ``after``.
    """
    days = [day for day in days_to_pull(datetime.now(UTC).date()) if after is None or day > after]
    litellm = LiteLLM(DAY_SECONDS)
    began, rows = timezone.now(), 0
    keys = pull_key_spend(litellm, beat)
    for done, day in enumerate(days, start=1):
        found = get_usage_from_litellm(litellm.with_limit(DAY_SECONDS), day)
        rows += usage.replace_day(day, (_fact(row) for row in found))
        spend.note_used(day, {row.token for row in found if row.successful_requests})
        if stored is not None:
            stored(day, done, len(days))
    KeyFigures.objects.update_or_create(id=1, defaults={"as_of": began})
    return {"days": len(days), "rows": rows, "keys": keys}


def _fact(row: Activity) -> usage.Fact:
    figures = asdict(row)
    del figures["date"]
    return usage.Fact(**figures)


def pull_key_spend(litellm: LiteLLM, beat: Callable[[], None] | None = None) -> int:
    """Copy spend, the next reset and the last use of every key that is ours, page by page. Returns how many keys
    changed; ``beat`` is called after each page.

    A key has spent what its secrets have together; what passed from one to the next counts once. Secrets that count
    together may stand on different pages: they are looked at when all pages are there.
    """
    changed, number, is_last = 0, 1, False
    together: dict[str, KeyInfo] = {}
    while not is_last:
        page = litellm.with_limit(PAGE_SECONDS).get_key_page(number)
        # What could not be read keeps the figures that we have.
        found = {info.token: info for info in page.rows}
        for digest in _counting_with_others(found):
            together[digest] = found.pop(digest)
        changed += _note(found)
        number, is_last = number + 1, page.is_last
        if beat is not None:
            beat()
    return changed + _note(together)


def _counting_with_others(digests: Collection[str]) -> list[str]:
    counting = ApiKeySecret.objects.filter(carried_at=None)
    others = counting.filter(key=OuterRef("key")).exclude(pk=OuterRef("pk"))
    rows = ApiKeySecret.objects.filter(Exists(others), digest__in=digests)
    return list(rows.values_list("digest", flat=True))


def _note(found: Mapping[str, KeyInfo]) -> int:
    """Write down what LiteLLM says of these secrets; returns how many keys changed."""
    keys = ApiKeySecret.objects.filter(digest__in=found).values("key")
    secrets: dict[Any, list[ApiKeySecret]] = {}
    for secret in ApiKeySecret.objects.filter(key__in=keys).select_related("key").order_by("created_at", "pk"):
        secrets.setdefault(secret.key_id, []).append(secret)
    noted = [secret for mine in secrets.values() for secret in spend.note_secrets(mine, found)]
    spend.save_noted(noted, spend.NOTED)
    changed = [mine[-1].key for mine in secrets.values() if spend.note_key(mine[-1].key, mine, found)]
    spend.save_noted(changed, spend.SHOWN)
    return len(changed)
