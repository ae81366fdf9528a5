"""Whoever writes is recorded: every verb reaches the audit log, and its vocabulary has no word too many or too few."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.audit import Action
from accounts.wording import ACTIONS
from tests.guards.source import PACKAGES, Function, Module, product

RECORD = {"accounts.audit.record", "accounts.audit.record_many"}
WRITES = re.compile(
    r"\.(save|create|get_or_create|update_or_create|bulk_create|bulk_update|execute|set_password)$"
    r"|(filter|exclude|all)\(.*\)\.(update|delete)$|^(families|others|living|rows|rest)\.(update|delete)$"
)
# Where verbs live. Faces, jobs and models write nothing (test_house.py); what pushes, fetches and tidies up is no verb.
VERBS = re.compile(
    r"/(services|policy|identities|integration|disappearance|tokens|sessions|personal_tokens|sign_in)\.py$|/services/|_verbs\.py$"
)
# What writes there without a word in the audit log, and why.
SILENT = {
    "accounts.identities.is_last_admin": "takes a lock",
    "accounts.identities.require_another_admin": "takes a lock",
    "accounts.services.forget_old_failures": "tidies up",
    "accounts.sessions.note_session_use": "when a session was last used",
    "accounts.sessions.note_use": "when a sign-in was last used",
    "apikeys.services.add_secret": "its callers record",
    "apikeys.services.push_secrets": "its callers record",
    "litellm_sync.integration.notice": "whether LiteLLM is away; the log says so",
    "litellm_sync.integration.perform": "takes a run and ends it; who asked for it is recorded",
    "litemaas.sign_in.leave_for": "keeps what the provider publishes; coming back is recorded",
    "litemaas.sign_in.prove": "keeps what the provider publishes; its caller records",
    "usage.services.rebuild_totals": "sums of LiteLLM's figures",
    "usage.services.replace_day": "LiteLLM's figures",
}


class Source:
    """The product's functions by their full names, with whom each of them names."""

    def __init__(self, modules: list[Module]) -> None:
        self.functions: dict[str, tuple[Module, Function]] = {}
        for module in modules:
            for node in module.tree.body:
                if isinstance(node, Function):
                    self.functions[f"{_dotted(module)}.{node.name}"] = module, node
        self.named = {name: set(self._names(*found)) for name, found in self.functions.items()}

    def _names(self, module: Module, function: Function) -> Iterator[str]:
        """The full names of what a function mentions: called, or handed on to be called."""
        known = imports(module) | {node.name: f"{_dotted(module)}.{node.name}" for node in _defined(module)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in known:
                yield known[node.id]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
                yield f"{known[node.value.id]}.{node.attr}"

    def reaching(self, goal: set[str]) -> set[str]:
        """The functions that get to ``goal``, by themselves or through others."""
        found = set(goal)
        while more := {name for name, words in self.named.items() if words & found} - found:
            found |= more
        return found

    def writers(self) -> set[str]:
        """The functions that write by themselves."""
        return {
            name
            for name, (_module, function) in self.functions.items()
            if any(isinstance(n, ast.Call) and WRITES.search(ast.unparse(n.func)) for n in ast.walk(function))
        }


def imports(module: Module) -> dict[str, str]:
    """What a module calls others, and their full names."""
    found: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _defined(module: Module) -> list[Function]:
    return [node for node in module.tree.body if isinstance(node, Function)]


def _dotted(module: Module) -> str:
    return module.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.fixture(scope="module")
def source() -> Source:
    """The product."""
    return Source([module for module in product() if "emulator" not in module.name])


def unrecorded(source: Source) -> set[str]:
    """Verbs that write, by themselves or through private functions of theirs, and never get to the audit log."""
    recording = source.reaching(RECORD)
    writing = source.reaching(source.writers())
    return {
        name
        for name, (module, function) in source.functions.items()
        if VERBS.search(f"/{module.name}") and not function.name.startswith("_")
        if name in writing and name not in recording
    }


def test_every_verb_is_recorded(source: Source) -> None:
    assert unrecorded(source) == set(SILENT)


def test_the_guard_finds_a_verb_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.guards.source.ROOT", tmp_path)
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/services.py").write_text(
        "from accounts import audit\n"
        "def _carry_out(team): team.save()\n"
        "def rename(actor, *, name): _carry_out(name)\n"
        "def close(actor):\n    _carry_out(actor)\n    audit.record(actor, 1)\n"
        "def look(actor): return actor\n"
    )
    assert unrecorded(Source([Module(tmp_path / "teams/services.py")])) == {"teams.services.rename"}


def test_every_action_is_recorded_somewhere_and_has_words() -> None:
    used = {name for module in product() for name in re.findall(r"\bAction\.([A-Z_]+)\b", module.text)}
    assert used == {action.name for action in Action}
    assert set(ACTIONS) == {action.value for action in Action}


def test_packages_are_read() -> None:
    assert {module.name.partition("/")[0] for module in product()} == set(PACKAGES)
