"""The only place that keeps what providers publish: fetched when it is old, used while the provider is away."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import structlog
from django.utils import timezone

from accounts import provider_http
from accounts.models import ProviderDocument
from litemaas.foundation.errors import ProviderUnavailable
from litemaas.foundation.providers import Provider

log = structlog.get_logger(__name__)

FRESH: Final = timedelta(hours=1)
# A provider that is away is not asked again by every sign-in: each would wait for the time-out.
PAUSE: Final = timedelta(seconds=30)
# After this long without an answer what we know is too old to trust.
LONGEST: Final = timedelta(days=7)
Check = Callable[[dict[str, Any]], None]


def document(provider: Provider, url: str, check: Check, *, anew: bool = False) -> dict[str, Any]:
    """The JSON object at ``url``, from the copy while that is fresh; ``anew`` asks whatever there is.

    ``check`` raises for an answer that must not be kept. Raises ProviderUnavailable when there is no usable copy.
    """
    kept, now = ProviderDocument.objects.filter(pk=url).first(), timezone.now()
    usable = kept is not None and kept.fetched_at > now - LONGEST
    if kept and usable and not anew and (kept.fetched_at > now - FRESH or kept.tried_at > now - PAUSE):
        return dict(kept.body)
    try:
        body = provider_http.get(provider, url)
        check(body)
    except ProviderUnavailable as error:
        if kept is None or not usable:
            raise
        log.warning("provider_document_kept", provider=provider.name, url=url, reason=error.details.get("reason"))
        ProviderDocument.objects.filter(pk=url).update(tried_at=now)
        return dict(kept.body)
    ProviderDocument.objects.update_or_create(url=url, defaults={"body": body, "fetched_at": now, "tried_at": now})
    return body


def kept_document(url: str) -> dict[str, Any]:
    """The copy, however old, without asking; empty if there is none."""
    found = ProviderDocument.objects.filter(pk=url).values_list("body", flat=True).first()
    return dict(found or {})
