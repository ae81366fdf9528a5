"""The page of one key, which puts keys, usage, the audit log and LiteLLM together."""

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import AuditEvent, User
from accounts.rbac import Permission, can_access_admin_features, check_permission
from accounts.requests import SignedInRequest
from apikeys.models import ApiKey
from apikeys.notices import expires_within_notice
from litellm_sync import integration, state
from litemaas.foundation.access import access
from subscriptions.examples import base_url
from usage import queries
from usage.charts import column_chart

HISTORY_ROWS: Final = 10


@access(Permission.APIKEYS_READ)
@require_safe
def api_key(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """One key with its limits, models, usage and history."""
    keys = ApiKey.objects.visible_to(request.user).for_display().with_usability()
    key = get_object_or_404(keys, pk=key_id)
    happened = AuditEvent.objects.filter(target_type="apikey", target_id=str(key.pk))
    context = {
        "key": key,
        "links": key.links.with_subscription(),
        "page": Paginator(happened, HISTORY_ROWS).get_page(request.GET.get("page")),
        "base_url": base_url(),
        "ends_soon": expires_within_notice(key, timezone.now()),
        "notices": key.expiry_notices.filter(expires_at=F("key__expires_at")),
    }
    return render(request, "apikeys/detail.html", context | _usage(request.user, key) | _may(request.user, key))


def _usage(user: User, key: ApiKey) -> dict[str, Any]:
    question = queries.Question.of(api_key=[key.pk])
    freshness = queries.freshness(question)
    days = queries.timeseries(user, question)
    return {
        "summary": queries.summary(user, question),
        "freshness": freshness,
        "chart": column_chart(days, "requests", missing=freshness.missing_days),
    }


def _may(user: User, key: ApiKey) -> dict[str, bool]:
    return {
        "may_update": check_permission(user, Permission.APIKEYS_UPDATE, key),
        "may_delete": check_permission(user, Permission.APIKEYS_DELETE, key),
        "may_reset_spend": check_permission(user, Permission.APIKEYS_RESET_SPEND, key),
        "may_revoke": check_permission(user, Permission.APIKEYS_REVOKE, key),
        "may_rotate": check_permission(user, Permission.APIKEYS_ROTATE, key),
        "may_block": check_permission(user, Permission.APIKEYS_BLOCK, key),
        "may_retry": check_permission(user, Permission.INTEGRATION_SYNC),
        "may_see_reasons": can_access_admin_features(user),
    }


@access(Permission.INTEGRATION_SYNC)
@require_POST
def api_key_retry(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    """Push what LiteLLM has not taken of this key once more, and say what came of it."""
    keys = ApiKey.objects.visible_to(request.user)
    key = get_object_or_404(keys.for_display(), pk=key_id)
    for secret in key.secrets.all():
        integration.retry_push(request.user, kind=state.kind_of(secret), object_id=secret.pk)
    outcome = get_object_or_404(keys.for_display(), pk=key_id).sync_status
    if outcome == state.SyncStatus.SYNCED:
        messages.success(request, _("LiteLLM has taken the key."))
    elif outcome == state.SyncStatus.PENDING:
        messages.info(request, _("It is tried again, and again until LiteLLM answers."))
    else:
        messages.error(request, _("LiteLLM refused it again."))
    return redirect("api-key", key_id=key_id)
