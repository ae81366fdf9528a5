"""The page that changes a key, and those that block, unblock and push it again."""

import html
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, User
from apikeys.endings import block_api_key, revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.services import IssuedKey, update_api_key
from litellm_sync.emulator.server import Emulator
from subscriptions.models import Model, Subscription
from tests.portal.conftest import Browser
from tests.portal.test_pages import body, check_outline, statements

LATER = datetime(2099, 12, 31, 12, 30, tzinfo=UTC)


@pytest.fixture
def key(ada: User, issued: IssuedKey) -> ApiKey:
    """Ada's key for two models, with limits, a limit of a model, two lines of words and an expiry."""
    more: dict[str, Any] = {"budget_duration": "30d", "rpm_limit": 10, "description": "one line\nand another"}
    more |= {"expires_at": LATER, "model_limits": {"gpt-4o": {"rpm_limit": 5}}, "max_budget": Decimal("12.5")}
    return update_api_key(ada, key_id=issued.key.pk, **more)


def address(key: ApiKey, verb: str = "edit") -> str:
    """The page that does something to a key."""
    return f"/api-keys/{key.pk}/{verb}"


FIELD = re.compile(
    r"<input(?P<input>[^>]*)>|<select(?P<select>[^>]*)>(?P<options>.*?)</select>"
    r"|<textarea(?P<area>[^>]*)>(?P<text>.*?)</textarea>",
    re.DOTALL,
)


def _attribute(tag: str, name: str) -> str | None:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else None


def filled(page: str) -> dict[str, Any]:
    """What a browser would send of the page's form, hidden fields included."""
    form = page[page.index("data-once") :]
    sent: dict[str, list[str]] = {}
    for field in FIELD.finditer(form):
        tag = field["input"] or field["select"] or field["area"] or ""
        name = _attribute(tag, "name")
        if not name or (_attribute(tag, "type") == "checkbox" and "checked" not in tag):
            continue
        value = _attribute(tag, "value") or ""
        if field["options"] is not None:
            chosen = re.search(r'<option value="([^"]*)" selected', field["options"])
            value = html.unescape(chosen[1]) if chosen else ""
        if field["text"] is not None:
            value = html.unescape(field["text"]).removeprefix("\n").replace("\n", "\r\n")
        sent.setdefault(name, []).append(value.replace("\r\n", "\n").replace("\n", "\r\n"))
    return sent


def edit(client: Client, key: ApiKey, **changes: Any) -> Any:
    """Open the page, change something on it, send it."""
    return client.post(address(key), filled(body(client.get(address(key)))) | changes, follow=True)


def test_trap_44_saving_the_page_as_it_is_changes_nothing(browser: Browser, ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=1, maximum_max_budget=1, maximum_expires_days=1)
    Subscription.objects.update(status="suspended")
    ApiKeySecret.objects.update(sync_status="synced")
    before = ApiKey.objects.values().get(), ApiKeySecret.objects.values().get(), AuditEvent.objects.count()
    page = body(edit(browser(ada), key))
    assert "Nothing was changed." in page
    assert (ApiKey.objects.values().get(), ApiKeySecret.objects.values().get(), AuditEvent.objects.count()) == before


@pytest.mark.parametrize(
    ("typed", "changed"),
    [
        ({"name": "daily"}, {"name": "daily"}),
        ({"description": "three\r\nlines\r\nnow"}, {"description": "three\nlines\nnow"}),
        ({"max_budget": ""}, {"max_budget": None}),
        ({"max_budget": "7.25", "budget_duration": ""}, {"max_budget": Decimal("7.25"), "budget_duration": ""}),
        ({"rpm_limit": "", "tpm_limit": "99"}, {"rpm_limit": None, "tpm_limit": 99}),
        ({"expires_at": "never"}, {"expires_at": None}),
        (
            {"expires_at": "date", "expires_on": "2098-05-06"},
            {"expires_at": datetime(2098, 5, 6, 23, 59, 59, tzinfo=UTC)},
        ),
        ({"models": ["claude-sonnet"]}, {"models": ["claude-sonnet"], "model_limits": {}}),
        ({"models": ["gpt-4o", "gpt-4o-mini"]}, {"models": ["gpt-4o", "gpt-4o-mini"]}),
    ],
)
def test_only_what_was_touched_changes(
    typed: dict[str, Any], changed: dict[str, Any], browser: Browser, ada: User, key: ApiKey
) -> None:
    before: dict[str, Any] = dict(ApiKey.objects.values().get())
    page = body(edit(browser(ada), key, **typed))
    assert "is changed here; LiteLLM follows as soon as it answers." in page
    after = ApiKey.objects.get()
    assert {name: after.model_ids if name == "models" else getattr(after, name) for name in changed} == changed
    now: dict[str, Any] = dict(ApiKey.objects.values().get())
    assert {name for name in now if now[name] != before[name]} == set(changed) - {"models"}
    assert set(AuditEvent.objects.filter(action="apikey.updated")[0].details["new"]) == set(changed)


