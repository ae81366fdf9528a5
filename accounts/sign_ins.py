"""The one place where everything ends by which somebody is signed in, on every way into the product."""

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import RefreshFamily, User


def count_sign_ins(user: User) -> int:
    """How many ways in are open to the person at this moment."""
    return len(_sessions(user)) + _families(user).count()


def end_sign_ins(user: User) -> int:
    """End sessions of browsers and of programs, in the caller's transaction; returns how many there were.

    A deactivated person is refused without this too. But what has not ended would be good again after a reactivation.
    """
    ended, _tables = Session.objects.filter(pk__in=_sessions(user)).delete()
    return ended + _families(user).update(revoked_at=timezone.now())


def _families(user: User) -> QuerySet[RefreshFamily]:
    return RefreshFamily.objects.filter(user=user, revoked_at=None, expires_at__gt=timezone.now())


def _sessions(user: User) -> list[str]:
    """The keys of the person's sessions; whose a session is stands inside of it, so all that are alive are read."""
    alive = Session.objects.filter(expire_date__gt=timezone.now())
    return [one.session_key for one in alive.iterator() if one.get_decoded().get(SESSION_KEY) == str(user.pk)]
