"""What LiteLLM says, as typed and frozen values; fields that we do not know are ignored."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Self

from litemaas.foundation.errors import UpstreamUnavailable

# What stands for "no limit" where LiteLLM cannot be told to forget one; never shown to anybody.
SENTINEL = 2_147_483_647
# LiteLLM adds floats; a tenth of a billionth of a dollar is below every price and above their noise.
MONEY = Decimal("0.0000000001")
# Prices a token are floats too, such as 1.0000000000000001e-07: what lies beyond 16 places is not a price.
PRICE = Decimal("0.0000000000000001")


def _number(value: Any) -> Decimal | None:
    """A float of JSON as the decimal that it prints as; None and the sentinel are "no limit"."""
    return None if value is None or value == SENTINEL else Decimal(str(value))


def _limit(value: Any) -> int | None:
    return None if value is None or int(value) >= SENTINEL else int(value)


def moment(value: Any) -> datetime | None:
    if not value:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# What reading something in another shape than expected ends in.
ODD = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)


@contextmanager
def as_documented() -> Iterator[None]:
    """An answer in a shape that LiteLLM does not have is no answer: never "absent", never an exception of ours."""
    try:
        yield
    except ODD as error:
        raise UpstreamUnavailable(reason="garbage") from error


@dataclass(frozen=True)
class Deployment:
    """One entry of /model/info; several may share one public name.

    ``flaw`` is why nothing of it but its name could be read: it works in LiteLLM all the same.
    """

    name: str
    deployment_id: str
    provider: str
    mode: str
    description: str
    context_length: int | None
    max_output_tokens: int | None
    input_cost_per_token: Decimal | None
    output_cost_per_token: Decimal | None
    capabilities: tuple[str, ...]
    flaw: str = ""

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Self:
        """One odd figure, which anybody may write into LiteLLM's configuration, must not hide all other models."""
        name = str(entry["model_name"])
        try:
            return cls._read(name, entry)
        except ODD as error:
            return cls(name, "", "", "", "", None, None, None, None, (), flaw=f"{type(error).__name__}: {error}")

    @classmethod
    def _read(cls, name: str, entry: Mapping[str, Any]) -> Self:
        """Prices may stand under model_info or litellm_params; a missing price is None, not zero."""
        info, params = entry.get("model_info") or {}, entry.get("litellm_params") or {}
        backend = str(params.get("model") or "")
        provider = info.get("litellm_provider") or params.get("custom_llm_provider") or backend.partition("/")[0]

        def price(kind: str) -> Decimal | None:
            value = params.get(kind)
            amount = _number(info.get(kind) if value is None else value)
            return None if amount is None else amount.quantize(PRICE)

        return cls(
            name=name,
            deployment_id=str(info.get("id") or ""),
            provider=str(provider or "unknown"),
            mode=str(info.get("mode") or "chat"),
            description=str(info.get("description") or ""),
            context_length=_limit(info.get("max_input_tokens") or info.get("max_tokens")),
            max_output_tokens=_limit(info.get("max_output_tokens")),
            input_cost_per_token=price("input_cost_per_token"),
            output_cost_per_token=price("output_cost_per_token"),
            capabilities=_capabilities(info),
        )


def _capabilities(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of everything that LiteLLM says a model supports."""
    supported = (name for name, on in info.items() if on is True and name.startswith("supports_"))
    return tuple(sorted(name.removeprefix("supports_") for name in supported))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What LiteLLM keeps of keys, users and teams alike; None is no limit."""

    spend: Decimal
    max_budget: Decimal | None
    budget_duration: str | None
    budget_reset_at: datetime | None
    tpm_limit: int | None
    rpm_limit: int | None


def _limits(info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "spend": _number(info.get("spend")) or Decimal(0),
        "max_budget": _number(info.get("max_budget")),
        "budget_duration": info.get("budget_duration"),
        "budget_reset_at": moment(info.get("budget_reset_at")),
        "tpm_limit": _limit(info.get("tpm_limit")),
        "rpm_limit": _limit(info.get("rpm_limit")),
    }


@dataclass(frozen=True, kw_only=True)
class KeyInfo(Limits):
    """A key as LiteLLM knows it; ``token`` is the SHA-256 of the secret, ``key_name`` its end behind ``sk-...``.

    ``access_group_ids``, ``aliases`` and ``router_settings`` may let it reach models that are not among ``models``.
    """

    token: str
    alias: str | None
    key_name: str
    allowed_routes: tuple[str, ...]
    user_id: str | None
    team_id: str | None
    models: tuple[str, ...]
    blocked: bool
    max_parallel_requests: int | None
    expires: datetime | None
    last_active: datetime | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    access_group_ids: tuple[str, ...] = ()
    aliases: Mapping[str, Any] = field(default_factory=dict)
    router_settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, token: str, info: Mapping[str, Any]) -> Self:
        """``info`` of /key/info or a full object of /key/list."""
        return cls(
            token=token,
            alias=info.get("key_alias"),
            key_name=str(info.get("key_name") or ""),
            allowed_routes=tuple(info.get("allowed_routes") or ()),
            user_id=info.get("user_id"),
            team_id=info.get("team_id"),
            models=tuple(info.get("models") or ()),
            blocked=bool(info.get("blocked")),
            **_limits(info),
            max_parallel_requests=_limit(info.get("max_parallel_requests")),
            expires=moment(info.get("expires")),
            last_active=moment(info.get("last_active")),
            metadata=info.get("metadata") or {},
            access_group_ids=tuple(info.get("access_group_ids") or ()),
            aliases=info.get("aliases") or {},
            router_settings=info.get("router_settings") or {},
        )


