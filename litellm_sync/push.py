"""One push: claim a row, talk to LiteLLM without a database connection, write the outcome if the row has not moved."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.apps import apps

from accounts.models import User
from apikeys.models import ApiKeySecret
from litellm_sync import ensure, proof, spend, state
from litellm_sync.client import LiteLLM
from litellm_sync.default_team import ensure_default_team_exists
from litellm_sync.keys import LOOK_AGAIN, Unsettled, make_secret_equal, must_not_work, next_moment
from litellm_sync.measures import measured_push
from litellm_sync.proof import Standing
from litemaas.foundation.crypto import DecryptionFailed
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from teams.models import DEFAULT_TEAM_ID, Membership, Team

log = structlog.get_logger(__name__)

IMMEDIATE_SECONDS = 3.0
JOB_SECONDS = 10.0
# A row that moves while it is pushed is pushed again, but nobody's request is kept for ever by somebody's clicking.
ROUNDS = 3


def _team(team: Team, litellm: LiteLLM) -> dict[str, Any]:
    found = ensure.make_team_equal(team, litellm)
    return {"spend": found.spend, "budget_resets_at": found.budget_reset_at}


def _user(user: User, litellm: LiteLLM) -> dict[str, Any]:
    ensure_default_team_exists(litellm)
    found = ensure.make_user_equal(user, litellm)
    ensure.leave_former_teams(user, found, litellm)
    return {"spend": found.spend, "budget_resets_at": found.budget_reset_at}


def _membership(membership: Membership, litellm: LiteLLM) -> dict[str, Any]:
    listed = ensure.make_membership_equal(membership, litellm)
    if not Membership.objects.filter(pk=membership.pk).exists():
        # Left at this very moment: the person's own push may have looked before LiteLLM listed the member.
        state.request_pushes(User, [membership.user_id])
    return {"listed": listed}


def _secret(secret: ApiKeySecret, litellm: LiteLLM) -> dict[str, Any]:
    found = make_secret_equal(secret, litellm)
    key = secret.key
    if found is not None:
        spend.note(key, {secret.digest: found})
    elif key.team_id != DEFAULT_TEAM_ID:
        # Whoever has left the team stayed listed for the sake of this key.
        left = User.objects.filter(pk=key.user_id).exclude(memberships__team=key.team_id)
        state.request_pushes(User, left.values_list("pk", flat=True))
    return {"due_at": next_moment(secret), **proof.begun(secret)}


PUSHES: dict[type[state.Synced], Callable[[Any, LiteLLM], dict[str, Any]]] = {
    Team: _team,
    User: _user,
    Membership: _membership,
    ApiKeySecret: _secret,
}


def push(kind: str, object_id: str, *, limit: float) -> None:
    """Make LiteLLM agree with one row; harmless when it is run twice, late, or for a row that is gone."""
    if not issubclass(apps.get_model(kind), state.Synced):
        return  # a job from before the rows behind a subscription were asked for one by one
    deadline = time.monotonic() + limit
    for _round in range(ROUNDS):
        row = state.claim(kind, object_id)
        if row is None or _push_claimed(row, deadline):
            return


def _push_claimed(row: state.Synced, deadline: float) -> bool:
    """Whether the row is done with for now; False when it moved on meanwhile."""
    try:
        with measured_push(row):
            facts = PUSHES[type(row)](row, LiteLLM(deadline - time.monotonic()))
    except UpstreamRejected as error:
        log.warning("push_refused", kind=state.kind_of(row), object_id=str(row.pk), **error.details)
        _give_up(row, str(error.details.get("reason") or error.message), deadline)
        return True
    except Unsettled as error:
        state.postpone(row, str(error.details["reason"]), wait=LOOK_AGAIN)
        return True
    except UpstreamUnavailable as error:
        log.info("push_postponed", kind=state.kind_of(row), object_id=str(row.pk), **error.details)
        state.postpone(row, str(error.details.get("reason", error.code)))
        return True
    except DecryptionFailed:
        log.exception("secret_unreadable", kind=state.kind_of(row), object_id=str(row.pk))
        _give_up(row, "secret_unreadable", deadline)
        return True
    except Exception:
        # A bug of ours must not keep the claim: the row waits like any other and shows that something is wrong.
        log.exception("push_broke", kind=state.kind_of(row), object_id=str(row.pk))
        state.postpone(row, "internal_error")
        return True
    return state.settle(row, **facts)


def _give_up(row: state.Synced, reason: str, deadline: float) -> None:
    """Stop, unless that would leave something in LiteLLM that must not work: that is tried for ever.

    A look decides what is said of it, and an error to be seen is only what may really still work. What LiteLLM does not
    have works for nobody.
    """
    if not (isinstance(row, ApiKeySecret) and must_not_work(row)):
        state.refuse(row, reason)
        return
    standing = proof.standing(row, LiteLLM(deadline - time.monotonic()))
    if standing is Standing.ABSENT:
        state.refuse(row, reason)
        return
    if standing is Standing.MAY_ARRIVE:
        state.postpone(row, "offer_may_arrive", wait=LOOK_AGAIN)
        return
    about = {"key_id": str(row.key_id), "secret_id": row.pk, "how": standing.value, "reason": reason}
    if standing is Standing.REFUSED:
        log.warning("key_left_in_litellm", **about)
        state.postpone(row, "left_in_litellm", wait=state.LONGEST_BACK_OFF)
        return
    log.error("key_still_works", **about)
    state.postpone(row, reason, wait=state.LONGEST_BACK_OFF)
