"""The integration centre: what it says, what it costs, what can be done from it, with and without a script."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, Role, User
from apikeys.models import ApiKey, ApiKeySecret
from litellm_sync import integration, state
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import RunKind, SyncRun, SyncSchedule, Upstream
from subscriptions.models import Subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.admin.conftest import listing, page, send
from tests.cast import make_person

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]
CENTRE = "/admin/integration/"
SCHEDULE = "/admin/integration/schedule/"


def text(client: Client, address: str = CENTRE) -> str:
    """A page's text, in which white space says nothing."""
    answer = client.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def settle_all() -> None:
    """Everything is as LiteLLM has it."""
    for table in state.synced_models():
        table._base_manager.update(sync_status="synced", sync_next_at=None)


def test_a_new_installation_shows_that_nothing_was_asked_yet(ann: User, browser: Browser) -> None:
    settle_all()
    shown = text(browser(ann))
    assert "LITELLM_API_URL is not set" in shown
    assert "It has not answered yet." in shown
    assert "Both sides were not compared yet." in shown
    assert "LiteLLM takes everything." in shown
    assert "Nobody has asked for a run yet" in shown


def test_an_outage_a_silent_worker_and_figures_are_said_without_asking_litellm(
    ann: User, litellm: Emulator, browser: Browser
) -> None:
    settle_all()
    now = timezone.now()
    integration.notice(latency=41, now=now, circuit="half-open")
    calls = len(litellm.calls)
    shown = text(browser(ann))
    assert "41 ms" in shown
    assert "half-open" in shown
    assert "No worker has looked" not in shown
    Upstream.objects.update(down_since=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), checked_at=now - timedelta(minutes=3))
    shown = text(browser(ann))
    assert "LiteLLM has not answered since 2026-01-02 03:04 UTC" in shown
    assert "No worker has looked at LiteLLM for more than a minute" in shown
    assert len(litellm.calls) == calls


def test_a_run_that_goes_on_shows_a_bar_and_the_page_reads_itself_again(ann: User, browser: Browser) -> None:
    client = browser(ann)
    assert "every 2s" not in text(client)
    SyncRun.objects.create(kind="users", status="running", done=30, total=120)
    shown = text(client)
    assert '<progress max="120" value="30">' in shown
    assert 'hx-trigger="every 2s"' in shown
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in shown
    assert reverse("admin:sync", args=["users"]) not in shown
    assert reverse("admin:sync", args=["keys"]) in shown


def test_the_last_runs_leave_out_what_the_schedule_fetched_well(ann: User, browser: Browser) -> None:
    fetched = SyncRun.objects.create(kind="usage", status="done")
    asked = SyncRun.objects.create(kind="usage", status="done", requested_by=ann.pk)
    failed = SyncRun.objects.create(kind="usage", status="failed", error="no")
    whole = SyncRun.objects.create(kind="all", status="done")
    step = SyncRun.objects.create(kind="users", status="done", parent=whole)
    found: Any = browser(ann).get(CENTRE)
    assert [entry["run"] for entry in found.context["history"]] == [whole, failed, asked]
    assert {fetched, step} & {entry["run"] for entry in found.context["history"]} == set()


def test_failed_pushes_are_told_in_words_with_the_way_to_them_and_a_button(
    key: ApiKey, ada: User, ann: User, ro: User, browser: Browser
) -> None:
    settle_all()
    Membership.objects.filter(user=ada).update(sync_status="failed", sync_error="LiteLLM refused this.")
    ApiKeySecret.objects.update(sync_status="pending", sync_error="secret_unreadable", sync_attempts=12)
    shown = text(browser(ann))
    assert "May still work" in shown
    assert "None of ENCRYPTION_KEYS opens its secret" in shown
    assert "12 tries" in shown
    assert reverse("admin:apikeys_apikey_change", args=[key.pk]) in shown
    assert "ada · Default Team" in shown
    assert "Try all again" in shown
    narrowed = text(browser(ann), f"{CENTRE}?kind=teams.membership")
    assert "ada · Default Team" in narrowed
    assert "May still work" not in narrowed
    assert "Try all of these again" in narrowed
    reader = text(browser(ro))
    assert "May still work" in reader
    assert "Try again" not in reader
    assert reverse("admin:sync", args=["models"]) not in reader


