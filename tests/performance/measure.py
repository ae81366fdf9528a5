"""One run of the bench: asks every question through every face and keeps what it saw."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.contrib.auth.hashers import make_password

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from subscriptions.models import Subscription
from tests.performance import bare, callbacks, data, load, people, stage, statements, weight
from tests.performance.data import Size
from tests.performance.load import Load, Request
from tests.performance.questions import Original, Question, questions
from tests.performance.stage import Stage

__all__ = ["questions"]

OK = 200
FOUND = 302
ROUNDS = 3
LONGEST_SECONDS = 15
PASSWORD = "the password of the bench"
ROUNDS_OF_ALL = 20
CALLBACKS_A_SECOND = 200  # more than there can be


@dataclass
class Row:
    """What is known of one question through one face."""

    question: str
    face: str
    status: int = OK
    loads: list[Load] = field(default_factory=list)
    original: Original = field(default_factory=Original)
    statements: int | None = None
    narrowed: int | None = None
    sql_ms: float | None = None
    page: weight.Weight | None = None
    limit: float | None = None

    @property
    def faults(self) -> list[str]:
        """What the product promises and this row does not keep."""
        found = []
        if self.narrowed is not None and self.narrowed != self.statements:
            found.append(f"{self.narrowed} statements for few rows, {self.statements} for many")
        if any(seen.errors for seen in self.loads):
            found.append(f"{sum(seen.errors for seen in self.loads)} errors")
        if self.page and self.page.assets > weight.ASSET_LIMIT:
            found.append(f"{self.page.assets:,} bytes of CSS and JavaScript")
        slow = self.limit and next((seen for seen in self.loads if seen.connections == 1), None)
        if slow and self.limit and slow.p50 > self.limit:
            found.append(f"{slow.p50:.0f} ms, promised were {self.limit:.0f}")
        return found


@dataclass
class Run:
    """How to measure."""

    stage: Stage
    connections: Sequence[int]
    seconds: float
    faces: Sequence[str]

    @property
    def port(self) -> int:
        """Where the product answers."""
        return self.stage.ports["web"]

    def bare(self) -> Row:
        """What the web server does alone."""
        return self._bare("a bare view", "/")

    def bare_look_up(self) -> Row:
        """What it does with one statement that an index answers."""
        digest = ApiKeySecret.objects.order_by("pk").values_list("digest", flat=True)[0]
        return self._bare("a bare look-up of a digest", f"{bare.LOOK_UP}{digest}")

    def _bare(self, name: str, path: str) -> Row:
        row = Row(name, "", original=Original())
        for connections in self.connections:
            asked = [Request(path)]
            row.loads.append(load.run(self.stage.ports["bare"], asked, connections=connections, seconds=self.seconds))
        return row

    def reading(self, question: Question) -> list[Row]:
        """A question through every face that has it."""
        rows = []
        for face, headers in people.headers_of(question.who).items():
            if (addresses := question.addresses(face)) and face in self.faces:
                rows.append(self._through(question, face, headers, addresses))
        return rows

    def _through(self, question: Question, face: str, headers: dict[str, str], addresses: Sequence[str]) -> Row:
        row = Row(question.name, face, original=question.original, limit=question.limit)
        body = question.body() if question.body else ""
        headers = headers | ({"Content-Type": "application/json"} if body else {})
        row.status = self._warm(addresses, headers, body)
        if row.status != OK:
            return row
        asked = [statements.ask(address, headers, body) for address in addresses]
        row.statements = sum(len(answered.statements) for answered in asked)
        if narrowed := question.narrowed(face):
            row.narrowed = sum(len(statements.ask(address, headers).statements) for address in narrowed)
        every = [statement for answered in asked for statement in answered.statements]
        row.sql_ms = statements.raw_milliseconds(self.stage.supervisor.environment["DATABASE_URL"], every)
        if face == "page":
            row.page = weight.of_page(self.port, addresses[0], headers)
        sent = [f"{name}: {value}" for name, value in headers.items()]
        for connections in self.connections:
            parts = []
            for address in addresses:
                request = Request(address, sent, "POST" if body else "GET", body)
                seconds = self._long_enough(request, headers, connections, len(addresses))
                parts.append(self._load([request], connections, seconds))
            row.loads.append(together(parts))
        return row

    def _warm(self, addresses: Sequence[str], headers: dict[str, str], body: str) -> int:
        """Ask everything once, as the first answer of a process is slow; the status, the worst of several."""
        return max(stage.status_of(self.port, address, headers, body) or 599 for address in addresses)

    def _long_enough(self, request: Request, headers: dict[str, str], connections: int, parts: int) -> float:
        """Seconds in which a slow answer, too, is given to each connection a few times."""
        started = time.monotonic()
        stage.status_of(self.port, request.path, headers, request.body)
        return min(LONGEST_SECONDS / parts, max(self.seconds, ROUNDS * connections * (time.monotonic() - started)))

    def _load(self, requests: Sequence[Request], connections: int, seconds: float | None = None) -> Load:
        self.stage.supervisor.pause(0)  # raises when somebody pressed Ctrl-C, or a process has died
        return load.run(self.port, requests, connections=connections, seconds=seconds or self.seconds)

    def writing(self, size: Size) -> list[Row]:
        """Sign in, subscribe, make keys, revoke keys; each request is another person's or about another thing."""
        rows = [
            self._callback(size),
            self._writes("sign in with a password", _sign_ins(size), Original()),
            self._writes("create subscription", _subscriptions(size), Original(62, 194)),
            self._writes("create key", _keys(size), Original(41, 151)),
        ]
        return [*rows, self._writes("revoke key", _revocations(), Original(63, 176))]

    def _callback(self, size: Size) -> Row:
        """Coming back from a provider; what the provider takes for its two answers is in it."""
        host, wanted = f"{stage.HOST}:{self.port}", len(self.connections) * max(1, round(self.seconds))
        first, *rest = callbacks.requests(self.stage.provider, size, host, 1 + CALLBACKS_A_SECOND * wanted)
        row = self._writes("sign-in callback", rest, Original())
        asked = statements.ask(first.path, dict(line.split(": ", 1) for line in first.headers) | {"Host": host})
        if asked.status != FOUND:
            raise load.LoadError(f"sign-in callback: answered {asked.status}")
        row.face, row.statements = "session", len(asked.statements)
        url = self.stage.supervisor.environment["DATABASE_URL"]
        row.sql_ms = statements.raw_milliseconds(url, asked.statements)
        return row

    def _writes(self, name: str, requests: list[Request], original: Original) -> Row:
        row, share = Row(name, "token", original=original), len(requests) // len(self.connections)
        for turn, connections in enumerate(self.connections):
            part = requests[turn * share : (turn + 1) * share]
            seen = self._load(part, connections)
            if seen.requests > len(part):
                raise load.LoadError(f"{name}: only {len(part)} things to do, {seen.requests} were done")
            row.loads.append(seen)
        return row


