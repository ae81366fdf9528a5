"""Logs: nothing secret gets into them, every record has one form and belongs to its request."""

import datetime as dt
import io
import json
import logging
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import structlog
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st

from litemaas.foundation import crypto, logs

unhurried = settings(deadline=None)  # a busy machine is no failure

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLWFkYQ"
WORD = "hunter2hunter2"


def redacted(**event: Any) -> dict[str, Any]:
    return dict(logs.redact(None, "info", event))


# --- Redaction: by name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "HTTP_AUTHORIZATION", "Proxy-Authorization", "api_key", "apiKey", "X-Api-Key",
        "x-litellm-api-key", "APIKEY", "key", "keys", "secret", "client_secret", "clientSecret", "SECRET_KEY",
        "password", "password2", "new_password", "passwd", "passphrase", "pwd", "token",
        "access_token", "refreshToken", "id_tokens", "refresh", "access", "auth", "Cookie", "Set-Cookie", "cookies",
        "csrfmiddlewaretoken", "X-CSRFToken", "xsrf_token",
        "sessionid", "session_id", "session_key", "jwt", "credentials", "code_verifier",
        "ENCRYPTION_KEYS", "master_key", "db_password",
    ],
)  # fmt: skip
def test_values_with_secret_names_are_removed(name: str) -> None:
    assert redacted(**{name: WORD}) == {name: logs.REDACTED}
    assert redacted(request={"headers": [{name: [WORD]}]}) == {"request": {"headers": [{name: logs.REDACTED}]}}
    assert redacted(**{name: 12345.5, "other": None})["other"] is None


@pytest.mark.parametrize(
    "name",
    ["event", "key_id", "key_alias", "key_name", "total_tokens", "token_type", "user", "keyboard", "access_level"],
)
def test_values_with_other_names_stay(name: str) -> None:
    assert redacted(**{name: "plain"}) == {name: "plain"}


def test_counts_flags_and_masks_stay_under_secret_names() -> None:
    event = {"keys": 5, "password": None, "secret": True, "key": "sk-…abcd", "token": "sk-...abcd", "refresh": False}
    assert redacted(**event) == event


def test_a_number_as_a_password_is_removed() -> None:
    assert redacted(password=12345678) == {"password": logs.REDACTED}


# --- Redaction: by looks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key sk-1234 refused", "key [redacted] refused"),
        ("key sk-abcdefghijklmnopqrstuvwx.", "key sk-…uvwx."),
        ("sk-proj-abc_DEF-0123456789", "sk-…6789"),
        ("keysk-AbCdEfGhIjKlMnOpQrStUv", "keysk-…StUv"),
        ("'a\\nsk-12345'", "'a\\n[redacted]'"),
        ("/key/info?key%3Dsk-12345", "/key/info?key%3D[redacted]"),
        (f"sent {JWT} twice", "sent [redacted] twice"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic [redacted]"),
        ("authorization=opaque-word", "authorization=[redacted]"),
        ("BEARER  p@ss!word, sir", "BEARER  [redacted], sir"),
        ("postgresql://ada:pw@db:5432/x?a=b", "postgresql://[redacted]@db:5432/x?a=b"),
        ("postgresql://ada:p@w@db/x", "postgresql://[redacted]@db/x"),
        ("postgresql://ada:p/w#?x@db/x", "postgresql://[redacted]@db/x"),
        ("https:\\/\\/ada:pw@db\\/x", "https:\\/\\/[redacted]@db\\/x"),
        ("connection failed: host=db password=p)w user=ada", "connection failed: host=db password=[redacted] user=ada"),
        ("grant_type=refresh&client_secret=pw&x=1", "grant_type=refresh&client_secret=[redacted]&x=1"),
        ("{'password': 'correct horse', 'a': 1}", "{'password': [redacted], 'a': 1}"),
        ('{"api_key": "x\\"y z", "a": 1}', '{"api_key": [redacted], "a": 1}'),
        ('"{\\"id_token\\": \\"x y\\", \\"a\\": 1}"', '"{\\"id_token\\": [redacted], \\"a\\": 1}"'),
        ("Cookie: sessionid=abc; csrftoken=def\nHost: x", "Cookie: [redacted]\nHost: x"),
        ("{'Cookie': 'a=b; c=d', 'Host': 'x'}", "{'Cookie': '[redacted]', 'Host': 'x'}"),
        (f"token={JWT}", "token=[redacted]"),
    ],
)
def test_secrets_in_text_are_removed(text: str, clean: str) -> None:
    assert logs.redact_text(text) == clean
    assert logs.redact_text(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "key sk-…abcd blocked",
        "key sk-...abcd blocked",
        "api_key=sk-…abcd",
        "task-list of the risk-averse desk-sharing-and-everything-else team",
        "GET http://litellm:4000/user/info?user_email=ada@example.com",
        "GET http://litellm:4000/models/gpt@eu",
        "mail ada@example.com about https://example.com/a",
        "prompt_tokens=5 total_tokens: 7",
        "duplicate key value violates unique constraint",
        str(uuid.UUID(int=5)),
        "a" * 64,
    ],
)
def test_other_text_stays(text: str) -> None:
    assert logs.redact_text(text) == text


