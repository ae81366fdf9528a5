"""Whether LiteLLM was seen to refuse a secret that must not work, as data; litellm_sync.proof looks and writes it."""

import enum
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Case, F, Q, When
from django.utils import timezone

from litellm_sync.state import Synced, SyncStatus


class Proof(enum.StrEnum):
    """What is known of a secret that must not work."""

    NEVER_THERE = "never_there"  # LiteLLM never had it
    WAITING = "waiting"  # LiteLLM has not confirmed that it refuses it
    STOPPED = "stopped"  # it has; it will be read back, and the calls of the last moments have still to be looked at
    PROVEN = "proven"
    WORKS = "works"  # a call got through, or LiteLLM still takes it: an alarm


# What a proof looks at, for those who read a part of a row alone.
COLUMNS: Final = (
    *("stopped_at", "proven_at", "worked_at", "pushed_at", "attempted_at", "valid_until"),
    "sync_status",
)
# Before LiteLLM's key is changed: what was seen of its end holds no longer. An alarm that was not over stays one.
UNSEEN: Final = {
    "stopped_at": None,
    "proven_at": None,
    "worked_at": Case(When(proven_at=None, then=F("worked_at")), default=None),
}


class Stoppable(Synced):
    """The proof on the row of a secret; a push that lets the secret work again empties it.

    ``stopped_at``: since then LiteLLM refuses it, as its answer to the block or the deletion said, or a look.
    ``proven_at``: read back later, LiteLLM refused it, and no call had got through since it stopped.
    ``worked_at``: when one was seen that did, or when LiteLLM was found to take it although it had been told.
    ``proof_due_at``: when to look again; empty where nobody has looked yet, or where nothing is left to prove.
    """

    stopped_at = models.DateTimeField(null=True, editable=False)
    proven_at = models.DateTimeField(null=True, editable=False)
    worked_at = models.DateTimeField(null=True, editable=False)
    proof_due_at = models.DateTimeField(null=True, editable=False)

    class Meta(Synced.Meta):
        abstract = True
        indexes: ClassVar[tuple[models.Index, ...]] = (
            *Synced.Meta.indexes,
            models.Index(fields=["proof_due_at"], condition=Q(proof_due_at__isnull=False), name="%(class)s_proof"),
            models.Index(fields=["worked_at"], condition=Q(worked_at__isnull=False), name="%(class)s_worked"),
        )

    # Of the secrets that inherit this.
    key: Any
    pushed_at: Any
    attempted_at: Any
    valid_until: Any

    def must_not_work_at(self, now: datetime) -> bool:
        """Whether the key's state or the secret's own end keeps it from working; what its models allow is not asked."""
        is_over = self.valid_until is not None and self.valid_until <= now
        return is_over or self.key.deleted_at is not None or self.key.status_at(now) != "active"

    @property
    def was_never_there(self) -> bool:
        """Whether the secret was never offered to LiteLLM, so that nothing there can work."""
        return self.pushed_at is None and self.attempted_at is None

    @property
    def proof(self) -> Proof | None:
        """What is known of its end; None for a secret that may work."""
        if not self.must_not_work_at(timezone.now()):
            return None
        if self.was_never_there:
            return Proof.NEVER_THERE
        if self.worked_at is not None and self.proven_at is None:
            return Proof.WORKS
        if self.sync_status != SyncStatus.SYNCED or self.stopped_at is None:
            return Proof.WAITING
        return Proof.STOPPED if self.proven_at is None else Proof.PROVEN


def stopped_at(secrets: Iterable[Stoppable]) -> datetime | None:
    """When the last of a key's secrets was proved to have stopped; None while one works, or is not proved to stop."""
    proved = [secret.proven_at if secret.proof in {Proof.PROVEN, Proof.NEVER_THERE} else None for secret in secrets]
    moments = [moment for moment in proved if moment is not None]
    return max(moments) if moments and len(moments) == len(proved) else None
