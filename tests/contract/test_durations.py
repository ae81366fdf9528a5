"""When LiteLLM's budgets reset and keys expire: rounded to the calendar, in UTC."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.proxy import Proxy, fresh

KNOWN = ["1d", "24h", "48h", "7d", "30d", "1mo", "2d", "14d", "60d", "90d", "365d", "1h", "5h", "15m"]
WORDS = ["hourly", "daily", "weekly", "monthly", "1w"]
# Seconds within which a proxy for tests looks for budgets that are due.
RESETS = 60.0
UNKNOWN = ["2mo", "0d", "1y", "soon", "", "10"]


def reset_of(duration: str, now: datetime) -> datetime:
    """Return when a budget of this period resets, by our own reckoning."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = now.replace(minute=0, second=0, microsecond=0)
    first = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    fixed = {"7d": midnight + timedelta(days=7 - now.weekday()), "30d": first, "1mo": first}
    if duration in fixed:
        return fixed[duration]
    value, unit = int(duration[:-1]), duration[-1]
    if unit == "d":
        return midnight + timedelta(days=value)
    if unit == "m":
        return hour + timedelta(minutes=now.minute - now.minute % value + value)
    hours = now.hour - now.hour % value + value
    return midnight + timedelta(hours=hours) if hours < 24 else midnight + timedelta(days=1, hours=hours % 24)


def asked(litellm: Proxy, kind: str, duration: str) -> tuple[int, datetime | None]:
    """Ask for a budget with a period and return status and reset."""
    body = {"max_budget": 1, "budget_duration": duration}
    name = fresh(kind)
    if kind == "key":
        answer = litellm.post("/key/generate", body)
    elif kind == "user":
        answer = litellm.post("/user/new", body | {"user_id": name, "auto_create_key": False})
    else:
        answer = litellm.post("/team/new", body | {"team_id": name})
    if answer.status != 200:
        return answer.status, None
    shown = {
        "key": lambda: litellm.key(answer.body["key"]),
        "user": lambda: litellm.user(name),
        "team": lambda: litellm.team(name),
    }[kind]()
    return 200, datetime.fromisoformat(shown["budget_reset_at"])


@pytest.mark.parametrize("kind", ["key", "user", "team"])
@pytest.mark.parametrize("duration", KNOWN)
def test_a_budget_resets_on_the_calendar(litellm: Proxy, kind: str, duration: str) -> None:
    before = datetime.now(UTC)
    status, reset = asked(litellm, kind, duration)
    # Twice, for the test may run across the turn of an hour or a day.
    assert (status, reset) in {(200, reset_of(duration, now)) for now in (before, datetime.now(UTC))}


@pytest.mark.parametrize("word", WORDS)
def test_words_and_weeks_mean_midnight_to_old_releases(litellm: Proxy, word: str) -> None:
    meant = {"hourly": "1h", "daily": "1d", "weekly": "7d", "monthly": "30d", "1w": "7d"}[word]
    before = datetime.now(UTC)
    _, reset = asked(litellm, "key", word)
    expected = litellm.either(meant, "1d")
    assert reset in {reset_of(expected, now) for now in (before, datetime.now(UTC))}


@pytest.mark.parametrize("kind", ["key", "user", "team"])
@pytest.mark.parametrize("duration", UNKNOWN)
def test_other_texts_are_refused_only_by_new_releases(litellm: Proxy, kind: str, duration: str) -> None:
    status, _ = asked(litellm, kind, duration)
    assert status == litellm.either(400, 500 if duration == "2mo" else 200)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("30s", 30), ("2m", 120), ("1h", 3600), ("1d", 86400), ("1w", 604800)],
)
def test_a_key_expires_after_its_duration(litellm: Proxy, duration: str, seconds: int) -> None:
    before = datetime.now(UTC)
    expires = datetime.fromisoformat(litellm.done("/key/generate", {"duration": duration})["expires"])
    after = datetime.now(UTC)
    tolerance = timedelta(milliseconds=2)
    assert before + timedelta(seconds=seconds) - tolerance <= expires <= after + timedelta(seconds=seconds) + tolerance


def test_a_month_keeps_its_day(litellm: Proxy) -> None:
    expires = datetime.fromisoformat(litellm.done("/key/generate", {"duration": "1mo"})["expires"])
    days = (expires.date() - datetime.now(UTC).date()).days
    assert 28 <= days <= 31


@pytest.mark.parametrize("duration", ["soon", "", "-1"])
def test_a_bad_duration_of_a_key_is_an_error_of_the_server(litellm: Proxy, duration: str) -> None:
    answer = litellm.post("/key/generate", {"duration": duration})
    assert answer.refusal == (500, "internal_server_error")
    assert answer.error["message"] == litellm.either("", "Internal Server Error, ") + "Invalid duration format"


def test_the_budget_of_an_expired_key_begins_again_only_when_its_expiry_is_taken_away(litellm: Proxy) -> None:
    """The carrying over of spend rests on it. Whether a key is blocked makes no difference."""
    budget = {"max_budget": 5, "budget_duration": "1s"}
    key = litellm.new_key(duration="1s", **budget)
    litellm.done("/key/block", {"key": key.token})
    expires = datetime.fromisoformat(litellm.key(key.token)["expires"])
    litellm.eventually(lambda: datetime.now(UTC), lambda now: now > expires + timedelta(seconds=2))
    litellm.done("/key/update", {"key": key.token, "spend": 2})
    # Made later, it is due later: when it has begun again, the job has passed over the other one.
    other = litellm.new_key(spend=1, **budget)
    begun = litellm.eventually(lambda: litellm.key(other.token), lambda found: found["spend"] == 0, patience=RESETS)
    assert begun["spend"] == 0
    left = litellm.key(key.token)
    assert (left["spend"], left["blocked"]) == (2, True)
    assert datetime.fromisoformat(left["budget_reset_at"]) < datetime.now(UTC)
    changed = litellm.done("/key/update", {"key": key.token, "duration": "-1"})
    assert changed["expires"] is None
    assert changed["budget_reset_at"] == left["budget_reset_at"]
    begun = litellm.eventually(lambda: litellm.key(key.token), lambda found: found["spend"] == 0, patience=RESETS)
    assert (begun["spend"], begun["blocked"], begun["expires"]) == (0, True, None)
    assert datetime.fromisoformat(begun["budget_reset_at"]) > datetime.fromisoformat(left["budget_reset_at"])
