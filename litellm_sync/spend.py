"""What the secrets of one key have spent, and how that passes from an old secret to the newer one, once.

LiteLLM counts for each secret alone. A new one begins with what the old one had spent; when the old one has ended, what
it spent meanwhile is added. What a key in LiteLLM has got from which older one stands in its own metadata, and is
changed by the very call that changes its ``spend``: so whatever dies in between, a look says what is still to be added.
Only the push of a secret writes to its key in LiteLLM, so nobody's metadata is lost.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from apikeys.models import ApiKey, ApiKeySecret
from litellm_sync import state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.client.answers import MONEY, moment
from litellm_sync.client.bodies import KeyChanges
from litemaas.foundation.errors import UpstreamUnavailable

log = structlog.get_logger(__name__)

# The names in a LiteLLM key's metadata: of which moment its last reset by an administrator is, and for each older
# secret what of its spend is included.
RESET: Final = "litemaas_spend_reset"
INCLUDED: Final = "litemaas_spend_included"
SHORT: Final = 16
# What is written down here of LiteLLM's figures: for each secret, and for its key.
NOTED: Final = ("spend", "spend_passed_on", "last_used_at")
# A reset that LiteLLM's key dates later than this is none of ours.
CLOCKS_DIFFER: Final = timedelta(minutes=5)
# Why a push waits that only time lets go on.
NOT_SETTLED: Final = "spend_not_settled"
AT_ONCE: Final = 500
SHOWN: Final = ("spend", "budget_resets_at", "last_used_at")


@dataclass(frozen=True)
class Mark:
    """``spend`` (USD) of an older secret is included in a newer one; both begin again at ``resets_at``."""

    spend: Decimal
    resets_at: datetime | None

    @classmethod
    def of(cls, info: KeyInfo, older: ApiKeySecret) -> "Mark | None":
        """What LiteLLM's key says about an older secret; None where it has nothing from it."""
        found = _marks(info).get(older.digest[:SHORT])
        if not isinstance(found, Mapping):
            return None
        resets_at = found.get("resets_at")
        return cls(_exact(Decimal(str(found["spend"]))), datetime.fromisoformat(resets_at) if resets_at else None)

    def written(self) -> dict[str, str | None]:
        """As it stands in the metadata."""
        return {"spend": f"{self.spend:f}", "resets_at": self.resets_at.isoformat() if self.resets_at else None}

    def counts(self, spend: Decimal, resets_at: datetime | None, now: datetime) -> Decimal:
        """What of an older secret's present spend is included: nothing once LiteLLM has begun its budget again."""
        is_over = _is_past(self.resets_at, now) and resets_at != self.resets_at
        return Decimal(0) if is_over or _exact(spend) < self.spend else self.spend


def _exact(spend: Decimal) -> Decimal:
    """USD without the noise of LiteLLM's floats, which would look like spend that has become less."""
    return spend.quantize(MONEY)


def _marks(info: KeyInfo) -> dict[str, Any]:
    found = info.metadata.get(INCLUDED)
    return dict(found) if isinstance(found, Mapping) else {}


def settling() -> timedelta:
    """How long after a secret was blocked LiteLLM may still write down what it spent: another of its workers may know
    the key as it was for a minute, and each writes in batches."""
    return timedelta(seconds=settings.LITELLM_SPEND_SETTLES_SECONDS)


def _is_past(resets_at: datetime | None, now: datetime) -> bool:
    return resets_at is not None and resets_at <= now


def _is_of_the_past(info: KeyInfo, now: datetime) -> bool:
    """Whether LiteLLM still shows what was spent in a period of the budget that is over: a job of its begins the new
    one minutes later, and never for a key that has expired."""
    return bool(info.budget_duration) and _is_past(info.budget_reset_at, now)


# --- The beginning ---------------------------------------------------------------------------------------------------


def beginning(secret: ApiKeySecret, litellm: LiteLLM) -> tuple[Decimal, dict[str, Any]]:
    """With which spend (USD) LiteLLM's key for a new secret begins, and what its metadata says about that.

    All that is not carried over yet counts, each once; what LiteLLM has lost had spent what our row says. What was
    spent in a period that is over is marked alone: the new key begins in the present one. Raises UpstreamUnavailable
    where one that was replaced while an older one worked on is not complete yet: until it is, the older one works.
    """
    now, total = timezone.now(), Decimal(0)
    marks: dict[str, Any] = {}
    newer: list[tuple[ApiKeySecret, KeyInfo | None]] = []
    rows = list(_uncarried(secret).order_by("-created_at", "-pk"))
    for older in rows:
        info = litellm.get_key_info(older.digest)
        if info is not None and older != rows[-1] and not _is_complete(older, now):
            raise UpstreamUnavailable(reason=NOT_SETTLED)
        spend = _exact(older.spend if info is None else _spend_since_reset(older, info))
        resets_at = info.budget_reset_at if info else None
        if not (_is_of_the_past(info, now) if info else _is_past(secret.key.budget_resets_at, now)):
            total += spend - _included(older, spend, resets_at, newer)
        marks[older.digest[:SHORT]] = Mark(spend, resets_at).written()
        newer.append((older, info))
    metadata = {RESET: _reset_mark(secret.key), INCLUDED: marks}
    return total, {name: value for name, value in metadata.items() if value}


