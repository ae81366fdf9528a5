"""What a synchronisation found, in words and figures."""

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from litellm_sync.models import UNFINISHED, RunKind, RunStatus, SyncRun

# State -> tone, icon, words.
STATUS: Final = {
    RunStatus.QUEUED: ("info", "clock", _("Queued")),
    RunStatus.RUNNING: ("info", "refresh-cw", _("Running")),
    RunStatus.DONE: ("good", "circle-check", _("Done")),
    RunStatus.FAILED: ("bad", "circle-x", _("Failed")),
}
# What a report counts or lists, in words.
WORDS: Final = {
    "added": _("Added"),
    "restored": _("Back again"),
    "hidden": _("Hidden"),
    "skipped": _("Skipped, because they do not fit"),
    "changed": _("Changed"),
    "unchanged": _("Unchanged"),
    "days": _("Days fetched"),
    "rows": _("Facts written"),
    "keys": _("Keys with new spend"),
    "in_step": _("In step"),
    "refused": _("Refused"),
    "waiting": _("Still waiting"),
    "assigned": _("Put into the default team"),
}
LISTS: Final = ("added", "restored", "hidden", "skipped")
FIELDS: Final = {
    "availability": _("Availability"),
    "capabilities": _("Capabilities"),
    "context_length": _("Context"),
    "description": _("Description"),
    "input_cost_per_token": _("Price of a prompt token"),
    "max_output_tokens": _("Longest answer"),
    "mode": _("Mode"),
    "output_cost_per_token": _("Price of a completion token"),
    "provider": _("Provider"),
}


def counts(run: SyncRun) -> list[tuple[Any, int]]:
    """What a run found, in figures; what it did not find is left out."""
    if steps := run.report.get("steps"):
        done = sum(step["status"] == RunStatus.DONE for step in steps.values())
        return [(_("Steps done"), done)]
    found = []
    for name, words in WORDS.items():
        value = run.report.get(name)
        number = len(value) if isinstance(value, (list, dict)) else value
        if number:
            found.append((words, number))
    return found


def told(kind: RunKind, runs: Mapping[str, SyncRun]) -> dict[str, Any]:
    """The newest run of a kind for a page; ``runs`` is what ``health.last_runs()`` found of it."""
    run = runs.get("")
    return {
        "kind": kind.value,
        "words": kind.label,
        "run": run,
        "done": runs.get(RunStatus.DONE),
        "going": run is not None and run.status in UNFINISHED,
        "label": STATUS[RunStatus(run.status)] if run else None,
        "counts": counts(run) if run else [],
    }
