"""The rules of the house that no linter knows: sizes, who writes, what may stand where."""

import ast
import re
from fnmatch import fnmatch

import pytest

from litemaas import settings as product_settings
from tests.guards.source import ROOT, Module, everything, length, product, templates

# Name of a file -> how many lines it may have. What outgrows it is split by what it is about.
LINES = {
    "models.py": 300,
    "services.py": 400,
    "views.py": 250,
    "api.py": 250,
    "forms.py": 300,
    "serializers.py": 250,
    "tasks.py": 150,
    "admin.py": 250,
    "settings.py": 350,
}
ANY_MODULE = 400
TEMPLATE, PARTIAL = 150, 40
SHORT, LONGEST, SHARE = 35, 60, 0.95
DRAWERS = re.compile(r"(utils?|helpers?|common|misc|tools|core|lib)\.py")
FACES = (
    "*/portal/profile.py",
    "*/views.py",
    "*/api.py",
    "*/me_api.py",
    "*/admin.py",
    "*/admin_*.py",
    "*/forms.py",
    "*/serializers.py",
    "*/urls.py",
    "*/tasks.py",
    "*/admin_*.py",
    "*/administration/*.py",
)
WRITES = re.compile(
    r"\.(save|delete|create|get_or_create|update_or_create|bulk_create|bulk_update|raw|execute|executemany)$"
    r"|\.(filter|exclude|all)\(.*\)\.update$"
)
HTTP = r"^\s*(import|from) (requests|urllib3|httpx|http\.client|urllib\.request)\b"
# Broad "except" and why nothing narrower will do; each is the outermost frame of something that must go on.
BROAD = {
    "apikeys/bulk.py": "one key that meets a bug must not keep the others of a bulk change waiting",
    "apikeys/notices.py": "whatever one person's mail meets must not keep the others of a round waiting",
    "litemaas/foundation/embedded.py": "a server that was started halfway is stopped, whatever went wrong",
    "litellm_sync/integration.py": "a run has to say that it failed",
    "litellm_sync/proof.py": "a bug of ours with one secret must not keep the others from being proved",
    "litellm_sync/push.py": "a bug of ours must not keep the claim of a row",
    "litellm_sync/state.py": "the verb has been committed, its caller must hear of success",
}


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """The product."""
    return product()


# --- Sizes -----------------------------------------------------------------------------------------------------------


def test_no_module_outgrows_its_kind(modules: list[Module]) -> None:
    sizes = {module.name: module.lines for module in modules}
    allowed = {name: LINES.get(name.rpartition("/")[2], ANY_MODULE) for name in sizes}
    assert {name: lines for name, lines in sizes.items() if lines > allowed[name]} == {}


def test_no_template_outgrows_its_kind() -> None:
    too_long = {}
    for path in templates():
        text = path.read_text()
        allowed = TEMPLATE if "{% extends" in text or "<html" in text else PARTIAL
        if (lines := len(text.splitlines())) > allowed:
            too_long[path.name] = lines
    assert too_long == {}


