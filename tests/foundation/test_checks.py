"""Unsafe settings stop the start and say what to set."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from litemaas.foundation.checks import refuse_unsafe_settings

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
