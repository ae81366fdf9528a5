"""The pages of the admin portal: who reads them, what they show, what they cost, what they may run."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.admin_paging import LongPaginator
from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import IssuedKey, create_api_key
from apikeys.upkeep import KeyFigures
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from tests.admin.conftest import listing, page, pages, tables
from tests.cast import MASTER_KEY, make_person

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]


@pytest.mark.parametrize("reader", ["ann", "ro"])
def test_every_page_is_read_by_administrators_of_both_kinds(
    filled: ApiKey, ann: User, ro: User, browser: Browser, reader: str
) -> None:
    client = browser({"ann": ann, "ro": ro}[reader])
    for address in pages():
        assert client.get(address).status_code == 200, address


def test_strangers_are_refused_and_the_anonymous_come_back_after_signing_in(
    filled: ApiKey, ada: User, browser: Browser
) -> None:
    for address in pages():
        assert browser(ada).get(address).status_code == 403, address
        answer = browser(None).get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/sign-in?next=%2Fadmin%2F"), address


def test_what_djangos_admin_offers_besides_is_gone(ann: User, browser: Browser, key: ApiKey) -> None:
    client = browser(ann)
    for address in ("login/", "logout/", "password_change/", "autocomplete/", "search/", "auth/group/", "accounts/"):
        assert client.get(f"/admin/{address}").status_code == 404, address
    for rest in ("history/", "../add/"):
        assert client.get(f"/admin/apikeys/apikey/{key.pk}/{rest}").status_code == 404, rest
    # Keys have a verb of that name, people have not.
    assert client.get(f"/admin/accounts/user/{ann.pk}/delete/").status_code == 404
    assert Group not in admin.site._registry


def test_trap_09_who_may_only_read_is_offered_nothing_to_press(
    filled: ApiKey, ann: User, ro: User, browser: Browser
) -> None:
    """But the theme and signing out, which change nothing of the product."""
    harmless = {reverse("theme"), reverse("sign-out")}
    for address in pages():
        answer = browser(ro).get(address)
        text = answer.content.decode()
        context: Any = answer.context
        assert not context.get("buttons"), address
        assert not context.get("list_buttons"), address
        assert 'name="_selected_action"' not in text, address
        posted = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', text)
        assert set(posted) == harmless, address
    shown = browser(ann).get(page(filled)).content.decode()
    assert page(filled, "revoke") in shown


def test_trap_18_no_page_shows_a_secret(
    filled: ApiKey, issued: IssuedKey, ada: User, ann: User, browser: Browser
) -> None:
    pending = ApiKeySecret.objects.get().pending_secret
    assert pending == issued.secret
    stored = User.objects.get(pk=ada.pk).password
    for address in [*pages(), reverse("admin:accounts_auditevent_export")]:
        answer = browser(ann).get(address)
        content = b"".join(answer) if answer.streaming else answer.content
        for secret in (issued.secret, stored, MASTER_KEY):
            assert secret.encode() not in content, address


def test_names_that_people_typed_are_text(filled: ApiKey, ada: User, ann: User, browser: Browser) -> None:
    evil = "<script>alert(1)</script>"
    User.objects.filter(pk=ada.pk).update(full_name=evil)
    ApiKey.objects.update(description=evil)
    Subscription.objects.update(justification=evil)
    audit.record(ada, audit.Action.PROFILE_CHANGED, ada, full_name=evil)
    for address in pages():
        assert evil not in browser(ann).get(address).content.decode(), address


# --- What pages cost -------------------------------------------------------------------------------------------------


def _more(number: int) -> None:
    models = list(Model.objects.all())
    for n in range(number):
        person = make_person(f"person{n}")
        for model in models:
            create_subscription(person, model=model.id)
        create_api_key(person, name=f"key {n}", models=[model.id for model in models], max_budget=Decimal(1))


@pytest.mark.parametrize("table", [table.__name__ for table in tables()])
def test_lists_cost_the_same_with_one_row_and_with_thirty(
    filled: ApiKey, ann: User, browser: Browser, django_assert_max_num_queries: Any, table: str
) -> None:
    address = listing(next(one for one in tables() if one.__name__ == table))
    client = browser(ann)
    client.get(address)
    with django_assert_max_num_queries(20) as few:
        client.get(address)
    _more(30)
    with django_assert_max_num_queries(20) as many:
        client.get(address)
    assert len(few) == len(many), [query["sql"][:200] for query in many.captured_queries]


def test_the_page_of_a_row_costs_the_same_however_much_belongs_to_it(
    filled: ApiKey, ada: User, ann: User, models: list[Model], browser: Browser
) -> None:
    client = browser(ann)
    team = filled.team

    def cost(row: Any) -> int:
        with CaptureQueriesContext(connection) as asked:
            client.get(page(row))
        return len(asked)

    before = [cost(row) for row in (ada, team, models[0], filled)]
    _more(8)
    for n in range(5):
        create_api_key(ada, name=f"more {n}", models=["gpt-4o"])
    assert [cost(row) for row in (ada, team, models[0], filled)] == before


# --- Finding ---------------------------------------------------------------------------------------------------------


def _found(client: Client, address: str, **query: Any) -> set[str]:
    answer = client.get(address, query)
    assert answer.status_code == 200, (address, query)
    context: Any = answer.context
    return {str(row) for row in context["cl"].result_list}


def test_lists_are_searched(filled: ApiKey, ada: User, ann: User, eve: User, browser: Browser) -> None:
    client = browser(ann)
    assert _found(client, listing(User), q="ADA") == {"ada"}
    assert _found(client, listing(User), q=str(eve.pk)) == {"eve"}
    secret = filled.secrets.get()
    assert _found(client, listing(ApiKey), q=secret.last4) == {"notebook"}
    assert _found(client, listing(ApiKey), q=secret.digest) == {"notebook"}
    assert _found(client, listing(ApiKey), q="nothing like it") == set()
    for table in tables():
        client.get(listing(table), {"q": "x' OR 1=1 --\x00"[:14]})


def test_lists_are_narrowed_by_links_and_filters(
    filled: ApiKey, ada: User, ann: User, eve: User, browser: Browser
) -> None:
    client = browser(ann)
    assert _found(client, listing(ApiKey), user=ada.pk) == {"notebook"}
    assert _found(client, listing(ApiKey), user=eve.pk) == set()
    assert _found(client, listing(ApiKey), model="gpt-4o") == {"notebook"}
    assert _found(client, listing(ApiKey), model="gpt-4o-mini") == set()
    assert _found(client, listing(ApiKey), risk="unused") == set(), "nobody knows yet"
    KeyFigures.objects.create(as_of=timezone.now())
    assert _found(client, listing(ApiKey), risk="unused") == {"notebook"}
    assert _found(client, listing(ApiKey), risk="unlimited") == set()
    assert _found(client, listing(User), role="admin") == {"ann"}
    assert (
        len(_found(client, listing(AuditEvent), actor_id=ada.pk)) == AuditEvent.objects.filter(actor_id=ada.pk).count()
    )


@pytest.mark.parametrize("nonsense", ["x", "0", "9" * 40, "%00", "'"])
def test_odd_filters_narrow_or_find_nothing_but_break_nothing(
    filled: ApiKey, ann: User, browser: Browser, nonsense: str
) -> None:
    client = browser(ann)
    for table in tables():
        for name in (
            "user",
            "team",
            "model",
            "status",
            "p",
            "o",
            "q",
            "created_at_from",
            "date_to",
            "api_key",
            "nowhere",
        ):
            assert client.get(listing(table), {name: nonsense}).status_code in {200, 302}, (table, name)
        for rest in ("change/", "retry/"):
            assert client.get(f"{listing(table)}{nonsense}/{rest}").status_code in {200, 404}, (table, rest)


def test_trap_43_the_last_day_of_a_range_is_included(ada: User, ann: User, browser: Browser) -> None:
    AuditEvent.objects.create(actor_name="x", action="a.b", category="a", at=timezone.now().replace(hour=23, minute=59))
    day = timezone.now().date()
    client = browser(ann)
    found = _found(client, listing(AuditEvent), at_from=day.isoformat(), at_to=day.isoformat())
    assert any(" x a.b" in event for event in found)
    after = (day + timedelta(days=1)).isoformat()
    assert _found(client, listing(AuditEvent), at_from=after) == set()
    assert _found(client, listing(AuditEvent), at_to=(day - timedelta(days=1)).isoformat()) == set()


def test_trap_39_lists_are_paged_to_their_end(ann: User, browser: Browser) -> None:
    AuditEvent.objects.bulk_create(AuditEvent(actor_name=f"{n}", action="a.b", category="a") for n in range(120))
    seen: list[int] = []
    number, last = 1, 1
    while number <= last:
        context: Any = browser(ann).get(listing(AuditEvent), {"p": str(number)}).context
        seen += [event.pk for event in context["cl"].result_list]
        number, last = number + 1, context["cl"].paginator.num_pages
    assert last > 1
    assert seen == list(AuditEvent.objects.order_by("-pk").values_list("pk", flat=True))


def test_lists_that_are_too_long_to_count_have_every_page(
    ann: User, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin_paging.COUNTED", 60)
    AuditEvent.objects.bulk_create(AuditEvent(actor_name=f"{n}", action="a.b", category="a") for n in range(170))
    client, seen, number = browser(ann), set(), 1
    while True:
        answer = client.get(listing(AuditEvent), {"p": number})
        context: Any = answer.context
        assert "More than 60" in answer.content.decode()
        seen |= {event.pk for event in context["cl"].result_list}
        if not context["cl"].paginator.has_more:
            break
        number += 1
    assert seen == set(AuditEvent.objects.values_list("pk", flat=True))
    assert client.get(listing(AuditEvent), {"p": number + 1}).status_code == 302


def test_counting_stops_at_a_bound(ann: User, django_assert_num_queries: Any) -> None:
    total = AuditEvent.objects.count()
    with django_assert_num_queries(1) as asked:
        assert LongPaginator(AuditEvent.objects.order_by("-id"), 50).count == total
    assert "LIMIT 100001" in asked.captured_queries[0]["sql"]


# --- The audit log as CSV --------------------------------------------------------------------------------------------


def test_trap_19_the_audit_log_as_csv_escapes_formulas_and_follows_the_filters(
    ada: User, ro: User, browser: Browser
) -> None:
    AuditEvent.objects.create(
        actor_name='=HYPERLINK("x")', action="a.b", category="a", target_name="+1", details={"a": 1}
    )
    AuditEvent.objects.create(actor_name="other", action="c.d", category="c", target_name="@x")
    answer = browser(ro).get(reverse("admin:accounts_auditevent_export"), {"q": "=HYPER"})
    text = b"".join(answer).decode()
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    head, row = text.strip().split("\r\n")
    assert head.startswith("id,at,actor_id,actor_name")
    assert ""","'=HYPERLINK(""x"")",a.b,a,,,'+1,""" in row
    assert "other" not in text


# --- What pages may run ----------------------------------------------------------------------------------------------


def test_the_policy_is_relaxed_here_alone_and_by_one_word(filled: ApiKey, ann: User, browser: Browser) -> None:
    strict = browser(ann).get("/")["Content-Security-Policy"]
    relaxed = browser(ann).get("/admin/")["Content-Security-Policy"]
    assert "unsafe" not in strict
    assert relaxed.replace(" 'unsafe-eval'", "") == strict
    refused = browser(None).get("/admin/nowhere")
    assert "unsafe" not in refused["Content-Security-Policy"]


def test_pages_hold_no_inline_script_or_style(filled: ApiKey, ann: User, browser: Browser) -> None:
    for address in pages():
        text = browser(ann).get(address).content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle\s*=|\son[a-z]+\s*=", text), address
        assert not re.search(r"""(src|href)=["'](https?:)?//""", text), address


def test_djangos_own_log_stays_empty(filled: ApiKey, ann: User, browser: Browser) -> None:
    browser(ann).post(page(filled, "revoke"))
    assert AuditEvent.objects.filter(action="apikey.revoked", actor_id=ann.pk).count() == 1
    assert LogEntry.objects.count() == 0
