"""The only place where bytes go to LiteLLM and come back: limits, circuit, errors, metrics."""

import json
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import pybreaker
import requests
import structlog
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from prometheus_client import Counter, Gauge, Histogram
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 2.0
FAIR_SECONDS = 2.0
CIRCUIT_FAILURES = 5
CIRCUIT_SECONDS = 5
CHUNK = 65_536

calls = Histogram("litemaas_litellm_call_seconds", "Calls to LiteLLM", ["operation", "outcome"])
openings = Counter("litemaas_litellm_circuit_openings", "How often the circuit towards LiteLLM opened")
# A moment instead of a yes: a process that asks nothing any more would go on saying yes, and so would a dead one.
open_until = Gauge(
    "litemaas_litellm_circuit_open_until_timestamp_seconds",
    "Until when LiteLLM is not asked; in the past: it is asked",
    multiprocess_mode="max",
)

# Said with whatever status, also 500, to whoever asks for a feature of LiteLLM's Enterprise edition without a licence.
ENTERPRISE = b"LiteLLM Enterprise user"
NEEDS_ENTERPRISE = "needs_litellm_enterprise"

# Told apart by error.type, because the statuses differ between versions; these are about *our* credential.
CREDENTIAL_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Circuit:
    """One pybreaker for a process, without its habit of holding a lock while the other side is asked.

    pybreaker's own call() keeps an RLock during the call, so one hanging answer would make every thread wait. Here the
    call runs outside; only its outcome is told to the breaker. Time-outs, refused connections and 5xx count.
    """

    def __init__(self) -> None:
        self._storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=CIRCUIT_FAILURES, reset_timeout=CIRCUIT_SECONDS, state_storage=self._storage
        )
        self._opened = 0.0

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        return str(self._breaker.current_state)

    def refuse_if_open(self) -> None:
        """Raise UpstreamUnavailable without asking, while the other side is known to be away."""
        if self.state == pybreaker.STATE_OPEN and time.monotonic() - self._opened < CIRCUIT_SECONDS:
            raise UpstreamUnavailable(reason="circuit_open")

    def succeeded(self) -> None:
        """The other side answered: whatever it said, it is there."""
        if self.state != pybreaker.STATE_CLOSED or self._storage.counter:
            self._breaker.close()

    def failed(self) -> None:
        """The other side did not answer, or broke."""
        try:
            self._breaker.call(_raise, ConnectionError())
        except (ConnectionError, pybreaker.CircuitBreakerError):
            if self.state == pybreaker.STATE_OPEN:
                self._opened = time.monotonic()
                openings.inc()
                open_until.set(time.time() + CIRCUIT_SECONDS)


def give_connection_back() -> None:
    """Return this thread's database connection to the pool; a test's own transaction keeps it."""
    if not connection.in_atomic_block:
        connection.close()


def _raise(error: Exception) -> None:
    raise error


