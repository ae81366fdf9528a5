"""Making LiteLLM's key equal to one secret of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from apikeys.models import ApiKey, ApiKeySecret, KeyModel, KeyStatus
from apikeys.stopped import UNSEEN
from litellm_sync import ensure, late, spend, state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.key_bodies import WIDENING, changes_of, must_be_blocked, new_key
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from teams.models import DEFAULT_TEAM_ID

log = structlog.get_logger(__name__)

# An offer whose answer was lost may still be carried out for this long, also after a later one was answered; until
# then a dead key is looked at again and again.
OFFER_MAY_ARRIVE = late.MAY_ARRIVE
LOOK_AGAIN = timedelta(seconds=5)
# A block that hangs leaves a deletion its share of the immediate try.
BLOCK_SECONDS = 2.0
# And so does a look that hangs to both.
LOOK_SECONDS = 1.0


class Unsettled(UpstreamUnavailable):
    """Done, but an earlier offer may still arrive: look again."""


def make_secret_equal(secret: ApiKeySecret, litellm: LiteLLM) -> KeyInfo | None:
    """Delete what must be dead, create what is missing, change what differs. Returns the key as LiteLLM has it."""
    now = timezone.now()
    if is_resting(secret, now):
        return _let_rest(secret, litellm)
    if is_replaced(secret, now):
        return _retire(secret, litellm)
    if not is_alive(secret, now):
        _delete(secret, litellm)
        return None
    models = _effective_models(secret.key)
    secret.key.has_usable_model = bool(models)  # what is told LiteLLM now, the proof goes by
    # Also for a new one: a LiteLLM that hangs is noticed by a look, which cannot arrive late, and not by an offer.
    found = litellm.get_key_info(secret.digest)
    is_new = secret.has_pending
    if is_new:
        _ensure_owner(secret.key, litellm)
        found = found or _create(secret, models, litellm)
        _forget_secret(secret)
    if found is None:
        raise UpstreamRejected(reason="needs_rotation")  # we have erased the secret: nobody can offer it again
    found = spend.bring_up_to_date(secret, _update(secret, models, found, litellm), litellm)
    if found.blocked and not is_new:  # an offer that arrives late changes nothing of a key that is there
        _await_lost_offer(secret)
    return found


def _effective_models(key: ApiKey) -> list[str]:
    return sorted(KeyModel.objects.filter(key=key).effective().values_list("model_id", flat=True))


def must_not_work(secret: ApiKeySecret) -> bool:
    """Whether LiteLLM is to refuse this secret: such a wish is never given up while LiteLLM has it."""
    return not is_alive(secret, timezone.now()) or must_be_blocked(secret.key, _effective_models(secret.key))


def is_alive(secret: ApiKeySecret, now: datetime) -> bool:
    """Whether LiteLLM is to have the key at all; blocked keys are there, and blocked."""
    key = secret.key
    ended = key.deleted_at is not None or secret.has_ended(now)
    return not ended and key.status_at(now) in {KeyStatus.ACTIVE, KeyStatus.BLOCKED}


def is_replaced(secret: ApiKeySecret, now: datetime) -> bool:
    """Whether a newer secret has taken its place for good, while the key itself has not ended for ever."""
    key = secret.key
    return secret.has_ended(now) and key.deleted_at is None and key.status != KeyStatus.REVOKED


def next_moment(secret: ApiKeySecret, began: datetime) -> datetime | None:
    """When to look again though nobody wishes it: at the end of the key, of a grace, of a settling, and when a change
    that went unanswered can arrive no more. What came since the push ``began`` may have come too late for it."""
    if secret.key.deleted_at is not None or secret.key.status == KeyStatus.REVOKED:
        return None
    if secret.has_ended(began):
        return spend.settles_at(secret, began)
    watched = secret.attempted_at and secret.attempted_at + OFFER_MAY_ARRIVE
    return min((at for at in (secret.key.expires_at, secret.valid_until, watched) if at and at > began), default=None)


def is_resting(secret: ApiKeySecret, now: datetime) -> bool:
    """Whether only the key's expiry keeps it from working. Its owner may move that, so LiteLLM must not lose it."""
    ended = secret.key.deleted_at is not None or secret.has_ended(now)
    return not ended and secret.key.status_at(now) == KeyStatus.EXPIRED


def follow_the_clock(now: datetime, *, limit: int = 500) -> int:
    """Ask for the secrets whose moment has come: their key expired, their grace is over. Returns how many, at most
    ``limit`` at once; whoever waits already is pushed anyway."""
    with transaction.atomic():
        due = ApiKeySecret.objects.filter(due_at__lte=now).exclude(sync_status=state.SyncStatus.PENDING)
        rows = due.order_by("due_at").select_for_update(skip_locked=True, of=("self",))
        ids = list(rows.values_list("pk", flat=True)[:limit])
        ApiKeySecret.objects.filter(pk__in=ids).update(due_at=None)
        return state.request_pushes(ApiKeySecret, ids) if ids else 0