def together(parts: Sequence[Load]) -> Load:
    """Several answers as one: times are added up, which for p95 and p99 is more than it would be."""
    if len(parts) == 1:
        return parts[0]
    whole = sum(1 / part.per_second if part.requests else part.seconds for part in parts)
    seconds = sum(part.seconds for part in parts)
    return Load(
        connections=parts[0].connections,
        requests=round(seconds / whole),
        seconds=seconds,
        p50=sum(part.p50 for part in parts),
        p95=sum(part.p95 for part in parts),
        p99=sum(part.p99 for part in parts),
        errors=sum(part.errors for part in parts),
        cpu=sum(part.cpu for part in parts),
    )


# --- Things to do once -----------------------------------------------------------------------------------------------


def _tokens(size: Size) -> dict[int, list[str]]:
    """An access token of each ordinary person who may sign in."""
    found = {}
    for i in range(4, size.users):
        if data.is_active(i):
            sent = people.bearer(User.objects.get(pk=data.user_id(i)))
            found[i] = [*(f"{name}: {value}" for name, value in sent.items()), "Content-Type: application/json"]
    return found


def _sign_ins(size: Size) -> list[Request]:
    """Everybody who may sign in, often enough; the slow hash of the password is nearly all of it, as it should be."""
    people = User.objects.filter(is_active=True).order_by("pk")
    people.update(password=make_password(PASSWORD))
    body = '{{"username":"{}","password":"{}"}}'
    names = [data.username(i) for i in range(size.users) if data.is_active(i)]
    sent = ["Content-Type: application/json"]
    return [Request("/api/v1/auth/token", sent, "POST", body.format(name, PASSWORD)) for name in names] * ROUNDS_OF_ALL


def _subscriptions(size: Size) -> list[Request]:
    """Open models that people have not subscribed to; the next request is always another person's."""
    has = set(Subscription.objects.values_list("user_id", "model_id"))
    tokens = _tokens(size)
    open_models = [data.model_name(j) for j in range(size.models) if not data.is_restricted(j)]
    return [
        Request("/api/v1/subscriptions", sent, "POST", f'{{"model":"{model}"}}')
        for model in open_models
        for i, sent in tokens.items()
        if (data.user_id(i), model) not in has
    ]


def _keys(size: Size) -> list[Request]:
    """As many keys as the policy lets people make."""
    tokens = _tokens(size)
    body = '{{"name":"bench {}","models":["{}"]}}'
    return [
        Request("/api/v1/api-keys", sent, "POST", body.format(n, data.model_name(data.key_models(size, i)[0])))
        for n in range(40)
        for i, sent in tokens.items()
    ]


def _revocations() -> list[Request]:
    """Every key that lives."""
    owner = User.objects.get(pk=data.user_id(0))
    sent = [*(f"{name}: {value}" for name, value in people.bearer(owner).items()), "Content-Type: application/json"]
    return [
        Request(f"/api/v1/api-keys/{key}/revoke", sent, "POST", "{}")
        for key in ApiKey.objects.alive().order_by("pk").values_list("pk", flat=True)
    ]
