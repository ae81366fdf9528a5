"""Unsafe settings stop the start and say what to set."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from accounts.models import Role
from litemaas.foundation.checks import (
    ROLES,
    debugging_stays_at_home,
    providers_make_sense,
    refuse_unsafe_settings,
    somebody_can_sign_in,
)
from litemaas.foundation.providers import Provider

ROOT = Path(__file__).resolve().parents[2]

LONG = "k" * 32
GOOD: dict[str, Any] = {"name": "company", "issuer": "https://idp.test", "client_id": "litemaas"}


@pytest.fixture
def safe(settings: Any) -> Any:
    """The settings of a sound installation."""
    settings.DEBUG = False
    settings.SECRET_KEY = LONG
    settings.ENCRYPTION_KEYS = ["another-key"]
    settings.LITELLM_API_URL, settings.LITELLM_API_KEY = "https://litellm.test", "sk-x"
    settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = ["maas.test"], ["https://maas.test"]
    settings.INSECURE_COOKIES, settings.PASSWORD_SIGN_IN = False, False
    settings.METRICS_TOKEN = "long"
    settings.SIGN_IN_PROVIDERS = {"company": Provider(**GOOD)}
    return settings


def test_sound_settings_pass(safe: Any) -> None:
    refuse_unsafe_settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECRET_KEY", None, "litemaas.E001"),
        ("SECRET_KEY", "k" * 31, "litemaas.E006"),
        ("ENCRYPTION_KEYS", None, "litemaas.E002"),
        ("LITELLM_API_KEY", "", "litemaas.E003"),
        ("LITELLM_API_URL", "litellm.test", "litemaas.E004"),
        ("USAGE_SYNC_SECONDS", 0, "litemaas.E005"),
        ("TRUSTED_PROXY_COUNT", -1, "litemaas.E005"),
        ("DEBUG", True, "litemaas.E007"),
        ("INSECURE_COOKIES", True, "litemaas.E008"),
        ("ALLOWED_HOSTS", ["maas.test", "*"], "litemaas.E009"),
        ("ALLOWED_HOSTS", ["."], "litemaas.E009"),
        ("CSRF_TRUSTED_ORIGINS", ["http://maas.test"], "litemaas.E015"),
        ("CSRF_TRUSTED_ORIGINS", ["http://localhost:8000"], "litemaas.E015"),
        ("CSRF_TRUSTED_ORIGINS", ["https://*.maas.test"], "litemaas.E015"),
        ("LITELLM_API_KEY", "sk-1234", "litemaas.E016"),
        ("RATE_LIMITS", {"audit_exports": None}, "litemaas.E017"),
    ],
)
def test_each_unsafe_setting_is_named(safe: Any, name: str, value: Any, expected: str) -> None:
    shipped = {"SECRET_KEY": safe.INSECURE_SECRET_KEY, "ENCRYPTION_KEYS": [safe.INSECURE_ENCRYPTION_KEY]}
    setattr(safe, name, shipped[name] if value is None else value)
    with pytest.raises(ImproperlyConfigured, match=expected):
        refuse_unsafe_settings()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "maas.localhost", "LOCALHOST"])
def test_one_machine_may_debug_and_speak_in_clear(safe: Any, host: str) -> None:
    safe.DEBUG = safe.INSECURE_COOKIES = True
    safe.ALLOWED_HOSTS, safe.CSRF_TRUSTED_ORIGINS = [host], [f"http://{host}:8000"]
    safe.LITELLM_API_KEY = "sk-1234"
    assert [flaw.id for flaw in run_checks(tags=["litemaas"])] == ["litemaas.W005"]


@pytest.mark.parametrize("host", ["10.0.0.1", "maas", "localhost.example.com", "[::]", ".localhost.test"])
def test_other_machines_are_not_this_one(safe: Any, host: str) -> None:
    safe.DEBUG = safe.INSECURE_COOKIES = True
    safe.ALLOWED_HOSTS = ["localhost", host]
    assert [flaw.id for flaw in debugging_stays_at_home()] == ["litemaas.E007", "litemaas.E008"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LITELLM_SPEND_SETTLES_SECONDS", 30, "litemaas.W006"),
        ("METRICS_TOKEN", "", "litemaas.W003"),
        ("PASSWORD_SIGN_IN", True, "litemaas.W004"),
    ],
)
def test_what_should_be_meant_is_a_warning(safe: Any, name: str, value: Any, expected: str) -> None:
    assert run_checks(tags=["litemaas"]) == []
    setattr(safe, name, value)
    assert [flaw.id for flaw in run_checks(tags=["litemaas"])] == [expected]


# --- The start -------------------------------------------------------------------------------------------------------

PRODUCTION = {
    "SECRET_KEY": "Zq3vXk9wPm2sLt7hYb4nRc8dJf6gUa1eQo5iWzCxVyBdHjKlMnPrSt",
    "ENCRYPTION_KEYS": "dGhlLWtleS1vZi1hLXRlc3QtcnVuLWlzLW5vLXNlY3I=",
    "ALLOWED_HOSTS": "maas.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://maas.example.com",
    "TRUSTED_PROXY_COUNT": "1",
    "SSL_REDIRECT": "1",
    "LITELLM_API_URL": "https://litellm.example.com",
    "LITELLM_API_KEY": "sk-a-long-random-master-key",
    "METRICS_TOKEN": "a-long-random-text",
    "SIGN_IN_PROVIDERS": "company",
    "SIGN_IN_COMPANY_ISSUER": "https://idp.example.com",
    "SIGN_IN_COMPANY_CLIENT_ID": "litemaas",
}
MANAGE = [sys.executable, str(ROOT / "manage.py")]
STARTS = {
    "web": [sys.executable, "-c", "import litemaas.wsgi"],
    "worker": [*MANAGE, "worker"],
    "procrastinate's own worker": [*MANAGE, "procrastinate", "worker"],
    "migrate": [*MANAGE, "migrate"],
    "verify_audit": [*MANAGE, "verify_audit"],
    "make_admin": [*MANAGE, "make_admin", "root"],
}


def run(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    """A process of a production that is set up as the documentation says, but for ``changes``."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DATABASE_URL", "DATA_DIR") if name in os.environ}
    environment = kept | PRODUCTION | changes
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_production_as_documented_leaves_djangos_own_checks_nothing_to_say() -> None:
    done = run([*MANAGE, "check", "--deploy", "--fail-level", "WARNING"])
    assert (done.returncode, done.stdout.strip()) == (0, "System check identified no issues (1 silenced).")


