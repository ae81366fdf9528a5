"""The only place for the rules that typed-in values obey; models, forms, serializers and verbs all call these.

Each ``validate_…`` takes the value and raises Django's ``ValidationError`` with a code and what is allowed. Those with
further arguments go onto a field as ``functools.partial``, which migrations can store.
"""

import datetime as dt
import math
import re
import unicodedata
import uuid
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _

EMAIL_MAX_LENGTH = 254  # RFC 5321, and Django's EmailField
NAME_MAX_LENGTH = 100
MODEL_ID_MAX_LENGTH = 255
BUDGET_MAX_DIGITS = 19
BUDGET_DECIMAL_PLACES = 10
BUDGET_LIMIT = Decimal(10) ** (BUDGET_MAX_DIGITS - BUDGET_DECIMAL_PLACES)
# 2147483647 stands for "no limit" towards LiteLLM versions that ignore null, so it can never be somebody's limit.
RATE_LIMIT_MAX = 2_147_483_646
METADATA_MAX_ENTRIES = 20
METADATA_MAX_LENGTH = 512
METADATA_INTEGER_LIMIT = 2**63

# --- Text ------------------------------------------------------------------------------------------------------------

# Zero-width joiners belong to emoji and to Persian or Hindi spelling; every other format character is invisible and
# can reverse the reading order (bidi overrides) or make two different names look the same.
_JOINERS = "\u200c\u200d"
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_VISIBLE_CLASSES = frozenset("LNPS")


def _is_unsafe(character: str) -> bool:
    """Say whether it is a control, bidi or invisible character, a line separator or half a surrogate pair."""
    return character not in _JOINERS and unicodedata.category(character) in _UNSAFE_CATEGORIES


def sanitize_string(value: str, *, max_length: int, multiline: bool = False) -> str:
    """Make free text fit to be stored: NFC, no control or bidi characters, trimmed, at most ``max_length`` long.

    Line breaks and tabs become spaces, or stay line breaks with ``multiline``. It does not escape HTML: the templates
    do, and text escaped twice would be shown with its entities.
    """
    lines = [" ".join(line.split("\t")) for line in value.splitlines()]
    joined = ("\n" if multiline else " ").join(lines)
    kept = "".join(c for c in joined if c == "\n" or not _is_unsafe(c))
    return unicodedata.normalize("NFC", kept).strip()[:max_length].rstrip()


def _require_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValidationError(_("This must be text."), code="not_text")
    return value


def _validate_line(value: object, max_length: int) -> None:
    """One visible, trimmed line of 1 to ``max_length`` characters."""
    text = _require_text(value)
    if not any(unicodedata.category(c)[0] in _VISIBLE_CLASSES for c in text):
        raise ValidationError(_("This must have at least one visible character."), code="blank")
    if len(text) > max_length:
        message = _("This has %(length)d characters; at most %(max)d are allowed.")
        raise ValidationError(message, code="max_length", params={"length": len(text), "max": max_length})
    for position, character in enumerate(text, start=1):
        if _is_unsafe(character):
            message = _(
                "Character %(position)d (%(character)s) is a control or invisible character; "
                "only visible characters and spaces are allowed."
            )
            params = {"position": position, "character": f"U+{ord(character):04X}"}
            raise ValidationError(message, code="control_character", params=params)
    if text != text.strip():
        raise ValidationError(_("This must not start or end with a space."), code="not_trimmed")


def validate_team_name(value: object) -> None:
    """Take 1 to 100 visible characters, no space at the ends."""
    _validate_line(value, NAME_MAX_LENGTH)


def validate_key_name(value: object) -> None:
    """Take 1 to 100 visible characters, no space at the ends."""
    _validate_line(value, NAME_MAX_LENGTH)


def validate_model_id(value: object) -> None:
    """Take a LiteLLM public model name; provider paths such as ``azure/gpt-4o:2024@eu`` are ordinary names."""
    _validate_line(value, MODEL_ID_MAX_LENGTH)


_EMAIL_MESSAGE = _("Enter an e-mail address such as name@example.com, with at most %(max)d characters.")
_email_format = EmailValidator()


def validate_email(value: object) -> None:
    """Take what Django's EmailValidator takes and an EmailField can store."""
    text = _require_text(value)
    error = ValidationError(_EMAIL_MESSAGE, code="invalid_email", params={"max": EMAIL_MAX_LENGTH})
    if len(text) > EMAIL_MAX_LENGTH:
        raise error
    try:
        _email_format(text)
    except ValidationError:
        raise error from None


_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def validate_uuid(value: object) -> None:
    """Take a version 4 UUID, as object or in the canonical form with hyphens."""
    if not _UUID4.fullmatch(str(value) if isinstance(value, uuid.UUID) else _require_text(value)):
        message = _("Enter a version 4 UUID such as 9b2d5c1e-7f43-4a8b-9c60-1d2e3f4a5b6c.")
        raise ValidationError(message, code="invalid_uuid")