def _let_rest(secret: ApiKeySecret, litellm: LiteLLM) -> KeyInfo | None:
    """LiteLLM refuses what has expired; blocking also stops a key whose last expiry never arrived there.

    A secret that LiteLLM never got is kept, encrypted, as long as the expiry can be moved: only so the key can begin.
    """
    found = litellm.get_key_info(secret.digest)
    if found is None:
        _await_lost_offer(secret)
        return None
    if not found.blocked:
        with _until_answered(secret):
            litellm.block_key(secret.digest)
    if secret.has_pending:
        _forget_secret(secret)
    return spend.bring_up_to_date(secret, found, litellm)


def _retire(secret: ApiKeySecret, litellm: LiteLLM) -> KeyInfo | None:
    """LiteLLM refuses at once what a newer secret has replaced, and forgets it when all that it spent is carried over.

    What was spent before the block is written down later, so the last word about it is not read at once. Its expiry
    stays: an unblocking that arrives late must not bring it back.
    """
    found = litellm.get_key_info(secret.digest)
    if found is None:
        _close_absent(secret)
        return None
    if not found.blocked:
        _unsee(secret)
        litellm.block_key(secret.digest)
    if secret.has_pending:
        _forget_secret(secret)
    _note_refused(secret)
    found = spend.bring_up_to_date(secret, found, litellm)
    if spend.settles_at(secret, timezone.now()) is not None:
        return found
    if secret.carried_at is None and spend.ask_heirs(secret):
        raise UpstreamUnavailable(reason="spend_not_carried_over")
    _delete(secret, litellm)
    if secret.carried_at is None:
        secret.carried_at = timezone.now()
        state.claimed(secret).update(carried_at=secret.carried_at)
    return None


def _close_absent(secret: ApiKeySecret) -> None:
    """LiteLLM does not have a replaced secret (any more). What our row knows of its spend goes to a newer one all the
    same: whichever takes it over closes this one."""
    _await_lost_offer(secret)
    if secret.carried_at is not None:
        return
    if secret.has_pending:
        ApiKeySecret.objects.filter(pk=secret.pk).update(pending_secret=None)
    _note_refused(secret)
    if spend.settles_at(secret, timezone.now()) is None and not spend.ask_heirs(secret):
        state.claimed(secret).update(carried_at=timezone.now())


def _note_refused(secret: ApiKeySecret) -> None:
    """LiteLLM refuses it: from now on its spend settles."""
    if secret.blocked_at is None:
        secret.blocked_at = timezone.now()
        state.claimed(secret).update(blocked_at=secret.blocked_at)


def _delete(secret: ApiKeySecret, litellm: LiteLLM) -> None:
    """Block and delete: where LiteLLM cannot delete, a dead key is left. LiteLLM names what it deleted; where it did
    not, or an offer that was cut off may be carried out after the deletion, a look must prove it, again and again."""
    # Before, and not by the answers: whoever does not hear them finds nothing to change when it comes again.
    if secret.stopped_at is not None and _may_work(secret, litellm):
        _unsee(secret)
    _block(secret, litellm)
    is_named = litellm.delete_key(secret.digest)
    if is_named:
        _unsee(secret)
    is_proved = is_named and secret.attempted_at is None
    if not is_proved and litellm.get_key_info(secret.digest) is not None:
        raise UpstreamUnavailable(reason="still_there")
    _await_lost_offer(secret)
    if secret.has_pending:
        ApiKeySecret.objects.filter(pk=secret.pk).update(pending_secret=None)


def _may_work(secret: ApiKeySecret, litellm: LiteLLM) -> bool:
    """Whether LiteLLM has it unblocked, or does not say."""
    try:
        found = litellm.with_limit(LOOK_SECONDS).get_key_info(secret.digest)
    except (UpstreamRejected, UpstreamUnavailable):
        return True
    return found is not None and not found.blocked


def _block(secret: ApiKeySecret, litellm: LiteLLM) -> None:
    """That LiteLLM does not block it, also because it has no such key, is no reason not to delete."""
    try:
        litellm.with_limit(BLOCK_SECONDS).block_key(secret.digest)
    except (UpstreamRejected, UpstreamUnavailable) as error:
        log.info("not_blocked_before_deletion", **error.details)


