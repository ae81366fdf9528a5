"""The documentation says neither less nor more than the code: settings, error codes, endpoints, decisions, links."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from litemaas.foundation import errors

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("accounts", "apikeys", "litellm_sync", "litemaas", "subscriptions", "teams", "usage")
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]
PAGES += sorted(DOCS.rglob("*.md"))
# The schema leaves itself and its pages out.
NOT_IN_THE_SCHEMA = {("GET", "/api/v1/schema"), ("GET", "/api/v1/docs")}
# The two errors whose status is set beside the class.
STATUS_BY_HAND = {"internal_error": 500, "method_not_allowed": 405}
ADR_SECTIONS = ("## Context", "## Decision", "## Consequences", "## What was measured")


def table_rows(page: Path, section: str = "") -> list[list[str]]:
    """The cells of each table row whose first cell is code; of one section (``## …``) or of the whole page."""
    text = page.read_text()
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip().strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def named(rows: list[list[str]]) -> list[str]:
    """What stands as code in the first cells."""
    return [row[0].strip("` ") for row in rows]


# --- docs/settings.md ------------------------------------------------------------------------------------------------


def settings_read() -> dict[str, ast.expr | None]:
    """Name -> default of each ``env.*("NAME", default=…)`` in the settings."""
    found: dict[str, ast.expr | None] = {}
    for node in ast.walk(ast.parse((ROOT / "litemaas/settings.py").read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "env"
        ):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                found[str(name.value)] = next((word.value for word in node.keywords if word.arg == "default"), None)
    return found


def as_environment(default: ast.expr | None) -> str | None:
    """A literal default as one would write it in the environment; None for what is worked out."""
    try:
        value = ast.literal_eval(default) if default is not None else ""
    except ValueError:
        return None
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(value) if isinstance(value, list) else str(value)


def test_every_setting_is_documented_and_no_other() -> None:
    everything = [name for name in named(table_rows(DOCS / "settings.md")) if name.isupper()]
    demo = named(table_rows(DOCS / "settings.md", "The demo alone"))
    assert len(everything) == len(set(everything))
    assert set(everything) - set(demo) == set(settings_read())


def test_every_setting_of_a_provider_is_documented_and_no_other() -> None:
    read = re.findall(r'prefix \+ "(\w+)"', (ROOT / "litemaas/foundation/providers.py").read_text())
    documented = re.findall(r"^\| \*\*_(\w+)\*\* \|", (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert documented == read


def test_the_demos_own_settings_are_those_that_it_reads() -> None:
    source = (ROOT / "litemaas/management/commands/demo.py").read_text()
    read = set(re.findall(r'environ(?:ment)?\.get\("([A-Z_]+)"\)', source)) - set(settings_read())
    assert set(named(table_rows(DOCS / "settings.md", "The demo alone"))) == read


def test_documented_defaults_are_those_of_the_settings() -> None:
    documented = {row[0].strip("`"): row[1] for row in table_rows(DOCS / "settings.md")}
    literals = {name: as_environment(default) for name, default in settings_read().items()}
    wanted = {name: f"`{value}`" if value else "empty" for name, value in literals.items() if value is not None}
    assert {name: documented[name] for name in wanted} == wanted


def test_every_system_check_is_documented_and_no_other() -> None:
    source = (ROOT / "litemaas/foundation/checks.py").read_text()
    documented = named(table_rows(DOCS / "settings.md", "What the checks say"))
    assert sorted(documented) == sorted(set(re.findall(r'id="(litemaas\.\w+)"', source)))


# --- docs/errors.md --------------------------------------------------------------------------------------------------


def sources() -> Iterator[Path]:
    """Our code, less what is generated and less the emulator, whose errors are LiteLLM's."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" not in path.parts and "emulator" not in path.parts:
                yield path


ERRORS = {
    name: known
    for name, known in vars(errors).items()
    if isinstance(known, type) and issubclass(known, errors.DomainError)
}


def literal_codes(path: Path) -> Iterator[tuple[str, int]]:
    """Each ``code="…"`` of a call with the status of the error that is made by it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            # A ValidationError, which is no class of ours, is answered as Invalid.
            made = ERRORS.get(ast.unparse(node.func).rpartition(".")[2], errors.Invalid)
            for word in node.keywords:
                if word.arg == "code" and isinstance(word.value, ast.Constant):
                    code = str(word.value.value)
                    yield code, STATUS_BY_HAND.get(code, made.status)


def codes_used() -> dict[str, set[int]]:
    """Code -> the statuses with which it is answered."""
    found = {known.code: {known.status} for known in ERRORS.values()}
    for path in sources():
        for code, status in literal_codes(path):
            found.setdefault(code, set()).add(status)
    return found


def test_every_error_code_is_documented_with_its_status_and_no_other() -> None:
    rows = table_rows(DOCS / "errors.md")
    documented = {code: {int(row[1])} for code, row in zip(named(rows), rows, strict=True)}
    assert len(documented) == len(rows)
    assert documented == codes_used()


# --- docs/api.md -----------------------------------------------------------------------------------------------------


def test_every_endpoint_is_documented_and_no_other() -> None:
    paths: dict[str, dict[str, Any]] = SchemaGenerator().get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]  # drf-spectacular has no types here
    offered = {(method.upper(), path) for path, methods in paths.items() for method in methods} | NOT_IN_THE_SCHEMA
    documented = set()
    for row in table_rows(DOCS / "api.md", "Endpoints"):
        methods, path = row[0].strip("`"), row[1].strip("`")
        documented |= {(method.strip(), f"/api/v1{path}") for method in methods.split(",")}
    assert documented == offered


# --- docs/adr --------------------------------------------------------------------------------------------------------


def test_decisions_are_numbered_listed_and_complete() -> None:
    pages = sorted(path for path in (DOCS / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in pages] == list(range(1, len(pages) + 1))
    index = (DOCS / "adr/index.md").read_text()
    for page in pages:
        text = page.read_text()
        title = text.partition("\n")[0].removeprefix("# ")
        assert f"]({page.name})" in index, page.name
        assert title.removeprefix(page.name[:4]).strip(" .") in index, f"{page.name} has another title in the index"
        assert re.search(r"^Status: (proposed|accepted|superseded by \d{4}) · \d{4}-\d\d-\d\d$", text, re.MULTILINE)
        positions = [text.find(section) for section in ADR_SECTIONS]
        assert -1 not in positions, f"{page.name} lacks a section"
        assert positions == sorted(positions), page.name


# --- Everywhere ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    files = re.findall(r"`((?:%s|tests|requirements|docs|templates|\.ci)/[\w./-]+)`" % "|".join(PACKAGES), text)  # noqa: UP031 -- braces of an f-string would need doubling
    for name in files:
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_every_page_can_be_reached_from_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert name == "index.md" or name.startswith("adr/0") or f"]({name})" in index, name