# --- Limits ----------------------------------------------------------------------------------------------------------


def validate_budget(value: object) -> None:
    """Take an amount in USD from 0 ("nothing may be spent") to below a thousand million, with at most ten decimals."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise ValidationError(_("The budget must be a decimal number."), code="not_a_number")
    amount = Decimal(value)
    # First of all: NaN answers every comparison with False or an exception, and so would pass as any budget.
    if not amount.is_finite():
        raise ValidationError(_("The budget must be a finite number."), code="not_finite")
    if not 0 <= amount < BUDGET_LIMIT:
        message = _("The budget must be at least 0 and below %(limit)s USD.")
        raise ValidationError(message, code="out_of_range", params={"limit": f"{BUDGET_LIMIT:,}"})
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > BUDGET_DECIMAL_PLACES:
        message = _("The budget may have at most %(places)d decimal places.")
        raise ValidationError(message, code="max_decimal_places", params={"places": BUDGET_DECIMAL_PLACES})


def validate_rate_limit(value: object) -> None:
    """Take a number of requests or tokens a minute; no limit is None, never a number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValidationError(_("The limit must be a whole number."), code="not_an_integer")
    if not 1 <= value <= RATE_LIMIT_MAX:
        message = _("The limit must be between 1 and %(max)d a minute; leave it empty for no limit.")
        raise ValidationError(message, code="out_of_range", params={"max": RATE_LIMIT_MAX})


# LiteLLM's get_next_standardized_reset_time decides what is left: it refuses months other than one; it counts hours
# along the clock of the day, so that 20h would start again after four hours and 48h after a day; and 1.81 takes weeks
# and words for "until midnight", which makes a weekly budget a daily one.
BUDGET_HOURS = (1, 2, 3, 4, 6, 8, 12, 24)
BUDGET_MAX_DAYS = 365
_DURATION = re.compile(r"(?P<count>[1-9][0-9]{0,2})(?P<unit>mo|[hd])")
_UNIT_SECONDS = {"h": 3_600, "d": 86_400, "mo": 30 * 86_400}
_DURATION_HINTS = {
    "hourly": "1h",
    "daily": "1d",
    "weekly": "7d",
    "1w": "7d",
    "monthly": "1mo",
    "1m": "1mo",
    "quarterly": "90d",
    "yearly": "365d",
    "annually": "365d",
    "1y": "365d",
}


def _parse_duration(value: object) -> tuple[int, str]:
    text = _require_text(value)
    match = _DURATION.fullmatch(text)
    if match:
        return int(match["count"]), match["unit"]
    hint = _DURATION_HINTS.get(text.strip().lower())
    if hint:
        message = _("LiteLLM does not understand “%(value)s” as a budget period: write %(hint)s.")
        raise ValidationError(message, code="invalid_duration", params={"value": text, "hint": hint})
    message = _("Write the budget period as hours, days or a month: 1h, 12h, 1d, 7d, 30d or 1mo.")
    raise ValidationError(message, code="invalid_duration")


def validate_budget_duration(value: object) -> None:
    """Take a period that every supported LiteLLM resets when it says: ``12h``, ``7d``, ``1mo``."""
    count, unit = _parse_duration(value)
    if unit == "h" and count not in BUDGET_HOURS:
        message = _("LiteLLM counts hours along the day, so write %(allowed)s, and longer periods as days.")
        allowed = ", ".join(f"{hours}h" for hours in BUDGET_HOURS)
        raise ValidationError(message, code="out_of_range", params={"allowed": allowed})
    if unit == "d" and count > BUDGET_MAX_DAYS:
        message = _("A budget period may have at most %(max)d days.")
        raise ValidationError(message, code="out_of_range", params={"max": BUDGET_MAX_DAYS})
    if unit == "mo" and count != 1:
        message = _("LiteLLM knows no period of several months: write 1mo, or days such as %(days)dd.")
        days = min(count * 30, BUDGET_MAX_DAYS)
        raise ValidationError(message, code="out_of_range", params={"days": days})


def duration_seconds(duration: str) -> int:
    """Give the nominal length of a valid budget period, a month as 30 days, to compare it with a policy's minimum.

    When a budget really resets is for LiteLLM to say: it rounds to the calendar. Raises ValidationError.
    """
    validate_budget_duration(duration)
    count, unit = _parse_duration(duration)
    return count * _UNIT_SECONDS[unit]


# --- Dates -----------------------------------------------------------------------------------------------------------


def validate_future(value: dt.datetime, *, now: dt.datetime) -> None:
    """Take a moment after ``now``. For verbs and forms: on a model field it would make every old row invalid."""
    if value.tzinfo is None:
        raise ValidationError(_("The date must name its time zone."), code="no_time_zone")
    if value <= now:
        message = _("The date must lie in the future, after %(now)s.")
        raise ValidationError(message, code="not_in_future", params={"now": now.isoformat(timespec="minutes")})