def test_limits_of_models_are_set_and_cleared(browser: Browser, ada: User, key: ApiKey) -> None:
    client = browser(ada)
    names = [name for name in filled(body(client.get(address(key)))) if re.match(r"[rt]pm_limit-", name)]
    assert len(names) == 6  # claude-sonnet, gpt-4o, and gpt-4o-mini that could be added: requests, tokens
    edit(client, key, **{names[1]: "700"})
    assert ApiKey.objects.get().model_limits == {"claude-sonnet": {"tpm_limit": 700}, "gpt-4o": {"rpm_limit": 5}}
    edit(client, key, **{names[1]: "", names[2]: ""})
    assert ApiKey.objects.get().model_limits == {}
    edit(client, key, **{names[1]: "8", "models": ["gpt-4o"]})  # of a model that is taken off in the same moment
    assert ApiKey.objects.get().model_limits == {}


def test_what_somebody_else_changed_meanwhile_stays(browser: Browser, ada: User, ann: User, key: ApiKey) -> None:
    client = browser(ada)
    form = filled(body(client.get(address(key))))
    update_api_key(ann, key_id=key.pk, rpm_limit=77, models=["gpt-4o"])
    client.post(address(key), form | {"name": "daily"})
    now = ApiKey.objects.get()
    assert (now.name, now.rpm_limit, now.model_ids) == ("daily", 77, ["gpt-4o"])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"name": ""}, "This field is required."),
        ({"models": []}, "Choose at least one model."),
        ({"models": ["unheard-of"]}, "Select a valid choice."),
        ({"max_budget": "-1"}, "The budget must be at least 0"),
        ({"max_budget": ""}, "At most 50 is allowed here"),
        ({"max_budget": "70"}, "At most 50 is allowed here"),
        ({"rpm_limit": "0"}, "The limit must be between 1"),
        ({"expires_at": "date"}, "Name the date."),
        ({"expires_at": "date", "expires_on": "2001-01-01"}, "The expiry must lie in the future."),
    ],
)
def test_bad_input_is_answered_422_and_kept(
    typed: dict[str, Any], message: str, browser: Browser, ada: User, key: ApiKey
) -> None:
    KeyPolicy.objects.create(maximum_max_budget=50)
    before = ApiKey.objects.values().get()
    response = edit(browser(ada), key, **{"description": "kept as it was typed", **typed})
    page = body(response)
    assert response.status_code == 422
    assert message in html.unescape(page)
    assert "kept as it was typed" in page
    assert ApiKey.objects.values().get() == before
    check_outline(response)
    # What was wrong can be put right on the page that said so.
    again = filled(page) | {name: filled(body(browser(ada).get(address(key)))).get(name, "") for name in typed}
    assert browser(ada).post(address(key), again).status_code == 302
    assert ApiKey.objects.get().description == "kept as it was typed"


def test_bounds_of_the_policy_are_explained(browser: Browser, ada: User, key: ApiKey) -> None:
    KeyPolicy.objects.create(maximum_rpm_limit=5000, maximum_expires_days=90, minimum_budget_duration="7d")
    page = body(browser(ada).get(address(key)))
    assert "At most 5,000; it cannot be empty." in page
    assert "A key may live 90 days at most." in page
    assert "Every 7 days" in page
    assert "Every day" not in page
    assert page.count("Empty means no limit.") == 3
    assert '<option value="never"' not in page


