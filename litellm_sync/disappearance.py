"""When many models are missing at once: what a sync refused to hide, and an administrator's word that it may."""

from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.models import KeyModel
from litellm_sync import integration
from litellm_sync.catalogue import CONFIRMED
from litellm_sync.models import RunKind, RunStatus, SyncRun
from litellm_sync.schedules import MASS_DISAPPEARANCE
from litemaas.foundation.errors import Conflict, NotFound
from subscriptions.models import Subscription


def refused_models(run: SyncRun) -> list[str]:
    """The models that a run would have hidden, had they not been too many."""
    names = run.report.get("refused") if run.report.get("code") == MASS_DISAPPEARANCE else None
    return names if isinstance(names, list) else []  # runs of before counted them


def is_confirmable(run: SyncRun) -> bool:
    """Whether the run still says how things are: it refused to hide models, and none has succeeded since."""
    if run.kind != RunKind.MODELS or run.status != RunStatus.FAILED or not refused_models(run):
        return False
    later = SyncRun.objects.filter(kind=RunKind.MODELS, status=RunStatus.DONE, created_at__gt=run.created_at)
    return not later.exists()


def consequences(run: SyncRun) -> dict[str, int]:
    """How many people have subscribed to these models, and how many living keys have them; two statements."""
    names = refused_models(run)
    people = Subscription.objects.active().filter(model__in=names)
    keys = KeyModel.objects.filter(model__in=names).alive()
    return {
        "models": len(names),
        "people": people.aggregate(n=Count("user", distinct=True))["n"],
        "keys": keys.aggregate(n=Count("key", distinct=True))["n"],
    }


def confirm_disappearance(actor: User, *, run: UUID) -> SyncRun:
    """Queue a sync that may hide the models which ``run`` names, and no others. Returns the new run.

    What is back meanwhile stays; when others are missing too, it refuses again. Raises NotFound, Conflict
    (nothing_to_confirm, sync_already_running).
    """
    rbac.require(actor, rbac.Permission.MODELS_HIDE)
    with transaction.atomic():
        rbac.require_still(actor, rbac.Permission.MODELS_HIDE)
        refused = SyncRun.objects.select_for_update().filter(pk=run).first()
        if refused is None:
            raise NotFound
        if not is_confirmable(refused):
            message = _("There is nothing to confirm any more: look at the last synchronisation.")
            raise Conflict(message, code="nothing_to_confirm")
        names = refused_models(refused)
        queued = integration.request_sync(actor, what=RunKind.MODELS)
        # The job that carries it out is queued in this transaction too, so it finds the names.
        SyncRun.objects.filter(pk=queued.pk).update(report={CONFIRMED: names})
        audit.record(actor, audit.Action.MODELS_DISAPPEARANCE_CONFIRMED, refused, models=names, run=str(queued.pk))
    return queued
