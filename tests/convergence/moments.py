"""Time and death at the machine's command: a clock that jumps, and something that happens between two calls."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

_now = timezone.now


class Killed(BaseException):
    """The process that carried a push or a verb out is gone; no ``except Exception`` hears of it."""


class Clock:
    """The time of the whole product, of its deadlines and of the emulator; it goes on by itself and jumps on demand.

    It also stands in the place of the module ``time``.
    """

    perf_counter, time = staticmethod(time.perf_counter), staticmethod(time.time)

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """In the place of ``timezone.now``."""
        return _now() + self.ahead

    def monotonic(self) -> float:
        """In the place of ``time.monotonic``."""
        return time.monotonic() + self.ahead.total_seconds()

    def pass_on(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(seconds=seconds)


class Moments:
    """Every point at which a push can be overtaken or die: before and after each call, and before its outcome."""

    def __init__(self) -> None:
        self._left = 0
        self._deed: Callable[[], None] | None = None

    def plan(self, after: int, deed: Callable[[], None]) -> None:
        """Do something at the n-th moment from now, once, whoever comes there; unless something is planned already."""
        if self._deed is None:
            self._left, self._deed = after, deed

    def forget(self) -> None:
        """Nothing is planned any more."""
        self._deed = None

    def come(self) -> None:
        """One of the moments; what happens there is left alone itself."""
        if self._deed is None:
            return
        self._left -= 1
        if self._left <= 0:
            deed, self._deed = self._deed, None
            deed()

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """The same function with a moment on either side."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.come()
            found = act(*args, **kwargs)
            self.come()
            return found

        return watched

    def before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """The same function with a moment before it."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.come()
            return act(*args, **kwargs)

        return watched


@contextmanager
def survived() -> Iterator[None]:
    """Another process goes on where one was killed."""
    from django.db import connection  # noqa: PLC0415 -- the dead process's connection

    try:
        yield
    except Killed:
        connection.close()
        # What was to happen after its commit dies with it.
        connection.run_on_commit = []
        connection.run_commit_hooks_on_set_autocommit_on = False