def test_a_revoked_key_has_nothing_to_edit_and_an_expired_one_comes_back(
    browser: Browser, ada: User, key: ApiKey
) -> None:
    client = browser(ada)
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert "This key has expired." in body(client.get(address(key)))
    refused = edit(client, key, name="daily")
    assert refused.status_code == 422
    assert "has expired. Move its expiry to change it." in html.unescape(body(refused))
    edit(client, key, name="daily", expires_at="90")
    assert ApiKey.objects.get().current_status == "active"
    revoke_api_key(ada, key_id=key.pk)
    assert "This key is revoked" in body(client.get(address(key)))


def test_who_may_edit(browser: Browser, eve: User, ro: User, ann: User, key: ApiKey) -> None:
    assert browser(eve).get(address(key)).status_code == 404
    assert browser(ro).get(address(key)).status_code == 403
    assert "is changed" in body(edit(browser(ann), key, name="by the administrator"))
    assert ApiKey.objects.get().name == "by the administrator"


def test_administrators_edit_among_the_models_of_the_owner(browser: Browser, ann: User, key: ApiKey) -> None:
    page = body(browser(ann).get(address(key)))
    assert all(f'value="{model}"' in page for model in ("claude-sonnet", "gpt-4o", "gpt-4o-mini"))


# --- Blocking --------------------------------------------------------------------------------------------------------


def test_blocking_asks_first_and_tells_the_owner_why(browser: Browser, ann: User, ada: User, key: ApiKey) -> None:
    client = browser(ann)
    page = client.get(address(key, "block"))
    check_outline(page)
    assert "Block “notebook”?" in body(page)
    assert ApiKey.objects.get().status == "active"
    done = client.post(address(key, "block"), {"reason": "odd <calls>"}, follow=True)
    assert "“notebook” is blocked and refused from now on." in body(done)
    seen = body(browser(ada).get(f"/api-keys/{key.pk}"))
    assert "Reason: odd &lt;calls&gt;" in seen
    assert "Unblock" not in seen
    check_outline(client.get(address(key, "unblock")))
    assert "“notebook” works again." in body(client.post(address(key, "unblock"), follow=True))
    assert ApiKey.objects.get().status == "active"


def test_a_revoked_key_is_not_blocked(browser: Browser, ann: User, key: ApiKey) -> None:
    revoke_api_key(ann, key_id=key.pk)
    response = browser(ann).post(address(key, "block"))
    assert response.status_code == 422
    assert "is revoked; that is for ever." in body(response)


def test_only_administrators_are_offered_to_block(
    browser: Browser, ada: User, ro: User, ann: User, key: ApiKey
) -> None:
    offered = {who.username: "/block" in body(browser(who).get(f"/api-keys/{key.pk}")) for who in (ada, ro, ann)}
    assert offered == {"ada": False, "ro": False, "ann": True}


# --- The page of a key -----------------------------------------------------------------------------------------------


def test_history_says_old_and_new_and_pages_to_its_end(browser: Browser, ada: User, ann: User, key: ApiKey) -> None:
    for limit in range(20, 44):
        update_api_key(ada, key_id=key.pk, rpm_limit=limit)
    update_api_key(ann, key_id=key.pk, models=["gpt-4o", "gpt-4o-mini"], expires_at=None, max_budget=None)
    client = browser(ada)
    pages = [body(client.get(f"/api-keys/{key.pk}?page={number}")) for number in (1, 2, 3)]
    assert "by ann" in pages[0]
    assert "Models added: gpt-4o-mini" in pages[0]
    assert "Models taken off: claude-sonnet" in pages[0]
    assert "<del>$12.50</del>" in pages[0]
    assert "<ins>no limit</ins>" in pages[0]
    assert "<del>2099-12-31 12:30 UTC</del>" in pages[0]
    steps = [step for page in pages for step in re.findall(r"<del>(\d+)</del>.*?<ins>(\d+)</ins>", page)]
    assert steps == [(str(limit - 1) if limit > 20 else "10", str(limit)) for limit in range(43, 19, -1)]
    assert "Created" in pages[2].partition('id="history"')[2]


