"""System checks: unsafe settings stop the start and say what to set."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured

SETTINGS_TAG = "litemaas"
SHORTEST_SECRET_KEY = 32


def refuse_unsafe_settings() -> None:
    """Raise ImproperlyConfigured for errors in our settings: a web server, unlike manage.py, checks nothing."""
    errors = [found for found in run_checks(tags=[SETTINGS_TAG]) if found.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(f"{error.id}: {error.msg} {error.hint or ''}" for error in errors))


def _secrets() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.SECRET_KEY == settings.INSECURE_SECRET_KEY:
        found.append(Error("SECRET_KEY is the development key.", hint="Set SECRET_KEY.", id="litemaas.E001"))
    elif len(settings.SECRET_KEY) < SHORTEST_SECRET_KEY:
        hint = f"It signs tokens (RFC 7518, 3.2): set at least {SHORTEST_SECRET_KEY} random characters."
        found.append(Error("SECRET_KEY is too short.", hint=hint, id="litemaas.E006"))
    if settings.INSECURE_ENCRYPTION_KEY in settings.ENCRYPTION_KEYS:
        hint = "Set ENCRYPTION_KEYS to one or more Fernet keys, the newest first (docs/settings.md says how)."
        found.append(Error("ENCRYPTION_KEYS holds the development key.", hint=hint, id="litemaas.E002"))
    return found


@register(SETTINGS_TAG, Tags.security)
def settings_are_safe(**kwargs: Any) -> list[CheckMessage]:
    """Outside DEBUG nothing may run with keys that are printed in the source."""
    return [] if settings.DEBUG else _secrets()


@register(SETTINGS_TAG)
def litellm_is_configured(**kwargs: Any) -> list[CheckMessage]:
    """Without LiteLLM the portal runs, but nothing that it hands out will work."""
    found: list[CheckMessage] = []
    if bool(settings.LITELLM_API_URL) != bool(settings.LITELLM_API_KEY):
        hint = "Set both LITELLM_API_URL and LITELLM_API_KEY, or neither."
        found.append(Error("Only one half of the LiteLLM address is set.", hint=hint, id="litemaas.E003"))
    elif not settings.LITELLM_API_URL:
        hint = "Set LITELLM_API_URL and LITELLM_API_KEY."
        found.append(Warning("No LiteLLM is configured.", hint=hint, id="litemaas.W001"))
    if settings.LITELLM_API_URL and not settings.LITELLM_API_URL.startswith(("http://", "https://")):
        found.append(Error("LITELLM_API_URL is not an http(s) address.", hint=None, id="litemaas.E004"))
    return found


@register(SETTINGS_TAG)
def figures_make_sense(**kwargs: Any) -> list[CheckMessage]:
    """Intervals below a second and tokens that end while they are used are typing errors."""
    smallest = {
        "MODEL_SYNC_SECONDS": (settings.MODEL_SYNC_SECONDS, 1),
        "USAGE_SYNC_SECONDS": (settings.USAGE_SYNC_SECONDS, 1),
        "MAX_BODY_BYTES": (settings.DATA_UPLOAD_MAX_MEMORY_SIZE, 1),
        "ACCESS_TOKEN_MINUTES": (settings.ACCESS_TOKEN_LIFETIME.total_seconds() / 60, 15),
    }
    return [
        Error(f"{name} must be at least {least}.", hint=f"It is {value:g}.", id="litemaas.E005")
        for name, (value, least) in smallest.items()
        if value < least
    ]
