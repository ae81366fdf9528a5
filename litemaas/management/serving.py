"""The only place that says how the product is served: which web server, with how many processes and threads."""

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
    return [sys.executable, "-m", "granian", *(word for option in options.items() for word in option), application]


def environment(given: Mapping[str, str], *, processes: int) -> dict[str, str]:
    """What the web server needs besides: a new folder where several processes count, so that nothing is left of before.

    One process counts in its own memory, and then also says what it uses of the machine.
    """
    kept = {name: value for name, value in given.items() if name != METRICS_FOLDER}
    return kept if processes == 1 else kept | {METRICS_FOLDER: str(Path(mkdtemp(prefix="litemaas-metrics-")))}
