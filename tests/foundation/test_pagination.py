"""Pages: every row once and in its order, from whichever end it is counted, and cheaply."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.paginator import EmptyPage, Paginator
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role, User
from litemaas.foundation.pagination import NearestEnd, Order
from tests.cast import make_person

pytestmark = pytest.mark.django_db


def entries(count: int) -> Any:
    """So many rows of the audit log, some of them alike in what they are sorted by."""
    AuditEvent.objects.bulk_create(
        AuditEvent(actor_name=f"n{n // 4}", action="a.b", category="a") for n in range(count)
    )
    return AuditEvent.objects.order_by("actor_name", "-pk")


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 45, 50])
def test_pages_are_those_of_django(count: int) -> None:
    rows = entries(count)
    ours, theirs = NearestEnd(rows, 10), Paginator(rows, 10)
    for number in theirs.page_range:
        assert list(ours.page(number)) == list(theirs.page(number)), number
        assert ours.page(number).has_next() == theirs.page(number).has_next()
    assert (ours.count, ours.num_pages) == (theirs.count, theirs.num_pages)
    with pytest.raises(EmptyPage):
        ours.page(theirs.num_pages + 1)


def statements(paginator: Any, number: int) -> list[str]:
    """What a page takes."""
    with CaptureQueriesContext(connection) as captured:
        page = paginator.page(number)
        assert list(page)
        assert paginator.count
    return [query["sql"] for query in captured.captured_queries]


def test_a_list_of_one_page_is_not_counted() -> None:
    rows = entries(9)
    assert len(statements(NearestEnd(rows, 10), 1)) == 1
    assert len(statements(NearestEnd(rows, 5), 1)) == 2


def test_the_last_page_is_read_from_the_end() -> None:
    rows = entries(45)
    assert "OFFSET" not in statements(NearestEnd(rows, 10), 5)[-1]
    assert "OFFSET 10" in statements(NearestEnd(rows, 10), 2)[-1]
    assert "OFFSET 5" in statements(NearestEnd(rows, 10), 4)[-1]


@pytest.mark.parametrize("asked", ["last_login", "-last_login"])
def test_rows_without_a_value_come_last_from_whichever_end_they_are_read(asked: str) -> None:
    people = [make_person(f"p{number}", Role.USER) for number in range(6)]
    for number in (1, 4):
        User.objects.filter(pk=people[number].pk).update(last_login=datetime(2026, 1, number, tzinfo=UTC))
    view: Any = SimpleNamespace(ordering_fields=("last_login",))
    request: Any = SimpleNamespace(query_params={"ordering": asked})
    rows = Order().filter_queryset(request, User.objects.filter(username__startswith="p"), view)
    pages = NearestEnd(rows, 2)
    seen = [row.username for number in pages.page_range for row in pages.page(number)]
    assert seen[:2] == (["p1", "p4"] if asked == "last_login" else ["p4", "p1"])
    assert seen[2:] == sorted(seen[2:], key=lambda name: str(next(p.pk for p in people if p.username == name)))
    assert len(set(seen)) == len(people)
