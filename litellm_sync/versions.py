"""The one place that knows what is to be thought of a release of LiteLLM, and that asks which one there is."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from litellm_sync.client import LiteLLM
from litellm_sync.models import Upstream
from litemaas.foundation.errors import DomainError
from litemaas.foundation.validators import sanitize_string

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(minutes=5)
LOOK_SECONDS = 10.0
Release = tuple[int, int, int]

# The releases that the contract tests ran against; what lies between them was not tried.
TESTED: Final[frozenset[Release]] = frozenset({(1, 81, 15), (1, 109, 1)})
OLDEST: Final[Release] = (1, 81, 15)
# Packages that were taken over: what they do besides being LiteLLM is anybody's guess.
MALICIOUS: Final[frozenset[Release]] = frozenset({(1, 82, 7), (1, 82, 8), (1, 107, 0)})
# From here to there LiteLLM's own database can be read and written by whoever reaches it (SQL injection).
INJECTION: Final[tuple[Release, Release]] = ((1, 81, 16), (1, 83, 6))
CANNOT_DELETE: Final[Release] = (1, 81, 16)

_NUMBER = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


@dataclass(frozen=True)
class Judgement:
    """What is to be thought of a release: a code for programs, how grave it is, and words with what to do."""

    code: str
    tone: str
    words: Any

    @property
    def is_bad(self) -> bool:
        """Whether it must not stay."""
        return self.tone == "bad"


_MALICIOUS = Judgement(
    "malicious",
    "bad",
    _(
        "This release of LiteLLM was malicious. Stop it, replace it, and change every secret that it could read: its "
        "master key, its database's password, the providers' keys."
    ),
)
_CANNOT_DELETE = Judgement(
    "cannot_delete",
    "bad",
    _(
        "This release of LiteLLM has a hole (SQL injection), and it cannot delete keys: what is revoked here stays "
        "there, blocked. Replace it."
    ),
)
_INJECTION = Judgement(
    "sql_injection", "bad", _("This release of LiteLLM has a hole (SQL injection). Replace it by 1.83.7 or newer.")
)
_TOO_OLD = Judgement(
    "too_old", "warn", _("LiteMaaS was never tried with a release of LiteLLM that is as old. 1.81.15 is the oldest.")
)
_UNTESTED = Judgement(
    "untested", "quiet", _("LiteMaaS is tested with 1.81.15 and 1.109.1 of LiteLLM, not with this release.")
)
_TESTED = Judgement("tested", "good", _("LiteMaaS is tested with this release of LiteLLM."))
_UNKNOWN = Judgement("unknown", "quiet", _("LiteLLM has not told which release it is."))


def judge(version: str) -> Judgement:
    """What is to be thought of a release by the name that LiteLLM gives it, such as 1.81.15 or v1.83.0-stable."""
    found = _NUMBER.match(version)
    if found is None:
        return _UNKNOWN
    major, minor, patch = (int(part) for part in found.groups())
    release = (major, minor, patch)
    first, last = INJECTION
    rules = (
        (release in MALICIOUS, _MALICIOUS),
        (release == CANNOT_DELETE, _CANNOT_DELETE),
        (first <= release <= last, _INJECTION),
        (release < OLDEST, _TOO_OLD),
        (release in TESTED, _TESTED),
    )
    return next((judgement for holds, judgement in rules if holds), _UNTESTED)


def look(now: datetime) -> None:
    """Ask LiteLLM for its release every few minutes and at the end of an outage; one of all workers does."""
    due = Q(version_at=None) | Q(version_at__lt=now - LOOK_EVERY)
    there = Upstream.objects.filter(id=1, down_since=None, checked_at__isnull=False)
    before = there.first()
    if before is None or not there.filter(due).update(version_at=now):
        return
    try:
        litellm = LiteLLM(LOOK_SECONDS)
        version = sanitize_string(litellm.get_version(), max_length=40)
        enterprise = litellm.has_enterprise((now + timedelta(days=1)).date())
        if enterprise is None and version == before.version:
            enterprise = before.enterprise
    except DomainError as error:
        log.info("litellm_version_unknown", code=error.code, **error.details)
        Upstream.objects.filter(id=1).update(version_at=None)
        return
    Upstream.objects.filter(id=1).update(version=version, enterprise=enterprise)
    if version != before.version:
        log.info("litellm_version", version=version, before=before.version, judgement=judge(version).code)


def known_version(upstream: Upstream | None) -> dict[str, Any]:
    """What is known of LiteLLM's release without asking it, for the API and the pages."""
    version = upstream.version if upstream else ""
    judgement = judge(version)
    return {
        "version": version,
        "judgement": judgement.code,
        "tone": judgement.tone,
        "words": str(judgement.words),
        "enterprise": upstream.enterprise if upstream else None,
        "looked_at": upstream.version_at if upstream else None,
    }
