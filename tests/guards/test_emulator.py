"""The emulator may only know what a contract test has proved on a real LiteLLM: no route without one."""

import ast
from pathlib import Path

from litellm_sync.emulator import routes

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "tests" / "contract"
# These test what LiteLLM does not do: they prove nothing about it.
EMULATOR_ALONE = {"test_faults.py"}
# Paths that hold the name of a thing; the contract tests write them with an f-string.
NAMED = {"/regenerate", "/update"}


def _texts() -> set[str]:
    """Every text, and every part of one, in the tests that run against real proxies too."""
    files = [file for file in sorted(CONTRACT.glob("*.py")) if file.name not in EMULATOR_ALONE]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_route_of_the_emulator_is_asked_of_real_proxies_too() -> None:
    known = {path for _method, _, path in (name.partition(" ") for name in routes.names())}
    assert known
    assert sorted((known | NAMED) - _texts()) == []


def test_the_emulators_own_routes_are_documented() -> None:
    source = (ROOT / "litellm_sync" / "emulator" / "steering.py").read_text()
    literals = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    own = {text for text in literals if isinstance(text, str) and text.startswith(("GET ", "POST ", "DELETE "))}
    documented = (ROOT / "docs" / "developers" / "testing.md").read_text()
    missing = [one for one in sorted(own) if f"`{one.replace(' ', ' /emulator/')}`" not in documented]
    assert own
    assert missing == []
