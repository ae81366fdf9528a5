"""The only place that makes a test run which is ended from outside take everything along that it started."""

import os
import signal
import threading
from types import FrameType

from litemaas.foundation.embedded import end_with_parent


def end_in_order() -> None:
    """Let SIGTERM do what Ctrl-C does: fixtures are torn down, and with them the processes that they started.

    A worker of pytest-xdist gets SIGTERM when its controller dies; by itself it would first finish its test.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # Python handles signals in its main thread alone
    signal.signal(signal.SIGTERM, _interrupt)
    tell_me = end_with_parent(signal.SIGTERM)
    if tell_me and "PYTEST_XDIST_WORKER" in os.environ:
        tell_me()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
