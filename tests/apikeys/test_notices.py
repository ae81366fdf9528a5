"""Owners are told before a key expires: whom, of what, how often, in which words, and what if the mail fails."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import User
from apikeys import notices
from apikeys.models import ApiKey
from apikeys.notices import announce, send_due
from apikeys.services import create_api_key
from apikeys.upkeep import ExpiryNotice
from subscriptions.models import Subscription
from tests.races import at_once

Browser = Callable[[User | None], Client]
NOW = timezone.now()


@pytest.fixture
def key(ada: User, subscribed: list[Subscription]) -> ApiKey:
    """Ada's key, made long ago, that ends in 20 days."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"]).key
    ApiKey.objects.update(created_at=NOW - timedelta(days=100), expires_at=NOW + timedelta(days=20))
    return ApiKey.objects.get(pk=made.pk)


def ends_in(**span: float) -> None:
    """Let every key end so long from now."""
    ApiKey.objects.update(expires_at=NOW + timedelta(**span))


def told(now: datetime = NOW) -> list[int]:
    """One round of the job; the days of which somebody was told, the newest last."""
    announce(now)
    send_due(now)
    return list(ExpiryNotice.objects.order_by("pk").values_list("days", flat=True))


# --- Whom, and of what -----------------------------------------------------------------------------------------------


def test_each_span_is_told_once(key: ApiKey, ada: User) -> None:
    assert told() == []
    for days, wanted in ((14, [14]), (13, [14]), (3, [14, 3]), (1, [14, 3, 1]), (0.5, [14, 3, 1])):
        now = NOW + timedelta(days=20 - days)
        assert told(now) == told(now) == wanted
    assert [message.to for message in mail.outbox] == [["ada@test.example"]] * 3
    assert told(NOW + timedelta(days=21)) == [14, 3, 1]
    assert {notice.mail for notice in ExpiryNotice.objects.all()} == {"sent"}


def test_whoever_was_not_told_in_time_is_told_what_is_so_now(key: ApiKey) -> None:
    ends_in(days=2)
    assert told() == [3]


def test_another_expiry_begins_anew(key: ApiKey) -> None:
    ends_in(days=2)
    assert told() == [3]
    ends_in(days=12)
    assert told() == [3, 14]
    ends_in(days=2)
    assert told() == [3, 14]  # of this very moment its owner knows
    ends_in(days=2, seconds=1)
    assert told() == [3, 14, 3]


def test_a_key_that_was_made_for_a_week_is_not_announced_at_once(key: ApiKey) -> None:
    ApiKey.objects.update(created_at=NOW, expires_at=NOW + timedelta(days=7))
    assert told() == []
    assert told(NOW + timedelta(days=4, minutes=1)) == [3]


@pytest.mark.parametrize(
    "columns",
    [{"deleted_at": NOW}, {"expires_at": None}, {"expires_at": NOW}, {"status": "blocked"}, {"status": "revoked"}],
    ids=["deleted", "never", "now", "blocked", "revoked"],
)
def test_of_a_key_that_does_not_work_nobody_is_told(key: ApiKey, columns: dict[str, Any]) -> None:
    ApiKey.objects.update(**{"expires_at": NOW + timedelta(days=2), **columns})
    assert (told(), mail.outbox) == ([], [])


def test_the_deactivated_are_told_nothing_until_they_are_back(key: ApiKey, ada: User) -> None:
    ends_in(days=2)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert (told(), mail.outbox) == ([], [])
    User.objects.filter(pk=ada.pk).update(is_active=True)
    assert (told(), len(mail.outbox)) == ([3], 1)


def test_the_days_are_a_setting(key: ApiKey, settings: Any) -> None:
    settings.KEY_EXPIRY_NOTICE_DAYS = [30]
    assert told() == [30]
    settings.KEY_EXPIRY_NOTICE_DAYS = []
    ends_in(days=1)
    assert told() == [30]


def test_many_keys_are_noted_in_batches(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "BATCH", 2)
    more = [ApiKey(user=key.user, team=key.team, name=f"key {number}") for number in range(5)]
    ApiKey.objects.bulk_create(more)
    ApiKey.objects.update(created_at=NOW - timedelta(days=100))
    ends_in(days=2)
    with CaptureQueriesContext(connection) as asked:
        assert announce(NOW) == 6
    assert len(asked) <= 3 * 3 + 3
    assert send_due(NOW) == 1  # one mail to one person
    assert "and" not in mail.outbox[0].body.splitlines()[-3]


# --- The words -------------------------------------------------------------------------------------------------------