class Transport:
    """One connection pool and one circuit towards one LiteLLM; shared by all threads of a process."""

    def __init__(self, url: str, key: str, ca_bundle: str = "") -> None:
        self.url = url
        self.circuit = Circuit()
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._session.verify = ca_bundle or True
        # Proxies and netrc of the environment have no business between us and LiteLLM.
        self._session.trust_env = False
        # urllib3's own retries would repeat time-outs too, and so keep a person waiting for twice the limit.
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=64, max_retries=Retry(total=False))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def call(
        self, operation: str, method: str, path: str, *, deadline: float, probe: bool = False, **kwargs: Any
    ) -> Any:
        """Ask LiteLLM and return the decoded JSON.

        ``deadline`` is a time.monotonic() value that the whole call keeps; a ``probe`` is made although the circuit is
        open. Raises UpstreamUnavailable (away, slow, 5xx, 429, garbage, our credential refused) or UpstreamRejected
        (understood and refused). Never inside a transaction: a row lock must not wait for another machine. The
        database connection goes back to the pool first: nobody else must wait with us.
        """
        if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
            raise RuntimeError("LiteLLM may not be called inside a database transaction")
        give_connection_back()
        if not probe:
            self.circuit.refuse_if_open()
        started = time.monotonic()
        outcome = "ok"
        try:
            return self._exchange(method, path, deadline, kwargs)
        except (UpstreamUnavailable, UpstreamRejected) as error:
            outcome = str(error.details.get("reason", "rejected"))
            raise
        finally:
            seconds = time.monotonic() - started
            calls.labels(operation, outcome).observe(seconds)
            log.info("litellm_call", operation=operation, outcome=outcome, ms=round(seconds * 1000, 1))

    def _exchange(self, method: str, path: str, deadline: float, kwargs: dict[str, Any]) -> Any:
        allowed = deadline - time.monotonic()
        try:
            response, body = self._ask(method, path, deadline, kwargs)
        except requests.Timeout as error:
            # Only who was given a fair time has failed; a caller who had used up its own limit says nothing.
            if allowed >= FAIR_SECONDS:
                self.circuit.failed()
            raise UpstreamUnavailable(reason="timeout") from error
        except requests.RequestException as error:
            self.circuit.failed()
            raise UpstreamUnavailable(reason="unreachable") from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR and not _needs_enterprise(response, body):
            self.circuit.failed()
        else:
            self.circuit.succeeded()
        return _decode(response, body)

    def _ask(
        self, method: str, path: str, deadline: float, kwargs: dict[str, Any], *, again: bool = False
    ) -> tuple[requests.Response, bytes]:
        """One exchange; a GET is repeated once when its connection was cut, for LiteLLM closes idle ones after 5 s."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise UpstreamUnavailable(reason="deadline")
        timeout = (min(CONNECT_SECONDS, left), left)
        url = self.url + path
        try:
            with self._session.request(
                method, url, timeout=timeout, stream=True, allow_redirects=False, **kwargs
            ) as response:
                return response, _read(response, deadline)
        except requests.Timeout:
            raise
        except requests.ConnectionError:
            if again or method != "GET":
                raise
            return self._ask(method, path, deadline, kwargs, again=True)


def _read(response: requests.Response, deadline: float) -> bytes:
    """The whole body, but never past the deadline: a read time-out alone starts anew with each byte."""
    parts: list[bytes] = []
    for part in response.iter_content(CHUNK):
        parts.append(part)
        if time.monotonic() > deadline:
            raise requests.Timeout
    return b"".join(parts)


def _raise_what_is_no_answer(response: requests.Response, body: bytes) -> None:
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise UpstreamUnavailable(reason="http_429")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise UpstreamUnavailable(reason="redirected")
    if _needs_enterprise(response, body):
        log.warning("litellm_needs_enterprise", status=status, text=body[:500].decode(errors="replace"))
        words = _("LiteLLM needs an Enterprise licence for this.")
        raise UpstreamRejected(words, http_status=status, type="", reason=NEEDS_ENTERPRISE)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("litellm_error", status=status, body=body[:500].decode(errors="replace"))
        raise UpstreamUnavailable(reason=f"http_{status}")


def _decode(response: requests.Response, body: bytes) -> Any:
    _raise_what_is_no_answer(response, body)
    status = response.status_code
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise UpstreamUnavailable(reason="garbage", http_status=status) from error
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    kind, text = _error_of(answer)
    log.warning("litellm_refused", status=status, type=kind, text=text[:500])
    if status in CREDENTIAL_STATUSES:
        raise UpstreamUnavailable(reason="unauthorized", http_status=status)
    if not _is_refusal(answer):
        # An unknown path, or something else that answers at this address: it says nothing about what was asked for.
        raise UpstreamUnavailable(reason="not_litellm", http_status=status)
    refusal = UpstreamRejected(http_status=status, type=kind)
    refusal.text = text
    raise refusal


def _needs_enterprise(response: requests.Response, body: bytes) -> bool:
    return response.status_code >= HTTPStatus.BAD_REQUEST and ENTERPRISE in body


def _is_refusal(answer: Any) -> bool:
    """Whether this is one of LiteLLM's three shapes; ``{"detail": "Not Found"}`` is what any web framework says."""
    if not isinstance(answer, dict):
        return False
    return isinstance(answer.get("error"), dict) or isinstance(answer.get("detail"), dict | list)


def _error_of(answer: Any) -> tuple[str, str]:
    """(type, text) of LiteLLM's three shapes of errors."""
    error = answer.get("error", answer.get("detail", answer)) if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        return str(error.get("type", "")), str(error.get("message", error.get("error", error)))
    return "", str(error)


@lru_cache(maxsize=4)
def shared(url: str, key: str, ca_bundle: str) -> Transport:
    """The process's transport to one LiteLLM."""
    return Transport(url, key, ca_bundle)


def configured() -> Transport:
    """The transport to the LiteLLM of the settings; raises UpstreamUnavailable when none is configured."""
    if not (settings.LITELLM_API_URL and settings.LITELLM_API_KEY):
        raise UpstreamUnavailable(reason="not_configured")
    return shared(settings.LITELLM_API_URL, settings.LITELLM_API_KEY, settings.LITELLM_CA_BUNDLE)
