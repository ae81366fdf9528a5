"""Rows that are read quickly say what the fields of the REST framework would have said."""

import json
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from litellm_sync.state import SyncStatus
from litemaas.foundation.bodies import JSONAnswer
from litemaas.foundation.rows import Reading


class Plain(serializers.Serializer[Any]):
    """Every kind of field that answers use."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(source="owner.name", allow_null=True)
    status = serializers.CharField()
    spend = serializers.DecimalField(max_digits=30, decimal_places=10, required=False)
    count = serializers.IntegerField(required=False)
    is_active = serializers.BooleanField()
    at = serializers.DateTimeField(allow_null=True)
    day = serializers.DateField()
    models = serializers.ListField(child=serializers.CharField())
    limits = serializers.DictField()
    words = serializers.SerializerMethodField()
    secret = serializers.CharField(write_only=True)

    def get_words(self, row: Any) -> str:
        """Something that follows from the row and from who asks."""
        return f"{getattr(row, 'name', '')} for {self.context.get('asker')}"


class Quick(Reading, Plain):
    """The same, read quickly."""


ROW = {
    "id": uuid.UUID("10000000-0000-4000-8000-000000000001"),
    "name": "Ümläut “ ”",
    "owner": SimpleNamespace(name="ada"),
    "status": SyncStatus.SYNCED,
    "spend": Decimal("0E-10"),
    "count": 2**60,
    "is_active": True,
    "at": datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=UTC),
    "day": date(2026, 11, 23),
    "models": ["a/b", "c"],
    "limits": {"a/b": {"rpm_limit": 5}},
    "secret": "hidden",
}


@pytest.mark.parametrize("changes", [{}, {"at": None}, {"spend": Decimal(3)}, {"spend": 0, "name": ""}], ids=str)
def test_objects_are_answered_as_the_framework_would(changes: dict[str, Any]) -> None:
    row, context = SimpleNamespace(**ROW | changes), {"asker": "eve"}
    quick = JSONAnswer().render(Quick([row, row], many=True, context=context).data)
    plain = JSONRenderer().render(Plain([row, row], many=True, context=context).data)
    assert json.loads(quick) == json.loads(plain)
    assert list(json.loads(quick)[0]) == list(json.loads(plain)[0])


class PlainFigures(serializers.Serializer[Any]):
    """A dictionary of which some figures are left out."""

    date = serializers.DateField()
    group = serializers.CharField(allow_null=True, required=False)
    requests = serializers.IntegerField(required=False)
    spend = serializers.DecimalField(max_digits=30, decimal_places=10, required=False)


class QuickFigures(Reading, PlainFigures):
    """The same, read quickly."""


@pytest.mark.parametrize(
    "row",
    [
        {"date": date(2026, 1, 1), "requests": 3, "spend": Decimal("1.5")},
        {"date": date(2026, 1, 1), "group": "x", "spend": 0},
        {"date": date(2026, 1, 1), "group": None},
    ],
    ids=str,
)
def test_dictionaries_are_answered_as_the_framework_would(row: dict[str, Any]) -> None:
    quick, plain = JSONAnswer().render(QuickFigures(row).data), JSONRenderer().render(PlainFigures(row).data)
    assert json.loads(quick) == json.loads(plain)


@pytest.mark.parametrize(
    "value",
    [2**70, {"n": [10**30]}, gettext_lazy("a word"), Decimal("1E+3"), None, {1: "a number as a key"}, float("1e300")],
    ids=str,
)
def test_whatever_the_framework_can_write_is_written_alike(value: Any) -> None:
    plain = JSONRenderer().render({"value": value})
    written = json.loads(JSONAnswer().render({"value": value}))
    assert written == (json.loads(plain) if not isinstance(value, Decimal) else {"value": "1000"})


def test_an_indented_answer_is_indented() -> None:
    assert b"\n  " in JSONAnswer().render({"a": 1}, "application/json; indent=2", {})


def test_times_are_utc_whatever_the_readers_zone(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    row = SimpleNamespace(**ROW)
    assert json.loads(JSONAnswer().render(Quick(row).data))["at"] == "2026-11-23T12:00:00.000001Z"
