"""Signing in through a provider, put together: what it says about somebody → a person with a team → roles, teams.

Also the way in for the first administrator, who may come before any provider is set up.
"""

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts import attempts, audit, identities, oidc, openshift
from accounts.attempts import Attempt
from accounts.claims import Claims
from accounts.models import Role, User
from accounts.oidc import Proof
from accounts.personal_tokens import revoke_personal_tokens
from accounts.sessions import end_all_sign_ins
from litemaas.foundation.errors import Conflict, DomainError, NotFound, PermissionDenied
from litemaas.foundation.locks import advisory_lock
from litemaas.foundation.providers import OPENSHIFT, Provider
from teams.services import provision_user, set_provider_teams


def provider_called(name: str) -> Provider:
    """The provider of the settings; raises NotFound."""
    found: Provider | None = settings.SIGN_IN_PROVIDERS.get(name)
    if found is None:
        raise NotFound
    return found


# --- The protocols ---------------------------------------------------------------------------------------------------


def leave_for(request: HttpRequest, provider: Provider, *, back: str, prompt: str = "") -> str:
    """Begin an attempt in this browser; returns the provider's address to go to. Raises ProviderUnavailable."""
    attempt = attempts.begin(request, provider, back=back, prompt=prompt)
    if provider.kind == OPENSHIFT:
        return openshift.authorization_url(provider, attempt)
    return oidc.authorization_url(provider, attempt)


def prove(provider: Provider, attempt: Attempt, code: str, *, issuer: str = "") -> Proof:
    """Who came back with ``code``; raises DomainError for every way in which that can fail."""
    if provider.kind == OPENSHIFT:
        return openshift.prove(provider, attempt, code)
    return oidc.prove(provider, attempt, code, issuer=issuer)


def come_back(
    provider: Provider, attempt: Attempt, code: str, *, issuer: str = "", signed_in: User | None = None
) -> tuple[User, Proof]:
    """The person who came back with ``code`` and what proved it. A failure is audited, then raised (DomainError).

    ``signed_in`` is whose session the browser has: a silent attempt that finds the same person confirms it.
    """
    claims: Claims | None = None
    try:
        proof = prove(provider, attempt, code, issuer=issuer)
        claims = proof.claims
        return sign_in_through(provider, claims, confirmed=signed_in if attempt.silent else None), proof
    except DomainError as error:
        note_failure(provider, error, claims)
        raise


# --- The person ------------------------------------------------------------------------------------------------------


def sign_in_through(provider: Provider, claims: Claims, *, confirmed: User | None = None) -> User:
    """The person whom the provider means, made if there is none, with the roles and teams of today's groups.

    One transaction: nobody exists without a team, and LiteLLM is only queued for. That the session of ``confirmed``
    lives on is no sign-in, so it is not recorded as one; what it changes is. Raises PermissionDenied for people who are
    deactivated or not in the required group, Conflict when somebody else has the name.
    """
    if provider.required_group and provider.required_group not in claims.groups:
        _shut_out(provider, claims)
        message = _("%(provider)s did not list you in the group that may use this portal.")
        raise PermissionDenied(message % {"provider": provider.label}, code="group_required")
    with transaction.atomic():
        # Two tabs of a newcomer at once: the second finds the person whom the first made.
        advisory_lock(f"identity {claims.issuer} {claims.subject}")
        user = identities.person_behind(claims, link_by_email=provider.link_by_email) or _newcomer(claims)
        if not user.is_active:
            raise PermissionDenied(_("Your account in this portal is deactivated."), code="account_deactivated")
        is_first = not user.identities.exists()
        identities.note_sign_in(user, claims)
        identities.update_from_claims(user, claims)
        if is_first and _is_initial_admin(provider, claims):
            identities.grant(None, user, Role.ADMIN)
        _follow_groups(user, provider, claims)
        if user != confirmed:
            audit.record(user, audit.Action.SIGN_IN_SUCCEEDED, user, method=provider.kind, provider=provider.name)
    return user


def _follow_groups(user: User, provider: Provider, claims: Claims) -> None:
    """Roles and teams as today's groups say."""
    given = {role for group, role in provider.roles.items() if group in claims.groups}
    identities.set_provider_roles(user, given, provider=provider.name)
    set_provider_teams(user, {team for group, team in provider.teams.items() if group in claims.groups})


def _shut_out(provider: Provider, claims: Claims) -> None:
    """Take from somebody who has left the required group what the groups gave, and every way in that is open still.

    Its own transaction: the refusal that follows must not undo it. Keys stay; ending those is the administrators'.
    """
    with transaction.atomic():
        advisory_lock(f"identity {claims.issuer} {claims.subject}")
        user = identities.person_behind(claims, link_by_email=False)
        if user is None:
            return
        _follow_groups(user, provider, claims)
        end_all_sign_ins(None, user)
        revoke_personal_tokens(None, user)


def _newcomer(claims: Claims) -> User:
    try:
        return provision_user(
            None,
            username=claims.username,
            email=claims.email,
            email_verified=claims.email_verified,
            full_name=claims.full_name,
        )
    except Conflict as error:
        message = _("There is somebody else with the user name “%(name)s” in this portal.") % {"name": claims.username}
        raise Conflict(message, code="username_taken") from error


def _is_initial_admin(provider: Provider, claims: Claims) -> bool:
    """By the provider's id, or by an address that it confirms: anybody can type an address somewhere."""
    named = {one.lower() for one in provider.initial_admins if "@" in one}
    by_email = claims.email_verified and claims.email.lower() in named
    return claims.subject in provider.initial_admins or by_email


def note_failure(provider: Provider, error: DomainError, claims: Claims | None = None) -> None:
    """Write a failed sign-in into the audit log: who it was, where that is known, and why; never code or token."""
    audit.record(
        None,
        audit.Action.SIGN_IN_FAILED,
        success=False,
        actor_name=claims.username if claims else "",
        method=provider.kind,
        provider=provider.name,
        subject=claims.subject if claims else "",
        reason=error.code,
        cause=str(error.details.get("reason", "")),
    )


# --- The first administrator -----------------------------------------------------------------------------------------


def make_admin(username: str, *, email: str = "", password: str | None = None) -> tuple[User, bool]:
    """The person of that name as an administrator, and whether the person was made for it.

    The role is given by hand, so no provider's groups take it away. Raises Conflict for a deactivated account.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().filter(username__iexact=username).first()
        if user is None:
            return provision_user(None, username=username, email=email, roles=[Role.ADMIN], password=password), True
        if not user.is_active:
            raise Conflict(_("This account is deactivated."), code="account_is_deactivated")
        identities.grant(None, user, Role.ADMIN)
    return user, False
