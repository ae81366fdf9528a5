"""What may be typed in: every rule at its bounds, and what the messages tell."""

import datetime as dt
import unicodedata
import uuid
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.test.utils import isolate_apps
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from litemaas.foundation import validators

unhurried = settings(deadline=None)  # a busy machine is no failure

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
LINE_VALIDATORS = [validators.validate_team_name, validators.validate_key_name, validators.validate_model_id]


class Status(StrEnum):
    ACTIVE = "active"
    DENIED = "denied"


def refusal(validate: Any, *args: Any, **kwargs: Any) -> tuple[str | None, str]:
    """Give the code and the message with which a value is refused."""
    with pytest.raises(ValidationError) as caught:
        validate(*args, **kwargs)
    return caught.value.code, caught.value.messages[0]


# --- Text ------------------------------------------------------------------------------------------------------------


def test_sanitize_string_takes_out_control_bidi_and_invisible_characters() -> None:
    dirty = "  pay\u202eload\x00 \u200bfor\ufeff\x1b[31m Ada\u2066 \ud800 "
    assert validators.sanitize_string(dirty, max_length=100) == "payload for[31m Ada"


def test_sanitize_string_composes_characters_before_it_counts_them() -> None:
    assert validators.sanitize_string("e\u0301" * 5, max_length=5) == "é" * 5


def test_sanitize_string_leaves_no_space_where_it_cuts() -> None:
    assert validators.sanitize_string("team blue", max_length=5) == "team"


def test_sanitize_string_joins_lines_unless_asked_to_keep_them() -> None:
    text = "one\r\ntwo\tthree\u2028four\n"
    assert validators.sanitize_string(text, max_length=100) == "one two three four"
    assert validators.sanitize_string(text, max_length=100, multiline=True) == "one\ntwo three\nfour"


def test_sanitize_string_does_not_escape_html() -> None:
    assert validators.sanitize_string("R&D <b>", max_length=100) == "R&D <b>"


@unhurried
@given(st.text(), st.integers(0, 40), st.booleans())
def test_sanitized_strings_are_clean_and_stay_as_they_are(text: str, max_length: int, multiline: bool) -> None:  # noqa: FBT001
    clean = validators.sanitize_string(text, max_length=max_length, multiline=multiline)
    assert len(clean) <= max_length
    assert clean == clean.strip()
    assert unicodedata.is_normalized("NFC", clean)
    assert not [c for c in clean if c != "\n" and unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert ("\n" in clean) <= multiline
    assert validators.sanitize_string(clean, max_length=max_length, multiline=multiline) == clean


@pytest.mark.parametrize("validate", LINE_VALIDATORS)
@pytest.mark.parametrize("name", ["a", "R&D", "Ünit 7", "研究", "👩\u200d🔬 lab", "=1+1", "a  b"])
def test_names_may_be_anything_visible(validate: Any, name: str) -> None:
    validate(name)


@pytest.mark.parametrize("validate", LINE_VALIDATORS)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "blank"),
        ("   ", "blank"),
        ("\u200d", "blank"),
        (" a", "not_trimmed"),
        ("a\u00a0", "not_trimmed"),
        ("a\nb", "control_character"),
        ("a\x00", "control_character"),
        ("a\u202eb", "control_character"),
        ("a\u2067b", "control_character"),
        ("a\u200bb", "control_character"),
        ("a\u2029b", "control_character"),
        ("a\ud800", "control_character"),
        (None, "not_text"),
        (5, "not_text"),
        (["a"], "not_text"),
    ],
)
def test_names_are_one_trimmed_visible_line(validate: Any, name: object, code: str) -> None:
    assert refusal(validate, name)[0] == code


def test_a_refused_character_is_named_with_its_place() -> None:
    message = refusal(validators.validate_team_name, "ab\u202ecd")[1]
    assert message.startswith("Character 3 (U+202E) is a control or invisible character")


@pytest.mark.parametrize(
    ("validate", "longest"),
    [
        (validators.validate_team_name, 100),
        (validators.validate_key_name, 100),
        (validators.validate_model_id, 255),
    ],
)
def test_names_have_a_greatest_length(validate: Any, longest: int) -> None:
    validate("x" * longest)
    code, message = refusal(validate, "x" * (longest + 1))
    assert code == "max_length"
    assert message == f"This has {longest + 1} characters; at most {longest} are allowed."


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "azure/gpt-4o", "ollama/llama3.1:8b", "vertex_ai/claude@20250514", "My model (fast)", "bedrock/*"],
)
def test_model_ids_are_litellms_public_names(model: str) -> None:
    validators.validate_model_id(model)


