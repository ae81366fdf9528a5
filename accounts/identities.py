"""The verbs about how people are known to providers, and about the two sources of their roles."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac, sessions
from accounts.claims import SUBJECT_LENGTH, Claims
from accounts.models import Identity, Role, User
from litellm_sync import state
from litemaas.foundation.errors import Conflict, Invalid, NotFound
from litemaas.foundation.locks import advisory_lock

log = structlog.get_logger(__name__)


def person_behind(claims: Claims, *, link_by_email: bool) -> User | None:
    """The person whom a provider means, locked for the caller's transaction; None for a stranger.

    It goes by issuer and subject. By e-mail only where ``link_by_email`` says so, the provider confirms the address,
    ours is confirmed too (else whoever typed it first would get in), exactly one account has it, and that account is
    not known to this provider as somebody else.
    """
    people = User.objects.select_for_update(of=("self",))
    known = people.filter(identities__issuer=claims.issuer, identities__subject=claims.subject).first()
    if known or not (link_by_email and claims.email and claims.email_verified):
        return known
    same = people.filter(email__iexact=claims.email, email_verified=True)
    found = list(same.exclude(identities__issuer=claims.issuer)[:2])
    return found[0] if len(found) == 1 else None


def note_sign_in(user: User, claims: Claims) -> bool:
    """Remember when somebody was here last; True when the provider's id for the person is new, and is linked by it."""
    now = timezone.now()
    seen = Identity.objects.filter(user=user, issuer=claims.issuer, subject=claims.subject)
    if seen.update(last_sign_in_at=now, provider=claims.provider):
        return False
    link(None, user, provider=claims.provider, issuer=claims.issuer, subject=claims.subject)
    seen.update(last_sign_in_at=now)
    return True


def link(actor: User | None, user: User, *, provider: str, issuer: str, subject: str) -> Identity:
    """Let somebody in as ``user`` whom a provider knows by ``subject``; ``actor`` None is the system.

    Raises Conflict when that is somebody else already.
    """
    if actor is not None:
        rbac.require(actor, rbac.Permission.USERS_LINK)
    with transaction.atomic():
        advisory_lock(f"identity {issuer} {subject}")
        known = Identity.objects.filter(issuer=issuer, subject=subject).first()
        if known and known.user_id != user.pk:
            raise Conflict(_("The provider knows somebody else by this id."), code="identity_taken")
        if known:
            return known
        made = Identity.objects.create(user=user, provider=provider, issuer=issuer, subject=subject)
        audit.record(actor, audit.Action.IDENTITY_LINKED, user, provider=provider, issuer=issuer, subject=subject)
    return made


def link_identity(actor: User, *, user_id: UUID | str, provider: str, subject: str) -> Identity:
    """Let somebody in who is known to a provider of the settings by ``subject``; again changes nothing.

    Raises NotFound for a person who does not exist, Invalid (unknown_provider, no_subject), Conflict (identity_taken).
    """
    rbac.require(actor, rbac.Permission.USERS_LINK)
    found, known_as = settings.SIGN_IN_PROVIDERS.get(provider), subject.strip()
    if found is None:
        raise Invalid(_("There is no such sign-in service."), code="unknown_provider", field="provider")
    if not 1 <= len(known_as) <= SUBJECT_LENGTH or "\0" in known_as:
        message = _("Give the id by which the service knows the person: 1 to %(number)s characters.")
        raise Invalid(message % {"number": SUBJECT_LENGTH}, code="no_subject", field="subject")
    with transaction.atomic():
        # As signing in does: first the identity, then the person.
        advisory_lock(f"identity {found.issuer} {known_as}")
        user = locked_person(user_id)
        return link(actor, user, provider=found.name, issuer=found.issuer, subject=known_as)


def unlink_identity(actor: User, *, user_id: UUID | str, identity_id: int) -> None:
    """Let nobody in as this person any more whom a provider knows by this id, and end the person's sign-ins.

    With the last identity go the roles that providers have given: nobody would take them away any more.
    Raises NotFound, Conflict (last_admin) where the last administrator would be left without an identity.
    """
    rbac.require(actor, rbac.Permission.USERS_LINK)
    with transaction.atomic():
        user = locked_person(user_id)
        rows = Identity.objects.filter(user=user)
        gone = rows.filter(pk=identity_id).first()
        if gone is None:
            raise NotFound
        rows.filter(pk=identity_id).delete()
        is_last = not rows.exists()
        if is_last:
            require_another_admin(user)
        about: dict[str, Any] = {"provider": gone.provider, "issuer": gone.issuer, "subject": gone.subject}
        ended = sessions.end_all_sign_ins(actor, user)
        audit.record(actor, audit.Action.IDENTITY_UNLINKED, user, **about, sign_ins=ended)
        if is_last:
            _set_roles(actor, user, hand=user.hand_roles, given=[], source=gone.provider)


