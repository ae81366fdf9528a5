"""One try to sign in through a provider: what ties the answer to the browser that left for the provider.

The session holds it, so a state that another browser began is unknown here, and each is good for one answer.
"""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from mozilla_django_oidc.utils import add_state_and_verifier_and_nonce_to_session, generate_code_challenge

from accounts import provider_http
from litemaas.foundation.errors import DomainError, Malformed, NotAuthenticated, PermissionDenied
from litemaas.foundation.providers import Provider

# mozilla-django-oidc's own name, whose functions keep at most 50 of them in a session.
STATES: Final = "oidc_states"
# People look for their second factor meanwhile.
LIFETIME_SECONDS: Final = 15 * 60
# Values of prompt: show nothing; ask who it is, although somebody is signed in there.
SILENT: Final = "none"
SOMEBODY_ELSE: Final = "login"
# What a provider says to prompt=none when its own session has ended (OIDC Core, 3.1.2.6).
ENDED: Final = frozenset({"account_selection_required", "consent_required", "interaction_required", "login_required"})
TRANSIENT: Final = frozenset({"server_error", "temporarily_unavailable"})


@dataclass(frozen=True)
class Attempt:
    """``back`` is where the person wanted to go; ``prompt`` what the provider shall show (OIDC Core, 3.1.2.1)."""

    state: str
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)
    redirect_uri: str
    back: str = ""
    prompt: str = ""

    @property
    def silent(self) -> bool:
        """Whether the provider was to show nothing, so that nobody was asked anything."""
        return self.prompt == SILENT

    def parameters(self, provider: Provider) -> dict[str, str]:
        """The query of the authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
        return {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": provider.scopes,
            "state": self.state,
            "code_challenge": generate_code_challenge(self.code_verifier, "S256"),
            "code_challenge_method": "S256",
        }

    def redemption(self, provider: Provider, code: str) -> dict[str, str]:
        """The form that redeems a code. The secret goes into the body: in a header its encoding is read in two ways."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": provider.client_id,
            "code_verifier": self.code_verifier,
        }
        return form | ({"client_secret": provider.client_secret} if provider.client_secret else {})


def begin(request: HttpRequest, provider: Provider, *, back: str, prompt: str = "") -> Attempt:
    """A new attempt, kept in the browser's session."""
    attempt = Attempt(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri(request, provider),
        back=back,
        prompt=prompt,
    )
    sent = {"nonce": attempt.nonce, "code_challenge": "kept with its verifier"}
    add_state_and_verifier_and_nonce_to_session(request, attempt.state, sent, attempt.code_verifier)
    more = {"provider": provider.name, "redirect_uri": attempt.redirect_uri, "back": back, "prompt": prompt}
    request.session[STATES][attempt.state] |= more
    request.session.modified = True
    return attempt


def redirect_uri(request: HttpRequest, provider: Provider) -> str:
    """Where the provider sends people back to; each has its own, so none can answer for another (RFC 9700, 4.4)."""
    return request.build_absolute_uri(reverse("sign-in-callback", kwargs={"name": provider.name}))


def take(session: SessionBase, provider: Provider, state: str) -> Attempt:
    """The attempt that an answer belongs to, which is spent by it: the session is saved before anybody is asked.

    Raises Malformed when this browser began none with this state, and when it took too long.
    """
    states: dict[str, Any] = session.get(STATES, {})
    found = states.get(state)
    if found is None or found.get("provider") != provider.name:
        message = _("This answer does not belong to a sign-in that was begun in this browser.")
        raise Malformed(message, code="sign_in_unknown")
    del states[state]
    session[STATES] = states
    session.save()
    if found["added_on"] < time.time() - LIFETIME_SECONDS:
        raise Malformed(_("The sign-in took too long."), code="sign_in_expired")
    return Attempt(state, found["nonce"], found["code_verifier"], found["redirect_uri"], found["back"], found["prompt"])


def refusal(provider: Provider, error: str) -> DomainError:
    """What a provider's error in the answer means (RFC 6749, 4.1.2.1); its own words could be anybody's."""
    who = {"provider": provider.label}
    if error == "access_denied":
        return PermissionDenied(_("%(provider)s did not let you in.") % who, code="sign_in_denied")
    if error in ENDED:
        message = _("You are not signed in to %(provider)s any more.") % who
        return NotAuthenticated(message, code="provider_session_ended")
    if error in TRANSIENT:
        return provider_http.unavailable(provider, error)
    return provider_http.refused(provider, error)
