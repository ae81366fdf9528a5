"""How rows become JSON quickly: the fields of a serializer are made once per process, not once per answer.

A serializer builds its fields anew for each answer, which takes longer than the database does (docs/adr/0015). The
fields still say what an answer holds, and so does the schema that is made from them; only reading is short-cut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Final

from rest_framework import serializers

# What orjson writes as the fields would (the renderer in foundation.bodies knows the rest).
AS_IT_IS: Final = (
    serializers.BooleanField,
    serializers.DateField,
    serializers.DateTimeField,
    serializers.DictField,
    serializers.IntegerField,
    serializers.JSONField,
    serializers.ListField,
    serializers.UUIDField,
)
MISSING: Final = object()
AS_TEXT: Final = (serializers.CharField, serializers.ChoiceField)


class Reading(serializers.BaseSerializer[Any]):
    """Mixed into a serializer whose answers are read often; its fields may not depend on who asks.

    Rows are objects or dictionaries. A field that a dictionary lacks is null where null is allowed, else left out.
    Values stay Python's own: dates, ids and decimals become text in the renderer.
    """

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """A dictionary in the order of the fields."""
        readers = _readers(type(self))  # type: ignore[arg-type]  # classes can be hashed, mypy asks their instances
        if isinstance(instance, Mapping):
            return _taken(readers, instance)
        return {reader.name: reader.read(self, instance) for reader in readers}


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one field is read: from an object by ``read``, which gets the serializer too, or from a dictionary."""

    name: str
    source: str
    is_nullable: bool
    read: Callable[[Any, Any], Any]
    convert: Callable[[Any], Any]


def _taken(readers: "tuple[_Reader, ...]", row: Mapping[str, Any]) -> dict[str, Any]:
    """A dictionary as JSON is to show it; null stays null. Lists are thousands of rows long, so this is one loop."""
    shown: dict[str, Any] = {}
    for reader in readers:
        value = row.get(reader.source, MISSING)
        if value is MISSING:
            if reader.is_nullable:
                shown[reader.name] = None
        elif value is None or reader.convert is _same:
            shown[reader.name] = value
        else:
            shown[reader.name] = reader.convert(value)
    return shown


@cache
def _readers(kind: type[serializers.BaseSerializer[Any]]) -> tuple[_Reader, ...]:
    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = kind().fields  # type: ignore[attr-defined]  # all that are mixed with have them
    return tuple(_reader(kind, name, field) for name, field in fields.items() if not field.write_only)


def _reader(kind: type[Any], name: str, field: "serializers.Field[Any, Any, Any, Any]") -> _Reader:
    if isinstance(field, serializers.SerializerMethodField):
        return _Reader(name, name, is_nullable=False, read=getattr(kind, str(field.method_name)), convert=_same)
    source, convert = str(field.source), _conversion(field)
    get = attrgetter(source)

    def converted(_serializer: Any, row: Any) -> Any:
        value = get(row)
        return None if value is None else convert(value)

    read = converted if convert is not _same else lambda _serializer, row: get(row)
    return _Reader(name, source, is_nullable=field.allow_null, read=read, convert=convert)


def _conversion(field: "serializers.Field[Any, Any, Any, Any]") -> Callable[[Any], Any]:
    if isinstance(field, AS_TEXT):
        return str
    if isinstance(field, serializers.DecimalField) and field.decimal_places is not None:
        return f"{{:.{field.decimal_places}f}}".format
    return _same if isinstance(field, AS_IT_IS) else field.to_representation


def _same(value: Any) -> Any:
    return value