def validate_date_range(start: dt.date, end: dt.date, *, max_days: int) -> None:
    """Take two dates in order, both inclusive, that span at most ``max_days`` days."""
    if start > end:
        message = _("The start %(start)s lies after the end %(end)s.")
        raise ValidationError(message, code="wrong_order", params={"start": start, "end": end})
    days = (end - start).days + 1
    if days > max_days:
        message = _("The range has %(days)d days; at most %(max)d are allowed.")
        raise ValidationError(message, code="range_too_long", params={"days": days, "max": max_days})


# --- Choices and metadata --------------------------------------------------------------------------------------------


def validate_status(value: object, *, allowed: type[Enum]) -> None:
    """Take a value of the enumeration."""
    try:
        allowed(value)
    except ValueError:
        choices = ", ".join(str(member.value) for member in allowed)
        message = _("This is not a known status; allowed are: %(choices)s.")
        raise ValidationError(message, code="invalid_status", params={"choices": choices}) from None


# Names that LiteLLM acts upon when they stand in the metadata of a key, user or team (its proxy/_types.py and what its
# hooks read, versions 1.81 to 1.109): they raise budgets, lift limits, turn guardrails off, send logs elsewhere.
ACTIVE_METADATA_NAMES = frozenset(
    {
        "allowed_passthrough_routes", "allowed_vector_store_indexes", "applied_guardrails", "applied_policies",
        "cache", "default_estimated_output_tokens", "denied_passthrough_routes", "disable_fallbacks",
        "disable_global_guardrails", "enable_prompt_caching", "end_user_budget_id",
        "enforced_batch_output_expires_after", "enforced_file_expires_after", "enforced_params", "guardrails",
        "litellm_disabled_callbacks", "logging", "max_budget_alert_emails", "max_iterations", "mcp_rpm_limit",
        "model_itpm_limit", "model_otpm_limit", "model_rpm_limit", "model_tpm_limit", "password_reset_required",
        "permissions", "policies", "policy_sources", "priority", "prompts", "require_trace_id",
        "rpm_limit_type", "scim_metadata", "secret_manager_settings", "service_account_id",
        "spend_logs_metadata", "tag_rpm_limit", "tags", "team_member_key_duration", "temp_budget_expiry",
        "temp_budget_increase", "throttle_on_budget_exceeded", "tpm_limit_type",
    }
)  # fmt: skip
# LiteLLM adds such names with every version; those to come will look like the ones that are there.
_ACTIVE_METADATA_FAMILIES = re.compile(
    r"(?:temp|model|allowed|denied|enforced|disable|enable|litellm|user_api_key)_.*"
    r"|.*(?:budget|limit|guardrail|callback|polic(?:y|ies)|route|permission).*",
    re.IGNORECASE | re.ASCII,
)
_METADATA_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def _validate_metadata_name(name: object) -> None:
    if not isinstance(name, str) or not _METADATA_NAME.fullmatch(name):
        message = _("Metadata names have 1 to 64 characters from A-Z, a-z, 0-9, “_”, “.” and “-”.")
        raise ValidationError(message, code="invalid_metadata_name")
    if name.lower() in ACTIVE_METADATA_NAMES or _ACTIVE_METADATA_FAMILIES.fullmatch(name):
        message = _("The metadata name “%(name)s” is reserved: LiteLLM takes it for configuration.")
        raise ValidationError(message, code="reserved_metadata_name", params={"name": name})


def _is_storable(value: object) -> bool:
    """Say whether PostgreSQL's jsonb and every JSON reader take the value as it is."""
    if isinstance(value, str):
        return len(value) <= METADATA_MAX_LENGTH and not any(_is_unsafe(c) for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < METADATA_INTEGER_LIMIT
    return value is None


def validate_metadata(value: object) -> None:
    """Take up to 20 names with plain values, none of which LiteLLM would act upon.

    This is the second fence: people's metadata is never sent to LiteLLM in the first place.
    """
    if not isinstance(value, Mapping):
        raise ValidationError(_("Metadata must be an object of names and values."), code="not_an_object")
    entries: Mapping[Any, Any] = value
    if len(entries) > METADATA_MAX_ENTRIES:
        message = _("Metadata has %(count)d entries; at most %(max)d are allowed.")
        params = {"count": len(entries), "max": METADATA_MAX_ENTRIES}
        raise ValidationError(message, code="too_many_entries", params=params)
    for name, entry in entries.items():
        _validate_metadata_name(name)
        if not _is_storable(entry):
            message = _(
                "The metadata value of “%(name)s” must be one line of text of at most %(max)d characters, "
                "a finite number, true, false or null."
            )
            params = {"name": name, "max": METADATA_MAX_LENGTH}
            raise ValidationError(message, code="invalid_metadata_value", params=params)
