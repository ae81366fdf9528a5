"""The verbs about one's own account: sign in with a password, change the profile."""

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit, rbac
from accounts.models import FULL_NAME_LENGTH, FailedSignIn, User
from litemaas.foundation import preferences, rate_limits
from litemaas.foundation.addresses import network
from litemaas.foundation.errors import Invalid, NotAuthenticated, PermissionDenied, RateLimited
from litemaas.foundation.locks import advisory_lock


def sign_in_with_password(*, username: str, password: str, address: str) -> User:
    """The active person with this password.

    Raises NotAuthenticated without telling whether the name exists, RateLimited after too many wrong passwords for an
    account (password_account) or from an address (password_address), PermissionDenied where passwords are switched off.
    """
    if not settings.PASSWORD_SIGN_IN:
        raise PermissionDenied(_("Signing in with a password is switched off here."), code="password_sign_in_disabled")
    account, asker = username.strip().lower()[:150], network(address)
    _refuse_guessing(account, asker)
    user = authenticate(username=username.strip(), password=password)
    with transaction.atomic():
        # Guesses at the same moment have all passed the first look; here they queue up, and only five are answered.
        # A name that nobody has needs the lock too, so no row can be it.
        advisory_lock(f"sign-in {account}")
        _refuse_guessing(account, asker)
        if isinstance(user, User):
            FailedSignIn.objects.filter(account=account).delete()
            audit.record(user, audit.Action.SIGN_IN_SUCCEEDED, user, method="password")
            return user
        FailedSignIn.objects.create(account=account, address=asker)
        tries = FailedSignIn.objects.filter(account=account, at__gt=_start_of_period("password_account")).count()
        facts: dict[str, Any] = {"method": "password", "reason": "wrong_password", "tries": tries}
        audit.record(None, audit.Action.SIGN_IN_FAILED, success=False, actor_name=account, **facts)
    raise NotAuthenticated(_("This name and password do not belong together."), code="wrong_credentials")


def sign_out(actor: User) -> None:
    """Note that somebody left; ending the session itself is the caller's, who has the request."""
    audit.record(actor, audit.Action.SIGN_OUT_SUCCEEDED, actor)


def _refuse_guessing(account: str, asker: str) -> None:
    """Raise RateLimited when there were too many wrong passwords, for the account or from the address.

    They are rows, not a count: the period slides, so that it is never more than five in any quarter of an hour.
    """
    waits = []
    for name, column, value in (("password_account", "account", account), ("password_address", "address", asker)):
        allowed, since = rate_limits.limit(name), _start_of_period(name)
        recent = FailedSignIn.objects.filter(**{column: value}, at__gt=since).order_by("-at")
        if allowed.count is not None and (last := recent[allowed.count - 1 : allowed.count].first()):
            waits.append(max(1, ceil((last.at - since).total_seconds())))
    if waits:
        minutes = ceil(max(waits) / 60)
        words = ngettext(
            "Too many wrong passwords. Try again in %(minutes)s minute.",
            "Too many wrong passwords. Try again in %(minutes)s minutes.",
            minutes,
        )
        raise RateLimited(words % {"minutes": minutes}, retry_after=max(waits))


def _start_of_period(name: str) -> datetime:
    return timezone.now() - timedelta(seconds=rate_limits.limit(name).seconds)


def forget_old_failures() -> int:
    """Remove failed sign-ins that no longer count. Returns how many."""
    oldest = min(_start_of_period("password_account"), _start_of_period("password_address"))
    return FailedSignIn.objects.filter(at__lt=oldest).delete()[0]


def update_profile(
    actor: User, *, full_name: str | None = None, language: str | None = None, time_zone: str | None = None
) -> User:
    """Change how a person is called, and in which language and time zone pages speak; None leaves a value alone.

    Empty is the browser's language, and UTC. Everything else about a person comes from the identity provider or admins.
    Raises Invalid for a name that is too long, and for a language or a zone that there is not; RateLimited.
    """
    rbac.require(actor, rbac.Permission.PROFILE_WRITE, actor)
    wanted = {"full_name": _full_name(full_name), "language": _language(language), "time_zone": _time_zone(time_zone)}
    new = {name: value for name, value in wanted.items() if value is not None and value != getattr(actor, name)}
    if not new:
        return actor
    rate_limits.spend("profile_changes", actor.pk)
    with transaction.atomic():
        old = {name: getattr(actor, name) for name in new}
        for name, value in new.items():
            setattr(actor, name, value)
        actor.save(update_fields=list(new))
        audit.record(actor, audit.Action.PROFILE_CHANGED, actor, old=old, new=new)
    return actor


def _full_name(typed: str | None) -> str | None:
    if typed is not None and len(typed.strip()) > FULL_NAME_LENGTH:
        raise Invalid(_("This name is too long."), field="full_name")
    return None if typed is None else typed.strip()


def _language(code: str | None) -> str | None:
    if code and code not in preferences.languages():
        message = _("The languages are: %(languages)s.") % {"languages": ", ".join(preferences.languages())}
        raise Invalid(message, field="language")
    return code


def _time_zone(typed: str | None) -> str | None:
    if not typed or not typed.strip():
        return None if typed is None else ""
    name = preferences.zone_called(typed)
    if name is None:
        message = _("There is no time zone of this name. Choose one from the list, such as Europe/Berlin.")
        raise Invalid(message, field="time_zone")
    return name
