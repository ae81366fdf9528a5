"""The only place that starts the PostgreSQL of a test run: embedded, temporary, unless DATABASE_URL is set."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from litemaas.foundation import embedded


def provide() -> None:
    """Point DATA_DIR at a folder, and DATABASE_URL (if it is not set) at a server, that last as long as this process.

    Under pytest-xdist the controller comes here first and its workers inherit both, so one server serves all. An
    orderly end stops the server at exit; if the run is killed, the kernel tells the server (embedded.py).
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="litemaas-tests-"))
    # whitenoise warns about a missing folder for collected files, and warnings are errors here.
    (folder / "static").mkdir()
    server = None if os.environ.get("DATABASE_URL") else embedded.start(folder, durable=False)
    atexit.register(_remove, server, folder, os.getpid())
    os.environ["DATA_DIR"] = str(folder)  # nothing that a test does may reach the demo's data
    if server:
        os.environ["DATABASE_URL"] = server.url


def _remove(server: embedded.Server | None, folder: Path, owner: int) -> None:
    if os.getpid() != owner:
        return  # a process that a test forked must not end everybody's database
    if server:
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)
