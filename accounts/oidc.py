"""OpenID Connect: discovery, the authorization request, the ID token and its checks, user info, sign-out.

mozilla-django-oidc checks signature and nonce, but neither issuer nor audience; it is made for one provider whose
endpoints are settings, and it asks without an overall limit. What differs is overridden here.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import jwt
import structlog
from django.core.exceptions import SuspiciousOperation
from django.utils.translation import gettext as _
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from accounts import claims, provider_documents, provider_http
from accounts.attempts import Attempt
from accounts.claims import Claims
from litemaas.foundation.errors import Malformed
from litemaas.foundation.providers import Provider

log = structlog.get_logger(__name__)

# Signed with a key that only the provider has. HS256 would be signed with what we know, "none" by nobody.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    "EdDSA",
)
REQUIRED: Final = ["aud", "exp", "iat", "iss", "nonce", "sub"]
CLOCK_SECONDS: Final = 60
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint")
NEEDED: Final = ENDPOINTS[:3]
# Longer addresses are cut off by proxies; the provider then asks the person which session to end.
LONGEST_HINT: Final = 4000


@dataclass(frozen=True)
class Proof:
    """Who somebody is, and the token that proved it (empty where the protocol has none)."""

    claims: Claims
    id_token: str = field(default="", repr=False)


# --- What the provider publishes -------------------------------------------------------------------------------------


def discovery_url(provider: Provider) -> str:
    """Where the provider describes itself (OpenID Connect Discovery, 4)."""
    return f"{provider.issuer}/.well-known/openid-configuration"


def metadata(provider: Provider) -> dict[str, Any]:
    """The provider's description. Raises ProviderUnavailable when there is none and no copy of one."""
    return provider_documents.document(provider, discovery_url(provider), partial(_check_metadata, provider))


def _check_metadata(provider: Provider, body: dict[str, Any]) -> None:
    """The description must be about this issuer (Discovery, 4.3), complete, and lead nowhere less secure."""
    if str(body.get("issuer", "")).rstrip("/") != provider.issuer:
        raise provider_http.unavailable(provider, "another_issuer")
    scheme = "https://" if provider.issuer.startswith("https://") else ("https://", "http://")
    for name in ENDPOINTS:
        if name in NEEDED or name in body:
            url = body.get(name)
            if not isinstance(url, str) or not url.startswith(scheme):
                raise provider_http.unavailable(provider, f"no_{name}")


def _check_keys(provider: Provider, body: dict[str, Any]) -> None:
    if not isinstance(body.get("keys"), list) or not body["keys"]:
        raise provider_http.unavailable(provider, "no_keys")


# --- There and back --------------------------------------------------------------------------------------------------


def authorization_url(provider: Provider, attempt: Attempt) -> str:
    """Where to send the browser."""
    query = attempt.parameters(provider) | {"nonce": attempt.nonce}
    if attempt.prompt:
        query["prompt"] = attempt.prompt
    endpoint = str(metadata(provider)["authorization_endpoint"])
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def prove(provider: Provider, attempt: Attempt, code: str, *, issuer: str = "") -> Proof:
    """Redeem the code and check everything that comes with it; ``issuer`` is the answer's ``iss`` (RFC 9207), if any.

    Raises Malformed for what is not genuine, ProviderUnavailable, and PermissionDenied for claims that lack something.
    """
    described = metadata(provider)
    if issuer and issuer != described["issuer"]:
        raise not_genuine(provider, "another_issuer_answered")
    backend = ProviderBackend(provider, described)
    tokens = backend.get_token(attempt.redemption(provider, code))
    id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
    if not isinstance(id_token, str) or not isinstance(access_token, str):
        raise provider_http.refused(provider, "no_id_token")
    verified = backend.verify_token(id_token, nonce=attempt.nonce)
    facts = verified | backend.get_userinfo(access_token, id_token, verified)
    return Proof(claims.complete(provider, claims.from_openid(provider, facts)), id_token)


def not_genuine(provider: Provider, reason: str) -> Malformed:
    """The error that says that a check failed; which one is for the log, not for whoever may be trying."""
    log.warning("sign_in_not_genuine", provider=provider.name, reason=reason)
    message = _("The answer of %(provider)s could not be verified.") % {"provider": provider.label}
    return Malformed(message, code="sign_in_not_verified", reason=reason)


def sign_out_url(provider: Provider, id_token: str, back: str) -> str:
    """Where the provider's own session is ended (RP-Initiated Logout, 2); "" if it offers that nowhere.

    It goes by the copy alone: leaving must work while the provider is away.
    """
    endpoint = str(provider_documents.kept_document(discovery_url(provider)).get("end_session_endpoint", ""))
    if not endpoint:
        return ""
    query = {"client_id": provider.client_id, "post_logout_redirect_uri": back}
    if id_token and len(id_token) <= LONGEST_HINT:
        query["id_token_hint"] = id_token
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