def test_a_period_that_litellm_cannot_forget_is_said(browser: Browser, ada: User, key: ApiKey) -> None:
    words, url = "it goes on starting the budget again", f"/api-keys/{key.pk}"
    ApiKey.objects.update(budget_resets_at=LATER)
    assert words not in body(browser(ada).get(url))
    ApiKey.objects.update(budget_duration="")
    assert words in body(browser(ada).get(url))


def test_models_say_why_they_do_not_work(browser: Browser, ada: User, key: ApiKey) -> None:
    url = f"/api-keys/{key.pk}"
    Subscription.objects.filter(model="gpt-4o").update(status="suspended")
    Model.objects.filter(pk="claude-sonnet").update(availability="unavailable")
    page = body(browser(ada).get(url))
    assert "The subscription is suspended." in page
    assert "LiteLLM does not offer it at present." in page
    assert "No usable model" in page


@pytest.mark.parametrize("availability", ["available", "unavailable"])
@pytest.mark.parametrize("allowed", [[], ["gpt-4o"], ["claude-sonnet"]])
@pytest.mark.parametrize("status", ["active", "pending", "denied", "suspended", "expired", None])
def test_why_agrees_with_what_is_effective(
    status: str | None, allowed: list[str], availability: str, key: ApiKey
) -> None:
    if status is None:
        Subscription.objects.all().delete()
    else:
        Subscription.objects.update(status=status)
    Model.objects.update(availability=availability)
    type(key.team).objects.update(allowed_models=allowed)
    links = ApiKey.objects.get().links
    without = {link.model_id for link in links.with_subscription() if not link.hindrance}
    assert without == set(links.effective().values_list("model_id", flat=True))


def test_reasons_of_a_failed_push_are_for_administrators(
    browser: Browser, ada: User, ro: User, ann: User, key: ApiKey
) -> None:
    ApiKeySecret.objects.update(sync_status="failed", sync_error="needs_rotation", sync_next_at=None)
    url = f"/api-keys/{key.pk}"
    pages = {who.username: body(browser(who).get(url)) for who in (ada, ro, ann)}
    assert {name: "needs_rotation" in page for name, page in pages.items()} == {"ada": False, "ro": True, "ann": True}
    assert {name: "/retry" in page for name, page in pages.items()} == {"ada": False, "ro": False, "ann": True}
    assert "Rotating it gives it a new one." in pages["ada"]  # what only the owner can do is told to the owner
    ApiKeySecret.objects.update(sync_error="team_not_found")
    assert "An administrator can see why." in body(browser(ada).get(url))
    browser(ann).post(address(key, "retry"))
    assert ApiKeySecret.objects.get().sync_status == "pending"
    assert browser(ro).post(address(key, "retry")).status_code == 403


@pytest.mark.usefixtures("litellm")
@pytest.mark.django_db(transaction=True)
def test_trying_again_says_what_came_of_it(browser: Browser, ann: User, key: ApiKey, litellm: Emulator) -> None:
    ApiKeySecret.objects.update(sync_status="failed", sync_error="internal", sync_next_at=None)
    assert "LiteLLM has taken the key." in body(browser(ann).post(address(key, "retry"), follow=True))
    block_api_key(ann, key_id=key.pk)
    assert ApiKeySecret.objects.get().sync_status == "synced"


def test_the_pages_of_a_key_ask_a_constant_number_of_questions(browser: Browser, ada: User, key: ApiKey) -> None:
    client = browser(ada)
    urls = (f"/api-keys/{key.pk}", address(key))
    few = [statements(client, url) for url in urls]
    for number in range(30):
        Model.objects.create(id=f"m{number}", provider="p", mode="chat")
        Subscription.objects.create(user=ada, model_id=f"m{number}", status="active")
        key.links.create(model_id=f"m{number}")
        update_api_key(ada, key_id=key.pk, rpm_limit=100 + number)
    assert [statements(client, url) for url in urls] == few
    assert max(few) <= 14