def _included(
    older: ApiKeySecret,
    spend: Decimal,
    resets_at: datetime | None,
    newer: Sequence[tuple[ApiKeySecret, KeyInfo | None]],
) -> Decimal:
    """What of an older secret's spend those between have too; where LiteLLM has lost that, it is what our row says."""
    for secret, info in newer:
        mark = Mark.of(info, older) if info else None
        if info is not None and mark is not None:
            is_same = _has_had_reset(secret, info)
            return mark.counts(spend, resets_at, timezone.now()) if is_same else Decimal(0)
    return min(older.spend_passed_on, spend) if newer else Decimal(0)


def _is_complete(secret: ApiKeySecret, now: datetime) -> bool:
    """Whether LiteLLM has written down all that it spent."""
    return secret.has_ended(now) and secret.blocked_at is not None and secret.blocked_at <= now - settling()


def _uncarried(secret: ApiKeySecret) -> Any:
    earlier = ApiKeySecret.objects.filter(key=secret.key_id, carried_at=None, created_at__lt=secret.created_at)
    return earlier.exclude(pk=secret.pk)


def _reset_mark(key: ApiKey) -> str:
    return key.spend_reset_at.isoformat() if key.spend_reset_at else ""


def _spend_since_reset(secret: ApiKeySecret, info: KeyInfo) -> Decimal:
    """Nothing where LiteLLM has not heard of the reset yet."""
    return info.spend if _has_had_reset(secret, info) else Decimal(0)


def reset_told_by(info: KeyInfo) -> datetime | None:
    """Of which moment the last reset is that LiteLLM's key has had by us; None where it says nothing of ours.

    People may write anything there: what cannot be read, or has yet to come, is not ours.
    """
    try:
        told = moment(info.metadata.get(RESET))
    except ValueError:
        return None
    return None if told is None or told > timezone.now() + CLOCKS_DIFFER else told


def _has_had_reset(secret: ApiKeySecret, info: KeyInfo) -> bool:
    """Whether LiteLLM's key for a secret has had the last reset that was asked for, or a later one.

    Where it says nothing somebody may have replaced its metadata: then our row knows.
    """
    asked, told = secret.key.spend_reset_at, reset_told_by(info) or secret.reset_at
    return asked is None or (told is not None and told >= asked)


# --- Along the way ---------------------------------------------------------------------------------------------------


def bring_up_to_date(secret: ApiKeySecret, found: KeyInfo, litellm: LiteLLM) -> KeyInfo:
    """A reset that was asked for is done; what older secrets spent is added once it is complete. Returns the key as
    LiteLLM has it then. Raises UpstreamUnavailable where a figure cannot be relied on yet."""
    found = _reset_once(secret, found, litellm)
    now = timezone.now()
    if secret.has_ended(now):
        return found  # what older ones still spend is the newest one's alone, which knows of each
    uncarried = list(_uncarried(secret).select_related("key").order_by("created_at", "pk"))
    found = _mark_again(secret, found, uncarried, litellm)
    for older in uncarried:
        if _is_complete(older, now):
            found = _carry_over(older, secret, litellm)
    return found


def _mark_again(secret: ApiKeySecret, found: KeyInfo, older: Sequence[ApiKeySecret], litellm: LiteLLM) -> KeyInfo:
    """Each older secret had its mark when this one was made: where somebody replaced the metadata, our row knows."""
    lost = [one for one in older if Mark.of(found, one) is None]
    if not lost:
        return found
    log.warning("marks_of_spend_lost", secret=str(secret), older=[str(one) for one in lost])
    again = {one.digest[:SHORT]: Mark(one.spend_passed_on, None).written() for one in lost}
    return _write(secret, found, {}, {INCLUDED: _marks(found) | again}, litellm)


