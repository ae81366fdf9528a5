"""How the bench speaks for somebody: an access token, a personal access token, or the cookie of a session."""

from datetime import timedelta
from typing import Final

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils import timezone

from accounts.models import PersonalToken, User
from accounts.session_store import SessionStore
from accounts.tokens import generate_token_pair
from accounts.ways_in import TokenScope
from litemaas.foundation import crypto
from tests.performance import data

FACES: Final = ("token", "session", "personal", "page")


def headers_of(i: int | None) -> dict[str, dict[str, str]]:
    """Face -> the headers that user ``i`` sends; nobody sends none, and through one face only."""
    if i is None:
        return {"token": {}}
    user = User.objects.get(pk=data.user_id(i))
    session = _session(user)
    # Whatever the server calls it: over plain HTTP the name has no prefix.
    cookie = {"Cookie": f"sessionid={session}; __Host-sessionid={session}"}
    return {"token": bearer(user), "session": cookie, "personal": _personal(user), "page": cookie}


def bearer(user: User) -> dict[str, str]:
    """An access token, as a sign-in gives it."""
    return {"Authorization": f"Bearer {generate_token_pair(user).access}"}


def _personal(user: User) -> dict[str, str]:
    """Past the verb, which lets nobody have as many tokens as there are questions."""
    secret = crypto.new_personal_token()
    PersonalToken.objects.create(
        user=user,
        name="bench",
        digest=crypto.secret_digest(secret),
        last4=secret[-4:],
        scope=TokenScope.WRITE,
        expires_at=timezone.now() + timedelta(days=1),
        last_used_at=timezone.now(),  # the first use writes it down
    )
    return {"Authorization": f"Bearer {secret}"}


def _session(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)