@pytest.mark.parametrize("email", ["ada@example.com", "ada+tag@sub.example.org", f"{'a' * 64}@{'b' * 60}.example.com"])
def test_emails(email: str) -> None:
    validators.validate_email(email)


@pytest.mark.parametrize(
    "email",
    ["", "ada", "ada@", "@example.com", "ada @example.com", "ada@example.com\n", "a@b", f"a@{'b.' * 126}example.com"],
)
def test_bad_emails_are_told_the_form(email: str) -> None:
    code, message = refusal(validators.validate_email, email)
    assert code == "invalid_email"
    assert "name@example.com" in message


def test_an_email_is_text() -> None:
    assert refusal(validators.validate_email, 5)[0] == "not_text"


def test_every_random_uuid_is_valid() -> None:
    number = uuid.uuid4()
    for value in (number, str(number), str(number).upper(), "a0000000-0000-4000-8000-000000000001"):
        validators.validate_uuid(value)


@pytest.mark.parametrize(
    "value",
    [
        uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "9b2d5c1e-7f43-4a8b-0c60-1d2e3f4a5b6c",
        "9b2d5c1e7f434a8b9c601d2e3f4a5b6c",
        "{9b2d5c1e-7f43-4a8b-9c60-1d2e3f4a5b6c}",
        "9b2d5c1e-7f43-4a8b-9c60-1d2e3f4a5b6c\n",
        "",
    ],
)
def test_other_uuids_and_other_spellings_are_refused(value: object) -> None:
    assert refusal(validators.validate_uuid, value)[0] == "invalid_uuid"


def test_a_uuid_is_text_or_a_uuid() -> None:
    assert refusal(validators.validate_uuid, 5)[0] == "not_text"


# --- Limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, Decimal(0), Decimal("0.0000000001"), Decimal("999999999.9999999999")])
def test_budgets(value: object) -> None:
    validators.validate_budget(value)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (Decimal("NaN"), "not_finite"),
        (Decimal("sNaN"), "not_finite"),
        (Decimal("Infinity"), "not_finite"),
        (Decimal("-Infinity"), "not_finite"),
        (Decimal("-0.01"), "out_of_range"),
        (-1, "out_of_range"),
        (Decimal(1_000_000_000), "out_of_range"),
        (Decimal("1E+400"), "out_of_range"),
        (Decimal("0.00000000001"), "max_decimal_places"),
        (1.5, "not_a_number"),
        (True, "not_a_number"),
        ("5", "not_a_number"),
        (None, "not_a_number"),
    ],
)
def test_budgets_that_are_none(value: object, code: str) -> None:
    assert refusal(validators.validate_budget, value)[0] == code


def test_a_budget_out_of_range_is_told_the_range() -> None:
    assert "at least 0 and below 1,000,000,000 USD" in refusal(validators.validate_budget, -1)[1]


@unhurried
@given(st.decimals(min_value=0, max_value=Decimal("999999999.9999999999"), places=10))
def test_every_valid_budget_fits_its_column(value: Decimal) -> None:
    validators.validate_budget(value)
    column: Any = models.DecimalField(
        max_digits=validators.BUDGET_MAX_DIGITS, decimal_places=validators.BUDGET_DECIMAL_PLACES
    )
    column.clean(value, None)