def test_functions_are_short(modules: list[Module]) -> None:
    lengths = {f"{m.name}:{f.name}": length(f) for m in modules for f in m.functions()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
    assert sum(lines <= SHORT for lines in lengths.values()) / len(lengths) >= SHARE


# --- Who writes ------------------------------------------------------------------------------------------------------


def test_faces_and_jobs_write_nothing(modules: list[Module]) -> None:
    found = [
        f"{module.name}:{line} {call}"
        for module in modules
        if any(fnmatch(module.name, face) for face in FACES)
        for line, call in module.calls()
        if WRITES.search(call)
    ]
    assert found == []


def test_models_are_data(modules: list[Module]) -> None:
    """No logic in save() or delete(), no signals: whoever saves a row knows everything that happens."""
    for module in modules:
        if module.name.endswith("/models.py") and "emulator" not in module.name:
            methods = {function.name for function in module.functions()}
            assert methods & {"save", "delete", "asave", "adelete", "clean"} == set(), module.name
            assert not re.search(r"\bsignals?\b|\breceiver\b|import requests|urllib|httpx", module.text), module.name


def test_nobody_listens_to_signals(modules: list[Module]) -> None:
    for module in modules:
        assert "django.db.models.signals" not in module.text, module.name
        assert "django.dispatch" not in module.text, module.name


def test_only_the_client_speaks_http(modules: list[Module]) -> None:
    speaking = {module.name for module in modules if re.search(HTTP, module.text, re.MULTILINE)}
    assert speaking <= {
        "accounts/provider_http.py",  # identity providers, which are no LiteLLM
        "litellm_sync/client/transport.py",
        "litemaas/management/commands/demo.py",  # asks whether the product that it started is ready
        "litemaas/management/commands/demo_data.py",  # calls models with the demo's keys, as people do
    }


def test_only_the_audit_writes_the_audit_log(modules: list[Module]) -> None:
    making = re.compile(r"AuditEvent\.objects\.\w*create|AuditEvent$")
    writers = {module.name for module in modules for _line, call in module.calls() if making.search(call)}
    assert writers == {"accounts/audit.py"}


def test_trap_40_nothing_is_kept_in_the_memory_of_one_process(modules: list[Module]) -> None:
    """Several replicas: rate limits, sessions, locks, jobs live in PostgreSQL, so Django's cache is not used at all."""
    for module in modules:
        assert "django.core.cache" not in module.text, module.name
    assert not hasattr(product_settings, "CACHES")
    assert product_settings.SESSION_ENGINE == "accounts.session_store"  # a table of ours
    assert "django.contrib.sessions" in product_settings.INSTALLED_APPS
    assert "procrastinate.contrib.django" in product_settings.INSTALLED_APPS


# --- Exceptions, silence, drawers ------------------------------------------------------------------------------------


def _is_broad(handler: ast.ExceptHandler) -> bool:
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(name is None or ast.unparse(name) in {"Exception", "BaseException"} for name in names)


def test_broad_excepts_are_known(modules: list[Module]) -> None:
    found = {
        module.name
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    }
    emulator = {name for name in found if name.startswith("litellm_sync/emulator/")}
    assert found - emulator == set(BROAD)


def test_every_silenced_rule_gives_its_reason(modules: list[Module]) -> None:
    for module in modules:
        for number, line in enumerate(module.text.splitlines(), start=1):
            if re.search(r"#\s*noqa", line):
                assert re.search(r"# noqa: [A-Z0-9, ]+ --? \S", line), f"{module.name}:{number} {line.strip()}"
            if re.search(r"#\s*type:\s*ignore", line):
                assert re.search(r"# type: ignore\[[\w, -]+\]  # \S", line), f"{module.name}:{number} {line.strip()}"


def test_there_are_no_drawers() -> None:
    assert [m.name for m in everything() if DRAWERS.fullmatch(m.path.name)] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [m.name for m in everything() if m.text.strip() and not (ast.get_docstring(m.tree) or "").strip()]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    markers = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    mine = "tests/guards/test_house.py"
    assert [m.name for m in everything() if m.name != mine and markers.search(m.text)] == []


def test_passwords_are_hashed_with_scrypt_where_no_test_runs() -> None:
    assert product_settings.PASSWORD_HASHERS[0].endswith(".ScryptPasswordHasher")


# --- Templates -------------------------------------------------------------------------------------------------------

# What would let somebody's text become markup or script, or what the Content Security Policy would refuse.
FORBIDDEN_IN_TEMPLATES = (
    r"\|\s*safe\b",
    r"\|\s*safeseq\b",
    r"autoescape\s+off",
    r"<script(?![^>]*\bsrc=)",
    r"<style\b",
    r"\sstyle\s*=",
    r"\son[a-z]+\s*=",
    r"javascript:",
    r"https?://(?!litellm\.example)",
    r"csrf_exempt",
)


@pytest.mark.parametrize("pattern", FORBIDDEN_IN_TEMPLATES)
def test_templates_are_inert(pattern: str) -> None:
    found = {p.relative_to(ROOT).as_posix() for p in templates() if re.search(pattern, p.read_text(), re.IGNORECASE)}
    assert found == set()


def test_every_form_that_writes_carries_the_csrf_token() -> None:
    for path in templates():
        text = path.read_text()
        for form in re.findall(r"<form\b.*?</form>", text, re.DOTALL | re.IGNORECASE):
            if re.search(r"method=[\"']?post", form, re.IGNORECASE):
                assert "{% csrf_token %}" in form, path.name


def test_mark_safe_is_used_nowhere_and_csrf_is_switched_off_nowhere(modules: list[Module]) -> None:
    for module in modules:
        assert not re.search(r"\bmark_safe\b|\bSafeString\([^)]|csrf_exempt", module.text), module.name
