"""manage.py serve: the web server, as the product is delivered."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from litemaas.foundation.checks import refuse_unsafe_settings
from litemaas.management import serving


class Command(BaseCommand):
    """Takes the place of this process, so that whoever started it ends the web server itself."""

    help = "Serve the portal and its API; WEB_PROCESSES and WEB_THREADS say with how many processes and threads."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen at (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Does not return."""
        refuse_unsafe_settings()
        processes = settings.WEB_PROCESSES
        words = serving.command(options["host"], options["port"], processes=processes, threads=settings.WEB_THREADS)
        environment = serving.environment(os.environ, processes=processes, data_dir=settings.DATA_DIR)
        os.execve(words[0], words, environment)  # noqa: S606 -- our own words
