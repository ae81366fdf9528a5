"""The pages that put several apps together: home, the theme switch."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.rbac import Permission
from accounts.requests import SignedInRequest
from apikeys.models import ApiKey
from litellm_sync.models import Upstream
from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.navigation import back_to
from litemaas.portal.context import THEME_COOKIE
from litemaas.portal.forms import ThemeForm
from subscriptions.examples import examples_for
from subscriptions.models import Subscription
from usage import queries
from usage.charts import column_chart
from usage.models import DailyUsage

YEAR: Final = timedelta(days=365)
MONTH_DAYS: Final = 30
CHART_DAYS: Final = 14
ATTENTION_ROWS: Final = 5
SECRET_PLACEHOLDER: Final = "YOUR_KEY"  # noqa: S105 -- stands in examples where nobody's secret may stand


@access(Permission.PROFILE_READ)
@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """Three steps for newcomers; what was used and what needs attention for regulars."""
    steps = _steps(request.user)
    context = {"steps": steps, "attention": _attention(request.user), "upstream": Upstream.objects.first()}
    if steps["has_key"]:
        context |= _figures(request.user)
    return render(request, "portal/home.html", context)


def _steps(user: User) -> dict[str, Any]:
    """What a newcomer has done already; the first model is the one in the example."""
    subscription = Subscription.objects.filter(user=user).active().select_related("model").first()
    keys = ApiKey.objects.filter(user=user, deleted_at=None)
    has_called = keys.exclude(last_used_at=None).exists() or DailyUsage.objects.filter(user=user).exists()
    has_key = keys.exists()
    return {
        "subscription": subscription,
        "has_key": has_key,
        "has_called": has_called,
        "done": bool(subscription and has_key and has_called),
        "examples": examples_for(subscription.model, SECRET_PLACEHOLDER)[:1] if subscription else [],
    }


def _attention(user: User) -> list[ApiKey]:
    """One's keys that do not work as wished or soon will not."""
    return list(ApiKey.objects.filter(user=user).needing_attention().for_display()[:ATTENTION_ROWS])


def _figures(user: User) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    own = {"user": [user.pk]}
    month = queries.Question.of(start=today - timedelta(days=MONTH_DAYS - 1), end=today, **own)
    recent = queries.Question.of(start=today - timedelta(days=CHART_DAYS - 1), end=today, **own)
    freshness = queries.freshness(recent)
    rows = queries.timeseries(user, recent)
    return {
        "month": queries.summary(user, month),
        "days": MONTH_DAYS,
        "freshness": freshness,
        "chart": column_chart(rows, "requests", missing=freshness.missing_days),
        "live_keys": ApiKey.objects.filter(user=user).alive().count(),
    }


@access(PUBLIC)
@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme in a cookie, for readers without scripts."""
    form = ThemeForm(request.POST)
    response = redirect(back_to(request, "home"))
    if form.is_valid():
        response.set_cookie(
            THEME_COOKIE,
            form.cleaned_data["theme"],
            max_age=YEAR,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return response