def test_every_kind_of_value_is_redacted_as_text() -> None:
    class Opaque:
        def __repr__(self) -> str:
            return "<Opaque sk-abcdef>"

    event = redacted(
        event="x",
        body=b"\xff sk-abcdef",
        array=bytearray(b"sk-abcdef"),
        error=ValueError("bad sk-abcdef"),
        opaque=Opaque(),
        nested=({"sk-abcdef": {"sk-abcdef"}},),
        lazy=gettext_lazy("sk-abcdef"),
        path=PurePosixPath("/x/sk-abcdef"),
    )
    assert event == {
        "event": "x",
        "body": "\\xff [redacted]",
        "array": "[redacted]",
        "error": "ValueError('bad [redacted]')",
        "opaque": "<Opaque [redacted]>",
        "nested": [{"[redacted]": ["[redacted]"]}],
        "lazy": "[redacted]",
        "path": "/x/[redacted]",
    }


def test_plain_values_stay_readable() -> None:
    number = uuid.uuid4()
    event = redacted(id=number, day=dt.date(2026, 3, 1), cost=Decimal("1.50"), ok=True, n=1, share=0.5, none=None)
    assert event == {
        "id": str(number), "day": "2026-03-01", "cost": "1.50", "ok": True, "n": 1, "share": 0.5, "none": None,
    }  # fmt: skip


def test_values_that_contain_themselves_end_somewhere() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert logs.TOO_DEEP in json.dumps(redacted(endless=endless))


# The end makes sure that no secret happens to be a word of what stands around it, such as "postgres".
url_safe = st.from_regex(r"[A-Za-z0-9]{4,60}q7Q", fullmatch=True)
secrets_in_their_forms = st.one_of(
    st.builds(lambda _: (s := crypto.new_api_key_secret(), s), st.none()),
    url_safe.map(lambda s: (s, f"sk-{s}")),
    url_safe.map(lambda s: (s, f"Bearer {s}")),
    url_safe.map(lambda s: (s, f"postgresql://ada:{s}@db/x")),
    url_safe.map(lambda s: (s, f"eyJ{s}.eyJ{s}.{s}")),
    url_safe.map(lambda s: (s, f"password={s}")),
)
around = st.text(st.characters(blacklist_categories=["L", "N"]), max_size=5)


def nested(leaf: Any) -> st.SearchStrategy[Any]:
    """Give structures that hold the leaf somewhere, in every type that a log call may carry."""
    return st.recursive(
        st.just(leaf),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
            st.dictionaries(st.text(max_size=5), inner, min_size=1, max_size=3),
            inner.map(lambda value: {"key": value}),
            inner.map(ValueError),
            inner.map(repr),
            inner.map(lambda value: {str(value): 1}),
            inner.map(lambda value: str(value).encode("utf-8", "backslashreplace")),
        ),
        max_leaves=4,
    )


@unhurried
@given(st.data(), secrets_in_their_forms, around, around)
def test_trap_18_no_secret_gets_through_in_any_structure(
    data: st.DataObject, pair: tuple[str, str], before: str, after: str
) -> None:
    secret, text = pair
    event = data.draw(nested(f"{before}{text}{after}"))
    assert secret not in json.dumps(redacted(event=event), ensure_ascii=False)


@unhurried
@given(st.text(max_size=200))
def test_redaction_takes_any_text(text: str) -> None:
    assert isinstance(logs.redact_text(text), str)


