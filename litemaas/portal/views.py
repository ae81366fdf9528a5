"""The pages that put several apps together: home, the switches of theme and language."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db.models import Count, F, Q
from django.db.models.functions import NullIf
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.rbac import Permission, can_access_admin_features, check_permission
from accounts.requests import SignedInRequest
from apikeys.models import ApiKey
from apikeys.notices import expiring_of
from apikeys.risks import gravest_first
from litemaas.foundation import preferences
from litemaas.foundation.access import PUBLIC, access
from litemaas.foundation.navigation import back_to
from litemaas.portal.context import THEME_COOKIE
from litemaas.portal.forms import LanguageForm, ThemeForm
from subscriptions.examples import examples_for
from subscriptions.models import Subscription, SubscriptionStatus
from usage import queries
from usage.charts import column_chart
from usage.models import DailyUsage

MONTH_DAYS: Final = 30
CHART_DAYS: Final = 14
ATTENTION_ROWS: Final = 5
BUDGET_ROWS: Final = 4
SECRET_PLACEHOLDER: Final = "YOUR_KEY"  # noqa: S105 -- stands in examples where nobody's secret may stand


@access(Permission.PROFILE_READ)
@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """Three steps for newcomers; what was used and what needs attention for regulars."""
    steps = _steps(request.user)
    may_use = check_permission(request.user, Permission.SUBSCRIPTIONS_CREATE)
    context = {"steps": steps, "may_use": may_use, "attention": _attention(request.user), **_waiting(request.user)}
    context["expiring"] = expiring_of(request.user, timezone.now())
    if steps["has_called"]:
        context |= {"live_keys": steps["live_keys"], **_figures(request.user)}
    return render(request, "portal/home.html", context)


def _steps(user: User) -> dict[str, Any]:
    """What a newcomer has done already; the first model is the one in the example."""
    subscription = Subscription.objects.filter(user=user).active().select_related("model").first()
    mine = ApiKey.objects.filter(user=user, deleted_at=None)
    living = Count("pk", filter=Q(pk__in=mine.alive()))
    keys = mine.aggregate(all=Count("pk"), used=Count("last_used_at"), alive=living)
    has_called = bool(keys["used"]) or DailyUsage.objects.filter(user=user).exists()
    has_key = bool(keys["all"])
    return {
        "subscription": subscription,
        "has_key": has_key,
        "live_keys": keys["alive"],
        "has_called": has_called,
        "done": bool(subscription and has_key and has_called),
        "examples": examples_for(subscription.model, SECRET_PLACEHOLDER)[:1] if subscription else [],
    }


def _attention(user: User) -> list[ApiKey]:
    """One's keys that do not work as wished or soon will not, what LiteLLM refuses first."""
    mine = ApiKey.objects.filter(user=user).needing_attention().for_display()
    return list(gravest_first(mine)[:ATTENTION_ROWS])


def _waiting(user: User) -> dict[str, Any]:
    """One's own requests that wait for approval, and for administrators how many of everybody's do."""
    pending = Subscription.objects.filter(status=SubscriptionStatus.PENDING)
    return {
        "waiting": list(pending.filter(user=user).order_by("created_at", "id")[:ATTENTION_ROWS]),
        "approvals": pending.count() if can_access_admin_features(user) else 0,
    }


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
        "budgets": _budgets(user),
    }


def _budgets(user: User) -> list[ApiKey]:
    """One's keys that have a budget, those first that have used the largest part of it."""
    mine = ApiKey.objects.filter(user=user, max_budget__isnull=False).alive()
    return list(
        mine.order_by((F("spend") / NullIf("max_budget", Decimal(0))).desc(nulls_last=True), "id")[:BUDGET_ROWS]
    )


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
            max_age=preferences.YEAR,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return response


@access(PUBLIC)
@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Keep the language in a cookie, for readers who are not signed in or whose profile cannot be changed."""
    form = LanguageForm(request.POST)
    response = redirect(back_to(request, "home"))
    if form.is_valid():
        preferences.remember_language(response, form.cleaned_data["language"])
    return response
