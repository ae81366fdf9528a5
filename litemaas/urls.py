"""Every address of the product."""

from django.contrib import admin
from django.urls import include, path

from litellm_sync.health import litellm_state
from litemaas.foundation import health
from litemaas.metrics import metrics

handler400 = "litemaas.foundation.problems.bad_request"
handler403 = "litemaas.foundation.problems.forbidden"
handler404 = "litemaas.foundation.problems.not_found"
handler500 = "litemaas.foundation.problems.server_error"

urlpatterns = [
    path("healthz/live", health.live, name="live"),
    path("healthz/ready", health.ready, {"reports": {"litellm": litellm_state}}, name="ready"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("litemaas.api")),
    path("", include("litemaas.portal.urls")),
    path("", include("accounts.urls")),
    path("", include("subscriptions.urls")),
    path("", include("apikeys.urls")),
    path("", include("usage.urls")),
]
