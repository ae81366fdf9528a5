"""manage.py sync models|usage: carry one synchronisation out now, in this process."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from litellm_sync import activity, catalogue
from litemaas.foundation.errors import DomainError


class Command(BaseCommand):
    """For installations, scripts and the demo; the worker does the same on its schedule."""

    help = "Synchronise the models or the usage with LiteLLM."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to synchronise, and whether many models may disappear."""
        parser.add_argument("what", choices=["models", "usage"])
        parser.add_argument("--confirm", action="store_true", help="hide models even if very many are missing")

    def handle(self, *args: Any, what: str, confirm: bool, **options: Any) -> None:
        """Print the report, or the reason why nothing was changed."""
        try:
            report = catalogue.sync_models(confirmed=confirm).as_json() if what == "models" else activity.pull_usage()
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.details.get('reason', error.code)})") from error
        for name, value in report.items():
            self.stdout.write(f"{name}: {value}")
