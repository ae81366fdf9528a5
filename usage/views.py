"""The page of usage and cost."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.rbac import Permission, can_access_admin_features
from accounts.requests import SignedInRequest
from litemaas.foundation.access import access
from usage import queries
from usage.charts import column_chart
from usage.forms import METRICS, RANGES, UsageFilter


@access(Permission.USAGE_READ)
@require_safe
def usage(request: SignedInRequest) -> HttpResponse:
    """What was used in the last days; administrators may look at everybody's."""
    may_see_all = can_access_admin_features(request.user)
    everybody = may_see_all and request.GET.get("of") == "everybody"
    days, metric = UsageFilter(request.GET).chosen()
    today = datetime.now(UTC).date()
    mine = {} if everybody else {"user": [request.user.pk]}
    question = queries.Question.of(start=today - timedelta(days=days - 1), end=today, **mine)
    context = {"days": days, "metric": metric, "ranges": RANGES, "metrics": METRICS}
    context |= {"everybody": everybody, "may_see_all": may_see_all} | _answers(request.user, question, metric)
    return render(request, "usage/usage.html", context)


def _answers(user: User, question: queries.Question, metric: str) -> dict[str, Any]:
    """Figures are compared only where every day of both ranges was fetched."""
    rows = queries.timeseries(user, question)
    freshness = queries.freshness(question)
    before = question.previous()
    comparable = not (freshness.missing_days or queries.freshness(before).missing_days)
    return {
        "now": queries.summary(user, question),
        "before": queries.summary(user, before) if comparable else {},
        "rows": rows,
        "by_model": queries.breakdown(user, question, by="model"),
        "freshness": freshness,
        "chart": column_chart(rows, metric, missing=freshness.missing_days),
    }
