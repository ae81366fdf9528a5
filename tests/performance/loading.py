"""The only place that puts the bench's data into a database: by COPY, past the verbs, and then counted."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any, Final

from django.db import connection, models, transaction
from django.db.models import Count, Sum

from accounts import audit
from accounts.models import AuditEvent, Role, User
from apikeys.models import ApiKey, ApiKeySecret, KeyModel
from litellm_sync.state import SyncStatus
from subscriptions.models import Availability, Model, Subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from teams.services import DEFAULT_TEAM
from tests.performance import data
from tests.performance.data import Size, Totals
from usage.models import DailyUsage, UsageDay
from usage.services import rebuild_totals

ACTIONS: Final = tuple(action.value for action in audit.Action)[:12]
Row = Sequence[Any]


class WrongDataError(Exception):
    """The tables do not add up to what the specification says."""


def load(size: Size, say: Callable[[str], None] = lambda _text: None) -> None:
    """Fill the empty tables with a size's data and verify them; raises WrongDataError where they do not add up."""
    with transaction.atomic():
        for name, table, columns, rows in _tables(size):
            say(f"  {name} ...")
            _copy(table, columns, rows)
    rebuild_totals(size.dates()[0], size.dates()[-1])
    verify(size)


def settle() -> None:
    """What autovacuum does within a minute of such a change; not inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def verify(size: Size) -> None:
    """Compare the facts with the totals of the specification."""
    sums = DailyUsage.objects.aggregate(
        rows=Count("pk"),
        all_requests=Sum("requests"),
        failed=Sum("failed_requests"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        usd=Sum("spend"),
    )
    found = Totals(*sums.values())
    if size.totals is not None and found != size.totals:
        raise WrongDataError(f"size {size.name}: the tables hold {found}, the specification says {size.totals}")


def _tables(size: Size) -> Iterator[tuple[str, type[models.Model], Sequence[str], Iterable[Row]]]:
    """Name, table, columns and rows of everything, in the order in which tables refer to each other."""
    synced = ("sync_status", "synced_at")
    made = data.begin(size)
    settled = (SyncStatus.SYNCED, made)
    team = (DEFAULT_TEAM_ID, *DEFAULT_TEAM.values(), made, *settled)
    yield "team", Team, ("id", *DEFAULT_TEAM, "created_at", *synced), [team]
    person = ("id", "username", "email", "password", "roles", "is_active", "created_at", *synced)
    yield "users", User, person, _users(size, made)
    belongs = ("team_id", "user_id", "created_at", *synced)
    members = ((DEFAULT_TEAM_ID, data.user_id(i), made, *settled) for i in range(size.users))
    yield "memberships", Membership, belongs, members
    yield "models", Model, MODEL_COLUMNS, _models(size, made)
    wish = ("id", "user_id", "model_id", "status", "created_at")
    yield "subscriptions", Subscription, wish, _subscriptions(size, made)
    key = ("id", "user_id", "team_id", "name", "status", "expires_at", "revoked_at", "created_at")
    yield "keys", ApiKey, key, _keys(size, made)
    yield "key links", KeyModel, ("key_id", "model_id"), _links(size)
    secret = ("key_id", "digest", "last4", "pushed_at", "created_at", *synced)
    yield "secrets", ApiKeySecret, secret, _secrets(size, made)
    yield "audit log", AuditEvent, AUDIT_COLUMNS, _audit(size)
    yield "days", UsageDay, ("date", "fetched_at"), ((day, _end_of(size)) for day in size.dates())
    yield "usage", DailyUsage, USAGE_COLUMNS, _usage(size)


MODEL_COLUMNS: Final = (
    *("id", "provider", "mode", "capabilities", "context_length", "restricted", "availability"),
    *("input_cost_per_token", "output_cost_per_token", "created_at", "updated_at"),
)
AUDIT_COLUMNS: Final = (
    *("at", "actor_id", "actor_name", "action", "category", "target_type", "target_id", "target_name"),
    *("request_id", "address"),
)
USAGE_COLUMNS: Final = (
    *("date", "token", "model", "provider", "user_id", "api_key_id", "team_id"),
    *("requests", "successful_requests", "failed_requests", "prompt_tokens", "completion_tokens", "spend"),
)


def _end_of(size: Size) -> datetime:
    return data.begin(size) + timedelta(days=size.days)


def _users(size: Size, made: datetime) -> Iterator[Row]:
    for i in range(size.users):
        role = Role.ADMIN if i == 0 else Role.ADMIN_READONLY if i <= 3 else Role.USER
        name = data.username(i)
        yield (
            *(data.user_id(i), name, f"{name}@example.com", "!", [role.value], data.is_active(i), made),
            *(SyncStatus.SYNCED, made),
        )


def _models(size: Size, made: datetime) -> Iterator[Row]:
    for j in range(size.models):
        capabilities = ["function_calling"] * (j % 2) + ["vision"] * (j % 4 == 0)
        price = Decimal(data.price_step(j)).scaleb(data.MICRO)
        yield (
            *(data.model_name(j), data.provider(j), "chat", capabilities, 8192 * (1 + j % 16)),
            *(data.is_restricted(j), Availability.AVAILABLE, price, 4 * price, made, made),
        )


def _subscriptions(size: Size, made: datetime) -> Iterator[Row]:
    for i in range(size.users):
        for k in range(data.SUBSCRIPTIONS_EACH):
            model = data.model_name(data.model_of(size, i, k))
            status = "pending" if data.is_pending(size, i, k) else "active"
            yield data.subscription_id(i, k), data.user_id(i), model, status, made + timedelta(seconds=i)


def _keys(size: Size, made: datetime) -> Iterator[Row]:
    for i in range(size.users):
        for k in range(size.keys_each):
            state = data.key_state(size, i, k)
            yield (
                *(data.key_id(size, i, k), data.user_id(i), DEFAULT_TEAM_ID, f"key {k} of {data.username(i)}"),
                "revoked" if state == "revoked" else "active",
                _end_of(size) if state == "expired" else None,
                made if state == "revoked" else None,
                made + timedelta(seconds=i),
            )


def _links(size: Size) -> Iterator[Row]:
    for i in range(size.users):
        names = [data.model_name(j) for j in data.key_models(size, i)]
        for k in range(size.keys_each):
            yield from ((data.key_id(size, i, k), name) for name in names)


def _digest(i: int, k: int) -> str:
    return sha256(data.secret_of(i, k).encode()).hexdigest()


def _secrets(size: Size, made: datetime) -> Iterator[Row]:
    for i in range(size.users):
        for k in range(size.keys_each):
            last4 = data.secret_of(i, k)[-4:]
            yield data.key_id(size, i, k), _digest(i, k), last4, made, made, SyncStatus.SYNCED, made


def _audit(size: Size) -> Iterator[Row]:
    """The oldest first, so that ids grow with time as they do in life."""
    for n in reversed(range(size.audit_rows)):
        i, action = n % size.users, ACTIONS[n % len(ACTIONS)]
        person, name = data.user_id(i), data.username(i)
        yield (
            *(data.audit_moment(size, n), person, name, action, action.partition(".")[0]),
            *("user", str(person), name, f"bench-{n}", "127.0.0.1"),
        )


def _usage(size: Size) -> Iterator[Row]:
    slots = range(data.KEY_SLOTS_USED)
    digests = {(i, k): _digest(i, k) for i in range(size.users) for k in slots}
    for day in size.dates():
        for used in data.usage_of(size, day):
            yield (
                *(day, digests[used.i, used.k], data.model_name(used.j), data.provider(used.j)),
                *(data.user_id(used.i), data.key_id(size, used.i, used.k), DEFAULT_TEAM_ID),
                *(used.requests, used.requests - used.failed, used.failed, used.prompt, used.completion, used.spend),
            )


# --- COPY ------------------------------------------------------------------------------------------------------------


def _copy(table: type[models.Model], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows; columns that are not given get the default of their field, as if an object had been made."""
    others = [field for field in table._meta.concrete_fields if field.attname not in columns and not _by_itself(field)]
    constants = tuple(_plain(field.get_default(), field) for field in others)
    names = ", ".join(f'"{name}"' for name in (*columns, *(field.attname for field in others)))
    with connection.cursor() as cursor, cursor.copy(f'COPY "{table._meta.db_table}" ({names}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row((*row, *constants))


def _by_itself(field: "models.Field[Any, Any]") -> bool:
    """Whether PostgreSQL fills it in: the next number, or a default that it knows itself."""
    return isinstance(field, models.AutoField | models.BigAutoField) or field.has_db_default()


def _plain(value: Any, field: "models.Field[Any, Any]") -> Any:
    if isinstance(field, models.JSONField):
        return json.dumps(value)
    return value.value if isinstance(value, Enum) else value
