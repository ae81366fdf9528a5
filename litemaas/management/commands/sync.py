"""manage.py sync WHAT: carry one synchronisation out now, in this process."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from litellm_sync import activity, catalogue, integration
from litellm_sync.client.fallback import LITELLM
from litellm_sync.models import RunKind, RunStatus, SyncRun
from litemaas.foundation.errors import DomainError
from subscriptions.models import Model


class Command(BaseCommand):
    """For installations, scripts and the demo; the worker does the same on its schedule."""

    help = "Synchronise the models, the usage, or whole tables with LiteLLM."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to synchronise, whether many models may disappear, and whether it is about one model alone."""
        parser.add_argument("what", choices=RunKind.values)
        parser.add_argument("--confirm", action="store_true", help="hide models even if very many are missing")
        parser.add_argument("--only", metavar="MODEL", help="one model alone")
        parser.add_argument("--dry-run", action="store_true", help="with --only: say what is different, change nothing")

    def handle(self, *args: Any, what: str, confirm: bool, only: str | None, dry_run: bool, **options: Any) -> None:
        """Print the report, or the reason why nothing was changed."""
        if (only and what != "models") or (dry_run and not only):
            raise CommandError("--only is about models, and --dry-run about --only.")
        try:
            report = _one(only, dry_run=dry_run) if only else _synchronise(what, confirm=confirm)
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.details.get('reason', error.code)})") from error
        for name, value in report.items():
            self.stdout.write(f"{name}: {value}")


def _synchronise(what: str, *, confirm: bool) -> dict[str, Any]:
    if what == RunKind.MODELS:
        return catalogue.sync_models(confirmed=confirm).as_json()
    return activity.pull_usage() if what == RunKind.USAGE else _run(what)


def _run(what: str) -> dict[str, Any]:
    """A run as the worker does it, so that it is seen, goes on should this process die, and is one at a time."""
    queued = integration.request_sync(None, what=what)
    integration.perform(str(queued.pk))
    run = SyncRun.objects.get(pk=queued.pk)
    if run.status != RunStatus.DONE:
        raise CommandError(run.error or "LiteLLM is away: a worker goes on with it when it is back.")
    report: dict[str, Any] = run.report
    return report


def _one(name: str, *, dry_run: bool) -> dict[str, Any]:
    if not dry_run:
        return catalogue.refresh_model(None, model=name).as_json()
    model = Model.objects.filter(pk=name).first()
    if model is None:
        raise CommandError(f"There is no model {name} here.")
    found = catalogue.look_at_model(model)
    if found.source != LITELLM:
        return {"LiteLLM does not answer": f"{found.reason}; what is here is what it said last"}
    if found.value is None:
        return {"LiteLLM does not list it": "the next synchronisation hides it"}
    return {name: f"{old} here, {new} in LiteLLM" for name, (old, new) in found.value.items()} or {"the same": name}
