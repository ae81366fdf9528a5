"""One try to sign in through a provider: what ties the answer to the browser that left for the provider.

The session holds who the browser is, so a state that another browser began is unknown here; each is good for one
answer. The attempts themselves are rows: two tabs that leave at the same moment would overwrite one another's session.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from mozilla_django_oidc.utils import generate_code_challenge

from accounts import provider_http
from accounts.ways_in import SignInAttempt
from litemaas.foundation import crypto
from litemaas.foundation.errors import DomainError, Malformed, NotAuthenticated, PermissionDenied
from litemaas.foundation.providers import Provider

# Which browser it is, in its session; it stays the same when the session gets a new key at the sign-in.
BROWSER: Final = "sign_in_browser"
# Tabs that one browser may have at providers at the same time; the oldest has to begin anew.
MOST: Final = 20
# People look for their second factor meanwhile.
LIFETIME: Final = timedelta(minutes=15)
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
    """A new attempt of this browser."""
    attempt = Attempt(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri(request, provider),
        back=back,
        prompt=prompt,
    )
    if BROWSER not in request.session:
        request.session[BROWSER] = secrets.token_urlsafe(32)
    browser = crypto.secret_digest(request.session[BROWSER])
    kept = [attempt.nonce, attempt.code_verifier, attempt.redirect_uri, attempt.back, attempt.prompt]
    sealed, digest = str(crypto.encrypt(json.dumps(kept))), crypto.secret_digest(attempt.state)
    SignInAttempt.objects.create(state=digest, browser=browser, provider=provider.name, sealed=sealed)
    newest = SignInAttempt.objects.filter(browser=browser).order_by("-begun_at")
    SignInAttempt.objects.filter(pk__in=list(newest.values_list("pk", flat=True)[MOST:])).delete()
    return attempt


def redirect_uri(request: HttpRequest, provider: Provider) -> str:
    """Where the provider sends people back to; each has its own, so none can answer for another (RFC 9700, 4.4)."""
    return request.build_absolute_uri(reverse("sign-in-callback", kwargs={"name": provider.name}))


def take(session: SessionBase, provider: Provider, state: str) -> Attempt:
    """The attempt that an answer belongs to, which is spent by it, before anybody is asked.

    Raises Malformed when this browser began none with this state, and when it took too long.
    """
    browser = crypto.secret_digest(str(session.get(BROWSER, "")))
    found = SignInAttempt.objects.filter(state=crypto.secret_digest(state), browser=browser, provider=provider.name)
    attempt = found.first()
    # Of two answers at the same moment one deletes the row, and the other finds none.
    if attempt is None or not found.delete()[0]:
        message = _("This answer does not belong to a sign-in that was begun in this browser.")
        raise Malformed(message, code="sign_in_unknown")
    if attempt.begun_at < timezone.now() - LIFETIME:
        raise Malformed(_("The sign-in took too long."), code="sign_in_expired")
    try:
        kept: list[str] = json.loads(crypto.decrypt(attempt.sealed))
    except crypto.DecryptionFailed as error:  # the key was changed meanwhile
        raise Malformed(_("The sign-in took too long."), code="sign_in_expired") from error
    return Attempt(state, *kept)


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
