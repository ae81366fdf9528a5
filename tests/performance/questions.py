"""What the bench asks, of whom, and what the original answered; benchmark figures of the original are at size L."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from tests.performance import data, owners
from tests.performance.data import Size

ADMIN: Final = 0
SOMEBODY: Final = 5  # an ordinary person with usage on most days


@dataclass(frozen=True)
class Original:
    """Answers a second of the TypeScript original at 1 and at 32 connections; None where that was not measured."""

    one: float | None = None
    many: float | None = None

    def at(self, connections: int) -> float | None:
        """Its figure for as many connections."""
        return {1: self.one, 32: self.many}.get(connections)


@dataclass(frozen=True)
class Question:
    """One question. ``api`` may be several addresses whose answers together are the original's one.

    ``few`` narrows the same addresses down to a row or a day: the number of statements may not differ.
    ``limit`` is what the product promises for one connection, in milliseconds. With a ``body``, made when it is asked,
    it is sent by POST; with a cookie that would need a token against forgery, so it is not.
    """

    name: str
    who: int | None
    api: Sequence[str] = ()
    page: str = ""
    few: str = ""
    few_page: str = ""
    original: Original = Original()
    limit: float | None = None
    body: Callable[[], str] | None = None

    def addresses(self, face: str) -> Sequence[str]:
        """Where to ask through ``api`` or as a ``page``."""
        if self.body is not None and face == "session":
            return []
        return ([self.page] if self.page else []) if face == "page" else self.api

    def narrowed(self, face: str) -> Sequence[str]:
        """The same with few rows; nothing where that cannot be asked."""
        more = self.few_page if face == "page" else self.few
        return [f"{address}{'&' if '?' in address else '?'}{more}" for address in self.addresses(face)] if more else []


def questions(size: Size) -> list[Question]:
    """Every reading question."""
    return [*_overhead(), *_keys(size), *_lists(size), *_analytics(size), *_administration(size)]


def _overhead() -> list[Question]:
    """What it costs to be known: the smallest answer that needs to know who asks, beside liveness, which does not.

    Through ``token`` by an access token, through ``session`` by a cookie, through ``personal`` by a personal access
    token; other ways of being known are faces of ``tests.performance.people`` and are asked the same.
    """
    return [
        Question("liveness", None, api=["/healthz/live"], original=Original(3359, 3661)),
        Question("who am I", SOMEBODY, ["/api/v1/me"]),
    ]


def _keys(size: Size) -> list[Question]:
    """Validation, which ``bare.py`` does in its smallest form, and keys of people who have few or many."""
    found = [
        Question("validate a key", ADMIN, ["/api/v1/api-keys/validate"], body=partial(owners.asked, size, SOMEBODY))
    ]
    for i, number in {SOMEBODY: size.keys_each, **owners.MANY}.items():
        key = data.key_id(size, i, 0)
        if number != size.keys_each:
            many = ("page_size=1", "q=further+key+0")
            found.append(Question(f"my keys, {number:,}", i, ["/api/v1/api-keys"], "/api-keys", *many))
        found.append(Question(f"one of my {number:,} keys", i, [f"/api/v1/api-keys/{key}"], f"/api-keys/{key}"))
    return found


def _lists(size: Size) -> list[Question]:
    last_page = size.audit_rows // 20
    name = data.username(SOMEBODY)
    one, model = "page_size=1", data.model_name(data.model_of(size, SOMEBODY, 0))
    return [
        Question(
            *("models, 20 of all", SOMEBODY, ["/api/v1/models?page_size=20"], "/models"),
            *(one, "q=model-007", Original(161, 205)),
        ),
        Question("my keys", SOMEBODY, ["/api/v1/api-keys"], "/api-keys", "search=key+0", "q=key+0", Original(76, 206)),
        Question(
            *("my subscriptions", SOMEBODY, ["/api/v1/subscriptions"], "/subscriptions"),
            *(f"model={model}", f"q={model}", Original(271, 331)),
        ),
        Question("home", SOMEBODY, page="/"),
        Question("everybody's keys", ADMIN, ["/api/v1/api-keys"], "/api-keys?of=everybody", one, "q=user00005"),
        Question(
            *("everybody's subscriptions", ADMIN, ["/api/v1/subscriptions"], "/subscriptions?of=everybody"),
            *(one, "q=user00005"),
        ),
        Question("users, page 1", ADMIN, ["/api/v1/users"], few=one, original=Original(182, 392)),
        Question("users, page 100", ADMIN, [f"/api/v1/users?page={size.users // 20}"], original=Original(282, 360)),
        Question("users, search", ADMIN, [f"/api/v1/users?search={name}"], original=Original(109, 163)),
        Question("audit, page 1", ADMIN, ["/api/v1/audit"], few=one, original=Original(26)),
        Question(f"audit, page {last_page:,}", ADMIN, [f"/api/v1/audit?page={last_page}"], original=Original(4.8)),
        Question("audit, search", ADMIN, [f"/api/v1/audit?search={name}"], few=one, original=Original(1.0)),
    ]


def _analytics(size: Size) -> list[Question]:
    found, top = [], "order=spend&limit=20"
    for days, original in ((7, Original(1 / 2.4)), (30, Original(1 / 9.4)), (90, Original(1 / 19.0))):
        lists = [f"breakdown?by={by}&{top}" for by in ("model", "api_key", "user")]
        parts = ["summary?", "timeseries?", *lists]
        found.append(
            Question(
                *(f"everybody's analytics, {days} days", ADMIN, [_usage(part, days) for part in parts]),
                *(f"/usage?of=everybody&days={days}&{_range(days)}", _range(1), _range(1)),
                *(original, 300 if days == 90 else None),
            )
        )
    for days, original in ((7, Original(1 / 3.4)), (30, Original(1 / 14.2))):
        lists = [f"breakdown?by={by}&{top}" for by in ("model", "api_key")]
        parts = ["summary?", "timeseries?", *lists]
        found.append(
            Question(
                *(f"my analytics, {days} days", SOMEBODY, [_usage(part, days) for part in parts]),
                *(f"/usage?days={days}&{_range(days)}", _range(1), _range(1)),
                *(original, 50 if days == 30 else None),
            )
        )
    single = (("by user, 30 days", "breakdown?by=user", 4.5), ("by model, 30 days", "breakdown?by=model", 4.3))
    for name, part, seconds in (*single, ("CSV, 30 days", "export?format=csv", 4.8)):
        found.append(
            Question(name, ADMIN, [_usage(part, 30)], few=_range(1), original=Original(1 / seconds)),
        )
    return found


def _administration(size: Size) -> list[Question]:
    """The administrators' pages: the dashboard, and lists, which few rows narrow down to one or none."""
    name, one_day = data.username(SOMEBODY), f"date_from={data.BASE_DATE}&date_to={data.BASE_DATE}"
    return [
        Question("admin: dashboard", ADMIN, page="/admin/"),
        Question("admin: users", ADMIN, page="/admin/accounts/user/", few_page=f"q={name}"),
        Question("admin: keys", ADMIN, page="/admin/apikeys/apikey/", few_page=f"q={data.key_id(size, SOMEBODY, 0)}"),
        Question("admin: usage", ADMIN, page="/admin/usage/dailyusage/", few_page=one_day),
        Question("admin: differences", ADMIN, ["/api/v1/integration/drift"], "/admin/litellm_sync/drift/"),
        Question("admin: audit", ADMIN, page="/admin/accounts/auditevent/", few_page=f"q={name}"),
    ]


def _range(days: int) -> str:
    """The dates of a range that ends on the base date; the server's clock is later."""
    return f"start={data.BASE_DATE - timedelta(days=days - 1)}&end={data.BASE_DATE}"


def _usage(part: str, days: int) -> str:
    return f"/api/v1/usage/{part}{'' if part.endswith('?') else '&'}{_range(days)}"
