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


class Evidence(enum.StrEnum):
    """How it was proved that LiteLLM refuses a secret, the weakest first."""

    UNKNOWN = ""  # proved before this was noted
    READ_BACK = "read_back"  # its log of calls could not be read
    LOG = "read_back_and_log"  # which has no successful call after the end
    NEVER_THERE = "never_there"


# What a proof looks at, for those who read a part of a row alone.
COLUMNS: Final = (
    *("stopped_at", "proven_at", "proven_by", "worked_at", "pushed_at", "attempted_at", "valid_until"),
    "sync_status",
)
# Before LiteLLM's key is changed: what was seen of its end holds no longer. An alarm that was not over stays one.
UNSEEN: Final = {
    "stopped_at": None,
    "proven_at": None,
    "proven_by": Evidence.UNKNOWN,
    "worked_at": Case(When(proven_at=None, then=F("worked_at")), default=None),
}


class Stoppable(Synced):
    """The proof on the row of a secret; a push that lets the secret work again empties it.

    ``stopped_at``: since then LiteLLM refuses it, as its answer to the block or the deletion said, or a look.
    ``proven_at``: read back later, LiteLLM refused it, and no call had got through since it stopped; ``proven_by`` says
    which of these was seen then.
    ``worked_at``: when one was seen that did, or when LiteLLM was found to take it although it had been told.
    ``proof_due_at``: when to look again; empty where nobody has looked yet, or where nothing is left to prove.
    """

    stopped_at = models.DateTimeField(null=True, editable=False)
    proven_at = models.DateTimeField(null=True, editable=False)
    proven_by = models.CharField(max_length=20, blank=True, default="", db_default="", editable=False)
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
        """Whether the key's state, the secret's own end, or the want of any usable model keeps it from working."""
        is_over = self.valid_until is not None and self.valid_until <= now
        is_active = self.key.deleted_at is None and self.key.status_at(now) == "active"
        return is_over or not is_active or self.key.is_idle

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
        if self.sync_status == SyncStatus.PENDING or self.stopped_at is None:
            return Proof.WAITING
        return Proof.STOPPED if self.proven_at is None else Proof.PROVEN


def stopped_at(secrets: Iterable[Stoppable]) -> datetime | None:
    """When the last of a key's secrets was proved to have stopped; None while one works, or is not proved to stop."""
    found = list(secrets)
    # What is proved of none asks nothing of the key.
    moments = [one.proven_at for one in found if one.proven_at and one.proof in {Proof.PROVEN, Proof.NEVER_THERE}]
    return max(moments) if moments and len(moments) == len(found) else None


def evidence(secrets: Iterable[Stoppable]) -> Evidence | None:
    """How a key's end was proved: as the least of its secrets was; None where ``stopped_at`` is."""
    found = list(secrets)
    if stopped_at(found) is None:
        return None
    ways = {Evidence.NEVER_THERE if one.was_never_there else Evidence(one.proven_by) for one in found}
    return next(way for way in Evidence if way in ways)
