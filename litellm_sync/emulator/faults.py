"""The only place that makes bad weather: faults that tests and demonstrations ask for."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from litellm_sync.emulator.wire import Request, Response

MODES: Final = ("down", "slow", "500", "429", "garbage", "cut", "late", "lose")
_ANSWERS: Final = {
    "500": Response(500, b'{"error": {"message": "Internal Server Error", "type": "internal_server_error"}}'),
    "429": Response(
        429,
        b'{"error": {"message": "Too many requests", "type": "throttling_error", "param": null, "code": "429"}}',
        {"retry-after": "60"},
    ),
    "garbage": Response(200, b"<html>\xff\xfe this is not JSON {"),
}
_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "mode": (str,),
    "seconds": (int, float),
    "every": (int,),
    "paths": (list,),
    "methods": (list,),
    "count": (int,),
    "for_seconds": (int, float),
}


@dataclass
class Fault:
    """One kind of bad weather and which requests it hits.

    `down` closes the connection without an answer, `slow` waits before the work, `500`, `429` and `garbage` answer so
    without the work, `cut` does the work and closes the connection, `late` closes it and works after the seconds,
    `lose` is `down` for every n-th request.
    """

    mode: str
    seconds: float = 5.0
    """How long `slow` waits, and after how long `late` does the work."""
    every: int = 1
    """Hits each n-th request that fits."""
    paths: list[str] = field(default_factory=list)
    """Beginnings of paths; none means all."""
    methods: list[str] = field(default_factory=list)
    count: int | None = None
    """After so many hits it is over; None means never."""
    for_seconds: float | None = None
    """After so many seconds it is over; None means never."""
    seen: int = 0
    hits: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """True when it hit often or long enough."""
        return (self.count is not None and self.hits >= self.count) or (
            self.for_seconds is not None and time.monotonic() - self.began >= self.for_seconds
        )

    def strikes(self, request: Request) -> bool:
        """Count a request and tell whether it is hit."""
        if self.paths and not any(request.path.startswith(path) for path in self.paths):
            return False
        if self.methods and request.method not in self.methods:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.hits += 1
        return True


def fault_of(wanted: dict[str, Any]) -> Fault:
    """Return the fault that a JSON object describes; raise ``ValueError`` that says what is wrong with it."""
    for name, value in wanted.items():
        if not isinstance(value, _FIELDS.get(name, ())) or isinstance(value, bool):
            raise ValueError(f"{name}: unknown or of the wrong type")  # noqa: TRY004 -- one error for all of it
    if wanted.get("mode") not in MODES:
        raise ValueError(f"mode: one of {', '.join(MODES)}")
    if wanted.get("every", 1) < 1:
        raise ValueError("every: at least 1")
    default = {"every": 3} if wanted["mode"] == "lose" else {}
    return Fault(**default | wanted)


class Faults:
    """The faults in force, in the order in which they were asked for; the first that strikes counts."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._late: list[Callable[[], object]] = []
        self._changed = threading.Condition()
        self._generation = 0

    def add(self, mode: str, **settings: Any) -> Fault:
        """Add a fault; see :class:`Fault` for the settings."""
        fault = fault_of({"mode": mode} | settings)
        with self._changed:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults; requests that wait go on at once, those that are late stay so."""
        with self._changed:
            self._faults.clear()
            self._generation += 1
            self._changed.notify_all()

    def end(self) -> None:
        """End all faults, and never do the work of requests that are late."""
        with self._changed:
            self._late.clear()
            self._changed.notify_all()
        self.clear()

    def arrive(self) -> int:
        """Do the work of all requests that are late, now and in their order; return how many there were."""
        with self._changed:
            arrived, self._late = self._late, []
            self._changed.notify_all()
        for work in arrived:
            work()
        return len(arrived)

    @property
    def late(self) -> int:
        """How many requests are late."""
        with self._changed:
            return len(self._late)

    def described(self) -> list[dict[str, Any]]:
        """Return the faults in force as JSON objects."""
        with self._changed:
            return [_described(fault) for fault in self._in_force()]

    def apply(self, request: Request, work: Callable[[], Response | None]) -> Response | None:
        """Answer a request in the weather of the moment; None drops the connection."""
        with self._changed:
            fault = next((fault for fault in self._in_force() if fault.strikes(request)), None)
            generation = self._generation
        if fault is None:
            return work()
        if fault.mode in _ANSWERS:
            return _ANSWERS[fault.mode]
        if fault.mode == "slow":
            self.wait(fault.seconds, generation)
            return work()
        if fault.mode == "cut":
            work()
        if fault.mode == "late":
            self._delay(work, fault.seconds)
        return None

    def _delay(self, work: Callable[[], object], seconds: float) -> None:
        with self._changed:
            self._late.append(work)
        threading.Thread(target=self._arrive_by_itself, args=(work, seconds), daemon=True).start()

    def _arrive_by_itself(self, work: Callable[[], object], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: work not in self._late, timeout=seconds)
            if work not in self._late:
                return
            self._late.remove(work)
        work()

    def wait(self, seconds: float, generation: int | None = None) -> None:
        """Wait, but no longer than until the faults are cleared."""
        with self._changed:
            began = self._generation if generation is None else generation
            self._changed.wait_for(lambda: self._generation != began, timeout=seconds)

    def _in_force(self) -> Iterable[Fault]:
        self._faults = [fault for fault in self._faults if not fault.is_over]
        return self._faults


def _described(fault: Fault) -> dict[str, Any]:
    shown = asdict(fault)
    del shown["began"]
    return shown