def test_the_documented_production_is_that_of_the_test() -> None:
    documented = (ROOT / "docs/operators/security.md").read_text()
    missing = [name for name in PRODUCTION if name not in documented]
    assert missing == []


@pytest.mark.parametrize("start", STARTS)
def test_trap_10_nothing_starts_with_unsafe_settings(start: str) -> None:
    done = run(STARTS[start], DEBUG="1")
    assert done.returncode != 0
    assert "litemaas.E007" in done.stderr


def test_trap_10_the_web_server_does_start_with_safe_ones() -> None:
    done = run(STARTS["web"])
    assert done.returncode == 0, done.stderr


def test_development_keys_are_fine_in_debug_and_no_litellm_is_only_a_warning(safe: Any) -> None:
    safe.DEBUG = True
    safe.ALLOWED_HOSTS = ["localhost"]
    safe.SECRET_KEY = safe.INSECURE_SECRET_KEY
    safe.LITELLM_API_URL = safe.LITELLM_API_KEY = ""
    refuse_unsafe_settings()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"name": "Company"}, ["litemaas.E010"]),
        ({"kind": "saml"}, ["litemaas.E010"]),
        ({"issuer": ""}, ["litemaas.E011"]),
        ({"client_id": ""}, ["litemaas.E011"]),
        ({"issuer": "http://idp.test"}, ["litemaas.E012"]),
        ({"ca_bundle": "/no/such/file.pem"}, ["litemaas.E013"]),
        ({"roles": {"admins": "root"}}, ["litemaas.E014"]),
        ({"roles": {"admins": ""}}, ["litemaas.E014"]),
        ({"teams": {"ds": ""}}, ["litemaas.E014"]),
        ({"roles": {"admins": "admin"}, "teams": {"ds": "Data Science"}, "ca_bundle": __file__}, []),
    ],
)
def test_each_flaw_of_a_provider_is_named(safe: Any, change: dict[str, Any], expected: list[str]) -> None:
    safe.INSECURE_COOKIES = False
    safe.SIGN_IN_PROVIDERS = {"company": Provider(**GOOD | change)}
    assert [flaw.id for flaw in providers_make_sense()] == expected


def test_provider_in_clear_is_fine_where_cookies_are(safe: Any) -> None:
    safe.INSECURE_COOKIES = True
    safe.SIGN_IN_PROVIDERS = {"company": Provider(**GOOD | {"issuer": "http://127.0.0.1:9000"})}
    assert providers_make_sense() == []


def test_closed_portal_is_a_warning(safe: Any) -> None:
    safe.PASSWORD_SIGN_IN, safe.SIGN_IN_PROVIDERS = False, {}
    assert [flaw.id for flaw in somebody_can_sign_in()] == ["litemaas.W002"]
    safe.SIGN_IN_PROVIDERS = {"company": Provider(**GOOD)}
    assert somebody_can_sign_in() == []


def test_roles_of_the_checks_are_those_of_the_product() -> None:
    assert set(Role.values) == ROLES


def test_client_secret_is_not_printed() -> None:
    assert "hush" not in repr(Provider(**GOOD, client_secret="hush"))
