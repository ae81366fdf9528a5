"""The only place where bytes go to an identity provider and come back."""

import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import requests
import structlog
from django.db import connection
from django.utils.translation import gettext as _
from requests.utils import get_environ_proxies

from litemaas.foundation.errors import Malformed, ProviderUnavailable
from litemaas.foundation.providers import Provider

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 3.0
# Somebody waits in front of the browser; a sign-in asks up to four times.
OVERALL_SECONDS: Final = 8.0
LARGEST_ANSWER: Final = 1_000_000
CHUNK: Final = 65_536


@dataclass(frozen=True)
class Answer:
    """A status, and the JSON object that came with it (empty if it was none)."""

    status: int
    body: dict[str, Any]


def get(provider: Provider, url: str, *, token: str = "") -> dict[str, Any]:
    """The JSON object at ``url``. Raises ProviderUnavailable for anything else than that."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = _exchange(provider, "GET", url, headers=headers)
    if answer.status != HTTPStatus.OK or not answer.body:
        raise unavailable(provider, f"http_{answer.status}" if answer.status != HTTPStatus.OK else "garbage")
    return answer.body


def redeem(provider: Provider, url: str, form: dict[str, str]) -> dict[str, Any]:
    """The token response for an authorization code (RFC 6749, 4.1.3 and 5).

    Raises Malformed when the code is spent, too old or somebody else's; ProviderUnavailable when the provider is away,
    or does not accept us.
    """
    answer = _exchange(provider, "POST", url, data=form)
    if answer.status == HTTPStatus.OK and answer.body:
        return answer.body
    reason = str(answer.body.get("error", "")) or f"http_{answer.status}"
    if reason == "invalid_grant":
        message = _("%(provider)s does not accept this sign-in any more.") % {"provider": provider.label}
        raise Malformed(message, code="sign_in_code_refused", reason=reason)
    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise refused(provider, reason)
    raise unavailable(provider, reason)


def unavailable(provider: Provider, reason: str) -> ProviderUnavailable:
    """The error that says that a provider is away or answers nonsense; ``reason`` is for the log."""
    message = _("%(provider)s cannot be reached at the moment.") % {"provider": provider.label}
    return ProviderUnavailable(message, reason=reason[:100])


def refused(provider: Provider, reason: str) -> ProviderUnavailable:
    """The error that says that a provider does not accept our request, as a wrong client secret would make it."""
    message = _("%(provider)s did not accept the request of this portal.") % {"provider": provider.label}
    return ProviderUnavailable(message, code="provider_refused", reason=reason[:100])


def _exchange(provider: Provider, method: str, url: str, **kwargs: Any) -> Answer:
    """One exchange, within OVERALL_SECONDS, that follows no redirect and reads no netrc."""
    if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        raise RuntimeError("an identity provider may not be asked inside a database transaction")
    if not connection.in_atomic_block:  # nobody else must wait for a database connection while we wait
        connection.close()
    deadline = time.monotonic() + OVERALL_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.request(
                method,
                url,
                timeout=(CONNECT_SECONDS, OVERALL_SECONDS),
                stream=True,
                allow_redirects=False,
                verify=provider.ca_bundle or True,
                proxies=get_environ_proxies(url),
                **kwargs,
            ) as response:
                return Answer(response.status_code, _object(_read(response, deadline)))
        except (requests.RequestException, OSError) as error:
            log.warning("provider_unreachable", provider=provider.name, url=url, error=type(error).__name__)
            raise unavailable(provider, type(error).__name__) from error


def _read(response: requests.Response, deadline: float) -> bytes:
    """The body, but neither past the deadline nor more than anything honest has."""
    parts, size = [], 0
    for part in response.iter_content(CHUNK):
        parts.append(part)
        size += len(part)
        if time.monotonic() > deadline or size > LARGEST_ANSWER:
            raise requests.Timeout
    return b"".join(parts)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
