"""Limits on how often: counted in the database, for each subject, and over when their time is over."""

from typing import Any

import pytest
from django.db import connection, transaction

from litemaas.foundation import rate_limits
from litemaas.foundation.addresses import network
from litemaas.foundation.errors import RateLimited
from litemaas.foundation.models import RateCount
from litemaas.foundation.rate_limits import Limit, allows, forget_old_counts, read, spend
from tests.races import at_once, real_transactions

__all__ = ["real_transactions"]


@pytest.fixture
def three(settings: Any, db: None) -> None:
    """At most three exports in an hour."""
    settings.RATE_LIMITS = read(["audit_exports=3/1h"])


@pytest.mark.usefixtures("three")
def test_what_is_beyond_the_limit_is_refused_with_the_seconds_to_wait() -> None:
    for _ in range(3):
        spend("audit_exports", "ada")
    with pytest.raises(RateLimited) as caught:
        spend("audit_exports", "ada")
    assert 3590 <= caught.value.details["retry_after"] <= 3600
    assert caught.value.details["limit"] == "audit_exports"
    assert not allows("audit_exports", "ada")
    spend("audit_exports", "eve")
    spend("profile_changes", "ada")
    assert str(RateCount.objects.get(name="audit_exports", subject="ada")) == "audit_exports ada: 5"


@pytest.mark.usefixtures("three")
def test_the_next_period_begins_when_the_last_is_over() -> None:
    assert [allows("audit_exports", "ada") for _ in range(4)] == [True, True, True, False]
    _let_time_pass()
    assert [allows("audit_exports", "ada") for _ in range(4)] == [True, True, True, False]


def _let_time_pass() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE foundation_ratecount SET ends_at = ends_at - interval '1 hour'")


@pytest.mark.usefixtures("three")
def test_counts_whose_time_is_over_are_forgotten() -> None:
    spend("audit_exports", "old")
    _let_time_pass()
    spend("audit_exports", "new")
    assert forget_old_counts() == 1
    assert RateCount.objects.get().subject == "new"


@pytest.mark.usefixtures("three")
def test_each_event_is_one_statement(django_assert_num_queries: Any) -> None:
    for _ in range(5):
        with django_assert_num_queries(1):
            allows("audit_exports", "ada")


@pytest.mark.usefixtures("real_transactions", "three")
def test_trap_16_the_count_holds_across_processes_and_at_the_same_moment() -> None:
    assert sorted(at_once(12, lambda _turn: allows("audit_exports", "ada"))) == [False] * 9 + [True] * 3


@pytest.mark.usefixtures("real_transactions", "three")
def test_a_count_outlives_what_is_rolled_back_after_it() -> None:
    spend("audit_exports", "ada")
    with transaction.atomic():
        transaction.set_rollback(True)
    assert RateCount.objects.get().count == 1


def test_a_limit_that_is_off_counts_nothing(settings: Any, django_assert_num_queries: Any, db: None) -> None:
    settings.RATE_LIMITS = read(["audit_exports=off"])
    with django_assert_num_queries(0):
        for _ in range(100):
            spend("audit_exports", "ada")


def test_limits_are_written_as_the_documentation_says() -> None:
    found = read(["audit_exports = 7/2d", "bulk_decisions=off", "profile_changes=1/1s"])
    assert found["audit_exports"] == Limit(7, 2 * 86400)
    assert found["bulk_decisions"] == Limit(None)
    assert found["profile_changes"] == Limit(1, 1)
    assert found["password_account"] == Limit(5, 900)
    assert set(found) == set(rate_limits.SHIPPED)


@pytest.mark.parametrize(
    "text", ["audit_exports", "audit_exports=5", "audit_exports=0/1h", "audit_exports=5/0h", "x=1/1h", ""]
)
def test_what_is_no_limit_is_left_to_the_checks(text: str) -> None:
    assert None in read([text]).values()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("nonsense" * 20, ("nonsense" * 20)[:64]),
    ],
)
def test_addresses_of_one_asker_count_together(address: str, expected: str) -> None:
    assert network(address) == expected
