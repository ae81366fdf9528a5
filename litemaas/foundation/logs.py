"""The only place for logging: one structured form for every record, free of secrets, tied to its request."""

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import structlog
from django.utils.functional import Promise
from structlog.typing import EventDict, Processor, WrappedLogger

# --- Redaction -------------------------------------------------------------------------------------------------------

REDACTED = "[redacted]"
TOO_DEEP = "[too deep]"
_MAX_DEPTH = 12
_LONG_SECRET = 20

# Names whose values are secret whatever they look like. Words that only contain such a name stay readable:
# key_id, key_alias, total_tokens, token_type.
_SECRET_NAME = re.compile(
    r"authorization|cookie|csrf|xsrf|passw(?:or)?d|passphrase|credential"
    r"|(?:^|_)(?:access|refresh|auth|pwd|jwt|session|session_?id|code_verifier)$"
    r"|(?:secret|key|token)$|(?:secret|key|(?:access|refresh|auth|id)_token)s$"
)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HARMLESS = re.compile(r"sk-(?:…|\.\.\.)[\w-]{4}|\[redacted\]", re.ASCII)
_PUNCTUATION = "\\\"',;.:)}"

# Text that is secret wherever it stands. A "sk-" inside a word ("task-list") is none, unless what follows looks random;
# escapes such as \n or %20 in front of it are no word, although they end in a letter or digit.
_LITELLM_KEY = re.compile(
    r"sk-(?:(?:(?<![A-Za-z0-9]sk-)|(?<=\\[abfnrtv0]sk-)|(?<=%[0-9A-Fa-f]{2}sk-)|(?<=\\x[0-9A-Fa-f]{2}sk-)"
    r"|(?<=\\u[0-9A-Fa-f]{4}sk-)|(?<=\\U[0-9A-Fa-f]{8}sk-))[\w-][\w.~+/=-]{2,}[\w-]"
    r"|(?=[a-z_-]{0,64}[A-Z0-9])[\w-]{20,})",
    re.ASCII,
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_=-]{4,}(?:[.:]+[A-Za-z0-9_=-]+)*", re.ASCII)
_BEARER = re.compile(r"(?P<kept>bearer(?:\s|%20|\+)+)[^\s\"'\\,;]+", re.IGNORECASE | re.ASCII)
# The user info of a URL ends before its path. A password with a raw "/", "?" or "#" breaks that rule, and such a URL is
# just the one that ends up in an error message; only a port may stand there instead. Slashes may be escaped as in JSON.
_URL_USER = re.compile(
    r"(?P<kept>:\\?/\\?/)"
    r"(?:[^\s/?#\"<>\\]{0,512}|[^\s/?#@:\"\\]{0,512}:(?!\d{1,5}(?:[/?#]|\\/))[^\s\"<>]{0,512})@"
)
_COOKIES = re.compile(r"(?P<kept>cookie\\{0,3}[\"']?\s{0,4}[=:]\s{0,4}\\{0,3}[\"']?)[^\n\"']+", re.IGNORECASE)
_AUTHORIZATION = re.compile(
    r"(?P<kept>authorization\\{0,3}[\"']?\s{0,4}[=:]\s{0,4}\\{0,3}[\"']?(?:[a-z]{1,12}\s{1,4})?)[^\s\"'\\,;]+",
    re.IGNORECASE | re.ASCII,
)
# name=value, name: value, "name": "value", also inside JSON inside a string.
_ASSIGNMENT = re.compile(
    r"(?P<kept>(?:passw(?:or)?d[a-z0-9_]{0,20}|passphrase|pwd|secret|token|api[_-]?key|(?:private|master|secret)_key"
    r"|csrf[a-z_]{0,20}|session_?id|code_verifier)\\{0,3}[\"']?\s{0,4}[=:]\s{0,4})"
    r"(?P<value>(?P<quote>\\{0,3}[\"'])(?:\\.|[^\\])*?(?P=quote)|[^\s&]+)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)


def _mask_key(match: re.Match[str]) -> str:
    """Keep the last four characters of a long key, as every page does, so that a log can be matched with it."""
    secret = match[0]
    return f"sk-…{secret[-4:]}" if len(secret) >= _LONG_SECRET else REDACTED


def _mask_assignment(match: re.Match[str]) -> str:
    return match[0] if _HARMLESS.fullmatch(match["value"].strip(_PUNCTUATION)) else match["kept"] + REDACTED


def redact_text(text: str) -> str:
    """Take out of a text everything that looks like a secret."""
    text = _BEARER.sub(rf"\g<kept>{REDACTED}", text)
    text = _JWT.sub(REDACTED, text)
    text = _LITELLM_KEY.sub(_mask_key, text)
    if "=" not in text and ":" not in text:
        return text  # the costlier searches below all need one of them
    text = _URL_USER.sub(rf"\g<kept>{REDACTED}@", text)
    text = _COOKIES.sub(rf"\g<kept>{REDACTED}", text)
    text = _AUTHORIZATION.sub(rf"\g<kept>{REDACTED}", text)
    return _ASSIGNMENT.sub(_mask_assignment, text)


@lru_cache(maxsize=1024)  # the names of a program are few, and every event has ten of them
def _is_secret_name(name: str) -> bool:
    """Say whether a name such as ``X-Api-Key``, ``clientSecret`` or ``HTTP_COOKIE`` announces a secret."""
    return _SECRET_NAME.search(_WORD_START.sub("_", name).lower().replace("-", "_")) is not None


def _redact_named(name: str, value: Any, depth: int) -> Any:
    if not _is_secret_name(name):
        return _redact_value(value, depth)
    is_count = isinstance(value, int | float) and name.lower().endswith("s")
    if value is None or isinstance(value, bool) or is_count:
        return value
    return value if isinstance(value, str) and _HARMLESS.fullmatch(value) else REDACTED


def _redact_mapping(mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {redact_text(str(name)): _redact_named(str(name), value, depth) for name, value in mapping.items()}


def _as_text(value: Any) -> str:
    """Give the text of what JSON does not know; the renderer would take its repr after the redaction."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, str | Promise | uuid.UUID | dt.date | dt.time | Decimal | PurePath):
        return str(value)
    return repr(value)


def _redact_value(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return _redact_mapping(value, depth - 1)
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(item, depth - 1) for item in value]
    return redact_text(_as_text(value))


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Take secrets out of an event, by the names of its values and by their looks; the last step before rendering."""
    return _redact_mapping(event_dict, _MAX_DEPTH)


# --- Configuration ---------------------------------------------------------------------------------------------------


def _drop_request(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Drop the request object that Django attaches: its text is the URL with the whole query."""
    event_dict.pop("request", None)
    return event_dict


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def formatter(*, json: bool) -> structlog.stdlib.ProcessorFormatter:
    """Make the formatter that every handler uses; tracebacks become text without local variables, then are redacted."""
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared_processors(), structlog.stdlib.ExtraAdder(), _drop_request],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
    )


# Loggers that come with handlers and levels of their own; they give them up, so that a record is
# written once, in our form, from our level on.
_TAMED_LOGGERS = ("django", "django.server", "_granian", "granian.access")


def configure(*, json: bool, level: str) -> dict[str, Any]:
    """Set structlog up and give Django's LOGGING, which is plain data, so that Granian takes it as JSON too.

    The one stream is standard error: commands such as ``dumpdata`` keep standard output for themselves.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    tamed = {name: {"handlers": [], "propagate": True, "level": "NOTSET"} for name in _TAMED_LOGGERS}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": f"{__name__}.formatter", "json": json}},
        "handlers": {"stream": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stream"], "level": level},
        # At DEBUG Django logs every query with its parameters, which are people's data.
        "loggers": {**tamed, "django.db.backends": {"level": "INFO"}},
    }


# --- The request -----------------------------------------------------------------------------------------------------

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def accept_request_id(header: str | None) -> str:
    """Take over the id that a proxy gave the request if it is harmless in logs and headers, else make one."""
    return header if header and _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex


def bind_request(request_id: str, **fields: Any) -> None:
    """Start the context of a request or job: every later record of this thread or task carries these fields."""
    clear()
    structlog.contextvars.bind_contextvars(request_id=request_id, **fields)


def bind_credential(kind: str, number: uuid.UUID, *, unless_known: bool = False) -> None:
    """Say what a request has come with, as ``kind/id``; the id is no secret, and the name not one that is redacted."""
    if not (unless_known and credential()):
        structlog.contextvars.bind_contextvars(came_with=f"{kind}/{number}")


def credential() -> str:
    """What the present request has come with; empty for nothing, for jobs and for commands."""
    return str(structlog.contextvars.get_contextvars().get("came_with", ""))


def clear() -> None:
    """Forget the context, so that the next request on this thread does not inherit it."""
    structlog.contextvars.clear_contextvars()


def request_id() -> str | None:
    """Give the id of the present request or job, None outside of one."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found