def test_one_row_is_sent_again_and_then_all_of_a_kind(key: ApiKey, ann: User, ro: User, browser: Browser) -> None:
    settle_all()
    people = [make_person(f"p{n}") for n in range(3)]
    User.objects.update(sync_status="failed")
    Team.objects.update(sync_status="failed")
    one = {"kind": "accounts.user", "object_id": str(people[0].pk)}
    assert browser(ro).post("/admin/retry/", one).status_code == 403
    answer = browser(ann).post("/admin/retry/", one)
    assert (answer.status_code, answer["Location"]) == (302, CENTRE)
    assert User.objects.get(pk=people[0].pk).sync_status == "pending"
    assert User.objects.filter(sync_status="failed").count() == User.objects.count() - 1
    browser(ann).post("/admin/retry/", {"kind": "accounts.user"})
    assert not User.objects.filter(sync_status="failed").exists()
    assert Team.objects.get().sync_status == "failed"


def test_a_secret_of_a_deleted_key_leads_nowhere(key: ApiKey, ann: User, browser: Browser) -> None:
    settle_all()
    ApiKey.objects.update(status="revoked", deleted_at=timezone.now())
    ApiKeySecret.objects.update(sync_status="failed")
    shown = text(browser(ann))
    assert "notebook" in shown
    assert reverse("admin:apikeys_apikey_change", args=[key.pk]) not in shown


def test_trap_39_failures_are_paged_to_their_end(ann: User, browser: Browser) -> None:
    for n in range(44):
        make_person(f"person{n:02}")
    settle_all()
    User.objects.filter(username__startswith="person").update(sync_status="failed")
    names: set[str] = set()
    for number in (1, 2, 3):
        names |= set(re.findall(r"person\d\d", text(browser(ann), f"{CENTRE}?page={number}")))
    assert len(names) == 44


# --- The schedule ----------------------------------------------------------------------------------------------------


def test_intervals_are_changed_from_the_page_and_only_those_that_were_touched(ann: User, browser: Browser) -> None:
    client = browser(ann)
    shown = dict.fromkeys(RunKind.values, "")
    answer = send(client, SCHEDULE, shown | {"models": "900", "all": "86400", "usage": "0"})
    assert (answer.status_code, answer["Location"]) == (302, CENTRE)
    assert dict(SyncSchedule.objects.values_list("kind", "seconds")) == {"models": 900, "all": 86400, "usage": 0}
    assert AuditEvent.objects.filter(action="sync.scheduled", actor_id=ann.pk).count() == 3
    page_now = text(client)
    assert "Every 15 minutes" in page_now
    assert "Every day" in page_now
    assert "Only when asked" in page_now
    send(client, SCHEDULE, shown | {"models": "", "all": "86400", "usage": "0"})
    assert not SyncSchedule.objects.filter(kind="models").exists()


def test_two_administrators_do_not_overwrite_each_others_intervals(ann: User, browser: Browser) -> None:
    client = browser(ann)
    opened: Any = client.get(SCHEDULE)
    seal = {"as_shown": opened.context["as_shown"]}
    untouched = dict.fromkeys(RunKind.values, "")
    integration.schedule_auto_sync(ann, kind="usage", seconds=60)
    # What the first did not touch stays as the second left it.
    assert client.post(SCHEDULE, untouched | seal | {"models": "300"}).status_code == 302
    assert dict(SyncSchedule.objects.values_list("kind", "seconds")) == {"models": 300, "usage": 60}
    # What both touched is refused.
    late = client.post(SCHEDULE, untouched | seal | {"usage": "900"}, HTTP_REFERER=f"http://testserver{SCHEDULE}")
    said = [str(message) for message in get_messages(late.wsgi_request)]
    assert any("Somebody has changed this meanwhile" in message for message in said)
    assert SyncSchedule.objects.get(kind="usage").seconds == 60


def test_what_the_page_does_not_offer_is_refused(ann: User, browser: Browser) -> None:
    answer = send(browser(ann), SCHEDULE, {"models": "7"})
    assert answer.status_code == 422
    assert not SyncSchedule.objects.exists()


def test_an_interval_that_a_script_has_set_is_shown_and_stays(ann: User, browser: Browser) -> None:
    integration.schedule_auto_sync(ann, kind="models", seconds=4321)
    client = browser(ann)
    assert "every 4321 seconds" in text(client, SCHEDULE)
    send(client, SCHEDULE, {"models": "4321", "usage": "60"})
    assert dict(SyncSchedule.objects.values_list("kind", "seconds")) == {"models": 4321, "usage": 60}


# --- People without a team -------------------------------------------------------------------------------------------


