"""What a synchronisation found, in words and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from litellm_sync import integrity
from litellm_sync.drift import DriftKind
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
    "refused": _("Not hidden, because too many are missing at once"),
    "skipped": _("Skipped, because they do not fit"),
    "changed": _("Changed"),
    "unchanged": _("Unchanged"),
    "days": _("Days fetched"),
    "rows": _("Facts written"),
    "keys": _("Keys with new spend"),
    "compared": _("Compared"),
    "alive": _("Work although they must not"),
    "missing": _("Missing in LiteLLM"),
    "different": _("Different in LiteLLM"),
    "unknown": _("Unknown here"),
    "mended": _("Pushed again"),
    "held_back": _("Keys that need rotation, not touched, because too many are missing at once"),
    "unread": _("Could not be read in LiteLLM"),
    "settled": _("Settled since the last time"),
    "in_step": _("In step"),
    "failed": _("Refused"),
    "waiting": _("Still waiting"),
    "assigned": _("Put into the default team"),
}
LISTS: Final = ("added", "restored", "hidden", "refused")
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


# In what way both sides differ -> tone, icon, words.
DRIFT: Final = {
    DriftKind.ALIVE: ("bad", "circle-alert", DriftKind.ALIVE.label),
    DriftKind.MISSING: ("warn", "circle-x", DriftKind.MISSING.label),
    DriftKind.DIFFERENT: ("warn", "triangle-alert", DriftKind.DIFFERENT.label),
    DriftKind.UNKNOWN: ("info", "circle-question-mark", DriftKind.UNKNOWN.label),
}
# What LiteLLM calls things -> words; what is not here is not shown beside the fields that differ.
FACTS: Final = {
    "access_group_ids": _("Access groups"),
    "alias": _("Name"),
    "aliases": _("Other models under a name"),
    "allowed_routes": _("Routes"),
    "blocked": _("Blocked"),
    "budget_duration": _("Budget period"),
    "email": _("E-mail"),
    "expires": _("Expires"),
    "key": _("Presence"),
    "key_alias": _("Name in LiteLLM"),
    "key_name": _("Secret"),
    "last_active": _("Last used"),
    "max_budget": _("Budget"),
    "max_parallel_requests": _("Parallel requests"),
    "may_manage": _("May manage LiteLLM"),
    "members": _("Members"),
    "metadata": _("Limits per model"),
    "models": _("Models"),
    "owner": _("Owner"),
    "role": _("Role"),
    "router_settings": _("Router settings"),
    "rpm_limit": _("Requests per minute"),
    "spend": _("Spend"),
    "team": _("Team"),
    "team_id": _("Team"),
    "tpm_limit": _("Tokens per minute"),
    "user": _("User"),
    "user_id": _("Owner"),
    "works": _("Works"),
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


@dataclass(frozen=True)
class Found:
    """Something that did not fit together when a run ended, with the page of the rows that it is about."""

    code: str
    words: Any
    page: str
    number: int
    examples: list[list[str]]


def findings(run: SyncRun) -> list[Found]:
    """What a run of models found that does not fit together; what is all right is left out."""
    stored: dict[str, Any] = run.report.get("integrity", {})
    known = ((code, *integrity.WORDS[code], stored[code]) for code in integrity.WORDS if code in stored)
    return [Found(code, words, page, **found) for code, words, page, found in known if found["number"]]


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
        "findings": findings(runs[RunStatus.DONE]) if RunStatus.DONE in runs else [],
    }