def _reset_once(secret: ApiKeySecret, found: KeyInfo, litellm: LiteLLM) -> KeyInfo:
    """Only a reset that LiteLLM's key has not had sets its spend; a mark that somebody took away is written again."""
    asked = secret.key.spend_reset_at
    if asked is None:
        return found
    if not _has_had_reset(secret, found):
        nothing = {name: Mark(Decimal(0), None).written() for name in _marks(found)}
        metadata = {RESET: _reset_mark(secret.key), INCLUDED: nothing}
        found = _write(secret, found, {"spend": 0.0}, metadata, litellm)
    elif reset_told_by(found) is None:
        found = _write(secret, found, {}, {RESET: _reset_mark(secret.key)}, litellm)
    if secret.reset_at != asked:
        secret.reset_at = asked
        state.claimed(secret).update(reset_at=asked)
    return found


def _carry_over(older: ApiKeySecret, secret: ApiKeySecret, litellm: LiteLLM) -> KeyInfo:
    now = timezone.now()
    final = litellm.get_key_info(older.digest)
    found = litellm.get_key_info(secret.digest)
    mark = Mark.of(found, older) if found else None
    if found is None or mark is None:
        raise UpstreamUnavailable(reason="vanished")
    if final is None:
        log.warning("spend_of_old_secret_unknown", secret=str(older), last_seen=str(older.spend))
    spend, resets_at = (final.spend, final.budget_reset_at) if final else (older.spend, mark.resets_at)
    spend = _exact(spend)
    _require_reliable((older, final), (secret, found), now)
    rest = spend - mark.counts(spend, resets_at, now)
    if rest > 0 and not _has_begun_without(final, mark, spend, found, now):
        marks = _marks(found) | {older.digest[:SHORT]: Mark(spend, resets_at).written()}
        found = _write(secret, found, {"spend": float(found.spend + rest)}, {INCLUDED: marks}, litellm)
    with transaction.atomic():
        rows = ApiKeySecret.objects.filter(pk=older.pk, carried_at=None)
        if rows.update(carried_at=now, spend=spend, spend_passed_on=spend):
            state.request_push(older, immediately=False)
    return found


def _has_begun_without(final: KeyInfo | None, mark: Mark, spend: Decimal, heir: KeyInfo, now: datetime) -> bool:
    """Whether only the heir's budget has begun again, so that what the older secret spent is of the past."""
    is_old = _is_of_the_past(final, now) if final else _is_past(mark.resets_at, now) and spend >= mark.spend
    return is_old and heir.budget_reset_at is not None and heir.budget_reset_at > now


def _require_reliable(
    older: tuple[ApiKeySecret, KeyInfo | None], heir: tuple[ApiKeySecret, KeyInfo], now: datetime
) -> None:
    """Neither while LiteLLM is about to begin the heir's budget again, nor before both sides know of a reset of ours.

    The older one's is not waited for: it may have expired, and then LiteLLM never begins it again.
    """
    found = heir[1]
    has_expired = found.expires is not None and found.expires <= now
    if _is_of_the_past(found, now) and not has_expired:
        raise UpstreamUnavailable(reason="budget_begins_again")
    for secret, info in (older, heir):
        if info is not None and not _has_had_reset(secret, info):
            raise UpstreamUnavailable(reason=NOT_SETTLED)


def _write(
    secret: ApiKeySecret, found: KeyInfo, spend: KeyChanges, metadata: Mapping[str, Any], litellm: LiteLLM
) -> KeyInfo:
    """Spend, where it changes, and what it includes, in one call; a look must show it."""
    if not state.claimed(secret).exists():
        raise UpstreamUnavailable(reason="claim_lost")
    changed = {**found.metadata, **metadata}
    litellm.update_key(secret.digest, {**spend, "metadata": changed})
    after = litellm.get_key_info(secret.digest)
    if after is None or any(after.metadata.get(name) != value for name, value in metadata.items()):
        raise UpstreamUnavailable(reason="not_as_sent")
    return after


def settles_at(secret: ApiKeySecret, now: datetime) -> datetime | None:
    """Until when what an ended secret spent may still be written down; None when it is complete, or passed on."""
    if secret.carried_at is not None or secret.blocked_at is None:
        return None
    until = secret.blocked_at + settling()
    return until if until > now else None


def ask_heirs(secret: ApiKeySecret) -> bool:
    """Have the newer secrets pushed that could take over what this one spent; False when there is none at all."""
    newer = ApiKeySecret.objects.filter(key=secret.key_id, created_at__gt=secret.created_at, carried_at=None)
    waits_for_this = Q(sync_status=state.SyncStatus.PENDING, sync_error=NOT_SETTLED)
    idle = Q(sync_status=state.SyncStatus.SYNCED)
    with transaction.atomic():
        for heir in newer.filter(idle | waits_for_this):
            state.request_push(heir, immediately=False)
    return newer.exists()


