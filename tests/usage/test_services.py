"""Writing facts: a day is replaced as a whole, nothing is lost, nothing counted twice."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID
from tests.races import at_once
from tests.usage.conftest import day, fact
from usage.models import DailyTotal, DailyUsage, UsageDay, WeeklyTotal
from usage.services import FIGURES, Fact, rebuild_totals, replace_day

pytestmark = pytest.mark.django_db


def stored() -> list[tuple[object, ...]]:
    """Every fact, as data."""
    rows = DailyUsage.objects.order_by("date", "token", "model")
    return list(rows.values_list("date", "token", "model", "provider", "user", "api_key", "team", *FIGURES))


def test_facts_get_their_owner_key_team_and_provider(ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    digest = key.secrets.get().digest
    assert replace_day(day(0), [fact(digest, "gpt-4o")]) == 1
    figures = (5, 4, 1, 100, 50, 10, Decimal("0.0123456789"))
    assert stored() == [(day(0), digest, "gpt-4o", "openai", ada.pk, key.pk, DEFAULT_TEAM_ID, *figures)]
    assert str(DailyUsage.objects.get()) == f"2026-03-01 {digest[:8]} gpt-4o"
    assert str(UsageDay.objects.get()) == "2026-03-01"


def test_replacing_twice_is_replacing_once(facts: dict[str, ApiKey]) -> None:
    again = [fact(row.token, row.model, row.failed_requests) for row in DailyUsage.objects.filter(date=day(0))]
    before, fetched = stored(), UsageDay.objects.get(date=day(0)).fetched_at
    assert replace_day(day(0), again) == 3
    assert stored() == before
    assert UsageDay.objects.get(date=day(0)).fetched_at > fetched
    assert UsageDay.objects.count() == 4


def test_a_day_becomes_exactly_what_was_said_and_other_days_stay(facts: dict[str, ApiKey]) -> None:
    others = [row for row in stored() if row[0] != day(0)]
    assert replace_day(day(0), []) == 0
    assert stored() == others


def test_trap_32_a_day_without_usage_is_stored_as_fetched(db: None) -> None:
    before = timezone.now()
    assert replace_day(day(0), []) == 0
    assert UsageDay.objects.get().fetched_at >= before


def test_trap_31_rows_of_one_key_and_model_are_added_up(db: None) -> None:
    assert replace_day(day(0), [fact("t", "m"), fact("t", "m", 2), fact("t", "n"), Fact("t", "m")]) == 2
    row = DailyUsage.objects.get(model="m")
    assert [getattr(row, name) for name in FIGURES] == [15, 12, 3, 300, 150, 30, Decimal("0.0370370367")]


def test_many_rows_need_few_statements(db: None) -> None:
    counts = []
    for number in (1, 300):
        with CaptureQueriesContext(connection) as queries:
            assert replace_day(day(0), [fact(f"t{n}", "m") for n in range(number)]) == number
        counts.append(len(queries))
    # Of the second time: the day's row is locked and changed rather than made.
    assert counts[1] <= counts[0] + 1


def test_trap_33_usage_of_ended_and_replaced_secrets_keeps_its_owner(ada: User, subscribed: list[Subscription]) -> None:
    key = create_api_key(ada, name="k", models=["gpt-4o"]).key
    old = key.secrets.get().digest
    ApiKeySecret.objects.create(key=key, digest="n" * 64, last4="nnnn")
    revoke_api_key(ada, key_id=key.pk)
    ApiKey.objects.update(deleted_at=timezone.now())
    replace_day(day(0), [fact(old, "gpt-4o"), fact("n" * 64, "gpt-4o")])
    assert set(DailyUsage.objects.values_list("user", "api_key")) == {(ada.pk, key.pk)}
    assert DailyUsage.objects.count() == 2


@pytest.mark.usefixtures("real_transactions")
def test_replacing_a_day_at_the_same_moment_counts_nothing_twice() -> None:
    facts = [fact(f"t{n}", "m") for n in range(20)]
    assert at_once(6, lambda _turn: replace_day(day(0), facts)) == [20] * 6
    assert DailyUsage.objects.count() == 20


@pytest.mark.usefixtures("real_transactions")
def test_days_of_one_week_at_the_same_moment_are_all_in_its_sums() -> None:
    facts = [fact(f"t{n}", "m") for n in range(3)]
    assert at_once(6, lambda turn: replace_day(day(turn), facts)) == [3] * 6
    assert weeks_say_what_facts_say()
    assert str(WeeklyTotal.objects.earliest("id")).startswith("2026-0")


# --- Ready sums ------------------------------------------------------------------------------------------------------


def totals_say_what_facts_say() -> bool:
    """Compares the ready sums with the facts, added up here and not in the database."""
    sums: dict[tuple[object, ...], list[object]] = {}
    for row in DailyUsage.objects.all():
        one = sums.setdefault((row.date, row.model, row.provider), [0] * len(FIGURES))
        for place, name in enumerate(FIGURES):
            one[place] += getattr(row, name)
    found = DailyTotal.objects.values_list("date", "model", "provider", *FIGURES)
    return {row[:3]: list(row[3:]) for row in found} == sums and weeks_say_what_facts_say()


def weeks_say_what_facts_say() -> bool:
    """The same for the sums of weeks."""
    sums: dict[tuple[object, ...], list[object]] = {}
    for row in DailyUsage.objects.all():
        monday = row.date - timedelta(days=row.date.weekday())
        one = sums.setdefault((monday, row.user_id, row.api_key_id, row.team_id), [0] * len(FIGURES))
        for place, name in enumerate(FIGURES):
            one[place] += getattr(row, name)
    found = list(WeeklyTotal.objects.values_list("week", "user", "api_key", "team", *FIGURES))
    return len(found) == len(sums) and {row[:4]: list(row[4:]) for row in found} == sums


def test_trap_35_ready_sums_never_disagree_with_the_facts(facts: dict[str, ApiKey]) -> None:
    assert DailyTotal.objects.count() == 5
    assert totals_say_what_facts_say()
    digest = facts["one"].secrets.get().digest
    replace_day(day(0), [fact(digest, "gpt-4o", 3), fact("foreign", "claude-sonnet", 2)])
    assert totals_say_what_facts_say()
    replace_day(day(1), [])
    assert totals_say_what_facts_say()
    assert not DailyTotal.objects.filter(date=day(1)).exists()
    assert str(DailyTotal.objects.earliest("id")).startswith("2026-03-0")


def test_sums_of_facts_that_came_another_way_are_made_anew(facts: dict[str, ApiKey]) -> None:
    DailyUsage.objects.filter(date=day(0)).update(requests=1000)
    DailyUsage.objects.filter(date=day(4)).delete()
    assert not totals_say_what_facts_say()
    assert rebuild_totals(day(0), day(4)) == 4
    assert totals_say_what_facts_say()


def test_a_day_that_fails_changes_neither_facts_nor_sums(facts: dict[str, ApiKey]) -> None:
    before, sums = stored(), list(DailyTotal.objects.order_by("id").values_list())
    with pytest.raises(DataError):
        replace_day(day(0), [Fact("t", "m" * 256, 1)])
    assert stored() == before
    assert list(DailyTotal.objects.order_by("id").values_list()) == sums
