"""The audit log as CSV: written while it is read, whatever its size, and harmless in a spreadsheet."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts import audit, rbac
from accounts.models import AuditEvent, User
from litemaas.foundation import rate_limits, spreadsheets

COLUMNS: Final = (
    "id",
    "at",
    "actor_id",
    "actor_name",
    "action",
    "category",
    "target_type",
    "target_id",
    "target_name",
    "details",
    "success",
    "request_id",
    "address",
    "credential",
)
CHUNK: Final = 2000
LONGEST: Final = 200


def as_csv(actor: User, events: QuerySet[AuditEvent], *, narrowed: Mapping[str, str]) -> StreamingHttpResponse:
    """The events with a header line; times are UTC in ISO 8601. Who took them along is recorded, with the filters.

    Raises RateLimited (audit_exports).
    """
    rbac.require(actor, rbac.Permission.AUDIT_READ)
    rate_limits.spend("audit_exports", actor.pk)
    filters = {name[:LONGEST]: value[:LONGEST] for name, value in narrowed.items() if value}
    audit.record(actor, audit.Action.AUDIT_EXPORTED, filters=filters)
    response = StreamingHttpResponse(_lines(events), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{timezone.now():%Y-%m-%d}.csv"'
    return response


def _lines(events: QuerySet[AuditEvent]) -> Iterator[str]:
    yield spreadsheets.line(COLUMNS)
    for row in events.values_list(*COLUMNS).iterator(chunk_size=CHUNK):
        number, at, *rest = row
        yield spreadsheets.line([number, at.isoformat(), *(spreadsheets.harmless(_text(value)) for value in rest)])


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