# --- What people see -------------------------------------------------------------------------------------------------


def note(key: ApiKey, infos: Mapping[str, KeyInfo]) -> None:
    """Write down what LiteLLM says of secrets of a key, by digest; the key shows the sum over all."""
    secrets = list(ApiKeySecret.objects.filter(key=key).order_by("created_at", "pk"))
    save_noted(note_secrets(secrets, infos), NOTED)
    if note_key(key, secrets, infos):
        save_noted([key], SHOWN)


def save_noted(rows: Sequence[ApiKey] | Sequence[ApiKeySecret], columns: tuple[str, ...]) -> None:
    """Write many rows' figures down. They are locked in one order, or two who write the same could wait for each
    other. A gateway tells of uses too (apikeys/validation.py): the later one stays."""
    for first in range(0, len(rows), AT_ONCE):
        batch: list[Any] = list(rows[first : first + AT_ONCE])
        table: Any = type(batch[0])._base_manager
        with transaction.atomic():
            ids = [row.pk for row in batch]
            locked = table.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
            used = dict(locked.values_list("pk", "last_used_at"))
            for row in batch:
                row.last_used_at = _later(row.last_used_at, used.get(row.pk))
            table.bulk_update(batch, columns)


def note_used(day: date, digests: Collection[str]) -> None:
    """Secrets with which calls were made on a UTC day were used on it at the earliest. LiteLLM tells of the last use
    only where a call cost something; the facts of the day know of free models too."""
    began = Value(datetime.combine(day, time.min, UTC))
    unheard = Q(last_used_at=None) | Q(last_used_at__lt=began)
    for table, which in ((ApiKeySecret, Q(digest__in=digests)), (ApiKey, Q(secrets__digest__in=digests))):
        rows: Any = table._base_manager
        with transaction.atomic():
            pks = set(rows.filter(which & unheard, created_at__date__lte=day).values_list("pk", flat=True))
            locked = rows.filter(pk__in=pks).order_by("pk").select_for_update(no_key=True)
            if list(locked.values_list("pk", flat=True)):
                rows.filter(unheard, pk__in=pks).update(last_used_at=Greatest(F("created_at"), began))


def _later(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def note_secrets(secrets: Sequence[ApiKeySecret], infos: Mapping[str, KeyInfo]) -> list[ApiKeySecret]:
    """Take over what LiteLLM says of the secrets of one key, the oldest first; returns those for which it was new."""
    now = timezone.now()
    changed = []
    for number, secret in enumerate(secrets):
        before = [getattr(secret, name) for name in NOTED]
        seen = infos.get(secret.digest)
        if seen is not None:
            secret.spend = _exact(seen.spend)
            secret.spend_passed_on = min(secret.spend_passed_on, secret.spend)
            secret.last_used_at = _later(secret.last_used_at, seen.last_active)
        # One that has ended as well takes over nothing more: its successor does, from all.
        for newer in (one for one in secrets[number + 1 :] if not one.has_ended(now)):
            mark = Mark.of(infos[newer.digest], secret) if newer.digest in infos else None
            if mark is not None and secret.carried_at is None:
                secret.spend_passed_on = _passed_on(secret, seen, mark, infos[newer.digest], now)
        if before != [getattr(secret, name) for name in NOTED]:
            changed.append(secret)
    return changed


def _passed_on(secret: ApiKeySecret, seen: KeyInfo | None, mark: Mark, heir: KeyInfo, now: datetime) -> Decimal:
    """What of a secret's spend counts in a newer one, or not any more."""
    if seen is None:  # our own figure may be older than the mark: of what we have not seen nothing more is left
        return min(mark.spend, secret.spend)
    if _has_begun_without(seen, mark, secret.spend, heir, now):
        return secret.spend
    return min(mark.counts(secret.spend, seen.budget_reset_at, now), secret.spend)


def note_key(key: ApiKey, secrets: Sequence[ApiKeySecret], infos: Mapping[str, KeyInfo]) -> bool:
    """Add up what ``secrets``, the oldest first, have spent; returns whether anything that the key shows was new."""
    before = [getattr(key, name) for name in SHOWN]
    # What was carried over counts in the newer one, whatever somebody wrote down of it a moment too late.
    counting = [secret for secret in secrets if secret.carried_at is None]
    key.spend = sum((secret.spend - secret.spend_passed_on for secret in counting), Decimal(0))
    newest = infos.get(secrets[-1].digest) if secrets else None
    if newest is not None:
        key.budget_resets_at = newest.budget_reset_at
    key.last_used_at = _later(key.last_used_at, *(secret.last_used_at for secret in secrets))
    return before != [getattr(key, name) for name in SHOWN]