@pytest.mark.parametrize("value", [1, 2_147_483_646])
def test_rate_limits(value: int) -> None:
    validators.validate_rate_limit(value)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "out_of_range"),
        (-1, "out_of_range"),
        (2_147_483_647, "out_of_range"),
        (1.0, "not_an_integer"),
        (True, "not_an_integer"),
        ("5", "not_an_integer"),
        (None, "not_an_integer"),
    ],
)
def test_rate_limits_are_positive_and_never_the_sentinel(value: object, code: str) -> None:
    assert refusal(validators.validate_rate_limit, value)[0] == code


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("1h", 3_600),
        ("12h", 43_200),
        ("24h", 86_400),
        ("1d", 86_400),
        ("7d", 604_800),
        ("365d", 31_536_000),
        ("1mo", 2_592_000),
    ],
)
def test_budget_durations(duration: str, seconds: int) -> None:
    validators.validate_budget_duration(duration)
    assert validators.duration_seconds(duration) == seconds


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("hourly", "1h"),
        ("daily", "1d"),
        ("Weekly", "7d"),
        ("1w", "7d"),
        (" monthly ", "1mo"),
        ("1m", "1mo"),
        ("yearly", "365d"),
    ],
)
def test_trap_22_words_as_budget_durations_are_told_what_to_write(word: str, hint: str) -> None:
    code, message = refusal(validators.validate_budget_duration, word)
    assert code == "invalid_duration"
    assert message.endswith(f": write {hint}.")


@pytest.mark.parametrize(
    "duration", ["", "d", "1", "0d", "01d", "-1d", "1.5d", "1000d", "1d ", "1d\n", "1D", "30s", "\u0661d"]
)
def test_other_budget_durations_are_told_the_form(duration: str) -> None:
    code, message = refusal(validators.validate_budget_duration, duration)
    assert code == "invalid_duration"
    assert "1h, 12h, 1d, 7d, 30d or 1mo" in message


@pytest.mark.parametrize("hours", [5, 20, 25, 36, 48])
def test_hours_that_litellm_would_cut_short_are_refused(hours: int) -> None:
    code, message = refusal(validators.validate_budget_duration, f"{hours}h")
    assert code == "out_of_range"
    assert "1h, 2h, 3h, 4h, 6h, 8h, 12h, 24h" in message


@pytest.mark.parametrize(("months", "days"), [(2, 60), (999, 365)])
def test_several_months_are_refused_with_the_days_to_write(months: int, days: int) -> None:
    code, message = refusal(validators.validate_budget_duration, f"{months}mo")
    assert code == "out_of_range"
    assert message.endswith(f"days such as {days}d.")


def test_a_budget_period_has_at_most_a_year() -> None:
    assert refusal(validators.validate_budget_duration, "366d") == (
        "out_of_range",
        "A budget period may have at most 365 days.",
    )


def test_the_seconds_of_an_invalid_duration_are_an_error_too() -> None:
    assert refusal(validators.duration_seconds, "weekly")[0] == "invalid_duration"
    assert refusal(validators.duration_seconds, "48h")[0] == "out_of_range"
    assert refusal(validators.duration_seconds, None)[0] == "not_text"


# --- Dates -----------------------------------------------------------------------------------------------------------


def test_the_future_begins_after_now() -> None:
    validators.validate_future(NOW + dt.timedelta(microseconds=1), now=NOW)
    code, message = refusal(validators.validate_future, NOW, now=NOW)
    assert code == "not_in_future"
    assert "2026-03-01T12:00" in message


def test_the_future_is_compared_across_time_zones() -> None:
    east = dt.timezone(dt.timedelta(hours=9))
    assert (
        refusal(validators.validate_future, dt.datetime(2026, 3, 1, 20, 0, tzinfo=east), now=NOW)[0] == "not_in_future"
    )


def test_a_moment_without_time_zone_is_refused() -> None:
    naive = dt.datetime(2099, 1, 1)  # noqa: DTZ001 -- the point of the test
    assert refusal(validators.validate_future, naive, now=NOW)[0] == "no_time_zone"


def test_date_ranges_include_both_ends() -> None:
    first = dt.date(2026, 3, 1)
    validators.validate_date_range(first, first, max_days=1)
    validators.validate_date_range(first, dt.date(2026, 3, 31), max_days=31)
    code, message = refusal(validators.validate_date_range, first, dt.date(2026, 4, 1), max_days=31)
    assert code == "range_too_long"
    assert message == "The range has 32 days; at most 31 are allowed."


def test_date_ranges_are_in_order() -> None:
    code, message = refusal(validators.validate_date_range, dt.date(2026, 3, 2), dt.date(2026, 3, 1), max_days=31)
    assert code == "wrong_order"
    assert message == "The start 2026-03-02 lies after the end 2026-03-01."


# --- Choices and metadata --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["active", Status.DENIED])
def test_statuses(value: object) -> None:
    validators.validate_status(value, allowed=Status)


