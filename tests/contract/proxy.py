"""The only place where the contract tests speak to a LiteLLM proxy, real or emulated."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests

T = TypeVar("T")

NEWEST = "1.109.1"
OLDEST = "1.81.15"
PATIENCE = 30.0
"""Seconds within which a real proxy must have written down what it was asked for."""


@dataclass(frozen=True)
class Answer:
    """What the proxy answered."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the usual shape."""
        found: dict[str, Any] = self.body["error"]
        return found

    @property
    def refusal(self) -> tuple[int, str | None]:
        """Status and ``error.type``: by these a client tells refusals apart."""
        return self.status, self.error["type"]


@dataclass(frozen=True)
class Key:
    """A key that a test made."""

    secret: str = field(repr=False)
    token: str
    user_id: str


def fresh(kind: str) -> str:
    """Return an id that nobody has used yet."""
    return f"ct-{kind}-{uuid.uuid4().hex[:12]}"


class Proxy:
    """A LiteLLM proxy under test, with the few calls that nearly every test needs."""

    def __init__(self, url: str, master_key: str, version: str) -> None:
        self.url = url
        self.master_key = master_key
        self.version = version
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def either(self, new: T, old: T) -> T:
        """Return what is expected of this version: of the newest one that we know, or of those before it."""
        known = tuple(int(part) for part in NEWEST.split("."))
        return new if tuple(int(part) for part in self.version.split(".")[:3]) >= known else old

    def call(self, method: str, path: str, body: Any = None, bearer: str | None = None, **query: Any) -> Answer:
        headers = {"Authorization": f"Bearer {bearer or self.master_key}"}
        return self.send(method, path, headers=headers, json=body, params=query)

    def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request as it is, without a key unless the options have one."""
        try:
            answer = self._session.request(method, self.url + path, timeout=60, **options)
        except requests.ConnectionError:
            # The proxy closes connections after 5 s without a request; one that just ended is opened anew.
            answer = self._session.request(method, self.url + path, timeout=60, **options)
        try:
            decoded = answer.json()
        except ValueError:
            decoded = answer.text
        return Answer(answer.status_code, decoded, dict(answer.headers))

    def get(self, path: str, bearer: str | None = None, **query: Any) -> Answer:
        return self.call("GET", path, None, bearer, **query)

    def post(self, path: str, body: Any, bearer: str | None = None) -> Answer:
        return self.call("POST", path, body, bearer)

    def done(self, path: str, body: Any, bearer: str | None = None) -> Any:
        """Post something that must succeed and return the answer's body."""
        answer = self.post(path, body, bearer)
        assert answer.status == 200, answer
        return answer.body

    def read(self, path: str, **query: Any) -> Any:
        """Get something that must be there."""
        answer = self.get(path, **query)
        assert answer.status == 200, answer
        return answer.body

    def new_user(self, **fields: Any) -> str:
        user_id = fields.pop("user_id", None) or fresh("user")
        self.done("/user/new", {"user_id": user_id, "auto_create_key": False, **fields})
        return str(user_id)

    def new_team(self, **fields: Any) -> str:
        team_id = fields.pop("team_id", None) or fresh("team")
        self.done("/team/new", {"team_id": team_id, **fields})
        return str(team_id)

    def new_key(self, **fields: Any) -> Key:
        """Make a key for inference, of a user of its own unless told otherwise."""
        user_id = fields.pop("user_id", None) or self.new_user()
        made = self.done("/key/generate", {"user_id": user_id, "key_type": "llm_api", **fields})
        return Key(made["key"], made["token"], user_id)

    def user(self, user_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.read("/user/info", user_id=user_id)["user_info"]
        return found

    def team(self, team_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.read("/team/info", team_id=team_id)["team_info"]
        return found

    def key(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.read("/key/info", key=key)["info"]
        return found

    def chat(self, key: Key | str, model: str = "gpt-4o", **fields: Any) -> Answer:
        secret = key.secret if isinstance(key, Key) else key
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}], **fields}
        return self.post("/chat/completions", body, secret)

    def eventually(self, probe: Callable[[], T], is_there: Callable[[T], bool], *, patience: float = PATIENCE) -> T:
        """Ask until the answer is as wanted, at most as long as our patience lasts; return the last answer."""
        deadline = time.monotonic() + patience
        while True:
            answer = probe()
            if is_there(answer) or time.monotonic() > deadline:
                return answer
            time.sleep(0.25)
