"""manage.py verify_audit: whether the audit log is what it was when it was sealed."""

import re
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit_proof import Proof, verify_audit

SEAL: Final = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


class Command(BaseCommand):
    """Exit code 1 when something was changed, removed, moved or added; the result is recorded in the log itself."""

    help = "Verify the audit log against its seals, and print the newest seal; keep it where this database is not."

    def add_arguments(self, parser: CommandParser) -> None:
        """Seals that were kept elsewhere."""
        parser.add_argument(
            "--expect",
            metavar="NUMBER:HASH",
            action="append",
            default=[],
            help="a seal that was printed earlier and must still be there; may be given several times",
        )

    def handle(self, *args: Any, expect: list[str], **options: Any) -> None:
        """Say what was found."""
        proof = verify_audit(expected=dict(_seal(text) for text in expect))
        if not proof.holds:
            raise CommandError("\n".join(self._complaint(proof)))
        self.stdout.write(f"The audit log is what was sealed: {proof.entries} entries under {proof.seals} seals.")
        if proof.waiting:
            self.stdout.write(f"Newer entries that wait for their seal: {proof.waiting}, since {proof.oldest_waiting}.")
        if proof.newest:
            self.stdout.write(f"Newest seal: {proof.newest}")

    def _complaint(self, proof: Proof) -> list[str]:
        more = proof.found - len(proof.findings)
        lines = ["The audit log is not what was sealed:", *(f"  {finding}" for finding in proof.findings)]
        return [*lines, f"  … and {more} more."] if more else lines


def _seal(text: str) -> tuple[int, str]:
    found = SEAL.fullmatch(text)
    if found is None:
        raise CommandError(f"--expect wants NUMBER:HASH as this command prints it, not {text!r}.")
    return int(found[1]), found[2]
