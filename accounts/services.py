"""The verbs about one's own account: sign in with a password, change the profile."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import FULL_NAME_LENGTH, FailedSignIn, User
from litemaas.foundation.errors import Invalid, NotAuthenticated, PermissionDenied, RateLimited
from litemaas.foundation.locks import advisory_lock

FAILED_WINDOW = timedelta(minutes=15)
FAILED_PER_ACCOUNT = 5
FAILED_PER_ADDRESS = 100


def sign_in_with_password(*, username: str, password: str, address: str) -> User:
    """The active person with this password.

    Raises NotAuthenticated without telling whether the name exists, RateLimited after five wrong passwords for an
    account (a hundred from an address) in 15 minutes, PermissionDenied where passwords are switched off.
    """
    if not settings.PASSWORD_SIGN_IN:
        raise PermissionDenied(_("Signing in with a password is switched off here."), code="password_sign_in_disabled")
    account = username.strip().lower()[:150]
    _refuse_guessing(account, address)
    user = authenticate(username=username.strip(), password=password)
    with transaction.atomic():
        # Guesses at the same moment have all passed the first look; here they queue up, and only five are answered.
        # A name that nobody has needs the lock too, so no row can be it.
        advisory_lock(f"sign-in {account}")
        _refuse_guessing(account, address)
        if isinstance(user, User):
            FailedSignIn.objects.filter(account=account).delete()
            audit.record(user, audit.Action.SIGN_IN_SUCCEEDED, user, method="password")
            return user
        FailedSignIn.objects.create(account=account, address=address)
        audit.record(None, audit.Action.SIGN_IN_FAILED, success=False, actor_name=account, reason="wrong_password")
    raise NotAuthenticated(_("This name and password do not belong together."), code="wrong_credentials")


def sign_out(actor: User) -> None:
    """Note that somebody left; ending the session itself is the caller's, who has the request."""
    audit.record(actor, audit.Action.SIGN_OUT_SUCCEEDED, actor)


def _refuse_guessing(account: str, address: str) -> None:
    recent = FailedSignIn.objects.filter(at__gt=timezone.now() - FAILED_WINDOW)
    too_many = (
        recent.filter(account=account).count() >= FAILED_PER_ACCOUNT
        or recent.filter(address=address).count() >= FAILED_PER_ADDRESS
    )
    if too_many:
        seconds = int(FAILED_WINDOW.total_seconds())
        raise RateLimited(_("Too many wrong passwords. Try again in 15 minutes."), retry_after=seconds)


def forget_old_failures() -> int:
    """Remove failed sign-ins that no longer count. Returns how many."""
    return FailedSignIn.objects.filter(at__lt=timezone.now() - FAILED_WINDOW).delete()[0]


def update_profile(actor: User, *, full_name: str) -> User:
    """Change how a person is called; everything else about a person comes from the identity provider or admins."""
    rbac.require(actor, rbac.Permission.PROFILE_WRITE, actor)
    full_name = full_name.strip()
    if len(full_name) > FULL_NAME_LENGTH:
        raise Invalid(_("This name is too long."), field="full_name")
    if full_name == actor.full_name:
        return actor
    with transaction.atomic():
        old, actor.full_name = actor.full_name, full_name
        actor.save(update_fields=["full_name"])
        audit.record(actor, audit.Action.PROFILE_CHANGED, actor, old={"full_name": old}, new={"full_name": full_name})
    return actor