# --- The form of records ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_structlog() -> Iterator[None]:
    """Put the process's configuration back, and leave no context behind."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    logs.clear()


def logger_into(stream: io.StringIO, *, as_json: bool) -> logging.Logger:
    """Give a logger outside the tree that writes with our formatter."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter(json=as_json))
    logger = logging.Logger("litemaas.test")  # noqa: LOG001 -- one that the process does not share
    logger.addHandler(handler)
    return logger


def test_foreign_records_become_json_with_their_context() -> None:
    stream = io.StringIO()
    logs.bind_request("r1", user="ada")
    logger_into(stream, as_json=True).warning(
        "refused %s", "sk-abcdef", extra={"status_code": 403, "request": object(), "api_key": WORD}
    )
    record = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", record.pop("timestamp"))
    assert record == {
        "event": "refused [redacted]",
        "level": "warning",
        "logger": "litemaas.test",
        "request_id": "r1",
        "user": "ada",
        "status_code": 403,
        "api_key": "[redacted]",
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_trap_18_tracebacks_keep_their_lines_and_lose_their_secrets(as_json: bool) -> None:  # noqa: FBT001
    stream = io.StringIO()
    hidden = "sk-" + "a1" * 20
    try:
        raise ValueError(f"LiteLLM said {hidden} is wrong")  # noqa: TRY301
    except ValueError:
        logger_into(stream, as_json=as_json).exception("failed")
    assert hidden not in stream.getvalue()
    assert "ValueError: LiteLLM said sk-…a1a1 is wrong" in stream.getvalue()
    assert "test_trap_18_tracebacks" in stream.getvalue()


def test_console_records_are_lines_for_people() -> None:
    stream = io.StringIO()
    logger_into(stream, as_json=False).info("hello sk-abcdef")
    assert "hello [redacted]" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_logging_is_plain_data_that_a_server_can_read_as_json() -> None:
    config = logs.configure(json=True, level="WARNING")
    assert json.loads(json.dumps(config)) == config
    assert config["root"] == {"handlers": ["stream"], "level": "WARNING"}


PROGRAM = """
import io, logging, logging.config, sys
import structlog
from django.conf import settings
from django.utils.log import DEFAULT_LOGGING
from granian.log import configure_logging, LogLevels
from litemaas.foundation import logs

settings.configure(DEBUG=True)
logging.config.dictConfig(DEFAULT_LOGGING)
configure_logging(LogLevels.info)
logging.config.dictConfig(logs.configure(json=True, level="INFO"))
logs.bind_request("r1")
for name in ("django.request", "django.server", "_granian", "granian.access", "procrastinate.worker", "other"):
    logging.getLogger(name).info("said %s", "sk-abcdef", extra={"action": "x"})
logging.getLogger("other").debug("too fine")
logging.getLogger("django.db.backends").debug("SELECT secret")
log = structlog.get_logger("litemaas.request")
log.info("said %s", "sk-abcdef", action="x")
log.debug("too fine")
"""


def test_all_loggers_write_the_same_form_once_to_standard_error() -> None:
    root = Path(logs.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert [record["logger"] for record in records] == [
        "django.request", "django.server", "_granian", "granian.access", "procrastinate.worker", "other",
        "litemaas.request",
    ]  # fmt: skip
    for record in records:
        assert set(record) == {"event", "level", "logger", "timestamp", "request_id", "action"}
        assert (record["event"], record["request_id"], record["level"]) == ("said [redacted]", "r1", "info")


# --- The request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["a", "A-1_b.c", "x" * 64])
def test_harmless_request_ids_are_taken_over(header: str) -> None:
    assert logs.accept_request_id(header) == header


@pytest.mark.parametrize("header", [None, "", "x" * 65, "a b", "a\n", "a\r\nX: y", "é", '"', "\u0661"])
def test_other_request_ids_are_replaced(header: str | None) -> None:
    made = logs.accept_request_id(header)
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert made != logs.accept_request_id(header)


def test_the_context_of_one_request_does_not_reach_the_next() -> None:
    assert logs.request_id() is None
    logs.bind_request("r1", user="ada")
    assert logs.request_id() == "r1"
    logs.bind_request("r2")
    assert structlog.contextvars.get_contextvars() == {"request_id": "r2"}
    logs.clear()
    assert logs.request_id() is None