def test_the_default_team_takes_in_people_without_one_after_a_look(ann: User, browser: Browser) -> None:
    make_person("member")
    team = Team.objects.get(pk=DEFAULT_TEAM_ID)
    client = browser(ann)
    assert page(team, "migrate") not in text(client, page(team))
    User.objects.create(username="lost", roles=[Role.USER.value])
    assert page(team, "migrate") in text(client)
    looked = text(client, page(team, "migrate"))
    assert "1 person is in no team." in looked
    assert "The first of them: lost" in looked
    assert Membership.objects.filter(user__username="lost").count() == 0
    client.post(page(team, "migrate"))
    run = SyncRun.objects.get(kind="orphans")
    integration.perform(str(run.pk))
    assert Membership.objects.get(user__username="lost").team_id == DEFAULT_TEAM_ID


def test_somebody_is_put_into_the_default_team_from_the_own_page(ada: User, ann: User, browser: Browser) -> None:
    lost = User.objects.create(username="lost", roles=[Role.USER.value])
    client = browser(ann)
    assert page(ada, "assign") not in text(client, page(ada))
    client.post(page(lost, "assign"))
    assert lost.memberships.get().team_id == DEFAULT_TEAM_ID


# --- Rows and runs ---------------------------------------------------------------------------------------------------


def test_only_what_waits_says_since_when(ada: User, ann: User, browser: Browser) -> None:
    client = browser(ann)
    User.objects.filter(pk=ada.pk).update(sync_status="pending", sync_requested_at=timezone.now())
    assert "Waiting since" in text(client, page(ada))
    User.objects.filter(pk=ada.pk).update(sync_status="synced")
    assert "Waiting since" not in text(client, page(ada))
    assert "Last agreed" in text(client, page(ada))


def test_what_litellm_has_can_be_written_again_where_it_was_changed_by_hand(
    ada: User, ann: User, key: ApiKey, browser: Browser
) -> None:
    settle_all()
    browser(ann).post(page(ada, "retry"))
    browser(ann).post(page(key, "retry"))
    assert User.objects.get(pk=ada.pk).sync_status == "pending"
    assert ApiKeySecret.objects.get().sync_status == "pending"
    forced = AuditEvent.objects.filter(action="push.forced").values_list("target_id", flat=True)
    assert set(forced) == {str(ada.pk), str(ApiKeySecret.objects.get().pk)}


@pytest.mark.parametrize("kind", ["keys", "models", "users"])
@pytest.mark.parametrize("code", ["", "mass_disappearance"])
def test_a_run_of_before_that_only_counted_has_its_pages(ann: User, browser: Browser, kind: str, code: str) -> None:
    report = {"added": 1, "changed": 2, "hidden": 3, "restored": 4, "refused": 5, "skipped": 6, "code": code}
    run = SyncRun.objects.create(kind=kind, status="failed", report=report)
    client = browser(ann)
    assert "Not hidden, because too many are missing at once" in text(client, page(run))
    for path in (listing(SyncRun), "/admin/", "/admin/integration/"):
        assert client.get(path).status_code == 200


def test_the_page_of_everything_shows_its_steps_and_theirs_lead_back(ann: User, browser: Browser) -> None:
    whole = SyncRun.objects.create(kind="all", status="running", done=3, total=9)
    named = [{"kind": "accounts.user", "id": "x", "name": "Zoe", "reason": "needs_rotation"}]
    step = SyncRun.objects.create(
        kind="users", status="done", parent=whole, report={"in_step": 3, "failed": 1, "waiting": 0, "named": named}
    )
    client = browser(ann)
    shown = text(client, page(whole))
    assert page(step) in shown
    assert "In step: 3" in shown
    of_step = text(client, page(step))
    assert page(whole) in of_step
    assert "Zoe" in of_step
    assert "LiteLLM has lost this key" in of_step


def test_the_page_costs_the_same_however_much_there_is(
    key: ApiKey,
    subscribed: list[Subscription],
    ann: User,
    browser: Browser,
    django_assert_max_num_queries: Any,
) -> None:
    User.objects.update(sync_status="failed")
    SyncRun.objects.create(kind="users", status="done")
    client = browser(ann)
    client.get(CENTRE)
    with django_assert_max_num_queries(25) as few:
        client.get(CENTRE)
    for n in range(12):
        make_person(f"p{n}")
        SyncRun.objects.create(kind="users", status="done")
        integration.schedule_auto_sync(ann, kind="keys", seconds=3600 + n)
    User.objects.update(sync_status="failed")
    with django_assert_max_num_queries(25) as many:
        client.get(CENTRE)
    assert len(few) == len(many), [query["sql"][:200] for query in many.captured_queries]
