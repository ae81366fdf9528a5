"""The admin portal's way to the catalogue: what disappears is agreed to."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from apikeys.models import ApiKey
from litellm_sync.models import SyncRun
from subscriptions.models import Model
from tests.admin.conftest import page

pytestmark = pytest.mark.django_db
Browser = Callable[[User | None], Client]


def refusal(*names: str) -> SyncRun:
    """A run that refused to hide these."""
    report = {"code": "mass_disappearance", "gone": len(names), "available": len(names) + 1, "refused": list(names)}
    return SyncRun.objects.create(kind="models", status="failed", report=report, error="Too many are missing.")


def offered(client: Client, row: Any) -> set[str]:
    """The buttons of a row's page."""
    answer: Any = client.get(page(row))
    return {button["verb"].name for button in answer.context["buttons"]}


def test_the_page_of_a_run_says_what_was_refused_and_what_follows(key: ApiKey, ann: User, browser: Browser) -> None:
    run = refusal("gpt-4o", "claude-sonnet", *(f"m{n}" for n in range(60)))
    Model.objects.bulk_create(Model(id=f"m{n}", provider="x", mode="chat") for n in range(60))
    detail = browser(ann).get(page(run)).content.decode()
    assert "Not hidden, because too many are missing at once" in detail
    assert "/admin/subscriptions/model/m5" in detail
    text = browser(ann).get(page(run, "confirm")).content.decode()
    assert "62 of 63 models are missing" in text
    assert "gpt-4o, claude-sonnet" in text
    assert "and 12 more" in text
    assert "1 person has subscribed to them." in text
    assert "1 living key has one of them and loses it" in text


def test_confirming_queues_a_run_that_says_who(key: ApiKey, ann: User, browser: Browser) -> None:
    run = refusal("gpt-4o")
    assert "confirm" in offered(browser(ann), run)
    assert browser(ann).post(page(run, "confirm")).status_code == 302
    queued = SyncRun.objects.exclude(pk=run.pk).get()
    assert (queued.status, queued.requested_by, queued.report) == ("queued", ann.pk, {"confirmed": ["gpt-4o"]})
    assert AuditEvent.objects.filter(action="models.disappearance_confirmed", target_id=str(run.pk)).count() == 1
    again = browser(ann).post(page(run, "confirm"))
    assert again.status_code == 422
    assert "This is being synchronised already." in again.content.decode()


def test_what_was_overtaken_is_not_offered(ann: User, ro: User, browser: Browser) -> None:
    run = refusal("gpt-4o")
    assert offered(browser(ro), run) == set()
    assert browser(ro).post(page(run, "confirm")).status_code == 403
    SyncRun.objects.create(kind="models", status="done")
    assert offered(browser(ann), run) == set()
    assert browser(ann).post(page(run, "confirm"), HTTP_REFERER="").status_code in {302, 409}
    assert not SyncRun.objects.filter(status="queued").exists()


def test_reports_of_before_are_still_shown(ann: User, browser: Browser) -> None:
    run = SyncRun.objects.create(kind="models", status="done", report={"skipped": ["odd one"], "unchanged": 3})
    assert "odd one" in browser(ann).get(page(run)).content.decode()
    run = SyncRun.objects.create(kind="models", status="done", report={"skipped": {"odd two": "mode: too long"}})
    text = browser(ann).get(page(run)).content.decode()
    assert ("odd two" in text, "mode: too long" in text) == (True, True)
