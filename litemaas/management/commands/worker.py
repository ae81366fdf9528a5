"""manage.py worker: carries jobs out, and tells Prometheus what it counts where it is given a port."""

import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from litemaas.foundation.checks import refuse_unsafe_settings
from litemaas.metrics import worker_metrics


class _Server(ThreadingMixIn, WSGIServer):
    """Whoever reads slowly keeps nobody else waiting, and nobody keeps the worker from ending."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Whoever connects and says nothing is cut off."""

    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the base class
        """Not a line for each scrape."""


class Command(BaseCommand):
    """Procrastinate's worker for every queue, with our settings."""

    help = "Carry jobs out: pushes, synchronisations, everything on a schedule."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to tell what is counted, and how long to finish what was begun."""
        parser.add_argument("--metrics-host", default="127.0.0.1", help="address of /metrics (default: %(default)s)")
        parser.add_argument("--metrics-port", type=int, default=0, help="port of /metrics; 0, the default, is none")
        parser.add_argument(
            "--shutdown-graceful-timeout", type=float, default=None, help="seconds for jobs that are being carried out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Until it is told to end."""
        refuse_unsafe_settings()
        if options["metrics_port"]:
            self._tell(options["metrics_host"], options["metrics_port"])
        grace = options["shutdown_graceful_timeout"]
        words = [] if grace is None else ["--shutdown-graceful-timeout", str(grace)]
        call_command("procrastinate", "worker", *words)

    def _tell(self, host: str, port: int) -> None:
        try:
            server = make_server(host, port, worker_metrics(), server_class=_Server, handler_class=_Handler)
        except OSError as error:
            raise CommandError(f"Metrics cannot be told at {host}:{port}: {error.strerror or error}") from error
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        self.stderr.write(f"Metrics at http://{host}:{port}/metrics")
