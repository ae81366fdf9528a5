"""One push: claim a row, talk to LiteLLM without a database connection, write the outcome if the row has not moved."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.apps import apps

from accounts.models import User
from apikeys.models import ApiKeySecret, KeyModel
from litellm_sync import ensure, spend, state
from litellm_sync.client import LiteLLM
from litellm_sync.default_team import ensure_default_team_exists
from litellm_sync.keys import LOOK_AGAIN, SecretLost, Unsettled, make_secret_equal, must_not_work, next_moment
from litemaas.foundation.crypto import DecryptionFailed
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from subscriptions.models import Subscription
from teams.models import Membership, Team

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
    return {"listed": ensure.make_membership_equal(membership, litellm)}


def _secret(secret: ApiKeySecret, litellm: LiteLLM) -> dict[str, Any]:
    found = make_secret_equal(secret, litellm)
    if found is not None:
        spend.note(secret.key, {secret.digest: found})
    return {"due_at": next_moment(secret)}


PUSHES: dict[type[state.Synced], Callable[[Any, LiteLLM], dict[str, Any]]] = {
    Team: _team,
    User: _user,
    Membership: _membership,
    ApiKeySecret: _secret,
}


def fan_out_subscription(subscription_id: str) -> int:
    """A subscription has changed: the owner's keys with that model are pushed. Returns how many secrets."""
    subscription = Subscription.objects.filter(pk=subscription_id).first()
    if subscription is None:
        return 0
    links = KeyModel.objects.filter(model=subscription.model_id, key__user=subscription.user_id).alive()
    secrets = ApiKeySecret.objects.filter(key__in=links.values("key"), carried_at=None)
    return state.request_pushes(ApiKeySecret, secrets.values_list("pk", flat=True))


def push(kind: str, object_id: str, *, limit: float) -> None:
    """Make LiteLLM agree with one row; harmless when it is run twice, late, or for a row that is gone."""
    model = apps.get_model(kind)
    if model is Subscription:
        fan_out_subscription(object_id)
        return
    deadline = time.monotonic() + limit
    for _round in range(ROUNDS):
        row = state.claim(kind, object_id)
        if row is None or _push_claimed(row, deadline - time.monotonic()):
            return


def _push_claimed(row: state.Synced, limit: float) -> bool:
    """Whether the row is done with for now; False when it moved on meanwhile."""
    try:
        facts = PUSHES[type(row)](row, LiteLLM(limit))
    except UpstreamRejected as error:
        log.warning("push_refused", kind=state.kind_of(row), object_id=str(row.pk), **error.details)
        # A lost secret is one that LiteLLM does not have, so nothing works there.
        is_harmless = isinstance(error, SecretLost)
        _give_up(row, str(error.details.get("reason") or error.message), is_harmless=is_harmless)
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
        _give_up(row, "secret_unreadable")
        return True
    except Exception:
        # A bug of ours must not keep the claim: the row waits like any other and shows that something is wrong.
        log.exception("push_broke", kind=state.kind_of(row), object_id=str(row.pk))
        state.postpone(row, "internal_error")
        return True
    return state.settle(row, **facts)


def _give_up(row: state.Synced, reason: str, *, is_harmless: bool = False) -> None:
    """Stop, unless that would leave a key working that must not: that is tried for ever, and is an error to be seen."""
    if is_harmless or not (isinstance(row, ApiKeySecret) and must_not_work(row)):
        state.refuse(row, reason)
        return
    log.error("key_still_works", kind=state.kind_of(row), object_id=str(row.pk), reason=reason)
    state.postpone(row, reason, wait=state.LONGEST_BACK_OFF)
