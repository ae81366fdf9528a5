"""The only place that says how the product is served: which web server, with how many processes and threads."""

import fcntl
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

APPLICATION: Final = "litemaas.wsgi:application"
# As long may an answer take that is being written when the web server is told to end.
GRACE_SECONDS: Final = 10
# The folder in which prometheus_client adds up what several processes count.
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


def command(host: str, port: int, *, processes: int, threads: int, application: str = APPLICATION) -> list[str]:
    """What starts the web server: so many processes with so many threads each."""
    options = {
        "--interface": "wsgi",
        "--host": host,
        "--port": str(port),
        "--workers": str(processes),
        "--blocking-threads": str(threads),
        # A process that is told to end while it starts can miss that, and granian would wait for it for ever.
        "--workers-kill-timeout": str(GRACE_SECONDS),
    }
    words = [word for option in options.items() for word in option]
    # The kernel ends a process when memory is short: without this all others would end too.
    return [sys.executable, "-m", "granian", *words, "--respawn-failed-workers", application]


def environment(given: Mapping[str, str], *, processes: int, data_dir: Path) -> dict[str, str]:
    """What the web server needs besides: a new folder where several processes count, so that nothing is left of before.

    One process counts in its own memory, and then also says what it uses of the machine.
    """
    kept = {name: value for name, value in given.items() if name != METRICS_FOLDER}
    return kept if processes == 1 else kept | {METRICS_FOLDER: str(_new_folder(data_dir / "metrics"))}


def _new_folder(root: Path) -> Path:
    """A folder that is ours for as long as we live; those whose owners are dead are removed.

    The kernel keeps the lock over exec, through which this process becomes the web server, and drops it when that dies.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    one_at_a_time = _locked(root, fcntl.LOCK_EX)
    try:
        for old in root.iterdir():
            _remove_if_left(old)
        folder = Path(mkdtemp(dir=root))
        os.set_inheritable(_locked(folder, fcntl.LOCK_EX), True)  # noqa: FBT003 -- takes no names
        return folder
    finally:
        os.close(one_at_a_time)


def _remove_if_left(folder: Path) -> None:
    try:
        lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(folder)
    os.close(lock)


def _locked(folder: Path, how: int) -> int:
    """An open folder that is locked until it is closed, by whoever has it then."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, how)
    except BlockingIOError:
        os.close(opened)
        raise
    return opened
