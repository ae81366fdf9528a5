"""The only code that writes facts of usage."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from apikeys.models import ApiKeySecret
from litemaas.foundation.locks import advisory_lock
from subscriptions.models import Model
from usage.models import DailyTotal, DailyUsage, UsageDay, WeeklyTotal

FIGURES = (
    "requests",
    "successful_requests",
    "failed_requests",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "spend",
)

# In the database from end to end: a year of a large installation is millions of facts.
ADD_UP: Final = """
    INSERT INTO usage_dailytotal (date, model, provider, requests, successful_requests, failed_requests,
                                  prompt_tokens, completion_tokens, cached_tokens, spend)
    SELECT date, model, provider, SUM(requests), SUM(successful_requests), SUM(failed_requests),
           SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens), SUM(spend)
    FROM usage_dailyusage WHERE date BETWEEN %s AND %s
    GROUP BY date, model, provider
"""
ADD_UP_WEEKS: Final = """
    INSERT INTO usage_weeklytotal (week, user_id, api_key_id, team_id, requests, successful_requests, failed_requests,
                                   prompt_tokens, completion_tokens, cached_tokens, spend)
    SELECT date_trunc('week', date)::date, user_id, api_key_id, team_id,
           SUM(requests), SUM(successful_requests), SUM(failed_requests),
           SUM(prompt_tokens), SUM(completion_tokens), SUM(cached_tokens), SUM(spend)
    FROM usage_dailyusage WHERE date BETWEEN %s AND %s
    GROUP BY date_trunc('week', date), user_id, api_key_id, team_id
"""


@dataclass(frozen=True)
class Fact:
    """What one secret (by its digest; empty: no valid key) did with one public model on a day."""

    token: str
    model: str
    requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    spend: Decimal = Decimal(0)


def replace_day(day: date, facts: Iterable[Fact]) -> int:
    """Make a day's facts exactly these, in one transaction; facts of one secret and model are added up.

    Returns the number of rows. A day without facts is stored as fetched.
    """
    totals: dict[tuple[str, str], dict[str, int | Decimal]] = {}
    for fact in facts:
        sums = totals.setdefault((fact.token, fact.model), dict.fromkeys(FIGURES, 0))
        for name, value in asdict(fact).items():
            if name in sums:
                sums[name] += value
    rows = _rows(day, totals)
    with transaction.atomic():
        # The day's row is the lock: two fetches at once would both delete and both insert.
        UsageDay.objects.update_or_create(date=day, defaults={"fetched_at": timezone.now()})
        DailyUsage.objects.filter(date=day).delete()
        DailyUsage.objects.bulk_create(rows, batch_size=2000)
        rebuild_totals(day, day)
    return len(rows)


def rebuild_totals(start: date, end: date) -> int:
    """Add the facts of these days (both included) up anew into ``DailyTotal``, and their weeks into ``WeeklyTotal``.

    Returns the number of rows of days. ``replace_day`` does it for its day; whoever brings facts in by another way
    calls this afterwards.
    """
    with transaction.atomic():
        DailyTotal.objects.filter(date__range=(start, end)).delete()
        rows = _add_up(ADD_UP, start, end)
        monday, sunday = start - timedelta(days=start.weekday()), end + timedelta(days=6 - end.weekday())
        # Two days of one week at once: the later must see what the earlier wrote, so it waits.
        advisory_lock("usage weeks")
        WeeklyTotal.objects.filter(week__range=(monday, sunday)).delete()
        _add_up(ADD_UP_WEEKS, monday, sunday)
    return rows


def _add_up(statement: str, start: date, end: date) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, [start, end])
        return int(cursor.rowcount)


def _rows(day: date, totals: dict[tuple[str, str], dict[str, int | Decimal]]) -> list[DailyUsage]:
    tokens = {token for token, _model in totals}
    secrets = ApiKeySecret.objects.filter(digest__in=tokens).select_related("key")
    keys = {secret.digest: secret.key for secret in secrets}
    providers = dict(Model.objects.filter(pk__in={model for _token, model in totals}).values_list("pk", "provider"))
    rows = []
    for (token, model), sums in totals.items():
        key = keys.get(token)
        owner = {"user_id": key.user_id, "api_key_id": key.pk, "team_id": key.team_id} if key else {}
        rows.append(DailyUsage(date=day, token=token, model=model, provider=providers.get(model, ""), **owner, **sums))
    return rows
