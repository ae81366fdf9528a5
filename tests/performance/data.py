"""The data that the bench measures on: the same on every machine, made by arithmetic, never by chance."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final
from uuid import UUID

BASE_DATE: Final = date(2026, 11, 23)
EPOCH: Final = date(1970, 1, 1)
PROVIDERS: Final = ("openai", "anthropic", "mistral", "meta", "redhatai")
SUBSCRIPTIONS_EACH: Final = 6
KEY_SLOTS_USED: Final = 3
MODELS_A_KEY: Final = 3
MICRO: Final = -7  # prices are whole multiples of 10^-7 USD a token, so sums are exact


@dataclass(frozen=True)
class Totals:
    """What the facts of a size must add up to; spend in USD."""

    rows: int
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    spend: Decimal


@dataclass(frozen=True)
class Size:
    """How much of everything there is. ``active`` people use three models each on every day."""

    name: str
    users: int
    models: int
    keys_each: int
    audit_rows: int
    days: int
    active: int
    totals: Totals | None = None

    def dates(self) -> list[date]:
        """Every day with usage, the oldest first."""
        return [BASE_DATE - timedelta(days=n) for n in reversed(range(self.days))]


SIZES: Final = {
    size.name: size
    for size in (
        Size(
            *("S", 200, 50, 3, 20_000, 30, 150),
            Totals(13_500, 276_631, 7_412, 302_991_124, 111_381_929, Decimal("706.0205162")),
        ),
        Size(
            *("L", 2_000, 100, 3, 200_000, 90, 1_500),
            Totals(405_000, 8_305_469, 222_683, 9_137_379_748, 3_314_717_687, Decimal("23519.5820408")),
        ),
        Size("XL", 20_000, 250, 20, 2_000_000, 365, 4_600),
    )
}


def user_id(i: int) -> UUID:
    """The id of user ``i``."""
    return UUID(f"10000000-0000-4000-8000-{i:012d}")


def username(i: int) -> str:
    """The name of user ``i``."""
    return f"user{i:05d}"


def is_active(i: int) -> bool:
    """Every twentieth person is deactivated."""
    return i % 20 != 19


def key_id(size: Size, i: int, k: int) -> UUID:
    """The id of key ``k`` of user ``i``."""
    return UUID(f"20000000-0000-4000-8000-{size.keys_each * i + k:012d}")


def subscription_id(i: int, k: int) -> UUID:
    """The id of subscription ``k`` of user ``i``."""
    return UUID(f"30000000-0000-4000-8000-{SUBSCRIPTIONS_EACH * i + k:012d}")


def secret_of(i: int, k: int) -> str:
    """The value of key ``k`` of user ``i``."""
    return f"sk-{sha256(f'key|{i}|{k}'.encode()).hexdigest()[:22]}"


def model_name(j: int) -> str:
    """The public name of model ``j``."""
    return f"model-{j:03d}"


def provider(j: int) -> str:
    """Who offers model ``j``."""
    return PROVIDERS[j % len(PROVIDERS)]


def price_step(j: int) -> int:
    """The price of a prompt token of model ``j`` in 10^-7 USD; a completion token costs four times as much."""
    return 1 + j % 20


def is_restricted(j: int) -> bool:
    """Every tenth model needs an approval."""
    return j % 10 == 9


def model_of(size: Size, i: int, k: int) -> int:
    """The model of subscription ``k`` of user ``i``, which is also what the person uses as number ``k``."""
    return (7 * i + 13 * k) % size.models


def is_pending(size: Size, i: int, k: int) -> bool:
    """Whether subscription ``k`` of user ``i`` waits for approval."""
    return is_restricted(model_of(size, i, k)) and (i + k) % 3 == 0


def key_models(size: Size, i: int) -> list[int]:
    """The models of every key of user ``i``: the first three active subscriptions."""
    return [model_of(size, i, k) for k in range(SUBSCRIPTIONS_EACH) if not is_pending(size, i, k)][:MODELS_A_KEY]


def key_state(size: Size, i: int, k: int) -> str:
    """``active``, ``revoked`` or ``expired``; where people have twenty keys, one of them lives."""
    if size.keys_each > KEY_SLOTS_USED:
        return "active" if k == 0 else "revoked" if k % 2 else "expired"
    return "revoked" if k == 2 and i % 10 == 0 else "active"


def begin(size: Size) -> datetime:
    """When everybody and everything came into being: the first moment of the first day."""
    return datetime.combine(size.dates()[0], time.min, UTC)


def audit_moment(size: Size, n: int) -> datetime:
    """When audit row ``n`` happened: 0 is the newest, the others lie evenly before it."""
    step = timedelta(days=size.days) / size.audit_rows
    return datetime.combine(BASE_DATE + timedelta(days=1), time.min, UTC) - step * (n + 1)


@dataclass(frozen=True)
class Used:
    """What user ``i`` did with model ``j`` and key slot ``k`` on a day."""

    day: date
    i: int
    j: int
    k: int
    requests: int
    failed: int
    prompt: int
    completion: int

    @property
    def spend(self) -> Decimal:
        """USD, exactly."""
        return Decimal(price_step(self.j) * (self.prompt + 4 * self.completion)).scaleb(MICRO)


def usage_of(size: Size, day: date) -> Iterator[Used]:
    """Every fact of a day."""
    o = (day - EPOCH).days
    for i in range(size.users):
        if (7919 * i + 104729 * o) % size.users >= size.active:
            continue
        for k in range(KEY_SLOTS_USED):
            r = int(sha256(f"{day}|{i}|{k}".encode()).hexdigest()[:16], 16)
            requests = 1 + r % 40
            prompt, completion = requests * (200 + (r >> 8) % 1800), requests * (50 + (r >> 20) % 700)
            yield Used(day, i, model_of(size, i, k), (k + o) % 3, requests, requests // 20, prompt, completion)
