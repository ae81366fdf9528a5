"""The product's own source, read: its modules as syntax trees, its templates as text."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accounts", "apikeys", "litellm_sync", "litemaas", "subscriptions", "teams", "usage")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of Python."""

    path: Path

    @property
    def name(self) -> str:
        """Its path as people write it."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """What stands in it."""
        return self.path.read_text()

    @cached_property
    def lines(self) -> int:
        """How long it is."""
        return len(self.text.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    def functions(self) -> Iterator[Function]:
        """Every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def calls(self) -> Iterator[tuple[int, str]]:
        """Line and text of the function of every call, such as ``form.save``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node.lineno, ast.unparse(node.func)


def product() -> list[Module]:
    """Every module of the product but migrations."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return [Module(path) for path in sorted(found) if "migrations" not in path.parts]


def everything() -> list[Module]:
    """The product, its tests and its entry point."""
    return [*product(), *(Module(path) for path in sorted((ROOT / "tests").rglob("*.py"))), Module(ROOT / "manage.py")]


def templates() -> list[Path]:
    """Every template."""
    return sorted((ROOT / "templates").rglob("*.html"))


def length(function: Function) -> int:
    """Lines of a function with its signature and docstring, without its decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
