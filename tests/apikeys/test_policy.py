"""The key policy: defaults, maxima that hold however a limit is sent, periods, and its own rules."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from accounts.models import AuditEvent, User
from apikeys.models import KeyPolicy
from apikeys.policy import KeyLimits, apply_policy, get_policy, update_policy
from litemaas.foundation.errors import Invalid, PermissionDenied

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FREE: dict[str, Any] = {
    "max_budget": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "max_parallel_requests": None,
    "budget_duration": "",
    "soft_budget": None,
    "model_limits": {},
    "expires_at": None,
}


def granted(policy: KeyPolicy, **limits: Any) -> dict[str, Any]:
    """What a key for one model gets."""
    return apply_policy(policy, cast("KeyLimits", limits), models=["m"], now=NOW)


def refused(policy: KeyPolicy, **limits: Any) -> tuple[str, Any]:
    """Code and field of the refusal."""
    with pytest.raises(Invalid) as caught:
        granted(policy, **limits)
    return caught.value.code, caught.value.details["field"]


def test_as_shipped_nothing_is_bounded() -> None:
    assert granted(KeyPolicy()) == FREE
    wish = {"max_budget": Decimal(5), "tpm_limit": 1, "rpm_limit": 2, "max_parallel_requests": 3}
    more = {"budget_duration": "30d", "soft_budget": Decimal(4), "model_limits": {"m": {"rpm_limit": 1}}}
    assert granted(KeyPolicy(), **wish, **more) == FREE | wish | more


def test_left_out_means_the_default_and_else_the_maximum() -> None:
    policy = KeyPolicy(
        default_max_budget=Decimal(5),
        maximum_max_budget=Decimal(9),
        maximum_rpm_limit=10,
        default_budget_duration="7d",
        default_expires_days=3,
    )
    assert granted(policy) == FREE | {
        "max_budget": Decimal(5),
        "rpm_limit": 10,
        "budget_duration": "7d",
        "expires_at": NOW + timedelta(days=3),
    }
    assert granted(KeyPolicy(maximum_expires_days=8))["expires_at"] == NOW + timedelta(days=8)
    assert granted(policy, budget_duration=None)["budget_duration"] == ""
    assert granted(policy, expires_at=None)["expires_at"] is None


@pytest.mark.parametrize("name", ["max_budget", "tpm_limit", "rpm_limit", "max_parallel_requests"])
def test_trap_05_maxima_hold_however_a_limit_is_sent(name: str) -> None:
    policy = KeyPolicy(**{f"maximum_{name}": Decimal(10) if name == "max_budget" else 10})
    number: Any = Decimal if name == "max_budget" else int
    assert granted(policy)[name] == 10  # left out
    assert granted(policy, **{name: number(10)})[name] == 10
    assert refused(policy, **{name: number(11)}) == ("exceeds_policy", name)
    assert refused(policy, **{name: None}) == ("exceeds_policy", name)  # "no limit" is more
    if name == "max_budget":
        assert granted(policy, **{name: Decimal(0)})[name] == 0  # nothing may be spent, which is less
    else:
        assert refused(policy, **{name: 0}) == ("out_of_range", name)
    assert refused(policy, **{name: number(-1)})[1] == name


@pytest.mark.parametrize("name", ["tpm_limit", "rpm_limit"])
def test_trap_05_maxima_hold_for_each_model_too(name: str) -> None:
    policy = KeyPolicy(**{f"maximum_{name}": 10})
    assert granted(policy, model_limits={"m": {name: 10}})["model_limits"] == {"m": {name: 10}}
    assert refused(policy, model_limits={"m": {name: 11}}) == ("exceeds_policy", "model_limits")
    assert refused(policy, model_limits={"m": {name: 0}}) == ("out_of_range", "model_limits")
    assert refused(policy, model_limits={"m": {name: 2_147_483_647}}) == ("out_of_range", "model_limits")


def test_limits_of_a_model_are_only_for_the_keys_models_and_only_these_two() -> None:
    assert refused(KeyPolicy(), model_limits={"other": {"rpm_limit": 1}}) == ("invalid", "model_limits")
    assert refused(KeyPolicy(), model_limits={"m": {"max_budget": 1}}) == ("invalid", "model_limits")
    assert granted(KeyPolicy(), model_limits=None)["model_limits"] == {}


@pytest.mark.parametrize("period", ["1h", "12h"])
def test_trap_05_periods_have_a_minimum(period: str) -> None:
    assert refused(KeyPolicy(), budget_duration=period) == ("exceeds_policy", "budget_duration")
    assert granted(KeyPolicy(minimum_budget_duration="1h"), budget_duration=period)["budget_duration"] == period


@pytest.mark.parametrize("minimum", ["1h", "1d", "7d"])
@pytest.mark.parametrize("period", ["7d", "30d", "1mo"])
def test_a_week_and_thirty_days_are_always_possible(minimum: str, period: str) -> None:
    assert granted(KeyPolicy(minimum_budget_duration=minimum), budget_duration=period)["budget_duration"] == period


@pytest.mark.parametrize("word", ["daily", "weekly", "monthly", "1w", "1m", "30", "30 d", "0d", "-1d", "2mo", "400d"])
def test_trap_22_periods_that_a_litellm_reads_otherwise_are_refused(word: str) -> None:
    code, field = refused(KeyPolicy(), budget_duration=word)
    assert code in {"invalid_duration", "out_of_range"}
    assert field == "budget_duration"


def test_expiry_lies_ahead_and_within_the_policy() -> None:
    assert refused(KeyPolicy(), expires_at=NOW) == ("expiry_in_the_past", "expires_at")
    policy = KeyPolicy(maximum_expires_days=10)
    assert granted(policy, expires_at=NOW + timedelta(days=10))["expires_at"] == NOW + timedelta(days=10)
    assert refused(policy, expires_at=NOW + timedelta(days=10, seconds=1)) == ("exceeds_policy", "expires_at")
    assert refused(policy, expires_at=None) == ("exceeds_policy", "expires_at")


@pytest.mark.parametrize("budget", [Decimal("NaN"), Decimal("Infinity"), Decimal("-0.01"), Decimal("1e10")])
def test_budgets_are_amounts(budget: Decimal) -> None:
    for name in ("max_budget", "soft_budget"):
        assert refused(KeyPolicy(maximum_max_budget=Decimal(100)), **{name: budget})[1] == name


# --- The policy itself -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_policy_in_force_is_the_row_and_else_as_shipped(ann: User) -> None:
    assert get_policy().pk == 1
    assert KeyPolicy.objects.count() == 0
    changed = update_policy(ann, maximum_rpm_limit=10, keys_per_user=3)
    assert (get_policy(), get_policy().maximum_rpm_limit, get_policy().keys_per_user) == (changed, 10, 3)
    update_policy(ann, keys_per_user=4)
    assert (KeyPolicy.objects.count(), get_policy().maximum_rpm_limit) == (1, 10)
    event = AuditEvent.objects.filter(action="key_policy.changed").first()
    assert event is not None
    assert event.details == {"old": {"keys_per_user": "3"}, "new": {"keys_per_user": "4"}}


@pytest.mark.django_db
def test_only_administrators_change_it(ada: User, ro: User) -> None:
    for actor in (ada, ro):
        with pytest.raises(PermissionDenied):
            update_policy(actor, keys_per_user=1)
    assert KeyPolicy.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"default_rpm_limit": 11, "maximum_rpm_limit": 10}, "default_above_maximum", "default_rpm_limit"),
        ({"default_expires_days": 11, "maximum_expires_days": 10}, "default_above_maximum", "default_expires_days"),
        ({"default_max_budget": Decimal(-1)}, "invalid", "default_max_budget"),
        ({"maximum_tpm_limit": 0}, "invalid", "maximum_tpm_limit"),
        ({"minimum_budget_duration": "8d"}, "invalid", "minimum_budget_duration"),
        ({"minimum_budget_duration": "1mo"}, "invalid", "minimum_budget_duration"),
        ({"minimum_budget_duration": "daily"}, "invalid", "minimum_budget_duration"),
        ({"default_budget_duration": "weekly"}, "invalid", "default_budget_duration"),
        ({"default_budget_duration": "1h"}, "invalid", "default_budget_duration"),
        ({"maximum_expires_days": 2_000_000_000}, "invalid", "maximum_expires_days"),
        ({"default_expires_days": 36_501}, "invalid", "default_expires_days"),
        ({"maximum_expires_days": 0}, "invalid", "maximum_expires_days"),
        ({"default_expires_days": 0}, "invalid", "default_expires_days"),
        ({"keys_per_user": -1}, "invalid", "keys_per_user"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(ann: User, changes: Any, code: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        update_policy(ann, **changes)
    assert (caught.value.code, caught.value.details) == (code, {"field": field})
    assert KeyPolicy.objects.count() == 0


@pytest.mark.django_db
def test_the_longest_expiry_of_a_policy_can_be_granted(ann: User) -> None:
    policy = update_policy(ann, maximum_expires_days=36_500)
    assert granted(policy)["expires_at"] == NOW + timedelta(days=36_500)