@dataclass(frozen=True, kw_only=True)
class UserInfo(Limits):
    """A user as LiteLLM knows it."""

    user_id: str
    email: str | None
    alias: str | None
    role: str | None
    teams: tuple[str, ...]

    @classmethod
    def parse(cls, info: Mapping[str, Any]) -> Self:
        """``user_info`` of /user/info or an entry of /user/list."""
        return cls(
            user_id=str(info["user_id"]),
            email=info.get("user_email"),
            alias=info.get("user_alias"),
            role=info.get("user_role"),
            **_limits(info),
            teams=tuple(info.get("teams") or ()),
        )


@dataclass(frozen=True, kw_only=True)
class TeamInfo(Limits):
    """A team as LiteLLM knows it; ``members`` leaves out LiteLLM's own default_user_id."""

    team_id: str
    alias: str | None
    models: tuple[str, ...]
    blocked: bool
    members: frozenset[str]

    @classmethod
    def parse(cls, info: Mapping[str, Any]) -> Self:
        """``team_info`` of /team/info or an entry of /v2/team/list."""
        listed = info.get("members_with_roles") or ()
        return cls(
            team_id=str(info["team_id"]),
            alias=info.get("team_alias"),
            models=tuple(info.get("models") or ()),
            blocked=bool(info.get("blocked")),
            **_limits(info),
            members=frozenset(m["user_id"] for m in listed if m.get("user_id") not in (None, "default_user_id")),
        )


@dataclass(frozen=True, kw_only=True)
class UserInfoFull:
    """A user with everything of theirs that LiteLLM shows."""

    user: UserInfo
    keys: tuple[KeyInfo, ...]
    teams: tuple[TeamInfo, ...]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """The whole of /user/info; keys that 1.109 shows although they were deleted are left out."""
        keys = (key for key in answer["keys"] if key.get("status") != "deleted")
        return cls(
            user=UserInfo.parse(answer["user_info"]),
            keys=tuple(KeyInfo.parse(str(key["token"]), key) for key in keys),
            teams=tuple(TeamInfo.parse(team) for team in answer["teams"]),
        )


@dataclass(frozen=True)
class Activity:
    """What one key did with one public model on one UTC day; several may have to be added up."""

    date: date
    token: str
    model: str
    requests: int
    successful_requests: int
    failed_requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    spend: Decimal


# LiteLLM's names of the figures -> ours.
FIGURES = {
    "api_requests": "requests",
    "successful_requests": "successful_requests",
    "failed_requests": "failed_requests",
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "spend": "spend",
}
# 1.81 knows no public model for calls that it refused; 1.109 names them unknown-model by itself.
UNKNOWN_MODEL = "unknown-model"
# Calls without a valid key belong to nobody.
NO_KEY = ""


class Figures(Counter[str]):
    """The figures of one entry, under our names, as decimals that can be added and subtracted exactly."""

    @classmethod
    def parse(cls, metrics: Mapping[str, Any]) -> Self:
        """Floats are read as the decimals that they print as."""
        return cls({ours: Decimal(str(metrics.get(theirs) or 0)) for theirs, ours in FIGURES.items()})


def activity_of_day(day: Mapping[str, Any]) -> Iterator[Activity]:
    """Every row of one day of /user/daily/activity; what LiteLLM counts but attributes to no model or no key, too."""
    on, breakdown = date.fromisoformat(day["date"]), day["breakdown"]
    total = Figures.parse(day["metrics"])
    by_key = {token: Figures.parse(entry["metrics"]) for token, entry in breakdown["api_keys"].items()}
    for figures in by_key.values():
        total.subtract(figures)
    for model, entry in breakdown["model_groups"].items():
        for token, part in entry["api_key_breakdown"].items():
            figures = Figures.parse(part["metrics"])
            by_key[token].subtract(figures)
            yield _row(on, token, model, figures)
    for token, rest in ((NO_KEY, total), *by_key.items()):
        if rest["requests"] > 0:
            yield _row(on, token, UNKNOWN_MODEL, rest)


def _row(on: date, token: str, model: str, figures: Figures) -> Activity:
    counts = {name: int(value) for name, value in figures.items() if name != "spend"}
    spend = Decimal(figures["spend"]).quantize(MONEY)
    return Activity(date=on, token=token, model=model, spend=spend, **counts)