def test_the_mail_says_what_ends_when_and_where(key: ApiKey, ada: User, settings: Any) -> None:
    settings.PORTAL_URL, settings.DEFAULT_FROM_EMAIL = "https://maas.example.com", "LiteMaaS <maas@example.com>"
    ends = datetime(2031, 1, 2, 23, 30, tzinfo=UTC)
    ApiKey.objects.update(expires_at=ends, name="Müller & <Söhne>")
    User.objects.filter(pk=ada.pk).update(time_zone="Europe/Berlin", full_name="Ada Lovelace")
    told(ends - timedelta(days=2))
    (message,) = mail.outbox
    assert (message.subject, message.from_email) == (
        "LiteMaaS: an API key of yours expires soon",
        "LiteMaaS <maas@example.com>",
    )
    body = str(message.body)
    assert "Hello Ada Lovelace," in body
    assert f"Müller & <Söhne> ({key.masked}): 2031-01-03 00:30 CET" in body
    assert f"https://maas.example.com/api-keys/{key.pk}" in body
    assert message.extra_headers["Message-ID"].endswith("@example.com>")


def test_it_is_in_the_persons_language(key: ApiKey, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_in(days=2)
    User.objects.filter(pk=ada.pk).update(language="de")
    spoken: list[str] = []

    def speak(text: str) -> str:
        spoken.append(translation.get_language() or "")
        return text

    monkeypatch.setattr(notices, "_", speak)
    told()
    assert set(spoken) == {"de"}


def test_many_keys_are_one_mail_that_ends(key: ApiKey, settings: Any) -> None:
    settings.PORTAL_URL = ""
    ApiKey.objects.bulk_create(ApiKey(user=key.user, team=key.team, name=f"key {n}") for n in range(24))
    ApiKey.objects.update(created_at=NOW - timedelta(days=100))
    ends_in(days=2)
    told()
    (message,) = mail.outbox
    assert message.subject == "LiteMaaS: 25 API keys of yours expire soon"
    assert "and 5 more" in str(message.body)
    assert len(str(message.body).splitlines()) == 4 + notices.KEYS_A_MAIL + 3


# --- When the mail fails ---------------------------------------------------------------------------------------------

ERRORS = {
    "RuntimeError": RuntimeError("hunter2"),
    "SMTPAuthenticationError": smtplib.SMTPAuthenticationError(535, b"hunter2"),
    "SMTPRecipientsRefused": smtplib.SMTPRecipientsRefused({}),
    "TimeoutError": TimeoutError("hunter2"),
    "UnicodeEncodeError": UnicodeEncodeError("ascii", "ö", 0, 1, "hunter2"),
}


@pytest.fixture
def failing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Mails fail from now on, by an error."""

    def fail(error: Exception) -> None:
        def send(*_args: Any, **_options: Any) -> int:
            raise error

        monkeypatch.setattr(EmailBackend, "send_messages", send)

    return fail


def test_after_a_long_outage_a_key_is_told_of_once(
    key: ApiKey, failing: Callable[[Exception], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(ERRORS["TimeoutError"])
    begin, end = NOW + timedelta(days=6, minutes=1), NOW + timedelta(days=17, minutes=3)
    for turn in range((end - begin) // timedelta(hours=5) + 1):
        told(begin + turn * timedelta(hours=5))
    monkeypatch.undo()
    for hour in range(24):
        assert told(end + timedelta(hours=hour)) == [14, 3]
    (message,) = mail.outbox
    assert str(message.body).count("notebook") == 1
    assert set(ExpiryNotice.objects.values_list("mail", flat=True)) == {"sent"}


def test_what_somebody_sends_at_this_moment_is_not_sent_with_what_comes_then(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_in(days=10)
    send, turns = EmailBackend.send_messages, []

    def send_slowly(backend: EmailBackend, messages: Any) -> int:
        turns.append(len(messages))
        if len(turns) == 1:
            announce(NOW + timedelta(days=7, minutes=1))
            ExpiryNotice.objects.filter(days=3).update(next_at=NOW)
            assert send_due(NOW) == 0
        return send(backend, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send_slowly)
    told()
    assert (len(mail.outbox), ExpiryNotice.objects.get(days=3).mail) == (1, "waiting")


def test_a_block_that_passes_swallows_no_notice(key: ApiKey) -> None:
    ends_in(hours=20)
    announce(NOW)
    ApiKey.objects.update(status="blocked")
    send_due(NOW)
    assert ExpiryNotice.objects.get().mail == "dropped"
    ApiKey.objects.update(status="active")
    for minutes in (5, 10, 15):
        assert told(NOW + timedelta(minutes=minutes)) == [1]
    assert (len(mail.outbox), ExpiryNotice.objects.get().mail) == (1, "sent")


def test_a_dropped_notice_of_somebody_without_an_address_is_taken_up_once(key: ApiKey, ada: User) -> None:
    ends_in(days=2)
    announce(NOW)
    User.objects.filter(pk=ada.pk).update(email="")
    send_due(NOW)
    assert ExpiryNotice.objects.get().mail == "dropped"
    assert (announce(NOW), announce(NOW)) == (1, 0)
    assert (ExpiryNotice.objects.get().mail, mail.outbox) == ("none", [])


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_a_mail_that_fails_is_tried_again_later_and_later(
    key: ApiKey, failing: Callable[[Exception], None], monkeypatch: pytest.MonkeyPatch, caplog: Any, name: str
) -> None:
    ends_in(days=2)
    failing(ERRORS[name])
    told()
    notice = ExpiryNotice.objects.get()
    assert (notice.mail, notice.error, notice.attempts) == ("waiting", name, 1)
    assert notice.next_at - NOW == timedelta(minutes=5)
    told(NOW + timedelta(minutes=4))
    assert ExpiryNotice.objects.get().attempts == 1
    told(NOW + timedelta(minutes=5))
    assert ExpiryNotice.objects.get().next_at - NOW == timedelta(minutes=15)
    assert "hunter2" not in caplog.text
    monkeypatch.undo()
    told(NOW + timedelta(minutes=15))
    notice = ExpiryNotice.objects.get()
    assert (notice.mail, notice.error, len(mail.outbox)) == ("sent", "", 1)


@pytest.mark.parametrize("error", [ValueError, KeyError])
def test_one_persons_bad_address_keeps_nobody_else_waiting(
    key: ApiKey, eve: User, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    ApiKey.objects.create(user=eve, team=key.team, name="hers")
    ApiKey.objects.update(created_at=NOW - timedelta(days=100))
    ends_in(days=2)
    send = EmailBackend.send_messages

    def send_most(backend: EmailBackend, messages: Any) -> int:
        if messages[0].to == ["ada@test.example"]:
            raise error(messages)
        return send(backend, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", send_most)
    told()
    assert [message.to for message in mail.outbox] == [["eve@test.example"]]


def test_what_ends_or_moves_while_the_mail_waits_is_not_told(
    key: ApiKey, failing: Callable[[Exception], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ({"status": "revoked"}, {"status": "active", "expires_at": NOW + timedelta(days=90)}):
        ends_in(days=2, seconds=ExpiryNotice.objects.count())
        failing(TimeoutError())
        told()
        monkeypatch.undo()
        ApiKey.objects.update(**columns)
        told(NOW + timedelta(minutes=5))
        notice = ExpiryNotice.objects.latest("pk")
        assert (notice.mail, mail.outbox) == ("dropped", [])


def test_nothing_is_sent_after_the_end(key: ApiKey, failing: Callable[[Exception], None]) -> None:
    ends_in(minutes=3)
    failing(TimeoutError())
    told()
    told(NOW + timedelta(minutes=5))
    assert ExpiryNotice.objects.get().mail == "dropped"


def test_without_an_address_or_a_mail_server_the_portal_says_it(key: ApiKey, ada: User, settings: Any) -> None:
    ends_in(days=10)
    User.objects.filter(pk=ada.pk).update(email="")
    assert told() == [14]
    User.objects.filter(pk=ada.pk).update(email="ada@test.example")
    settings.EMAIL_BACKEND = notices.DUMMY
    ends_in(days=2)
    assert told() == [14, 3]
    assert {notice.mail for notice in ExpiryNotice.objects.all()} == {"none"}
    assert mail.outbox == []


@pytest.mark.usefixtures("real_transactions")
def test_two_workers_tell_once(key: ApiKey) -> None:
    ends_in(days=2)
    at_once(4, lambda _turn: told())
    assert (ExpiryNotice.objects.count(), len(mail.outbox)) == (1, 1)


@pytest.mark.usefixtures("real_transactions")
def test_trap_51_nobody_holds_a_connection_while_the_mail_server_thinks(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_in(days=2)
    held: list[Any] = []

    def send(*_all: Any) -> int:
        held.append(connection.connection)
        return 1

    monkeypatch.setattr(EmailBackend, "send_messages", send)
    told()
    assert held == [None]
    assert ExpiryNotice.objects.get().mail == "sent"


# --- In the portal ---------------------------------------------------------------------------------------------------


def test_home_and_the_page_of_the_key_say_it(key: ApiKey, ada: User, eve: User, browser: Browser) -> None:
    home, page = reverse("home"), reverse("api-key", args=[key.pk])
    assert "A key of yours expires soon" not in browser(ada).get(home).content.decode()
    assert "This key stops working" not in browser(ada).get(page).content.decode()
    ends_in(days=10)
    shown = browser(ada).get(home).content.decode()
    assert "A key of yours expires soon" in shown
    assert page in shown
    assert "A key of yours expires soon" not in browser(eve).get(home).content.decode()
    assert "This key stops working" in browser(ada).get(page).content.decode()
    told()
    assert "Its owner was told by e-mail" in browser(ada).get(page).content.decode()
    ApiKey.objects.update(status="blocked")
    assert "A key of yours expires soon" not in browser(ada).get(home).content.decode()
    assert "This key stops working" not in browser(ada).get(page).content.decode()
