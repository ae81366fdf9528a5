"""How the bench speaks for somebody: an access token, or the cookie of a session."""

from typing import Final

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from accounts.models import User
from accounts.session_store import SessionStore
from accounts.tokens import generate_token_pair
from tests.performance import data

FACES: Final = ("token", "session", "page")


def headers_of(i: int | None) -> dict[str, dict[str, str]]:
    """Face -> the headers that user ``i`` sends; nobody sends none, and through one face only."""
    if i is None:
        return {"token": {}}
    user = User.objects.get(pk=data.user_id(i))
    cookie = {"Cookie": f"sessionid={_session(user)}"}
    return {"token": bearer(user), "session": cookie, "page": cookie}


def bearer(user: User) -> dict[str, str]:
    """An access token, as a sign-in gives it."""
    return {"Authorization": f"Bearer {generate_token_pair(user).access}"}


def _session(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)
