"""The API put together: one router, the schema, its documentation."""

from typing import Any

from csp.decorators import csp_update
from django.urls import include, path
from drf_spectacular.authentication import SessionScheme
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from accounts import api as accounts
from accounts import me_api
from apikeys import api as apikeys
from apikeys import bulk_api
from litellm_sync import api as litellm_sync
from litemaas.foundation.access import SIGNED_IN, access
from litemaas.people import api as people
from subscriptions import api as subscriptions
from usage import api as usage


class AccessTokenScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]  # extensions register untyped  # type: ignore[no-untyped-call]  # drf-spectacular registers its subclasses
    """How the schema says that access tokens go into ``Authorization: Bearer``; defining it registers it."""

    target_class = "accounts.tokens.AccessTokenAuthentication"
    name = "accessToken"


class PersonalTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # as above
    """How the schema says that personal access tokens go there too."""

    target_class = "accounts.personal_tokens.PersonalTokenAuthentication"
    name = "personalToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Bearer, in another format than access tokens."""
        return {**build_bearer_security_scheme_object("Authorization", "Bearer", "lmp_…")}


class BrowserSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]  # as above
    """The cookie of the portal."""

    target_class = "accounts.enforcement.BrowserSessionAuthentication"


@access(SIGNED_IN)
class SchemaView(SpectacularAPIView):
    """OpenAPI, for everybody who is signed in."""


@access(SIGNED_IN)
class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from the sidecar; its script comes as a file of its own, because the CSP allows no inline script."""


docs = DocsView.as_view(url_name="api-schema")

# Model ids contain slashes, which Django's <str:> converters refuse: that router alone speaks regular expressions.
models_router = SimpleRouter(trailing_slash=False)
models_router.register("models", subscriptions.ModelViewSet, basename="api-model")

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("api-keys", apikeys.ApiKeyViewSet, basename="api-apikey")
router.register("api-keys/bulk-changes", bulk_api.BulkChangeViewSet, basename="api-bulk-change")
router.register("audit", accounts.AuditViewSet, basename="api-audit")
router.register("integration/audit", litellm_sync.IntegrationAuditViewSet, basename="api-integration-audit")
router.register("integration/drift", litellm_sync.DriftViewSet, basename="api-drift")
router.register("integration/runs", litellm_sync.SyncRunViewSet, basename="api-sync-run")
router.register("subscriptions", subscriptions.SubscriptionViewSet, basename="api-subscription")
router.register("usage", usage.UsageViewSet, basename="api-usage")
router.register("users", people.UserViewSet, basename="api-user")

urlpatterns = [
    path("auth/token", accounts.TokenView.as_view(), name="api-token"),
    path("auth/token/refresh", accounts.TokenRefreshView.as_view(), name="api-token-refresh"),
    path("auth/token/revoke", accounts.TokenRevokeView.as_view(), name="api-token-revoke"),
    path("auth/token/claims", me_api.CredentialView.as_view(), name="api-credential"),
    path("me", accounts.MeView.as_view(), name="api-me"),
    path("me/activity", accounts.MyActivityView.as_view(), name="api-my-activity"),
    path("me/sessions", me_api.SignInsView.as_view(), name="api-sign-ins"),
    path("me/sessions/<uuid:pk>", me_api.SignInView.as_view(), name="api-sign-in"),
    path("me/tokens", me_api.PersonalTokensView.as_view(), name="api-personal-tokens"),
    path("me/tokens/<uuid:pk>", me_api.PersonalTokenView.as_view(), name="api-personal-token"),
    path("api-keys/bulk-changes/<uuid:pk>/keys", bulk_api.BulkChangeKeysView.as_view(), name="api-bulk-change-keys"),
    path("api-keys/hygiene", bulk_api.HygieneView.as_view(), name="api-key-hygiene"),
    path("api-keys/policy", apikeys.KeyPolicyView.as_view(), name="api-key-policy"),
    path("integration/default-team", litellm_sync.DefaultTeamView.as_view(), name="api-default-team"),
    path("integration/failures", litellm_sync.FailuresView.as_view(), name="api-integration-failures"),
    path("integration/health", litellm_sync.HealthView.as_view(), name="api-integration-health"),
    path("integration/retry", litellm_sync.RetryView.as_view(), name="api-integration-retry"),
    path("integration/schedule", litellm_sync.ScheduleView.as_view(), name="api-integration-schedule"),
    path("integration/schedule/<slug:kind>", litellm_sync.IntervalView.as_view(), name="api-integration-interval"),
    path("integration/sync", litellm_sync.SyncView.as_view(), name="api-sync"),
    path("schema", SchemaView.as_view(), name="api-schema"),
    # Swagger UI writes style attributes; this page alone may.
    path("docs", csp_update({"style-src": ["'unsafe-inline'"]})(docs), name="api-docs"),
    path("", include(router.urls)),
    path("", include(models_router.urls)),
]
