"""OpenShift's OAuth: authorize and token as in RFC 6749, then the API's answer to "who am I"; there is no ID token.

``ISSUER`` is the address of the cluster's API server, where the OAuth server's endpoints are published (RFC 8414).
"""

from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from accounts import claims, provider_documents, provider_http
from accounts.attempts import Attempt
from accounts.claims import Claims
from accounts.models import FULL_NAME_LENGTH
from accounts.oidc import Proof
from litemaas.foundation.providers import Provider

NEEDED: Final = ("authorization_endpoint", "token_endpoint")
ME: Final = "/apis/user.openshift.io/v1/users/~"


def metadata(provider: Provider) -> dict[str, Any]:
    """The OAuth server's endpoints. Raises ProviderUnavailable when there is no answer and no copy of one."""
    url = f"{provider.issuer}/.well-known/oauth-authorization-server"
    return provider_documents.document(provider, url, partial(_check_metadata, provider))


def _check_metadata(provider: Provider, body: dict[str, Any]) -> None:
    """The OAuth server has a host of its own, so its issuer is not the API server's address; but it is as secure."""
    scheme = "https://" if provider.issuer.startswith("https://") else ("https://", "http://")
    for name in NEEDED:
        url = body.get(name)
        if not isinstance(url, str) or not url.startswith(scheme):
            raise provider_http.unavailable(provider, f"no_{name}")


def authorization_url(provider: Provider, attempt: Attempt) -> str:
    """Where to send the browser."""
    return f"{metadata(provider)['authorization_endpoint']}?{urlencode(attempt.parameters(provider))}"


def prove(provider: Provider, attempt: Attempt, code: str) -> Proof:
    """Redeem the code and ask the API server whose token it is.

    The token comes straight from the OAuth server to us, and the code is tied to our verifier (PKCE), so it cannot have
    been made for somebody else. It is used for this one question and kept nowhere.
    """
    tokens = provider_http.redeem(provider, metadata(provider)["token_endpoint"], attempt.redemption(provider, code))
    token = tokens.get("access_token")
    if not isinstance(token, str) or not token:
        raise provider_http.refused(provider, "no_access_token")
    answer = provider_http.get(provider, provider.issuer + ME, token=token)
    return Proof(claims.complete(provider, _claims(provider, answer)))


def _claims(provider: Provider, user: dict[str, Any]) -> Claims:
    """A user of the API (user.openshift.io/v1). The id stays when somebody is renamed, and is new for a namesake.

    OpenShift knows no e-mail addresses.
    """
    about = user.get("metadata")
    facts = about if isinstance(about, dict) else {}
    return Claims(
        provider=provider.name,
        issuer=provider.issuer,
        subject=claims.text(facts.get("uid"), claims.SUBJECT_LENGTH),
        username=claims.text(facts.get("name"), claims.USERNAME_LENGTH),
        full_name=claims.text(user.get("fullName"), FULL_NAME_LENGTH),
        groups=claims.texts(user.get("groups")),
    )
