"""The verbs about what differs: push again, adopt a key that was made in LiteLLM, block it, let it work again."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit, rbac
from accounts.models import User
from apikeys.adoption import FoundKey, adopt_api_key
from apikeys.models import ApiKey, ApiKeySecret
from litellm_sync import ensure, reconcile, state
from litellm_sync.client import KeyInfo, LiteLLM
from litellm_sync.default_team import ensure_default_team_exists
from litellm_sync.drift import Drift, DriftKind, Subject
from litellm_sync.key_bodies import PER_MODEL
from litellm_sync.sides import own_id
from litellm_sync.spend import reset_told_by
from litemaas.foundation.errors import Conflict, Invalid, NotFound, UpstreamUnavailable

LITELLM_SECONDS: Final = 10.0
CHUNK: Final = 500
# Among the details of a finding, until the next comparison: whether LiteLLM was last told to block the key.
WISHED: Final = "wished_blocked"
# What stands among a key's models in LiteLLM and means many of them.
EVERY_MODEL: Final = frozenset({"all-proxy-models", "all-team-models"})


def mend_drift(actor: User, *, drift_id: UUID | str) -> Drift:
    """Have what is missing, different or alive pushed again; the next comparison says whether both agree.

    Of a stranger in a team that is a person of ours, the person is pushed, who is then taken out of the team.
    Raises NotFound, Conflict (nothing_to_push).
    """
    rbac.require(actor, rbac.Permission.DRIFT_MEND)
    with transaction.atomic():
        drift = _locked(drift_id)
        _push(drift)
        audit.record(actor, audit.Action.DRIFT_MENDED, drift, what=drift.what, kind=drift.kind, object=drift.object_id)
    return Drift.objects.get(pk=drift.pk)


def mend_drifts(actor: User, *, kind: str, what: str = "") -> int:
    """Have everything of one kind pushed again, or of one kind and one table; returns how many.

    Raises Invalid (unknown_kind) for what is no kind, or one of which there is nothing to push.
    """
    rbac.require(actor, rbac.Permission.DRIFT_MEND)
    if kind not in DriftKind.values or kind == DriftKind.UNKNOWN:
        message = _("Only what is missing, different or alive can be pushed again.")
        raise Invalid(message, code="unknown_kind", field="kind")
    with transaction.atomic():
        found = Drift.objects.filter(kind=kind, **({"what": what} if what else {})).exclude(row_id="")
        counts = {subject.value: _push_all(found, subject) for subject in Subject}
        if sum(counts.values()):
            rows = {name: number for name, number in counts.items() if number}
            audit.record(actor, audit.Action.DRIFT_MENDED, kind=kind, rows=rows)
    return sum(counts.values())


def _push_all(found: Any, subject: Subject) -> int:
    ids = list(found.filter(what=subject).values_list("row_id", flat=True))
    table = reconcile.TABLES[subject]
    return sum(reconcile.ask(table, subject, ids[start : start + CHUNK]) for start in range(0, len(ids), CHUNK))


def can_be_mended(drift: Drift) -> bool:
    """Whether there is a row of ours to push."""
    return bool(drift.row_id) or _person_of(drift) is not None


def is_unknown_key(drift: Drift) -> bool:
    """Whether it is a key that was not made here."""
    return drift.what == Subject.KEY and drift.kind == DriftKind.UNKNOWN


def _person_of(drift: Drift) -> User | None:
    """The person of ours who is a stranger in a team."""
    if drift.what != Subject.MEMBERSHIP or drift.row_id:
        return None
    user_id = own_id(drift.details["user"])
    return None if user_id is None else User.objects.filter(pk=user_id).first()


def _push(drift: Drift) -> None:
    person = _person_of(drift)
    if person is not None:
        reconcile.ask(User, Subject.USER, [str(person.pk)])
    elif drift.row_id:
        subject = Subject(drift.what)
        reconcile.ask(reconcile.TABLES[subject], subject, [drift.row_id])
    else:
        raise Conflict(_("Nothing of ours belongs to this, so there is nothing to push."), code="nothing_to_push")


def _locked(drift_id: UUID | str) -> Drift:
    drift = Drift.objects.select_for_update().filter(pk=drift_id).first()
    if drift is None:
        raise NotFound
    return drift


# --- Keys that were made in LiteLLM ----------------------------------------------------------------------------------


def adopt_key(actor: User, *, drift_id: UUID | str, owner: str) -> ApiKey:
    """Make an unknown key one of ``owner`` (a user name): from then on it is ours like any other.

    LiteLLM is looked at first, and the owner comes to exist there. Raises NotFound, Conflict (drift_gone, key_known,
    key_expired, key_unfit), Invalid (unknown_owner, model_not_subscribed), QuotaExceeded, UpstreamUnavailable.
    """
    rbac.require(actor, rbac.Permission.DRIFT_ADOPT)
    drift = _unknown_key(drift_id)
    person = User.objects.filter(username__iexact=owner.strip(), is_active=True).first()
    if person is None:
        raise Invalid(_("There is no active person of this name."), code="unknown_owner", field="owner")
    litellm = LiteLLM(LITELLM_SECONDS)
    ensure_default_team_exists(litellm)
    ensure.ensure_user_exists_in_litellm(person, litellm)
    found = _look(litellm, drift)  # last of all: what is adopted is what there was a moment ago
    with transaction.atomic():
        # Whoever blocks it meanwhile writes that here before LiteLLM hears of it, and then must not find it unblocked.
        wished = _unknown_still(drift).details.get(WISHED)
        key = adopt_api_key(actor, owner=person, found=_as_found(found, blocked=bool(wished or found.blocked)))
        Drift.objects.filter(pk=drift.pk).delete()
    return ApiKey.objects.for_display().get(pk=key.pk)


def block_key(actor: User, *, drift_id: UUID | str) -> Drift:
    """Have LiteLLM refuse an unknown key; again changes nothing.

    Raises NotFound, Conflict (drift_gone, key_known).
    """
    return _set_blocked(actor, drift_id, LiteLLM.block_key, audit.Action.DRIFT_BLOCKED, blocked=True)


def unblock_key(actor: User, *, drift_id: UUID | str) -> Drift:
    """Have LiteLLM take an unknown key again; again changes nothing.

    Raises NotFound, Conflict (drift_gone, key_known).
    """
    return _set_blocked(actor, drift_id, LiteLLM.unblock_key, audit.Action.DRIFT_UNBLOCKED, blocked=False)


def _set_blocked(
    actor: User,
    drift_id: UUID | str,
    tell: Callable[[LiteLLM, str], None],
    action: audit.Action,
    *,
    blocked: bool,
) -> Drift:
    rbac.require(actor, rbac.Permission.DRIFT_BLOCK)
    drift = _unknown_key(drift_id)
    litellm = LiteLLM(LITELLM_SECONDS)
    if _look(litellm, drift).blocked != blocked:
        # The wish is on record before LiteLLM hears of it: what was done is never without a trace.
        with transaction.atomic():
            drift = _unknown_still(drift)
            rbac.require_still(actor, rbac.Permission.DRIFT_BLOCK)
            drift.details[WISHED] = blocked
            drift.save(update_fields=["details"])
            audit.record(actor, action, drift, token=drift.object_id, alias=drift.name)
        tell(litellm, drift.object_id)
        # Adopted at this very moment: then the key's own state counts, and not what was just sent.
        state.request_pushes(
            ApiKeySecret, ApiKeySecret.objects.filter(digest=drift.object_id).values_list("pk", flat=True)
        )
        if _look(litellm, drift).blocked != blocked:
            raise UpstreamUnavailable(reason="not_as_sent")
    with transaction.atomic():
        drift = _locked(drift.pk)
        Drift.objects.filter(pk=drift.pk).update(details=drift.details | {"blocked": blocked})
    return _unknown_key(drift_id)


def _unknown_still(drift: Drift) -> Drift:
    """The finding, locked: adopting and blocking wait for each other here. One that is gone is ours by now."""
    locked = Drift.objects.select_for_update().filter(pk=drift.pk).first()
    if locked is None:
        raise Conflict(_("This key is known here already."), code="key_known")
    return locked


def _unknown_key(drift_id: UUID | str) -> Drift:
    """The finding, unless the key has become ours meanwhile: of one of ours its row alone says what it may do."""
    drift = Drift.objects.filter(pk=drift_id).first()
    if drift is None or not is_unknown_key(drift):
        raise NotFound
    if ApiKeySecret.objects.filter(digest=drift.object_id).exists():
        Drift.objects.filter(pk=drift.pk).delete()
        raise Conflict(_("This key is known here already."), code="key_known")
    return drift


def _look(litellm: LiteLLM, drift: Drift) -> KeyInfo:
    """The key as it stands now; what the comparison saw may be an hour old."""
    found = litellm.get_key_info(drift.object_id)
    if found is None:
        Drift.objects.filter(pk=drift.pk).delete()
        raise Conflict(_("LiteLLM does not have this key any more."), code="drift_gone")
    return found


def _as_found(info: KeyInfo, *, blocked: bool) -> FoundKey:
    return FoundKey(
        digest=info.token,
        alias=info.alias or "",
        last4=info.key_name[-4:],
        models=tuple(model for model in info.models if model not in EVERY_MODEL),
        team_id=info.team_id,
        spend=info.spend,
        max_budget=info.max_budget,
        budget_duration=info.budget_duration or "",
        tpm_limit=info.tpm_limit,
        rpm_limit=info.rpm_limit,
        max_parallel_requests=info.max_parallel_requests,
        expires_at=info.expires,
        blocked=blocked,
        spend_reset_at=reset_told_by(info),
        model_limits=_model_limits(info),
    )


def _model_limits(info: KeyInfo) -> dict[str, dict[str, int]]:
    """Limits of single models, which LiteLLM keeps among the metadata: model -> our names -> figures."""
    limits: dict[str, dict[str, int]] = {}
    for ours, theirs in PER_MODEL.items():
        figures = info.metadata.get(theirs)
        for model, value in figures.items() if isinstance(figures, dict) else ():
            if value is not None:
                limits.setdefault(model, {})[ours] = value
    return limits
