"""Every page in every state, and how to get there: one list for axe, widths, the console and pictures alike.

A new page is one line in STATES; ``tests/guards/test_browser_list.py`` asks for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from playwright.sync_api import Page

from tests.guards.access_matrix import ADMIN_TABLES


class Weather(Enum):
    """What is wrong while a page is looked at."""

    FAIR = "fair"
    LITELLM_AWAY = "litellm away"
    DATABASE_AWAY = "database away"
    FAULT_OF_OURS = "fault of ours"


@dataclass(frozen=True)
class State:
    """One page in one state.

    ``address`` is the row of the access matrix, ``path`` what is opened (the same if left out; ids of the scene in
    braces), ``shows`` a text that proves that the state was reached, ``act`` what is done on the page first.
    """

    name: str
    address: str
    who: str
    shows: str
    path: str = ""
    status: int = 200
    act: Callable[[Page], None] | None = None
    weather: Weather = Weather.FAIR

    @property
    def opened(self) -> str:
        """What is opened."""
        return self.path or self.address


def _press(name: str, role: str = "button") -> Callable[[Page], None]:
    return lambda page: page.get_by_role(role, name=name).first.click()  # type: ignore[arg-type]  # a literal of playwright's


def _open(summary: str) -> Callable[[Page], None]:
    return lambda page: page.locator("summary:visible", has_text=summary).first.click()


def _sign_in(name: str, password: str, times: int = 1) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for _time in range(times):
            page.get_by_label("User name").fill(name)
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("alert").wait_for()

    return act


def _create_key(name: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_label("Name").fill(name)
        page.get_by_label("gpt-4o", exact=True).check()
        page.get_by_role("button", name="Create the key").click()
        page.locator("#secret").wait_for()

    return act


def _make_token(name: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Make the token").click()
        page.locator("#secret").wait_for()

    return act


def _wrong_key(page: Page) -> None:
    page.locator("summary", has_text="Limits and expiry").click()
    page.get_by_label("Budget", exact=False).first.fill("-5")
    page.get_by_role("button", name="Create the key").click()
    page.locator("[aria-invalid=true]").first.wait_for()


def _limits_of_a_model(*typed: str) -> Callable[[Page], None]:
    """Choose a model, and open the fields of its own limits; what is typed there is sent."""

    def act(page: Page) -> None:
        page.get_by_label("gpt-4o", exact=True).check()
        page.locator("summary", has_text="Limits per model").click()
        for value in typed:
            page.get_by_label("Name").fill("Night job")
            page.get_by_label("gpt-4o: requests per minute").fill(value)
            page.get_by_role("button", name="Create the key").click()
            page.locator("[aria-invalid=true]").first.wait_for()

    return act


def _blank(field: str, button: str) -> Callable[[Page], None]:
    """What the browser lets pass as filled in, and the server does not."""

    def act(page: Page) -> None:
        page.locator(f"[name={field}]").fill(" ")
        page.get_by_role("button", name=button).click()
        page.locator("[aria-invalid=true]").first.wait_for()

    return act


def _wrong_time_zone(page: Page) -> None:
    page.get_by_label("Time zone").fill("Nowhere/Atlantis")
    page.get_by_role("button", name="Save").click()
    page.locator("[aria-invalid=true]").first.wait_for()


def _wrong_period(page: Page) -> None:
    page.get_by_label("Budget period").fill("weekly")
    page.get_by_role("button", name="Set limits").click()
    page.locator("[aria-invalid=true]").first.wait_for()


def _admin_states() -> Iterator["State"]:
    """The admin portal: its dashboard, and for each table the list, one row and each verb."""
    yield State("admin", "/admin/", "admin", "What needs you")
    yield State("admin-readonly", "/admin/", "ro", "What needs you")
    yield State("admin-away", "/admin/", "admin", "has not answered", weather=Weather.LITELLM_AWAY)
    centre = "/admin/integration/"
    yield State("integration", centre, "admin", "Pushes that fail")
    yield State("integration-readonly", centre, "ro", "Pushes that fail")
    yield State("integration-away", centre, "admin", "has not answered", weather=Weather.LITELLM_AWAY)
    yield State("integration-keys", centre, "admin", "Old dashboard", path=f"{centre}?kind=apikeys.apikeysecret")
    yield State("integration-schedule", f"{centre}schedule/", "admin", "Save the intervals")
    for table, (verbs, _bulk, list_verbs) in ADMIN_TABLES.items():
        name = f"admin-{table.partition('/')[2]}"
        one = f"/admin/{table}/<path:object_id>"
        yield State(name, f"/admin/{table}/", "admin", "Back to the portal")
        yield State(f"{name}-nothing", f"/admin/{table}/", "ro", "Back to the portal", path=f"/admin/{table}/?q=zzzz")
        yield State(
            f"{name}-one",
            f"{one}/change/",
            "admin",
            "Back to the portal",
            path=f"/admin/{table}/{{row[{table}]}}/change/",
        )
        for verb in verbs:
            path = f"/admin/{table}/{{row[{table}/{verb}]}}/{verb}/"
            yield State(f"{name}-{verb}", f"{one}/{verb}/", "admin", "Cancel", path=path)
        for verb in list_verbs:
            yield State(f"{name}-{verb}", f"/admin/{table}/{verb}/", "admin", "Cancel")


KEY = "/api-keys/<uuid:key_id>"
MODEL = "/models/<path:model_id>"
SUBSCRIPTION = "/subscriptions/<uuid:subscription_id>"
NOWHERE = "*"  # answered whatever the address is

STATES: Final = (
    # --- Signing in ---
    State("sign-in", "/sign-in", "", "Password"),
    State("sign-in-empty", "/sign-in", "", "This field is required", status=422, act=_press("Sign in")),
    State("sign-in-wrong", "/sign-in", "", "do not belong together", status=401, act=_sign_in("somebody", "wrong")),
    State("sign-in-locked", "/sign-in", "", "Too many wrong", status=429, act=_sign_in("guessed", "wrong", times=6)),
    # --- Home ---
    State("home-newcomer", "/", "nora", "Pick a model"),
    State("home-subscribed", "/", "nils", "You can use gpt-4o-mini"),
    State("home-first-call", "/", "ned", "The call to copy"),
    State("home-regular", "/", "alice", "Keys that need attention"),
    State("home-expiring", "/", "alice", "A key of yours expires soon"),
    State("home-admin", "/", "admin", "Hello, Ann"),
    State("home-readonly", "/", "ro", "Hello, Ro"),
    State("home-away", "/", "alice", "LiteLLM has not answered", weather=Weather.LITELLM_AWAY),
    State("menu-account", "/", "alice", "Sign out", act=_open("Account")),
    State("menu-theme", "/", "alice", "Dark", act=_open("Theme")),
    # --- Models ---
    State("models", "/models", "alice", "claude-sonnet"),
    State("models-newcomer", "/models", "nora", "Subscribe"),
    State("models-found", "/models", "alice", "codestral", path="/models?q=code"),
    State("models-nothing", "/models", "alice", "No model fits", path="/models?q=nothing-like-this"),
    State("models-last-page", "/models", "alice", "Previous", path="/models?page=2"),
    State("model-subscribed", MODEL, "alice", "A call to this model", path="/models/gpt-4o"),
    State("model-open", MODEL, "nora", "Subscribe", path="/models/gpt-4o"),
    State("model-restricted", MODEL, "nora", "Request access", path="/models/claude-opus"),
    State("model-pending", MODEL, "alice", "Pending approval", path="/models/claude-opus"),
    State("model-denied", MODEL, "alice", "Denied", path="/models/gemini-2.5-pro"),
    State("model-gone", MODEL, "alice", "Unavailable", path="/models/gemma-3-27b"),
    State("model-embedding", MODEL, "alice", "embedding", path="/models/text-embedding-3-large"),
    State("model-no-example", MODEL, "alice", "no ready-made call", path="/models/gpt-realtime"),
    State(
        "model-long-name",
        MODEL,
        "nora",
        "an-organisation",
        path="/models/an-organisation/a-model-with-a-name-that-is-really-rather-long-and-does-not-want-to-end-q4-k-m",
    ),
    # --- Subscriptions ---
    State("subscriptions", "/subscriptions", "alice", "Suspended until"),
    State("subscriptions-empty", "/subscriptions", "nora", "No subscriptions yet"),
    State("subscriptions-nothing", "/subscriptions", "alice", "No subscription fits", path="/subscriptions?q=zzz"),
    # The oldest first: what the flows make on the same stage comes after the scene's own.
    *(
        State(f"subscriptions-{name}", "/subscriptions", who, "Carla Costa", path=f"/subscriptions?of=everybody{query}")
        for name, who, query in (
            ("everybody", "admin", "&sort=created"),
            ("everybody-waiting", "admin", "&status=pending&q=carla"),
            ("readonly", "ro", "&sort=created"),
        )
    ),
    State(
        "subscription-cancel",
        "/subscriptions/<uuid:subscription_id>/cancel",
        "alice",
        "Cancel the subscription",
        path="/subscriptions/{subscription[llama-4-scout]}/cancel",
    ),
    State(
        "subscription-in-use",
        "/subscriptions/<uuid:subscription_id>/cancel",
        "alice",
        "These keys still use",
        path="/subscriptions/{subscription[gpt-4o]}/cancel",
    ),
    *(
        State(f"subscription-{state}", SUBSCRIPTION, "alice", shows, path=f"/subscriptions/{{subscription[{model}]}}")
        for state, model, shows in (
            ("active", "gpt-4o", "You may use this model"),
            ("pending", "claude-opus", "waits for an administrator"),
            ("denied", "gemini-2.5-pro", "Ask again"),
            ("suspended", "codestral", "An administrator suspended"),
            ("expired", "phi-4", "has expired"),
            ("unlisted", "gemma-3-27b", "does not list this model"),
        )
    ),
    State(
        "subscription-review-wrong",
        SUBSCRIPTION,
        "alice",
        "Ask again",
        path="/subscriptions/{subscription[gemini-2.5-pro]}",
        status=422,
        act=_blank("message", "Ask again"),
    ),
    State("subscription-decide", SUBSCRIPTION, "admin", "Approve", path="/subscriptions/{subscription[claude-opus]}"),
    State(
        "subscription-readonly",
        SUBSCRIPTION,
        "ro",
        "waits for a decision",
        path="/subscriptions/{subscription[claude-opus]}",
    ),
    State(
        "subscription-deny",
        f"{SUBSCRIPTION}/deny",
        "admin",
        "Not now",
        path="/subscriptions/{subscription[claude-opus]}/deny",
    ),
    State(
        "subscription-deny-wrong",
        f"{SUBSCRIPTION}/deny",
        "admin",
        "Not now",
        path="/subscriptions/{subscription[claude-opus]}/deny",
        status=422,
        act=_blank("reason", "Deny"),
    ),
    # --- Keys ---
    State("keys", "/api-keys", "alice", "Support assistant"),
    State("keys-empty", "/api-keys", "nora", "No keys yet"),
    State("keys-nothing", "/api-keys", "alice", "No key fits", path="/api-keys?q=zzz"),
    State("keys-everybody", "/api-keys", "admin", "of", path="/api-keys?of=everybody"),
    State("keys-readonly", "/api-keys", "ro", "of", path="/api-keys?of=everybody&page=2"),
    State("key-create", "/api-keys/create", "alice", "Create the key"),
    State("key-create-limits", "/api-keys/create", "alice", "Expires", act=_open("Limits")),
    State("key-create-wrong", "/api-keys/create", "alice", "Create the key", status=422, act=_wrong_key),
    State("key-create-models", "/api-keys/create", "alice", "gpt-4o: tokens per minute", act=_limits_of_a_model()),
    State(
        "key-create-models-wrong",
        "/api-keys/create",
        "alice",
        "The limit must be between 1",
        status=422,
        act=_limits_of_a_model("0"),
    ),
    State("key-create-no-models", "/api-keys/create", "nora", "Subscribe to a model first"),
    State("key-created", "/api-keys/create", "alice", "is ready", act=_create_key("Release notes")),
    State(
        "key-created-away",
        "/api-keys/create",
        "alice",
        "is saved",
        act=_create_key("Made in a storm"),
        weather=Weather.LITELLM_AWAY,
    ),
    State("key", KEY, "alice", "History", path="/api-keys/{key[alice]}"),
    State("key-never-used", KEY, "ned", "First steps", path="/api-keys/{key[ned]}"),
    *(
        State(f"key-{state}", KEY, "alice", "History", path=f"/api-keys/{{key[{state}]}}")
        for state in ("expiring", "expired", "nearly", "over", "blocked", "revoked", "rotated")
    ),
    State("key-long", KEY, "long", "History", path="/api-keys/{key[long]}"),
    State("keys-long", "/api-keys", "long", "a rather long name"),
    State("home-long", "/", "long", "Maximiliane"),
    State("key-failed", KEY, "alice", "LiteLLM refused this key", path="/api-keys/{key[failed]}"),
    State("key-pending", KEY, "alice", "has not got the latest state", path="/api-keys/{key[pending]}"),
    State("key-of-somebody", KEY, "admin", "Carla Costa", path="/api-keys/{key[carla]}"),
    State("key-rotate", f"{KEY}/rotate", "alice", "Rotate the key", path="/api-keys/{key[spare]}/rotate"),
    State("key-rotate-again", f"{KEY}/rotate", "alice", "Rotate again only if", path="/api-keys/{key[rotated]}/rotate"),
    State(
        "key-rotate-expired",
        f"{KEY}/rotate",
        "alice",
        "has expired",
        path="/api-keys/{key[expired]}/rotate",
        status=422,
        act=_press("Rotate the key"),
    ),
    State(
        "key-end-old",
        f"{KEY}/end-old-secret",
        "alice",
        "End the old secret",
        path="/api-keys/{key[rotated]}/end-old-secret",
    ),
    State(
        "key-end-old-none",
        f"{KEY}/end-old-secret",
        "alice",
        "No old secret",
        path="/api-keys/{key[spare]}/end-old-secret",
    ),
    State(
        "key-reset-spend", f"{KEY}/reset-spend", "admin", "Reset the spend", path="/api-keys/{key[over]}/reset-spend"
    ),
    State("key-delete", f"{KEY}/delete", "alice", "Delete the key", path="/api-keys/{key[revoked]}/delete"),
    State("key-delete-not", f"{KEY}/delete", "alice", "Revoke it", path="/api-keys/{key[spare]}/delete"),
    State("key-revoke", f"{KEY}/revoke", "alice", "Revoke the key", path="/api-keys/{key[spare]}/revoke"),
    State("key-edit", f"{KEY}/edit", "alice", "Save the changes", path="/api-keys/{key[alice]}/edit"),
    State("key-edit-revoked", f"{KEY}/edit", "alice", "nothing left to change", path="/api-keys/{key[revoked]}/edit"),
    State("key-edit-expired", f"{KEY}/edit", "alice", "This key has expired", path="/api-keys/{key[expired]}/edit"),
    State("key-block", f"{KEY}/block", "admin", "Block the key", path="/api-keys/{key[carla]}/block"),
    State("key-unblock", f"{KEY}/unblock", "admin", "Unblock the key", path="/api-keys/{key[blocked]}/unblock"),
    State("keys-more-filters", "/api-keys", "alice", "Support assistant", act=_open("More filters")),
    State("key-revoked-already", f"{KEY}/revoke", "alice", "revoked already", path="/api-keys/{key[revoked]}/revoke"),
    # --- Usage ---
    State("usage", "/usage", "alice", "By model"),
    State("usage-90-days", "/usage", "alice", "By model", path="/usage?range=90&metric=requests"),
    State("usage-table", "/usage", "alice", "By model", act=_open("30 days")),
    State("usage-dear", "/usage", "long", "By key", path="/usage?range=90&by=api_key&split=1"),
    State("usage-empty", "/usage", "nora", "No usage yet"),
    State("usage-split", "/usage", "alice", "By weekday", path="/usage?range=90&split=1&metric=total_tokens&by=model"),
    State("usage-filtered", "/usage", "alice", "Remove this filter", path="/usage?range=30&model=gpt-4o"),
    State("usage-nothing", "/usage", "alice", "Nothing fits these filters", path="/usage?model=whisper-large-v3"),
    State(
        "usage-wrong",
        "/usage",
        "alice",
        "Nothing is shown until",
        path="/usage?start=2026-03-09&end=2026-03-02",
        status=422,
    ),
    State("usage-readonly", "/usage", "ro", "By weekday", path="/usage?of=everybody"),
    State("usage-everybody", "/usage", "admin", "By model", path="/usage?of=everybody&range=90"),
    # --- Profile ---
    State("profile", "/profile", "alice", "You decide"),
    State("profile-newcomer", "/profile", "nora", "You have no keys"),
    State("profile-admin", "/profile", "admin", "You are an administrator"),
    State("profile-readonly", "/profile", "ro", "Your role only reads"),
    State("profile-wrong", "/profile", "nora", "You decide", status=422, act=_wrong_time_zone),
    State("profile-activity", "/profile/activity", "alice", "activity"),
    State("profile-sessions", "/profile/sessions", "alice", "This one"),
    State("profile-tokens", "/profile/tokens", "alice", "Nightly report"),
    State("profile-tokens-none", "/profile/tokens", "nora", "No access tokens yet"),
    State("profile-tokens-readonly", "/profile/tokens", "ro", "Your role only reads"),
    State("token-create", "/profile/tokens/create", "alice", "What it may do"),
    State(
        "token-create-wrong",
        "/profile/tokens/create",
        "alice",
        "Nothing was changed",
        status=422,
        act=_blank("name", "Make the token"),
    ),
    State("token-created", "/profile/tokens/create", "nils", "You will not see it again", act=_make_token("Backup")),
    State(
        "token-revoke",
        "/profile/tokens/<uuid:token_id>/revoke",
        "alice",
        "Keep it",
        path="/profile/tokens/{row[accounts/personaltoken]}/revoke",
    ),
    State("menu-language", "/", "alice", "Deutsch", act=_open("Language")),
    *_admin_states(),
    State(
        "admin-drift-unknown",
        "/admin/litellm_sync/drift/<path:object_id>/change/",
        "admin",
        "What LiteLLM tells",
        path="/admin/litellm_sync/drift/{row[litellm_sync/drift/adopt]}/change/",
    ),
    State(
        "admin-user-off-boarded",
        "/admin/accounts/user/<path:object_id>/change/",
        "admin",
        "Keys revoked for ever",
        path="/admin/accounts/user/{row[accounts/user/tomas]}/change/",
    ),
    State(
        "admin-user-limits-wrong",
        "/admin/accounts/user/<path:object_id>/limits/",
        "admin",
        "Nothing was changed",
        path="/admin/accounts/user/{row[accounts/user]}/limits/",
        status=422,
        act=_wrong_period,
    ),
    # --- What goes wrong ---
    State("error-403", NOWHERE, "ro", "Not allowed", path="/api-keys/create", status=403),
    State("error-404", NOWHERE, "alice", "Not found", path="/nothing-here", status=404),
    State(
        "error-500", NOWHERE, "alice", "Something went wrong", path="/usage", status=500, weather=Weather.FAULT_OF_OURS
    ),
    State(
        "error-503",
        NOWHERE,
        "alice",
        "Not available at the moment",
        path="/",
        status=503,
        weather=Weather.DATABASE_AWAY,
    ),
)

# Looked at in German too, whose words are longer.
GERMAN: Final = (
    "admin",
    "admin-apikey",
    "admin-subscription",
    "home-newcomer",
    "home-regular",
    "key",
    "key-create",
    "keys",
    "keys-everybody",
    "model-restricted",
    "models",
    "profile",
    "sign-in",
    "subscription-denied",
    "subscriptions-everybody-waiting",
    "usage",
    "usage-dear",
    "usage-everybody",
)

# Addresses that answer a GET with something else than a page of ours.
NOT_PAGES: Final = {
    "/admin/accounts/auditevent/export/": "a file",
    "/admin/jsi18n/": "a script of Django's",
    "/healthz/live": "for the platform",
    "/healthz/ready": "for the platform",
    "/metrics": "for Prometheus",
    "/sign-in/<slug:name>": "the way to a provider; test_sign_in looks at what such people see",
    "/sign-in/<slug:name>/callback": "the way back from there; a failure's page is looked at in test_sign_in",
    "/subscriptions/<uuid:subscription_id>/approve": "leads to the subscription",
    "/subscriptions/<uuid:subscription_id>/review": "leads to the subscription",
    "/subscriptions/create": "leads to the models",
    "/subscriptions/restrict": "leads to the models",
    "/signed-out": "only after a provider; looked at in test_sign_in",
}


def in_weather(weather: Weather) -> list[State]:
    """The states that need this weather."""
    return [state for state in STATES if state.weather is weather]