# --- The checks ------------------------------------------------------------------------------------------------------


class ProviderBackend(OIDCAuthenticationBackend):  # type: ignore[misc]  # mozilla-django-oidc has no types
    """mozilla-django-oidc's client of one provider of ours, with the checks that it leaves out.

    It proves who somebody is and stops there: people are found and made by verbs, so it is no backend of Django's.
    """

    def __init__(self, provider: Provider, described: dict[str, Any]) -> None:
        self.provider, self.described = provider, described
        self._values: dict[str, Any] = {
            "OIDC_OP_TOKEN_ENDPOINT": described["token_endpoint"],
            "OIDC_OP_USER_ENDPOINT": described.get("userinfo_endpoint", ""),
            "OIDC_OP_JWKS_ENDPOINT": described["jwks_uri"],
            "OIDC_RP_CLIENT_ID": provider.client_id,
            "OIDC_RP_CLIENT_SECRET": provider.client_secret,
            # Any asymmetric one makes it look for the provider's key; which are accepted says ALGORITHMS.
            "OIDC_RP_SIGN_ALGO": "RS256",
            "OIDC_USE_NONCE": True,
            "OIDC_ALLOW_UNSECURED_JWT": False,
        }
        super().__init__()

    def get_settings(self, attr: str, *default: Any) -> Any:
        """Its settings are those of this provider, never those of the process."""
        return self._values.get(attr, default[0] if default else None)

    def get_token(self, payload: dict[str, str]) -> dict[str, Any]:
        """Redeem a code."""
        return provider_http.redeem(self.provider, self.described["token_endpoint"], payload)

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        """The claims of an ID token that passed every check of OIDC Core, 3.1.3.7; Malformed for any other."""
        if not kwargs.get("nonce"):
            raise ValueError("an ID token is checked against the nonce of its attempt")
        try:
            verified: dict[str, Any] = super().verify_token(token, **kwargs)
        except Malformed:
            raise
        except jwt.PyJWTError as error:
            raise not_genuine(self.provider, type(error).__name__) from error
        except SuspiciousOperation as error:
            raise not_genuine(self.provider, "nonce") from error
        self._require_authorized_party(verified)
        return verified

    def _verify_jws(self, payload: str, key: Any) -> dict[str, Any]:
        """Signature, issuer, audience and times; mozilla-django-oidc itself looks at the signature and the expiry."""
        found: dict[str, Any] = jwt.decode(
            payload,
            key,
            algorithms=ALGORITHMS,
            audience=self.provider.client_id,
            issuer=self.described["issuer"],
            leeway=CLOCK_SECONDS,
            options={"require": REQUIRED, "verify_aud": True, "verify_iss": True},
        )
        return found

    def _require_authorized_party(self, verified: dict[str, Any]) -> None:
        """A token for several audiences, or with a party named, must have been issued to us (3.1.3.7, 4 and 5)."""
        audiences = verified["aud"]
        several = isinstance(audiences, list) and len(audiences) > 1
        party = verified.get("azp")
        if (several and party is None) or (party is not None and party != self.provider.client_id):
            raise not_genuine(self.provider, "azp")

    def retrieve_matching_jwk(self, token: str) -> jwt.PyJWK:
        """The provider's key that signed; keys are fetched anew when it is not among those we know (rotation)."""
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise not_genuine(self.provider, "algorithm")
        for anew in (False, True):
            found = self._find_key(header, anew=anew)
            if found is not None:
                return found
        raise not_genuine(self.provider, "unknown_key")

    def _find_key(self, header: dict[str, Any], *, anew: bool) -> jwt.PyJWK | None:
        check = partial(_check_keys, self.provider)
        kept = provider_documents.document(self.provider, self.described["jwks_uri"], check, anew=anew)
        usable = [key for key in kept["keys"] if isinstance(key, dict) and _fits(key, header)]
        # Without a name in the token only one key can be meant (OIDC Core, 10.1).
        return jwt.PyJWK(usable[0], header["alg"]) if len(usable) == 1 else None

    def get_userinfo(self, access_token: str, id_token: str, payload: dict[str, Any]) -> dict[str, Any]:
        """What else the provider says, about the very same person (OIDC Core, 5.3.2); nothing if it has no endpoint."""
        endpoint = self.described.get("userinfo_endpoint")
        if not endpoint:
            return {}
        found = provider_http.get(self.provider, endpoint, token=access_token)
        if found.get("sub") != payload["sub"]:
            raise not_genuine(self.provider, "userinfo_about_another")
        return found


def _fits(key: dict[str, Any], header: dict[str, Any]) -> bool:
    """Whether a published key may have signed a token with this header."""
    if key.get("use", "sig") != "sig" or key.get("kty") == "oct" or key.get("alg", header["alg"]) != header["alg"]:
        return False
    return "kid" not in header or key.get("kid") == header["kid"]
