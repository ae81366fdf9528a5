"""The audit log as CSV: whatever its size, and harmless in a spreadsheet."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts import audit, rbac
from accounts.models import AuditEvent, User
from litemaas.foundation import rate_limits, spreadsheets
from litemaas.foundation.downloads import download

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


def as_csv(
    request: HttpRequest, actor: User, events: QuerySet[AuditEvent], *, narrowed: Mapping[str, str]
) -> HttpResponseBase:
    """The events with a header line; times are UTC in ISO 8601. Who took them along is recorded, with the filters.

    Raises RateLimited (audit_exports, or too many downloads at once).
    """
    rbac.require(actor, rbac.Permission.AUDIT_READ)
    rate_limits.spend("audit_exports", actor.pk)
    filters = {name[:LONGEST]: value[:LONGEST] for name, value in narrowed.items() if value}
    audit.record(actor, audit.Action.AUDIT_EXPORTED, filters=filters)
    name, content_type = f"audit-{timezone.now():%Y-%m-%d}.csv", "text/csv; charset=utf-8"
    return download(request, _lines(events), name=name, content_type=content_type, subject=actor.pk)


def _lines(events: QuerySet[AuditEvent]) -> Iterator[bytes]:
    yield spreadsheets.line(COLUMNS).encode()
    for row in events.values_list(*COLUMNS).iterator(chunk_size=CHUNK):
        number, at, *rest = row
        cells = [number, at.isoformat(), *(spreadsheets.harmless(_text(value)) for value in rest)]
        yield spreadsheets.line(cells).encode()


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
