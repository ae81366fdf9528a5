"""What a session here knows of the provider's: which it was, when to have it confirmed, how to end it."""

import time
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import oidc
from litemaas.foundation import crypto
from litemaas.foundation.errors import NotAuthenticated
from litemaas.foundation.providers import OIDC, Provider

KEY: Final = "provider"
LINK: Final = "provider_sign_out"
# When the provider was away as its session was to be confirmed.
LATER_SECONDS: Final = 60


def remember(session: SessionBase, provider: Provider, id_token: str) -> None:
    """Note how the session was begun, or that the provider has just confirmed it. The token is kept encrypted."""
    wait = provider.renew_minutes * 60 if provider.kind == OIDC else 0
    session[KEY] = {
        "name": provider.name,
        "id_token": str(crypto.encrypt(id_token)) if id_token else "",
        "renew_at": time.time() + wait if wait else None,
    }
    forget_link(session)


def forget_link(session: SessionBase) -> None:
    """Remove what keep_link() kept."""
    session.pop(LINK, None)


def due(session: SessionBase) -> str:
    """The name of the provider that is to be asked now to confirm its session, else ""."""
    return "" if session.get(KEY, {}).get("ask_at", 0) > time.time() else _unconfirmed(session)


def _unconfirmed(session: SessionBase) -> str:
    kept: dict[str, Any] = session.get(KEY, {})
    at, name = kept.get("renew_at"), str(kept.get("name", ""))
    return name if at is not None and at < time.time() and name in settings.SIGN_IN_PROVIDERS else ""


def require_confirmed(session: SessionBase) -> None:
    """Raise NotAuthenticated when the provider should have confirmed its session more than RENEWAL_GRACE ago.

    A page goes and asks; a form or a program cannot, and must not go on for hours without anybody having asked.
    """
    at = session.get(KEY, {}).get("renew_at")
    if _unconfirmed(session) and at < time.time() - settings.RENEWAL_GRACE.total_seconds():
        message = _("Your sign-in has to be confirmed. Open any page of the portal in this browser, then try again.")
        raise NotAuthenticated(message, code="session_unconfirmed")


def postpone(session: SessionBase) -> None:
    """Ask again in a minute: the provider's being away ends nobody's session."""
    if KEY in session:
        session[KEY] = session[KEY] | {"renew_at": time.time() + LATER_SECONDS}


def ask_later(session: SessionBase) -> None:
    """Ask again in a minute, because it was asked too often. Only the provider's being away gives more time than that.

    Raises NotAuthenticated when the confirmation is long overdue: asking without end must not take its place.
    """
    require_confirmed(session)
    session[KEY] = session[KEY] | {"ask_at": time.time() + LATER_SECONDS}


def sign_out_link(request: HttpRequest) -> dict[str, str]:
    """The provider's label and the address where its session is ended; empty if there is none."""
    kept: dict[str, Any] = request.session.get(KEY, {})
    provider: Provider | None = settings.SIGN_IN_PROVIDERS.get(kept.get("name", ""))
    if provider is None or provider.kind != OIDC:
        return {}
    try:
        id_token = crypto.decrypt(kept["id_token"]) if kept.get("id_token") else ""
    except crypto.DecryptionFailed:  # the key was changed meanwhile; the provider asks the person instead
        id_token = ""
    url = oidc.sign_out_url(provider, id_token, request.build_absolute_uri(reverse("sign-in")))
    return {"label": provider.label, "url": url} if url else {}


def keep_link(session: SessionBase, link: dict[str, str]) -> None:
    """For the page after the sign-out; encrypted, for it holds the token."""
    session[LINK] = link | {"url": str(crypto.encrypt(link["url"]))}


def kept_link(session: SessionBase) -> dict[str, str]:
    """What keep_link() kept, readable; empty if there is nothing."""
    kept: dict[str, str] = session.get(LINK, {})
    try:
        return kept | {"url": crypto.decrypt(kept["url"])} if kept else {}
    except crypto.DecryptionFailed:
        return {}