def _unsee(secret: ApiKeySecret) -> None:
    """LiteLLM's key is changed: its end has to be proved anew."""
    if secret.stopped_at is not None or secret.proven_at is not None:
        secret.stopped_at = secret.proven_at = None
        state.claimed(secret).update(**UNSEEN)


@contextmanager
def _until_answered(secret: ApiKeySecret) -> Iterator[None]:
    """What is sent within may be carried out late unless it is answered: ``attempted_at`` says since when.

    Whoever has lost the claim sends nothing: another push may have gone further meanwhile.
    """
    if not state.claimed(secret).update(attempted_at=timezone.now()):
        raise UpstreamUnavailable(reason="claim_lost")
    _unsee(secret)
    try:
        yield
    except UpstreamRejected:
        _answered(secret)
        raise
    _answered(secret)


def _answered(secret: ApiKeySecret) -> None:
    """``attempted_at`` becomes what it was before this push: of an earlier one something may still be on its way.

    It stays where another push has taken the claim over: something may be on its way of that one, too."""
    state.claimed(secret).update(attempted_at=secret.attempted_at)


def offer_may_arrive(secret: ApiKeySecret, now: datetime) -> bool:
    """Whether an offer or a change without an answer may still be carried out."""
    lost = secret.attempted_at
    return lost is not None and now - lost < OFFER_MAY_ARRIVE


def _await_lost_offer(secret: ApiKeySecret) -> None:
    """Raise Unsettled while something may still arrive."""
    if offer_may_arrive(secret, timezone.now()):
        raise Unsettled(reason="offer_may_arrive")


def _await_offers_of_replaced(secret: ApiKeySecret) -> None:
    """A secret that was replaced before it had arrived may still arrive, with spend that would count twice here."""
    since = timezone.now() - OFFER_MAY_ARRIVE
    replaced = ApiKeySecret.objects.filter(key=secret.key_id, valid_until__lte=timezone.now(), attempted_at__gt=since)
    if replaced.filter(pending_secret__isnull=False).exclude(pk=secret.pk).exists():
        raise UpstreamUnavailable(reason=spend.NOT_SETTLED)


def _ensure_owner(key: ApiKey, litellm: LiteLLM) -> None:
    """What was pushed once is there; asking LiteLLM each time would cost the person most of the immediate try."""
    ensure.ensure_team_was_made(key.team, litellm)
    if key.user.synced_at is None:
        ensure.ensure_user_exists_in_litellm(key.user, litellm)


def _create(secret: ApiKeySecret, models: list[str], litellm: LiteLLM) -> KeyInfo:
    if secret.key.team_id != DEFAULT_TEAM_ID and late.removal_may_arrive(secret.key.user_id, timezone.now()):
        raise UpstreamUnavailable(reason="removal_may_arrive")  # LiteLLM would delete the key with it
    _await_offers_of_replaced(secret)
    spent, marks = spend.beginning(secret, litellm)
    body = new_key(secret, models, spent, marks)
    # Under the claim: what another push may have deleted meanwhile must not be made again.
    with _until_answered(secret):
        litellm.create_key(body)
        # It works from now on, whether or not it can be read back.
        ApiKeySecret.objects.filter(pk=secret.pk).update(pushed_at=timezone.now())
    found = litellm.get_key_info(secret.digest)
    if found is None:
        raise UpstreamUnavailable(reason="not_there_after_creation")
    return found


def _forget_secret(secret: ApiKeySecret) -> None:
    """LiteLLM has it: from now on nobody but its owner does."""
    ApiKeySecret.objects.filter(pk=secret.pk).update(pending_secret=None, pushed_at=timezone.now())


def _update(secret: ApiKeySecret, models: list[str], found: KeyInfo, litellm: LiteLLM) -> KeyInfo:
    """Send only what differs. Blocking goes first and unblocking last, so that no key works with too much."""
    token, blocked = secret.digest, must_be_blocked(secret.key, models)
    changes = changes_of(secret, models, found)
    if not changes and blocked == found.blocked:
        return found
    with _until_answered(secret):
        if blocked and not found.blocked:
            litellm.block_key(token)
        if changes:
            litellm.update_key(token, changes)
        if not blocked and found.blocked:
            if not state.claimed(secret).exists():
                raise UpstreamUnavailable(reason="claim_lost")
            litellm.unblock_key(token)
    after = litellm.get_key_info(token)
    if after is None:
        raise UpstreamUnavailable(reason="vanished")
    is_wider = any(getattr(after, name) for name in WIDENING)
    if after.blocked != blocked or is_wider or (models and tuple(sorted(after.models)) != tuple(models)):
        raise UpstreamUnavailable(reason="not_as_sent")
    return after
