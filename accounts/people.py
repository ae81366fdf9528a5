"""The verbs that administrators use on people: limits, deactivation, reactivation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit, identities, rbac
from accounts.identities import locked_person, require_another_admin
from accounts.models import User
from accounts.sessions import end_all_sign_ins
from litellm_sync import state
from litemaas.foundation import validators
from litemaas.foundation.errors import Conflict, Invalid, NotFound

LONGEST_REASON: Final = 500
MOST_AT_ONCE: Final = 1000


class PersonLimits(TypedDict, total=False):
    """The limits that a caller sent, USD a period and figures a minute. Left out means "as it is", None "no limit"."""

    max_budget: Decimal | None
    budget_duration: str | None
    tpm_limit: int | None
    rpm_limit: int | None


CHECKS: Final[dict[str, Any]] = {
    "max_budget": validators.validate_budget,
    "budget_duration": validators.validate_budget_duration,
    "tpm_limit": validators.validate_rate_limit,
    "rpm_limit": validators.validate_rate_limit,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one person of many; ``code`` is ``ok`` or that of the error, ``message`` its words."""

    id: str
    ok: bool
    code: str = "ok"
    message: str = ""


# --- Limits ----------------------------------------------------------------------------------------------------------


def set_limits(actor: User, *, user_id: UUID | str, **limits: Unpack[PersonLimits]) -> User:
    """Change what is sent and differs from what the person has; LiteLLM is tried at once.

    Raises NotFound, Invalid for a value that cannot be.
    """
    rbac.require(actor, rbac.Permission.USERS_UPDATE)
    wanted = _checked(limits)
    with transaction.atomic():
        user = locked_person(user_id)
        if _change_limits(actor, [user], wanted):
            state.request_push(user)
    return User.objects.get(pk=user.pk)


def set_limits_of_many(actor: User, *, ids: Iterable[UUID | str], **limits: Unpack[PersonLimits]) -> list[Outcome]:
    """Change the same limits of many people; one who does not exist does not touch the others.

    Raises Invalid before anything is changed: for a value that cannot be, and (no_limits) where none is named.
    """
    rbac.require(actor, rbac.Permission.USERS_UPDATE)
    wanted, named = _checked(limits), list(dict.fromkeys(map(str, ids)))
    if not wanted:
        raise Invalid(_("Say which limits are to change."), code="no_limits")
    with transaction.atomic():
        # In one order, or two who change the same people at once could wait for each other for ever.
        people = list(User.objects.select_for_update(no_key=True).filter(pk__in=named).order_by("pk"))
        state.request_pushes(User, _change_limits(actor, people, wanted))
    found = {str(user.pk) for user in people}
    return [_outcome(one, found) for one in named]


def _outcome(user_id: str, found: set[str]) -> Outcome:
    if user_id in found:
        return Outcome(user_id, ok=True)
    return Outcome(user_id, ok=False, code=NotFound.code, message=_("There is nobody with this id."))


def _change_limits(actor: User, people: list[User], wanted: Mapping[str, Any]) -> list[UUID]:
    """Returns whose limits were different."""
    changed = []
    for user in people:
        old = {name: getattr(user, name) for name in wanted if getattr(user, name) != wanted[name]}
        if old:
            changed.append((user, {"old": _as_json(old), "new": _as_json({name: wanted[name] for name in old})}))
    ids = [user.pk for user, _details in changed]
    User.objects.filter(pk__in=ids).update(**wanted)
    audit.record_many(actor, audit.Action.USER_LIMITS_CHANGED, changed)
    return ids


def _checked(limits: Mapping[str, Any]) -> dict[str, Any]:
    """The limits as they are stored."""
    checked = {}
    for name, value in limits.items():
        try:
            if value not in (None, ""):
                CHECKS[name](value)
        except ValidationError as error:
            raise Invalid(error.messages[0], code=error.code or "invalid", field=name) from error
        checked[name] = value or "" if name == "budget_duration" else value
    return checked


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """For the audit log: amounts as decimal strings."""
    return {name: f"{value.normalize():f}" if isinstance(value, Decimal) else value for name, value in values.items()}


# --- Deactivation ----------------------------------------------------------------------------------------------------


def deactivate_user(actor: User, *, user_id: UUID | str, reason: str = "") -> User:
    """Let somebody in no more: sign-ins end, keys are refused at once, by LiteLLM as soon as it answers.

    Keys and personal access tokens stay as they are; that their owner is deactivated blocks them.
    Again changes nothing.
    Raises NotFound, Conflict (own_account, last_admin).
    """
    rbac.require(actor, rbac.Permission.USERS_DEACTIVATE)
    words = validators.sanitize_string(reason, max_length=LONGEST_REASON)
    with transaction.atomic():
        user = locked_person(user_id)
        if not user.is_active:
            return user
        require_dispensable(actor, user)
        User.objects.filter(pk=user.pk).update(is_active=False)
        user.is_active = False
        ended, keys = end_all_sign_ins(actor, user), state.request_pushes_behind(user)
        audit.record(actor, audit.Action.USER_DEACTIVATED, user, reason=words, sign_ins=ended, secrets=keys)
    return user


def require_dispensable(actor: User, user: User) -> None:
    """Raise Conflict for oneself (own_account) and for the last administrator (last_admin)."""
    if user.pk == actor.pk:
        message = _("This is your own account. Another administrator can deactivate it.")
        raise Conflict(message, code="own_account")
    require_another_admin(user)


def reactivate_user(actor: User, *, user_id: UUID | str, reason: str = "") -> User:
    """Let somebody in again, by a new sign-in. Keys that worked before work again, blocked ones stay blocked.

    Again changes nothing. Raises NotFound.
    """
    rbac.require(actor, rbac.Permission.USERS_DEACTIVATE)
    words = validators.sanitize_string(reason, max_length=LONGEST_REASON)
    with transaction.atomic():
        user = locked_person(user_id)
        if user.is_active:
            return user
        User.objects.filter(pk=user.pk).update(is_active=True)
        user.is_active = True
        audit.record(
            actor, audit.Action.USER_REACTIVATED, user, reason=words, secrets=state.request_pushes_behind(user)
        )
    return user


# --- Several at once -------------------------------------------------------------------------------------------------


def update_user(
    actor: User,
    *,
    user_id: UUID | str,
    roles: list[str] | None = None,
    is_active: bool | None = None,
    reason: str = "",
    **limits: Unpack[PersonLimits],
) -> User:
    """Change roles, limits and whether somebody is active: all of it, or nothing where one is refused.

    None leaves roles and activity as they are. Raises what the verbs for each of them raise.
    """
    rbac.require(actor, rbac.Permission.USERS_UPDATE)
    with transaction.atomic():
        locked_person(user_id)
        if is_active is True:
            reactivate_user(actor, user_id=user_id, reason=reason)
        if roles is not None:
            identities.set_roles(actor, user_id=user_id, roles=roles)
        if limits:
            set_limits(actor, user_id=user_id, **limits)
        if is_active is False:
            deactivate_user(actor, user_id=user_id, reason=reason)
    return User.objects.get(pk=user_id)
