"""System checks: unsafe settings stop the start and say what to set."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured

from litemaas.foundation.providers import KINDS, NAME, Provider

SETTINGS_TAG = "litemaas"
SHORTEST_SECRET_KEY = 32
# What stands in LiteLLM's documentation and in that of our tests.
EXAMPLE_KEYS: Final = frozenset({"sk-1234", "sk-litellm-master-key"})
# Django adds it to ALLOWED_HOSTS while tests run; no other machine has this name.
TEST_HOST: Final = "testserver"
# accounts.models.Role, which the floor cannot import; a test compares them.
ROLES: Final = frozenset({"admin", "adminReadonly", "gateway", "user"})
# litellm_sync.drift.DriftKind without what is not ours, likewise.
MENDABLE: Final = frozenset({"alive", "different", "missing"})
# LiteLLM's workers know keys for a minute (user_api_key_cache_ttl) and write down up to 21 s late, as shipped.
SETTLES_SECONDS: Final = 81


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


@register(SETTINGS_TAG, Tags.security)
def debugging_stays_at_home(**kwargs: Any) -> list[CheckMessage]:
    """DEBUG and cookies in clear are for one machine: it must not answer to a name that others can reach."""
    abroad = ", ".join(host for host in settings.ALLOWED_HOSTS if not _is_local(host))
    if not abroad:
        return []
    found: list[CheckMessage] = []
    hint = f"ALLOWED_HOSTS has {abroad}. Take it away, or switch this off."
    if settings.DEBUG:
        found.append(Error("DEBUG is on for a public host.", hint=hint, id="litemaas.E007"))
    if settings.INSECURE_COOKIES:
        found.append(Error("INSECURE_COOKIES is on for a public host.", hint=hint, id="litemaas.E008"))
    return found


@register(SETTINGS_TAG, Tags.security)
def hosts_and_origins_are_ours(**kwargs: Any) -> list[CheckMessage]:
    """A host that anybody may claim ends up in links and redirects; an origin in clear can be anybody on the way."""
    found: list[CheckMessage] = []
    if any(host.strip(".") in {"*", ""} for host in settings.ALLOWED_HOSTS):
        hint = "Name the hosts under which the portal is reached."
        found.append(Error("ALLOWED_HOSTS allows every host.", hint=hint, id="litemaas.E009"))
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        parts = urlsplit(origin)
        clear = parts.scheme != "https" and not (settings.INSECURE_COOKIES and _is_local(parts.hostname or ""))
        if clear or "*" in origin:
            hint = "Begin it with https:// and name the host."
            found.append(Error(f"CSRF_TRUSTED_ORIGINS trusts {origin}.", hint=hint, id="litemaas.E015"))
    return found


def _is_local(host: str) -> bool:
    name = host.lower().strip("[]")
    if name == "localhost" or name.endswith(".localhost") or name == TEST_HOST:
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


@register(SETTINGS_TAG, Tags.security)
def litellms_key_is_no_example(**kwargs: Any) -> list[CheckMessage]:
    """Whoever reads LiteLLM's documentation would be its administrator."""
    if settings.LITELLM_API_KEY not in EXAMPLE_KEYS:
        return []
    words, hint = "LITELLM_API_KEY is an example of a documentation.", "Give LiteLLM a master key of its own."
    is_at_home = settings.DEBUG or settings.INSECURE_COOKIES
    return [
        Warning(words, hint=hint, id="litemaas.W005") if is_at_home else Error(words, hint=hint, id="litemaas.E016")
    ]


@register(SETTINGS_TAG)
def limits_make_sense(**kwargs: Any) -> list[CheckMessage]:
    """A limit that nobody can read would be none."""
    hint = "docs/settings.md lists the limits; one is written as name=count/period, such as audit_exports=60/1h."
    return [
        Error(f"RATE_LIMITS: {name!r} is no limit.", hint=hint, id="litemaas.E017")
        for name, limit in settings.RATE_LIMITS.items()
        if limit is None
    ]


@register(SETTINGS_TAG, Tags.security)
def doors_are_known(**kwargs: Any) -> list[CheckMessage]:
    """What is allowed, but should be meant."""
    found: list[CheckMessage] = []
    if settings.DEBUG or settings.INSECURE_COOKIES:
        return found
    if settings.PASSWORD_SIGN_IN and settings.SIGN_IN_PROVIDERS:
        hint = (
            "Passwords go past the provider's second factor; set PASSWORD_SIGN_IN=0 once the first sign-in has worked."
        )
        found.append(Warning("Passwords are on beside a sign-in provider.", hint=hint, id="litemaas.W004"))
    if not settings.METRICS_TOKEN:
        hint = "Set METRICS_TOKEN, and let Prometheus send it."
        found.append(Warning("/metrics is closed: there is no METRICS_TOKEN.", hint=hint, id="litemaas.W003"))
    return found


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
def spend_is_awaited(**kwargs: Any) -> list[CheckMessage]:
    """What a worker of LiteLLM writes down later than that is lost from the budget of a rotated key."""
    if settings.LITELLM_SPEND_SETTLES_SECONDS >= SETTLES_SECONDS:
        return []
    words = f"LITELLM_SPEND_SETTLES_SECONDS is shorter than LiteLLM takes as shipped: {SETTLES_SECONDS}."
    hint = "Leave it out, unless LiteLLM has a shorter user_api_key_cache_ttl, or only one worker."
    return [Warning(words, hint=hint, id="litemaas.W006")]


