"""Whether the audit log is what it was when it was sealed; accounts/audit_seal.py says how it is sealed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import connection
from django.utils import timezone

from accounts import audit
from accounts.audit_seal import GENESIS, LOWEST, Cursor, closing, entries, link, links_of, seals, strangers, waiting
from accounts.models import AuditEvent, AuditSeal

log = structlog.get_logger(__name__)

SHOWN: Final = 100
# An entry is sealed within minutes. One that says it happened long before a seal that does not have it was added later.
BACKDATED: Final = timedelta(hours=1)
# A worker seals every minute; another database's long transaction on the same server may delay it.
LATE: Final = timedelta(minutes=15)
TABLES: Final = ("accounts_auditevent", "accounts_auditseal")


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
    walk = _Walk(_witnesses() | (expected or {}), _eras())
    for finding in _missing_triggers():
        proof.note(finding)
    for seal in seals():
        for finding in walk.read(seal):
            proof.note(finding)
        proof.seals, proof.entries, proof.newest = proof.seals + 1, proof.entries + seal.count, str(seal)
    for finding in walk.end():
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
    """As of now; it asks three short questions."""
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
        facts["findings"] = [finding.words.rstrip(".") for finding in proof.findings[:10]]
        log.error("audit_log_was_changed", **facts)
    audit.record(None, audit.Action.AUDIT_VERIFIED, success=proof.holds, **facts)


def _witnesses() -> dict[int, str]:
    """Number -> hash of the seals that earlier results have seen."""
    results = AuditEvent.objects.filter(action=audit.Action.AUDIT_VERIFIED.value, success=True)
    found = {}
    for details in results.order_by("id").values_list("details", flat=True).iterator(chunk_size=1000):
        number, _colon, digest = str(details.get("seal", "")).partition(":")
        if number.isdecimal():
            found[int(number)] = digest
    return found


def _eras() -> list[int]:
    """Where the ids of each era begin; there is one, and one more for each restored dump."""
    return list(AuditSeal.objects.order_by("after_id").values_list("after_id", flat=True).distinct())


def _missing_triggers() -> Iterator[Finding]:
    """Without its trigger a table can be changed by a slip; whoever wants to change it takes it away first."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                "SELECT count(*) FROM pg_trigger"
                " WHERE tgrelid = %s::regclass AND tgname = %s AND tgenabled IN ('O', 'A')",
                [table, f"{table}_append_only"],
            )
            if cursor.fetchone() == (0,):
                yield Finding("trigger_missing", f"The trigger that keeps {table} is missing or switched off.")


class _Walk:
    """The way along the chain. It goes on behind what is broken: with the link that was sealed."""

    def __init__(self, witnesses: dict[int, str], eras: list[int]) -> None:
        self.witnesses, self.eras = witnesses, eras
        self.number, self.cursor = 0, Cursor()
        # The link before, None where it is lost; and what it would be if only its seal had been changed.
        self.before: bytes | None = GENESIS
        self.computed: bytes | None = GENESIS
        self.era: int | None = None
        self.sealed_at: datetime | None = None

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
        self.number, self.before, self.sealed_at = seal.number, bytes(seal.seal), seal.sealed_at
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
            if self.sealed_at and row[1] < self.sealed_at - BACKDATED:
                yield self._about(entry, seal, "entry_backdated", "says that it is older than the seal before it")
            expected = link(self.before, row) if self.before is not None else sealed
            if sealed != expected and (self.computed is None or sealed != link(self.computed, row)):
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

    def end(self) -> Iterator[Finding]:
        """Seals that somebody has seen and that are no more."""
        for number, digest in sorted(self.witnesses.items()):
            if number > self.number:
                yield Finding("seal_missing", f"Seal {number} ({digest}) is missing.", seal=number)
