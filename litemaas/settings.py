"""Every setting of LiteMaaS, read from the environment once; docs/settings.md explains each."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy

from litemaas.foundation import embedded, jobs, logs, providers, rate_limits

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- The process -----------------------------------------------------------------------------------------------------

INSECURE_SECRET_KEY = "insecure-key-for-development-only"  # noqa: S105 -- the check litemaas.E001 refuses it in production
INSECURE_ENCRYPTION_KEY = "aW5zZWN1cmUta2V5LWZvci1kZXZlbG9wbWVudC0hISE="

DEBUG: bool = env.bool("DEBUG", default=False)
SECRET_KEY: str = env.str("SECRET_KEY", default=INSECURE_SECRET_KEY)
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[INSECURE_ENCRYPTION_KEY])
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
INSECURE_COOKIES: bool = env.bool("INSECURE_COOKIES", default=DEBUG)
TRUSTED_PROXY_COUNT: int = env.int("TRUSTED_PROXY_COUNT", default=0)
# Measured: docs/adr/0015. Each process runs one thread of Python at a time; threads are for waiting.
WEB_PROCESSES: int = env.int("WEB_PROCESSES", default=2)
WEB_THREADS: int = env.int("WEB_THREADS", default=8)
# Whoever reads a large file slowly holds a thread; the other half is left for everything else.
WEB_DOWNLOADS: int = env.int("WEB_DOWNLOADS", default=max(1, WEB_THREADS // 2))
METRICS_TOKEN: str = env.str("METRICS_TOKEN", default="")
LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO").upper()
LOG_JSON: bool = env.bool("LOG_JSON", default=not DEBUG)

# --- LiteLLM ---------------------------------------------------------------------------------------------------------

LITELLM_API_URL: str = env.str("LITELLM_API_URL", default="").rstrip("/")
LITELLM_API_KEY: str = env.str("LITELLM_API_KEY", default="")
LITELLM_PUBLIC_URL: str = env.str("LITELLM_PUBLIC_URL", default=LITELLM_API_URL).rstrip("/")
LITELLM_CA_BUNDLE: str = env.str("LITELLM_CA_BUNDLE", default="")
LITELLM_DEFAULT_TEAM_LISTED_MEMBERS: int = env.int("LITELLM_DEFAULT_TEAM_LISTED_MEMBERS", default=500)
LITELLM_SPEND_SETTLES_SECONDS: int = env.int("LITELLM_SPEND_SETTLES_SECONDS", default=90)
MODEL_SYNC_SECONDS: int = env.int("MODEL_SYNC_SECONDS", default=3600)
RECONCILE_MENDS: list[str] = env.list("RECONCILE_MENDS", default=["alive"])
RECONCILE_SECONDS: int = env.int("RECONCILE_SECONDS", default=3600)
USAGE_SYNC_SECONDS: int = env.int("USAGE_SYNC_SECONDS", default=300)
# So many rows are pushed at once by a run that pushes whole tables; LiteLLM's workers have people to serve besides.
BULK_PUSH_CONCURRENCY: int = env.int("BULK_PUSH_CONCURRENCY", default=4)
# The share of available models that one sync may hide before it stops and asks (an empty answer hides them all).
MODEL_SYNC_DISAPPEARANCE_LIMIT: float = env.float("MODEL_SYNC_DISAPPEARANCE_LIMIT", default=0.5)

# --- Keys and what people are told -----------------------------------------------------------------------------------

KEY_IDLE_DAYS: int = env.int("KEY_IDLE_DAYS", default=90)
KEY_EXPIRY_NOTICE_DAYS: list[int] = sorted(map(int, env.list("KEY_EXPIRY_NOTICE_DAYS", default=["14", "3", "1"])))
# Where people reach the portal: jobs write links, and no request tells them.
PORTAL_URL: str = env.str("PORTAL_URL", default="").rstrip("/")
globals().update(env.email_url_config(env.str("MAIL_URL", default="dummymail://")))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL: str = env.str("MAIL_FROM", default="LiteMaaS <litemaas@localhost>")

# --- Sign-in ---------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
PASSWORD_SIGN_IN: bool = env.bool("PASSWORD_SIGN_IN", default=DEBUG)
SIGN_IN_PROVIDERS = providers.read(env, env.list("SIGN_IN_PROVIDERS", default=[]))
LOGIN_URL = reverse_lazy("sign-in")
LOGIN_REDIRECT_URL = reverse_lazy("home")
ACCESS_TOKEN_LIFETIME = timedelta(minutes=env.int("ACCESS_TOKEN_MINUTES", default=30))
REFRESH_TOKEN_LIFETIME = timedelta(days=env.int("REFRESH_TOKEN_DAYS", default=14))
RATE_LIMITS = rate_limits.read(env.list("RATE_LIMITS", default=[]))
PERSONAL_TOKEN_DAYS: int = env.int("PERSONAL_TOKEN_DAYS", default=90)
PERSONAL_TOKEN_MAX_DAYS: int = env.int("PERSONAL_TOKEN_MAX_DAYS", default=365)
API_SIGN_INS_PER_USER: int = env.int("API_SIGN_INS_PER_USER", default=50)
PERSONAL_TOKENS_PER_USER: int = env.int("PERSONAL_TOKENS_PER_USER", default=20)
SESSION_LIFETIME = timedelta(hours=env.int("SESSION_HOURS", default=12))
SESSION_IDLE_LIFETIME = timedelta(minutes=env.int("SESSION_IDLE_MINUTES", default=120))
RENEWAL_GRACE = timedelta(minutes=env.int("RENEWAL_GRACE_MINUTES", default=60))
SESSION_ENGINE = "accounts.session_store"
# The server knows when a session is over; the cookie stays longer, so that the browser can be told why.
SESSION_COOKIE_AGE = int((SESSION_LIFETIME + timedelta(days=7)).total_seconds())
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not INSECURE_COOKIES
# Browsers take a cookie of such a name only from this very host, over HTTPS, for all its paths: no neighbour below the
# same domain can plant one (RFC 6265bis, 4.1.3.2). Scripts of Swagger UI read the CSRF cookie, so it is not HttpOnly.
SESSION_COOKIE_NAME = "sessionid" if INSECURE_COOKIES else "__Host-sessionid"
CSRF_COOKIE_NAME = "csrftoken" if INSECURE_COOKIES else "__Host-csrftoken"
CSRF_FAILURE_VIEW = "litemaas.foundation.problems.csrf_failure"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
SIMPLE_JWT: dict[str, Any] = {
    "ACCESS_TOKEN_LIFETIME": ACCESS_TOKEN_LIFETIME,
    "REFRESH_TOKEN_LIFETIME": REFRESH_TOKEN_LIFETIME,
    "ISSUER": "litemaas",
    "USER_ID_CLAIM": "sub",
    "CHECK_USER_IS_ACTIVE": True,
}

# --- Django ----------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Before Django's admin, whose templates it replaces.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "litemaas.administration.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_prometheus",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
    "lucide",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
    "litemaas",
    "litemaas.foundation",
    "litemaas.portal",
    "accounts",
    "teams",
    "subscriptions",
    "apikeys",
    "usage",
    "litellm_sync",
]

MIDDLEWARE = [
    "litemaas.foundation.middleware.RequestIdMiddleware",
    "litemaas.foundation.health.LivenessMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    # It pads what it compresses, so that lengths betray nothing (BREACH), and leaves WhiteNoise's files alone.
    "litemaas.foundation.compression.CompressionMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "litemaas.foundation.middleware.HeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "litemaas.foundation.middleware.BodyLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "litemaas.foundation.middleware.ErrorsMiddleware",
    "accounts.middleware.SessionUseMiddleware",
    "accounts.middleware.PreferencesMiddleware",
    "accounts.middleware.AccessMiddleware",
    "accounts.middleware.RenewalMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "litemaas.urls"
WSGI_APPLICATION = "litemaas.wsgi.application"
APPEND_SLASH = False

LOADERS = [f"django.template.loaders.{name}.Loader" for name in ("filesystem", "app_directories")]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [("template_partials.loader.Loader", [("django.template.loaders.cached.Loader", LOADERS)])],
            "builtins": [
                "template_partials.templatetags.partials",
                "litemaas.portal.templatetags.portal",
                "litemaas.administration.templatetags.admin_portal",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "litemaas.portal.context.portal",
            ],
        },
    }
]

FORM_RENDERER = "litemaas.foundation.widgets.QuickWidgets"

DATABASES: dict[str, Any] = {
    "default": {
        **env.db_url_config(env.str("DATABASE_URL", default="") or embedded.url(DATA_DIR)),
        "ENGINE": "django.db.backends.postgresql",
        "ATOMIC_REQUESTS": False,
        # A connection goes back to the pool after each request, and while a push waits for LiteLLM.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }
}
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"] |= {
    "pool": {
        "min_size": 1,
        "max_size": env.int("DATABASE_POOL_SIZE", default=20),
        "timeout": 5,
        # The pool waits longer after each failure; giving up soon makes it try anew with the next request, so that a
        # database that was away for long is used again within seconds of its return.
        "reconnect_timeout": 3,
    },
    "connect_timeout": 5,
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
# Each in its own words, so that whoever landed in the wrong one finds the way out.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_COOKIE_NAME = "language"
LOCALE_PATHS = [BASE_DIR / "litemaas" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
# After collectstatic: names with a digest, cached for ever. Else served from where the apps keep them.
COMPRESS_STATIC: bool = env.bool("COMPRESS_STATIC", default=False)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if COMPRESS_STATIC
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not COMPRESS_STATIC

# Bodies of the portal and the API are small; anything larger is refused before it is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("MAX_BODY_BYTES", default=1_000_000)
# The form of a key has six fields for each model, and a key may have 500 models.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000

# --- Security headers ------------------------------------------------------------------------------------------------

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 0 if INSECURE_COOKIES else env.int("HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = bool(SECURE_HSTS_SECONDS)
SECURE_HSTS_PRELOAD = bool(SECURE_HSTS_SECONDS) and env.bool("HSTS_PRELOAD", default=False)
# Being listed in browsers binds a whole domain for years: its owner decides that, not a check.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
SECURE_SSL_REDIRECT = not INSECURE_COOKIES and env.bool("SSL_REDIRECT", default=False)
# Platforms ask these from inside, in clear, and would take a redirect for a yes.
SECURE_REDIRECT_EXEMPT = [r"^healthz/", r"^metrics$"]
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "manifest-src": ["'self'"],
    }
}

# --- The admin portal ------------------------------------------------------------------------------------------------

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "LiteMaaS",
    "SITE_HEADER": "LiteMaaS",
    "SITE_SUBHEADER": gettext_lazy("Administration"),
    "SITE_URL": reverse_lazy("home"),
    "SITE_ICON": "litemaas.administration.navigation.icon",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "litemaas.administration.navigation.icon"},
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["litemaas.administration.navigation.styles", "litemaas.administration.navigation.admin_styles"],
    "SCRIPTS": ["litemaas.administration.navigation.script"],
    "SIDEBAR": {"navigation": "litemaas.administration.navigation.side_bar"},
}

# --- API -------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.personal_tokens.PersonalTokenAuthentication",
        "accounts.tokens.AccessTokenAuthentication",
        "accounts.enforcement.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.enforcement.AccessPermission"],
    "DEFAULT_RENDERER_CLASSES": ["litemaas.foundation.bodies.JSONAnswer"],
    "DEFAULT_PARSER_CLASSES": ["litemaas.foundation.bodies.JSONBody"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "litemaas.foundation.bodies.WhatThereIs",
    # OPTIONS is not offered: the schema says more, and DRF's answer to it fails on views without a queryset.
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_PAGINATION_CLASS": "litemaas.foundation.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "litemaas.foundation.pagination.Filters",
        "rest_framework.filters.SearchFilter",
        "litemaas.foundation.pagination.Order",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "litemaas.foundation.problems.api_exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "LiteMaaS",
    "DESCRIPTION": "Models as a service in front of LiteLLM.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    # Its own views would be open to everybody whatever they are marked with.
    "SERVE_PERMISSIONS": ["accounts.enforcement.AccessPermission"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Choices that several fields have, or that are like those of another.
    "ENUM_NAME_OVERRIDES": {
        "PersonalTokenStatusEnum": ["active", "expired", "revoked"],
        "RoleEnum": "accounts.models.Role",
    },
}

# --- Jobs and logs ---------------------------------------------------------------------------------------------------

PROCRASTINATE_WORKER_DEFAULTS: dict[str, Any] = {
    "concurrency": env.int("WORKER_CONCURRENCY", default=8),
    "delete_jobs": "successful",
    "worker_middleware": [jobs.observe],
}
# After how long a push that waits, and an outage of LiteLLM, become an error in the log; how often it is said again.
PUSH_ALERT_SECONDS: int = env.int("PUSH_ALERT_SECONDS", default=300)
OUTAGE_ALERT_SECONDS: int = env.int("OUTAGE_ALERT_SECONDS", default=120)
ALERT_REPEAT_SECONDS: int = env.int("ALERT_REPEAT_SECONDS", default=3600)

LOGGING: dict[str, Any] = logs.configure(json=LOG_JSON, level=LOG_LEVEL)
# Procrastinate tells every command, however small, which tasks there are, and every request in full what it queued.
LOGGING["loggers"] |= {f"procrastinate.{name}": {"level": "WARNING"} for name in ("blueprints", "jobs", "periodic")}