@register(SETTINGS_TAG)
def what_is_mended_is_known(**kwargs: Any) -> list[CheckMessage]:
    """A word that is none would leave undone what somebody relies on."""
    unknown = sorted(set(settings.RECONCILE_MENDS) - MENDABLE)
    hint = f"It may name {', '.join(sorted(MENDABLE))}."
    return [Error(f"RECONCILE_MENDS: {name!r} cannot be mended.", hint=hint, id="litemaas.E022") for name in unknown]


@register(SETTINGS_TAG)
def figures_make_sense(**kwargs: Any) -> list[CheckMessage]:
    """Intervals below a second and tokens that end while they are used are typing errors."""
    smallest = {
        "MODEL_SYNC_SECONDS": (settings.MODEL_SYNC_SECONDS, 1),
        "RECONCILE_SECONDS": (settings.RECONCILE_SECONDS, 1),
        "USAGE_SYNC_SECONDS": (settings.USAGE_SYNC_SECONDS, 1),
        "BULK_PUSH_CONCURRENCY": (settings.BULK_PUSH_CONCURRENCY, 1),
        "PUSH_ALERT_SECONDS": (settings.PUSH_ALERT_SECONDS, 1),
        "OUTAGE_ALERT_SECONDS": (settings.OUTAGE_ALERT_SECONDS, 1),
        "ALERT_REPEAT_SECONDS": (settings.ALERT_REPEAT_SECONDS, 1),
        "MAX_BODY_BYTES": (settings.DATA_UPLOAD_MAX_MEMORY_SIZE, 1),
        "TRUSTED_PROXY_COUNT": (settings.TRUSTED_PROXY_COUNT, 0),
        "SESSION_HOURS": (settings.SESSION_LIFETIME.total_seconds() / 3600, 1),
        "SESSION_IDLE_MINUTES": (settings.SESSION_IDLE_LIFETIME.total_seconds() / 60, 2),
        "RENEWAL_GRACE_MINUTES": (settings.RENEWAL_GRACE.total_seconds() / 60, 0),
        "API_SIGN_INS_PER_USER": (settings.API_SIGN_INS_PER_USER, 1),
        "PERSONAL_TOKEN_DAYS": (settings.PERSONAL_TOKEN_DAYS, 1),
        "KEY_IDLE_DAYS": (settings.KEY_IDLE_DAYS, 1),
        "KEY_EXPIRY_NOTICE_DAYS": (min(settings.KEY_EXPIRY_NOTICE_DAYS, default=1), 1),
        "PERSONAL_TOKEN_MAX_DAYS": (settings.PERSONAL_TOKEN_MAX_DAYS, settings.PERSONAL_TOKEN_DAYS),
        "ACCESS_TOKEN_MINUTES": (settings.ACCESS_TOKEN_LIFETIME.total_seconds() / 60, 15),
    }
    return [
        Error(f"{name} must be at least {least}.", hint=f"It is {value:g}.", id="litemaas.E005")
        for name, (value, least) in smallest.items()
        if value < least
    ]


@register(SETTINGS_TAG)
def somebody_can_sign_in(**kwargs: Any) -> list[CheckMessage]:
    """Without a provider and without passwords the portal is closed to everybody."""
    if settings.PASSWORD_SIGN_IN or settings.SIGN_IN_PROVIDERS:
        return []
    hint = "Set SIGN_IN_PROVIDERS, or PASSWORD_SIGN_IN."
    return [Warning("Nobody can sign in.", hint=hint, id="litemaas.W002")]


@register(SETTINGS_TAG, Tags.security)
def providers_make_sense(**kwargs: Any) -> list[CheckMessage]:
    """A provider that is half described, or spoken to in clear, is found before somebody wants to sign in."""
    return [
        flaw
        for provider in settings.SIGN_IN_PROVIDERS.values()
        for flaw in (*_flaws_of_address(provider), *_flaws_of_maps(provider))
    ]


def _flaws_of_address(provider: Provider) -> Iterator[CheckMessage]:
    who, hint = f"Sign-in provider {provider.name!r}:", "docs/admin/sign-in.md lists the settings of a provider."
    if not NAME.fullmatch(provider.name):
        yield Error(f"{who} a name is of a-z, 0-9 and -, and begins with a letter.", hint=hint, id="litemaas.E010")
    if provider.kind not in KINDS:
        yield Error(f"{who} TYPE must be one of {', '.join(KINDS)}.", hint=hint, id="litemaas.E010")
    if not (provider.issuer and provider.client_id):
        yield Error(f"{who} ISSUER and CLIENT_ID are needed.", hint=hint, id="litemaas.E011")
    schemes = ("https://", "http://") if settings.INSECURE_COOKIES else ("https://",)
    if provider.issuer and not provider.issuer.startswith(schemes):
        yield Error(f"{who} ISSUER must begin with {' or '.join(schemes)}.", hint=hint, id="litemaas.E012")
    if provider.ca_bundle and not Path(provider.ca_bundle).is_file():
        yield Error(f"{who} CA_BUNDLE is no file.", hint=hint, id="litemaas.E013")


def _flaws_of_maps(provider: Provider) -> Iterator[CheckMessage]:
    who = f"Sign-in provider {provider.name!r}:"
    if not set(provider.roles.values()) <= ROLES:
        hint = f"group=role, separated by commas, or a JSON object; roles are {', '.join(sorted(ROLES))}."
        yield Error(f"{who} ROLES gives what is no role.", hint=hint, id="litemaas.E014")
    if "" in provider.teams.values():
        hint = "group=team, separated by commas, or a JSON object."
        yield Error(f"{who} TEAMS gives no team.", hint=hint, id="litemaas.E014")
