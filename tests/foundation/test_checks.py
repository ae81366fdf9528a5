"""Unsafe settings stop the start and say what to set."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.models import Role
from litemaas.foundation.checks import ROLES, providers_make_sense, refuse_unsafe_settings, somebody_can_sign_in
from litemaas.foundation.providers import Provider

LONG = "k" * 32


@pytest.fixture
def safe(settings: Any) -> Any:
    """The settings of a sound installation."""
    settings.DEBUG = False
    settings.SECRET_KEY = LONG
    settings.ENCRYPTION_KEYS = ["another-key"]
    settings.LITELLM_API_URL, settings.LITELLM_API_KEY = "https://litellm.test", "sk-x"
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
    ],
)
def test_each_unsafe_setting_is_named(safe: Any, name: str, value: Any, expected: str) -> None:
    shipped = {"SECRET_KEY": safe.INSECURE_SECRET_KEY, "ENCRYPTION_KEYS": [safe.INSECURE_ENCRYPTION_KEY]}
    setattr(safe, name, shipped[name] if value is None else value)
    with pytest.raises(ImproperlyConfigured, match=expected):
        refuse_unsafe_settings()


def test_development_keys_are_fine_in_debug_and_no_litellm_is_only_a_warning(safe: Any) -> None:
    safe.DEBUG = True
    safe.SECRET_KEY = safe.INSECURE_SECRET_KEY
    safe.LITELLM_API_URL = safe.LITELLM_API_KEY = ""
    refuse_unsafe_settings()


GOOD: dict[str, Any] = {"name": "company", "issuer": "https://idp.test", "client_id": "litemaas"}


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
