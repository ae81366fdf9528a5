"""Whether the audit log is what it was when it was sealed; accounts/audit_seal.py says how it is sealed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from django.db.models import Q
from django.utils import timezone

from accounts import audit, audit_triggers
from accounts.audit_seal import (
    GENESIS,
    LOWEST,
    Cursor,
    closing,
    entries,
    eras,
    link,
    links_of,
    out_of_turn,
    seals,
    strangers,
    waiting,
)
from accounts.models import AuditEvent, AuditSeal

log = structlog.get_logger(__name__)

SHOWN: Final = 100
# Entries stand in the order of their transactions. One that says it happened long before those in front of it was added
# later; transactions take seconds, however long nobody seals.
BACKDATED: Final = timedelta(hours=1)
FIRST_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
UNSEALED: Final = {
    "ahead": "has a transaction that this server has not begun",
    "backdated": "says that it is much older than those before it",
    "late": "has waited for more than a quarter of an hour; see whether a worker runs",
}
# A worker seals every minute; another database's long transaction on the same server may delay it.
LATE: Final = timedelta(minutes=15)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was sealed; ``entry`` and ``seal`` are None where it is about none."""

    code: str
    words: str
    entry: int | None = None
    seal: int | None = None

    def __str__(self) -> str:
        return self.words


@dataclass
class Proof:
    """What was found: the first findings, how many there are, and how far the seals reach."""

    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    entries: int = 0
    seals: int = 0
    newest: str = ""
    # Whether nothing was wrong with the newest seal itself: then it may be a witness, whatever else was found.
    newest_is_sound: bool = True
    waiting: int = 0
    oldest_waiting: datetime | None = None

    @property
    def holds(self) -> bool:
        """Whether everything is as it was sealed."""
        return self.found == 0

    def note(self, finding: Finding) -> None:
        """Count it, and keep it if it is among the first."""
        self.found += 1
        if len(self.findings) < SHOWN:
            self.findings.append(finding)


def verify_audit(*, expected: dict[int, str] | None = None) -> Proof:
    """Read the log and its seals from the beginning, a seal at a time, and record the result.

    ``expected`` are seals that were kept elsewhere, by number. Every earlier result in the log is a witness too.
    """
    proof = Proof()
    walk = _Walk(_witnesses() | (expected or {}), eras())
    for code, words in audit_triggers.faults():
        proof.note(Finding(code, words))
    for seal in seals():
        proof.newest_is_sound = True
        for finding in walk.read(seal):
            proof.note(finding)
            proof.newest_is_sound &= finding.seal != seal.number
        proof.seals, proof.entries, proof.newest = proof.seals + 1, proof.entries + seal.count, str(seal)
    for finding in (*walk.end(), *walk.unsealed()):
        proof.note(finding)
    proof.waiting, proof.oldest_waiting = waiting()
    _record(proof)
    return proof


@dataclass(frozen=True)
class Standing:
    """What a reader of the log should know: how far it is sealed, and how the last verification went."""

    sealed: AuditSeal | None
    waiting: int
    stands_still: bool
    result: AuditEvent | None


def standing() -> Standing:
    """As of now; it asks five short questions."""
    count, oldest = waiting()
    return Standing(
        sealed=AuditSeal.objects.defer("links").order_by("-number").first(),
        waiting=count,
        stands_still=oldest is not None and oldest < timezone.now() - LATE,
        result=last_result(),
    )


def last_result() -> AuditEvent | None:
    """The newest recorded result."""
    return AuditEvent.objects.filter(action=audit.Action.AUDIT_VERIFIED.value).first()


def _record(proof: Proof) -> None:
    facts: dict[str, Any] = {"entries": proof.entries, "found": proof.found, "seal": proof.newest}
    if not proof.holds:
        facts["witness"] = proof.newest_is_sound
        facts["findings"] = [finding.words.rstrip(".") for finding in proof.findings[:10]]
        log.error("audit_log_was_changed", **facts)
    audit.record(None, audit.Action.AUDIT_VERIFIED, success=proof.holds, **facts)


def _witnesses() -> dict[int, str]:
    """Number -> hash of the seals that earlier results have seen and found nothing wrong with; the first one counts."""
    results = AuditEvent.objects.filter(action=audit.Action.AUDIT_VERIFIED.value)
    sound = results.filter(Q(success=True) | Q(details__witness=True))
    found: dict[int, str] = {}
    for details in sound.order_by("id").values_list("details", flat=True).iterator(chunk_size=1000):
        number, _colon, digest = str(details.get("seal", "")).partition(":")
        if number.isdecimal():
            found.setdefault(int(number), digest)
    return found