def update_from_claims(user: User, claims: Claims) -> None:
    """Take over what the provider says about the person: the address, and the full name while there is none."""
    new: dict[str, object] = {}
    if claims.email and (claims.email, claims.email_verified) != (user.email, user.email_verified):
        # An address that we know to be right stays so when another provider says the same without confirming it.
        same = claims.email.lower() == user.email.lower()
        new = {"email": claims.email, "email_verified": claims.email_verified or (same and user.email_verified)}
    if claims.full_name and not user.full_name:
        new["full_name"] = claims.full_name
    changed = {name: value for name, value in new.items() if getattr(user, name) != value}
    if not changed:
        return
    with transaction.atomic():
        old = user.email
        User.objects.filter(pk=user.pk).update(**changed)
        for name, value in changed.items():
            setattr(user, name, value)
        if "email" in changed:
            audit.record(user, audit.Action.USER_EMAIL_CHANGED, user, old=old, new=user.email, provider=claims.provider)
            state.request_push(user, immediately=False)


def set_provider_roles(user: User, roles: Iterable[str], *, provider: str) -> None:
    """What the provider's groups give somebody now; what they gave before is forgotten."""
    given = [role.value for role in rbac.PRECEDENCE if role.value in set(roles)]
    _set_roles(None, user, hand=user.hand_roles, given=given, source=provider)


def grant(actor: User | None, user: User, role: Role) -> None:
    """Give somebody a role by hand; ``actor`` None is the system (a command, the list of initial administrators)."""
    if actor is not None:
        rbac.require(actor, rbac.Permission.USERS_GRANT)
    with transaction.atomic():
        _catch_up(user)
        hand = [one.value for one in rbac.PRECEDENCE if one.value in {*user.hand_roles, role.value}]
        _set_roles(actor, user, hand=hand, given=user.provider_roles, source="hand")


def set_roles(actor: User, *, user_id: UUID | str, roles: Iterable[str]) -> User:
    """Let somebody have exactly these roles; what the provider does not give is given by hand. No role is "user".

    The roles that somebody has already change nothing. Raises NotFound, Invalid (unknown_role), Conflict
    (role_from_provider) for a role to be taken away that the provider gives, and (last_admin).
    """
    rbac.require(actor, rbac.Permission.USERS_GRANT)
    wanted = rbac.effective_roles(roles, ())
    if unknown := set(roles) - set(Role.values):
        message = _("There is no such role: %(roles)s.") % {"roles": ", ".join(sorted(unknown))}
        raise Invalid(message, code="unknown_role", field="roles")
    with transaction.atomic():
        user = locked_person(user_id)
        given = user.provider_roles
        if wanted == user.roles == rbac.effective_roles(user.hand_roles, given):
            return user
        if kept := set(given) - set(wanted) - {Role.USER.value}:
            message = _("The sign-in service gives this role: %(roles)s. Take the person out of the group there.")
            names = ", ".join(str(Role(one).label) for one in sorted(kept))
            raise Conflict(message % {"roles": names}, code="role_from_provider", field="roles", roles=sorted(kept))
        if Role.ADMIN.value not in wanted:
            require_another_admin(user)
        hand = [one for one in wanted if one in user.hand_roles or one not in given]
        _set_roles(actor, user, hand=hand, given=given, source="hand")
    return user


def take_all_roles(actor: User, user: User) -> None:
    """Leave somebody, who is locked, no role of either source; the provider's come back with the next sign-in."""
    rbac.require(actor, rbac.Permission.USERS_GRANT)
    _set_roles(actor, user, hand=[], given=[], source="hand")


def require_another_admin(user: User) -> None:
    """Raise Conflict (last_admin) for the last administrator: without one nobody could make one."""
    if is_last_admin(user):
        message = _("This is the last administrator. Make somebody else an administrator first.")
        raise Conflict(message, code="last_admin")


def locked_person(user_id: UUID | str) -> User:
    """The person as it stands now, locked for the caller's transaction. Raises NotFound."""
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


def _catch_up(user: User) -> None:
    """Somebody may have changed the roles since ``user`` was read; from now on nobody can."""
    now = locked_person(user.pk)
    user.roles, user.hand_roles, user.provider_roles = now.roles, now.hand_roles, now.provider_roles


def _set_roles(actor: User | None, user: User, *, hand: list[str], given: list[str], source: str) -> None:
    """Change the sources and what follows from them. The last administrator stays one, until there is another."""
    with transaction.atomic():
        roles = rbac.effective_roles(hand, given)
        if Role.ADMIN.value not in roles and is_last_admin(user):
            log.warning("last_admin_kept", user=str(user.pk), source=source)
            roles = rbac.effective_roles([*hand, Role.ADMIN.value], given)
        if (roles, hand, given) == (user.roles, user.hand_roles, user.provider_roles):
            return
        old = user.roles
        user.roles, user.hand_roles, user.provider_roles = roles, hand, given
        user.save(update_fields=["roles", "hand_roles", "provider_roles"])
        audit.record(
            actor,
            audit.Action.USER_ROLES_CHANGED,
            user,
            old=old,
            new=roles,
            by_hand=hand,
            by_provider=given,
            source=source,
        )


def is_last_admin(user: User) -> bool:
    """Whether somebody is an administrator and nobody else is; asked under a lock, so that two cannot leave at once."""
    if Role.ADMIN.value not in user.roles or not user.is_active:
        return False
    advisory_lock("administrators")
    return not User.objects.admins().exclude(pk=user.pk).exists()
