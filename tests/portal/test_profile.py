"""The profile: what it shows, what can be changed, one's own activity."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from accounts import audit, rbac, wording
from accounts.models import AuditEvent, User
from accounts.services import update_profile
from apikeys.models import ApiKey
from teams.models import Team
from tests.portal.conftest import Browser

PROFILE, ACTIVITY = "/profile", "/profile/activity"


def shown(response: Any) -> str:
    """The words of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def test_the_profile_says_who_one_is_and_what_one_may(browser: Browser, ada: User) -> None:
    page = shown(browser(ada).get(PROFILE))
    assert "User name ada E-mail ada@test.example Role User Teams Default Team (Member) Member since" in page
    assert "create API keys" in page
    assert "add people" not in page
    assert "$10,000.00 every month" in page
    assert "shared by everybody in the team" in page


@pytest.mark.parametrize(
    ("person", "words"),
    [
        ("ada", "This holds for what is yours"),
        ("ann", "You are an administrator"),
        ("ro", "You see what belongs to anybody and change nothing."),
    ],
)
def test_each_role_hears_its_scope(person: str, words: str, browser: Browser, request: pytest.FixtureRequest) -> None:
    response = browser(request.getfixturevalue(person)).get(PROFILE)
    assert words in shown(response)
    assert ("Your role only reads" in shown(response)) is (person == "ro")
    assert ('name="full_name"' in response.content.decode()) is (person != "ro")


def test_spend_and_budgets_are_those_of_the_keys(browser: Browser, ada: User, used: Decimal) -> None:
    resets = timezone.now() + timedelta(days=3, hours=1)
    ApiKey.objects.update(spend=Decimal("2.50"), budget_resets_at=resets)
    User.objects.update(max_budget=Decimal(100), budget_duration="30d", budget_resets_at=resets)
    page = shown(browser(ada).get(PROFILE))
    assert "$2.50 of $10.00" in page
    assert f"Starts again {resets:%Y-%m-%d} in 3" in page
    assert f"$100.00 every 30 days; starts again {resets:%Y-%m-%d}" in page
    spent = used * datetime.now(UTC).day
    assert f"Spend this month ${spent:.2f} by UTC days" in page
    ApiKey.objects.update(max_budget=None)
    assert "None of your keys has a budget of its own." in shown(browser(ada).get(PROFILE))


def test_name_language_and_zone_are_saved_together(browser: Browser, ada: User) -> None:
    client = browser(ada)
    wish = {"full_name": " Ada L. ", "language": "de", "time_zone": "europe/berlin", "username": "root"}
    response = client.post(PROFILE, wish)
    assert (response.status_code, response["Location"]) == (302, PROFILE)
    assert response.cookies["language"].value == "de"
    ada.refresh_from_db()
    assert (ada.full_name, ada.language, ada.time_zone, ada.username) == ("Ada L.", "de", "Europe/Berlin", "ada")
    response = client.post(PROFILE, {"full_name": "Ada L.", "language": "", "time_zone": ""})
    assert response.cookies["language"].value == ""
    ada.refresh_from_db()
    assert (ada.language, ada.time_zone) == ("", "")
    # Each is said in the language in which the form was sent.
    assert "Ihr Profil ist gespeichert." in shown(client.get(PROFILE))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("time_zone", "Europe/Atlantis", "There is no time zone of this name."),
        ("time_zone", "+02:00", "There is no time zone of this name."),
        ("language", "tlh", "Select a valid choice."),
        ("full_name", "x" * 201, "at most 200 characters"),
    ],
)
def test_wrong_values_are_422_with_words_and_what_was_typed(
    field: str, value: str, words: str, browser: Browser, ada: User
) -> None:
    wish = {"full_name": "Somebody", "language": "de", "time_zone": "UTC", field: value}
    response = browser(ada).post(PROFILE, wish, headers={"accept-language": "en"})
    assert response.status_code == 422
    assert words in shown(response)
    assert f'value="{wish["full_name"]}"' in response.content.decode()
    ada.refresh_from_db()
    assert (ada.full_name, ada.language, ada.time_zone) == ("", "", "")


def test_trap_44_saving_the_profile_unchanged_changes_nothing(browser: Browser, ada: User) -> None:
    update_profile(ada, full_name="Ada", time_zone="Europe/Berlin")
    before = AuditEvent.objects.count()
    page = browser(ada).get(PROFILE).content.decode()
    sent = {name: re.search(rf'name="{name}" value="([^"]*)"', page) for name in ("full_name", "time_zone")}
    wish = {name: found[1] for name, found in sent.items() if found}
    assert browser(ada).post(PROFILE, wish | {"language": ""}).status_code == 302
    assert AuditEvent.objects.count() == before
    ada.refresh_from_db()
    assert (ada.full_name, ada.time_zone) == ("Ada", "Europe/Berlin")


def test_adminreadonly_changes_nothing_here(browser: Browser, ro: User) -> None:
    assert browser(ro).post(PROFILE, {"full_name": "Me", "time_zone": "nonsense"}).status_code == 403
    ro.refresh_from_db()
    assert ro.full_name == ""