class _Walk:
    """The way along the chain. It goes on behind what is broken: with the link that was sealed."""

    def __init__(self, witnesses: dict[int, str], eras: list[int]) -> None:
        self.witnesses, self.eras = witnesses, eras
        self.number, self.cursor = 0, Cursor()
        # The link before, None where it is lost; and what it would be if only its seal had been changed.
        self.before: bytes | None = GENESIS
        self.computed: bytes | None = GENESIS
        self.era: int | None = None
        # The latest moment of an entry so far; none is later than its seal, so a wrong clock does not reach further.
        self.latest: datetime | None = None

    def read(self, seal: AuditSeal) -> Iterator[Finding]:
        """What is wrong with one seal and its entries."""
        if is_gap := seal.number != self.number + 1:
            yield self._gap(seal)
            self.before = self.computed = None
        if seal.after_id != self.era:
            yield from self._end_of_era()
            self.era, self.cursor = seal.after_id, Cursor()
        kept = links_of(seal)
        yield from self._entries(seal, kept)
        if seal.count != len(kept) or self.before is None or bytes(seal.seal) != closing(self.before, seal):
            yield Finding("seal_changed", f"Seal {seal.number} was changed.", seal=seal.number)
        witness = self.witnesses.pop(seal.number, None)
        if witness is not None and witness != bytes(seal.seal).hex():
            yield Finding("seal_replaced", f"Seal {seal.number} was {witness} once, and is another.", seal=seal.number)
        if not is_gap:  # else what the missing seals were about would look inserted
            yield from self._inserted(Cursor(seal.last_transaction, seal.last_id), [entry for entry, _link in kept])
        self.cursor = Cursor(seal.last_transaction, seal.last_id)
        self.number, self.before = seal.number, bytes(seal.seal)
        self.computed = self.before

    def _gap(self, seal: AuditSeal) -> Finding:
        first, last = self.number + 1, seal.number - 1
        words = f"Seals are missing: {first} to {last}." if last > first else f"Seal {first} is missing."
        return Finding("seal_missing", words, seal=first)

    def _entries(self, seal: AuditSeal, kept: list[tuple[int, bytes]]) -> Iterator[Finding]:
        now = entries([entry for entry, _link in kept])
        for entry, sealed in kept:
            row = now.get(entry)
            if row is None:
                yield self._about(entry, seal, "entry_removed", "was removed")
                self.before = self.computed = sealed
                continue
            if self.latest and row[1] < self.latest - BACKDATED:
                yield self._about(entry, seal, "entry_backdated", "says that it is much older than those before it")
            self.latest = max(self.latest or row[1], min(row[1], seal.sealed_at))
            expected = link(self.before, row, seal.version) if self.before is not None else sealed
            if sealed != expected and (self.computed is None or sealed != link(self.computed, row, seal.version)):
                yield self._about(entry, seal, "entry_changed", "is not what was sealed")
            self.computed = expected
            self.before = sealed

    def _about(self, entry: int, seal: AuditSeal, code: str, words: str) -> Finding:
        return Finding(code, f"Entry {entry} {words} (seal {seal.number}).", entry=entry, seal=seal.number)

    def _inserted(self, end: Cursor | None, known: list[int]) -> Iterator[Finding]:
        era = LOWEST if self.era is None else self.era
        later = [start for start in self.eras if start > era]
        up_to = later[0] if later else None
        for entry in strangers(self.cursor, end, after_id=era, up_to=up_to, known=known):
            yield Finding("entry_inserted", f"Entry {entry} was inserted after the others were sealed.", entry=entry)

    def _end_of_era(self) -> Iterator[Finding]:
        """An era that is over has no entries that wait."""
        if self.era is not None:
            yield from self._inserted(None, [])

    def unsealed(self) -> Iterator[Finding]:
        """What was added by hand, or waits for a seal although nothing is in its way."""
        now = timezone.now()
        before = (self.latest or FIRST_DAY) - BACKDATED
        for entry, wrong in out_of_turn(before=before, written_before=now - LATE):
            yield Finding(f"entry_{wrong}", f"Entry {entry} is not sealed, and {UNSEALED[wrong]}.", entry=entry)

    def end(self) -> Iterator[Finding]:
        """Seals that somebody has seen and that are no more."""
        for number, digest in sorted(self.witnesses.items()):
            if number > self.number:
                yield Finding("seal_missing", f"Seal {number} ({digest}) is missing.", seal=number)
