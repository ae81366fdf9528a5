"""The verbs about one's own account: sign in with a password, change the profile."""

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import AllowAllUsersModelBackend
from django.db import transaction
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
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
    account (password_account) or from an address (password_address), PermissionDenied where passwords are switched off,
    and (account_deactivated) for whoever knows the password of an account that is.
    """
    if not settings.PASSWORD_SIGN_IN:
        raise PermissionDenied(_("Signing in with a password is switched off here."), code="password_sign_in_disabled")
    account, asker = _account(username), network(address)
    _refuse_guessing(account, _spent(account, asker))
    # Whether the account is active is asked below: its own person shall be told.
    user = AllowAllUsersModelBackend().authenticate(None, username=username.strip(), password=password)
    with transaction.atomic():
        # Guesses at the same moment have all passed the first look; here they queue up, and only so many are answered.
        # A name that nobody has needs the lock too, so no row can be it; in this order, so that nobody waits in a ring.
        advisory_lock(f"sign-in {account}")
        advisory_lock(f"sign-in from {asker}")
        spent = _spent(account, asker)
        if not spent and isinstance(user, User) and user.is_active:
            FailedSignIn.objects.filter(account=account).delete()
            audit.record(user, audit.Action.SIGN_IN_SUCCEEDED, user, method="password")
            return user
        if not spent and user is None:
            _note_wrong_password(account, asker)
    _refuse_guessing(account, spent)
    if user is not None:
        _note_refusal(account, "account_deactivated", subject=account)
        raise PermissionDenied(_("Your account in this portal is deactivated."), code="account_deactivated")
    raise NotAuthenticated(_("This name and password do not belong together."), code="wrong_credentials")


def _account(username: str) -> str:
    """Under which name tries are counted and recorded. What nobody is called may be a password in the wrong field.

    So that is written as a keyed digest, by which entries about the same one are found.
    """
    typed = username.strip().lower()[:150]
    if User.objects.alias(lower_name=Lower("username")).filter(lower_name=typed).exists():
        return typed
    return f"unknown {salted_hmac('accounts.unknown_account', typed, algorithm='sha256').hexdigest()[:16]}"


def _note_wrong_password(account: str, asker: str) -> None:
    FailedSignIn.objects.create(account=account, address=asker)
    tries = FailedSignIn.objects.filter(account=account, at__gt=_start_of_period("password_account")).count()
    facts: dict[str, Any] = {"method": "password", "reason": "wrong_password", "tries": tries}
    audit.record(None, audit.Action.SIGN_IN_FAILED, success=False, actor_name=account, **facts)


def _note_refusal(account: str, reason: str, *, subject: str) -> None:
    """Record a refusal that no count of wrong passwords bounds: once a period for each reason and subject."""
    if rate_limits.allows("password_refusals_recorded", f"{reason} {subject}"):
        facts: dict[str, Any] = {"method": "password", "reason": reason}
        audit.record(None, audit.Action.SIGN_IN_FAILED, success=False, actor_name=account, **facts)


def sign_out(actor: User) -> None:
    """Note that somebody left; ending the session itself is the caller's, who has the request."""
    audit.record(actor, audit.Action.SIGN_OUT_SUCCEEDED, actor)


def _refuse_guessing(account: str, spent: dict[str, int]) -> None:
    """Raise RateLimited when the account or the address has no try left; outside of transactions, for it records it."""
    if not spent:
        return
    for subject in spent:
        _note_refusal(account, RateLimited.code, subject=subject)
    seconds = max(spent.values())
    minutes = ceil(seconds / 60)
    words = ngettext(
        "Too many wrong passwords. Try again in %(minutes)s minute.",
        "Too many wrong passwords. Try again in %(minutes)s minutes.",
        minutes,
    )
    raise RateLimited(words % {"minutes": minutes}, retry_after=seconds)


def _spent(account: str, asker: str) -> dict[str, int]:
    """Who has no try left, the account or the address, and for how many seconds.

    They are rows, not a count: the period slides, so that it is never more than five in any quarter of an hour.
    """
    waits = {}
    for name, column, value in (("password_account", "account", account), ("password_address", "address", asker)):
        allowed, since = rate_limits.limit(name), _start_of_period(name)
        recent = FailedSignIn.objects.filter(**{column: value}, at__gt=since).order_by("-at")
        if allowed.count is not None and (last := recent[allowed.count - 1 : allowed.count].first()):
            waits[f"{column} {value}"] = max(1, ceil((last.at - since).total_seconds()))
    return waits


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