# --- Activity --------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(ada: User) -> User:
    """Ada changed her name sixty times."""
    for number in range(60):
        update_profile(ada, full_name=f"Ada {number}")
    return ada


def test_trap_39_activity_is_paged_to_its_end_with_its_filters(browser: Browser, busy: User, eve: User) -> None:
    update_profile(eve, full_name="Eve")
    client, seen = browser(busy), 0
    url: str | None = f"{ACTIVITY}?category=profile&start=2000-01-01"
    while url:
        page = client.get(url).content.decode()
        seen += page.count('<th scope="row">')
        following = re.search(r'rel="next" href="([^"]+)"', page)
        url = f"{ACTIVITY}{unescape(following[1])}" if following else None
        assert "category=profile" in (url or "category=profile")
    assert seen == AuditEvent.objects.filter(actor_id=busy.pk, category="profile").count() == 60
    assert "Account created" not in shown(client.get(f"{ACTIVITY}?category=profile&page=3"))
    assert "Account created" in shown(client.get(f"{ACTIVITY}?page=99"))  # beyond the end is the end


def test_activity_jumps_to_a_page_and_keeps_the_filters(browser: Browser, busy: User) -> None:
    page = browser(busy).get(f"{ACTIVITY}?category=profile&page=2").content.decode()
    jump = re.search(r'<form class="jump".*?</form>', page, re.DOTALL)
    assert jump
    assert 'name="category" value="profile"' in jump[0]
    assert jump[0].count('name="page"') == 1
    assert 'max="3" value="2"' in jump[0]
    assert re.search(r'href="\?category=profile"[^>]*>.*?First page', page, re.DOTALL)
    assert re.search(r'href="\?category=profile&amp;page=3"[^>]*>.*?Last page', page, re.DOTALL)


def test_days_of_the_filter_are_those_of_the_readers_zone(browser: Browser, ada: User) -> None:
    update_profile(ada, time_zone="Europe/Berlin")
    AuditEvent.objects.bulk_create(
        AuditEvent(actor_id=ada.pk, actor_name="ada", action="x.y", target_name=name, at=at)
        for name, at in (
            ("before", datetime(2026, 2, 28, 22, 59, 59, tzinfo=UTC)),
            ("first", datetime(2026, 2, 28, 23, 0, tzinfo=UTC)),
            ("last", datetime(2026, 3, 1, 22, 59, 59, tzinfo=UTC)),
            ("after", datetime(2026, 3, 1, 23, 0, tzinfo=UTC)),
        )
    )
    page = shown(browser(ada).get(f"{ACTIVITY}?start=2026-03-01&end=2026-03-01"))
    assert [name for name in ("before", "first", "last", "after") if f" {name} " in page] == ["first", "last"]
    assert browser(ada).get(f"{ACTIVITY}?end=9999-12-31").status_code == 200


def test_what_cannot_be_read_is_said_and_left_out(browser: Browser, ada: User) -> None:
    response = browser(ada).get(f"{ACTIVITY}?start=yesterday&category=nonsense")
    assert response.status_code == 200
    assert "Enter a valid date." in shown(response)
    assert "Account created" in shown(response)
    nothing = shown(browser(ada).get(f"{ACTIVITY}?end=2001-01-01"))
    assert "Nothing happened then" in nothing


def test_activity_names_who_did_it_and_hides_from_where_others_did(browser: Browser, ada: User, ann: User) -> None:
    AuditEvent.objects.create(
        actor_id=ann.pk, actor_name="ann", action="profile.changed", target_type="user", target_id=str(ada.pk),
        target_name="ada", address="192.0.2.7",
    )  # fmt: skip
    AuditEvent.objects.create(actor_id=ada.pk, actor_name="ada", action="sign_in.succeeded", address="192.0.2.8")
    page = shown(browser(ada).get(ACTIVITY))
    assert "Profile changed ada ann – " in page
    assert "192.0.2.7" not in page
    assert "Signed in – You 192.0.2.8" in page
    assert "Account created ada The portal" in page


def test_subscriptions_are_shown_by_their_model(browser: Browser, ada: User, models: list[Any]) -> None:
    client = browser(ada)
    client.post("/subscriptions/create", {"model": "gpt-4o"})
    assert "Subscribed gpt-4o You" in shown(client.get(ACTIVITY))


# --- Words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (lambda: {action.value for action in audit.Action}, wording.ACTIONS),
        (lambda: {permission.value for permission in rbac.Permission}, wording.PERMISSIONS),
    ],
)
def test_everything_has_words(names: Callable[[], set[str]], said: dict[str, Any]) -> None:
    assert set(said) == names()
    assert len({str(words) for words in said.values()}) == len(said)


def test_categories_of_the_filter_are_those_of_the_audit_log() -> None:
    assert set(wording.CATEGORIES) <= {action.value.partition(".")[0] for action in audit.Action}


def test_teams_without_limits_say_so(browser: Browser, ada: User) -> None:
    Team.objects.update(max_budget=None, budget_duration="", tpm_limit=None, rpm_limit=None)
    assert "Default Team no limit" in shown(browser(ada).get(PROFILE))