@pytest.mark.parametrize("value", ["ACTIVE", "", None, [], 1])
def test_unknown_statuses_are_told_the_known_ones(value: object) -> None:
    code, message = refusal(validators.validate_status, value, allowed=Status)
    assert code == "invalid_status"
    assert message.endswith("allowed are: active, denied.")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"cost-center": "R&D 42", "n": 1, "share": 0.5, "billable": True, "note": None, "a.b_c-D9": ""},
        {"x" * 64: "y" * 512},
        {f"n{i}": i for i in range(20)},
        {"big": 2**63 - 1, "small": -(2**63) + 1},
    ],
)
def test_metadata(metadata: object) -> None:
    validators.validate_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (None, "not_an_object"),
        ([], "not_an_object"),
        ("{}", "not_an_object"),
        ({f"n{i}": i for i in range(21)}, "too_many_entries"),
        ({"": 1}, "invalid_metadata_name"),
        ({"x" * 65: 1}, "invalid_metadata_name"),
        ({"a b": 1}, "invalid_metadata_name"),
        ({"a\n": 1}, "invalid_metadata_name"),
        ({"é": 1}, "invalid_metadata_name"),
        ({5: 1}, "invalid_metadata_name"),
        ({"a": "y" * 513}, "invalid_metadata_value"),
        ({"a": "x\x00"}, "invalid_metadata_value"),
        ({"a": "x\ud800"}, "invalid_metadata_value"),
        ({"a": float("nan")}, "invalid_metadata_value"),
        ({"a": float("inf")}, "invalid_metadata_value"),
        ({"a": 2**63}, "invalid_metadata_value"),
        ({"a": 10**5000}, "invalid_metadata_value"),
        ({"a": {}}, "invalid_metadata_value"),
        ({"a": []}, "invalid_metadata_value"),
        ({"a": b"x"}, "invalid_metadata_value"),
    ],
)
def test_bad_metadata(metadata: object, code: str) -> None:
    assert refusal(validators.validate_metadata, metadata)[0] == code


@pytest.mark.parametrize("name", sorted(validators.ACTIVE_METADATA_NAMES))
def test_trap_3_metadata_that_litellm_acts_upon_is_refused(name: str) -> None:
    for spelling in (name, name.upper()):
        code, message = refusal(validators.validate_metadata, {spelling: 1})
        assert code == "reserved_metadata_name"
        assert f"“{spelling}” is reserved" in message


@pytest.mark.parametrize(
    "name",
    ["temp_anything", "model_cpm_limit", "disable_something", "my_budget_x", "Guardrails2", "user_api_key_alias"],
)
def test_trap_3_metadata_that_a_later_litellm_may_act_upon_is_refused(name: str) -> None:
    assert refusal(validators.validate_metadata, {name: 1})[0] == "reserved_metadata_name"


def test_metadata_messages_name_the_entry_but_not_its_value() -> None:
    message = refusal(validators.validate_metadata, {"note": "secret\x00"})[1]
    assert "“note”" in message
    assert "secret" not in message


# --- On fields -------------------------------------------------------------------------------------------------------


@isolate_apps()
def test_the_same_rule_serves_models_forms_and_serializers() -> None:
    class Thing(models.Model):
        name = models.CharField(max_length=100, validators=[validators.validate_key_name])

        class Meta:
            app_label = "things"

    class ThingForm(forms.Form):
        name = forms.CharField(validators=[validators.validate_key_name])

    class ThingSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(validators=[validators.validate_key_name])

    with pytest.raises(ValidationError) as caught:
        Thing(name="a\u202eb").clean_fields()
    words = caught.value.message_dict["name"]
    assert ThingForm({"name": "a\u202eb"}).errors["name"] == words
    serializer = ThingSerializer(data={"name": "a\u202eb"})
    assert not serializer.is_valid()
    assert serializer.errors["name"] == words
    assert words[0].startswith("Character 2 (U+202E)")


def test_migrations_can_store_validators_with_arguments() -> None:
    column: Any = models.CharField(validators=[partial(validators.validate_status, allowed=Status)])
    text, imports = MigrationWriter.serialize(column)
    assert "functools.partial(litemaas.foundation.validators.validate_status" in text
    assert "import litemaas.foundation.validators" in imports
