"""What must be true in fair weather: written anew from our rows, so that no bug is shared with the product.

LiteLLM is read through its management API, and every secret that was ever made is tried on a model call.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.models import User
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.stopped import Proof
from litellm_sync import catalogue, state
from subscriptions.models import Model, Subscription
from teams.models import DEFAULT_TEAM_ID, Membership, Team
from tests.convergence.world import MODELS, World

# Everything that waits is pushed within a minute of LiteLLM answering; what was cut short may be watched for longer.
PUSHED, SETTLED, STEP = timedelta(seconds=70), timedelta(seconds=240), 5.0
LOOKED_AT_AGAIN = 95.0
LISTED = 2  # as in conftest.py
WATCHED = {"offer_may_arrive", "removal_may_arrive"}
ABSENT = 2_147_483_647
LIMITS = ("max_budget", "budget_duration", "tpm_limit", "rpm_limit")


def assert_agreement(world: World, seed: int) -> None:
    """Let the weather clear and the queue run empty, then compare everything."""
    _settle(world, seed)
    # What the clock brings: changes that can arrive no more, secrets that end and whose spend is complete then.
    for _look in range(2):
        world.pass_time(LOOKED_AT_AGAIN)
        _settle(world, seed)
    nothing_waits()
    assert _teams_there(world) == {str(team.pk): _team(team) for team in Team.objects.all()}
    assert _people_there(world) == {str(user.pk): _person(user) for user in User.objects.all()}
    assert_members(world)
    assert_keys(world)
    assert_secrets(world)
    assert_ends_are_proved(world)


def _settle(world: World, seed: int) -> None:
    world.clear_up()
    world.moments.forget()
    world.tick()  # which closes the circuit
    catalogue.sync_models(confirmed=True)
    began = timezone.now()
    while True:
        world.tick()
        world.work(seed)
        waiting = _waiting()
        assert _late(waiting, began) == []
        assert timezone.now() - began < SETTLED, waiting
        if not waiting:
            return
        world.pass_time(STEP)


def _waiting() -> list[state.Synced]:
    return [
        row
        for model in state.synced_models()
        for row in model._base_manager.exclude(sync_status="synced", push_lease_until=None)
    ]


def _late(waiting: list[state.Synced], began: datetime) -> list[dict[str, Any]]:
    """What of it should have been pushed by now: all but what is watched, since the end of the storm or the wish."""
    due = timezone.now() - PUSHED
    rows = [
        row for row in waiting if row.sync_error not in WATCHED and max(began, row.sync_requested_at or began) < due
    ]
    shown = ("pk", "sync_status", "sync_error", "sync_attempts", "sync_next_at", "push_lease_until")
    return [{"kind": state.kind_of(row), **{name: getattr(row, name) for name in shown}} for row in rows]


def nothing_waits() -> None:
    """No claim, no failure, and no secret that LiteLLM has is kept."""
    for model in state.synced_models():
        rows = model._base_manager.values_list("pk", "sync_status", "sync_error", "push_lease_until", "sync_next_at")
        assert [row for row in rows if row[1:] != ("synced", "", None, None)] == []
    now = timezone.now()
    kept = ApiKeySecret.objects.filter(pending_secret__isnull=False).select_related("key")
    assert [secret for secret in kept if has_ended(secret) or not _has_expired(secret.key, now)] == []


# --- What we want, from our rows -------------------------------------------------------------------------------------


def _limits(row: Any) -> dict[str, Any]:
    return {
        "max_budget": None if row.max_budget is None else float(row.max_budget),
        "budget_duration": row.budget_duration or None,
        "tpm_limit": row.tpm_limit,
        "rpm_limit": row.rpm_limit,
    }


def _team(team: Team) -> dict[str, Any]:
    return {"alias": team.name, "models": sorted(team.allowed_models), "blocked": False, **_limits(team)}


def _person(user: User) -> dict[str, Any]:
    return {"alias": user.username, "email": user.email, "role": "internal_user", **_limits(user)}


def is_over(key: ApiKey) -> bool:
    """Whether nothing can bring a key back."""
    return key.status == "revoked" or key.deleted_at is not None


def _has_expired(key: ApiKey, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now


def has_ended(secret: ApiKeySecret) -> bool:
    """Whether nothing can bring a secret back: its key is over, or another took its place."""
    return is_over(secret.key) or (secret.valid_until is not None and secret.valid_until <= timezone.now())


def usable(key: ApiKey) -> list[str]:
    """The models that a key is good for: wished, subscribed, listed, of its team, by a person who is in it."""
    is_member = Membership.objects.filter(user=key.user, team=key.team).exists()
    if not (key.team_id == DEFAULT_TEAM_ID or is_member):
        return []
    wished = set(key.links.values_list("model_id", flat=True))
    subscribed = set(Subscription.objects.filter(user=key.user, status="active").values_list("model_id", flat=True))
    listed = set(Model.objects.filter(availability="available").values_list("pk", flat=True))
    allowed = set(key.team.allowed_models) or wished
    return sorted(wished & subscribed & listed & allowed)


def works_for(secret: ApiKeySecret) -> list[str]:
    """The models that a call with the secret must reach now; all others must refuse it."""
    key = secret.key
    is_off = has_ended(secret) or key.status != "active" or not User.objects.get(pk=key.user_id).is_active
    return [] if is_off or _has_expired(key, timezone.now()) else usable(key)


# --- What LiteLLM has ------------------------------------------------------------------------------------------------


def _limits_there(world: World, found: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    limits = {name: None if found[name] == ABSENT else found[name] for name in LIMITS}
    if world.stage.version.startswith("1.81.") and ours["budget_duration"] is None:
        limits["budget_duration"] = None  # it cannot be cleared there
    return limits


def _teams_there(world: World) -> dict[str, Any]:
    rows = {str(team.pk): team for team in Team.objects.all()}
    found = {}
    for team in world.ask("GET", "/team/list"):
        if team["team_id"] in world.foreign - rows.keys():
            continue
        ours = _limits(rows[team["team_id"]]) if team["team_id"] in rows else dict.fromkeys(LIMITS)
        facts = {"alias": team["team_alias"], "models": sorted(team["models"]), "blocked": bool(team["blocked"])}
        found[team["team_id"]] = facts | _limits_there(world, team, ours)
    return found


def _people_there(world: World) -> dict[str, Any]:
    rows = {str(user.pk): user for user in User.objects.all()}
    listed = {user["user_id"] for user in world.pages("/user/list", "users", page_size=100)}
    found = {}
    for user_id in listed - world.foreign:
        info = world.ask("GET", "/user/info", params={"user_id": user_id})["user_info"]
        ours = _limits(rows[user_id]) if user_id in rows else dict.fromkeys(LIMITS)
        facts = {"alias": info["user_alias"], "email": info["user_email"], "role": info["user_role"]}
        found[user_id] = facts | _limits_there(world, info, ours)
    return found


def assert_members(world: World) -> None:
    """Both of LiteLLM's lists say who belongs to which team, as we do.

    Whoever left a team but has living keys of it may stay listed: LiteLLM would delete them.
    """
    for user in User.objects.all():
        found = world.ask("GET", "/user/info", params={"user_id": str(user.pk)})["user_info"]["teams"]
        assert_teams(user, set(found))
    for team in Team.objects.all():
        info = world.ask("GET", "/team/info", params={"team_id": str(team.pk)})["team_info"]
        for user in User.objects.all():
            is_in = str(user.pk) in {member["user_id"] for member in info["members_with_roles"]}
            listed = str(team.pk) in {str(pk) for pk in wanted_teams(user)}
            assert is_in == listed or (is_in and team.pk in kept_teams(user)), (user, team)


def assert_teams(user: User, found: set[str]) -> None:
    """The teams that LiteLLM lists of a person."""
    wanted = {str(pk) for pk in wanted_teams(user)}
    assert wanted <= found, user
    assert found - wanted <= {str(pk) for pk in kept_teams(user)}, user


def wanted_teams(user: User) -> set[Any]:
    """Those in which LiteLLM must list a person; in the default team only the first ones are."""
    mine = Membership.objects.filter(user=user)
    first = Membership.objects.filter(team=DEFAULT_TEAM_ID).order_by("pk")[:LISTED].values_list("user_id", flat=True)
    return {row.team_id for row in mine if row.team_id != DEFAULT_TEAM_ID or user.pk in set(first)}


def kept_teams(user: User) -> set[Any]:
    """Those in which LiteLLM may list a person who has left, because a key would be lost."""
    return {key.team_id for key in ApiKey.objects.filter(user=user) if not is_over(key)}


def assert_keys(world: World) -> None:
    """No orphan, none missing, and each as we want it."""
    rows = world.pages("/key/list", "keys", size=100, return_full_object="true")
    there = {row["token"]: row for row in rows if row["token"] not in world.foreign}
    secrets = ApiKeySecret.objects.select_related("key__user", "key__team")
    ours = {secret.digest: secret for secret in secrets if not has_ended(secret)}
    # What another secret has replaced goes when all that it has spent is known; until then it is blocked.
    going = {one.digest for one in secrets if one.valid_until and not is_over(one.key)} - ours.keys()
    blocked = {token for token, row in there.items() if row["blocked"]}
    there = {token: row for token, row in there.items() if token not in going & blocked & _just_ended()}
    never = {digest for digest, secret in ours.items() if secret.pending_secret is not None}
    assert there.keys() == ours.keys() - never
    for token, found in there.items():
        _assert_key(world, ours[token], found)


def _just_ended() -> set[str]:
    lately = ApiKeySecret.objects.filter(valid_until__gt=timezone.now() - timedelta(seconds=LOOKED_AT_AGAIN))
    return set(lately.values_list("digest", flat=True))


def _assert_key(world: World, secret: ApiKeySecret, found: dict[str, Any]) -> None:
    key = secret.key
    if _has_expired(key, timezone.now()):
        return  # whatever it may do: LiteLLM refuses it, and assert_secrets tries
    models = usable(key)
    is_blocked = key.status == "blocked" or not key.user.is_active or not models
    wanted = {
        "key_alias": f"litemaas-{key.pk}-{secret.digest[:8]}",
        "user_id": str(key.user_id),
        "team_id": str(key.team_id),
        "max_parallel_requests": key.max_parallel_requests,
        "blocked": is_blocked,
        "models": models or sorted(found["models"]),
        "allowed_routes": ["llm_api_routes"],
        **_limits(key),
    }
    facts = {name: found[name] for name in wanted} | _limits_there(world, found, _limits(key))
    assert facts | {"blocked": bool(found["blocked"]), "models": sorted(found["models"])} == wanted
    assert found["models"]
    metadata = {name: value for name, value in found["metadata"].items() if not name.startswith("litemaas_")}
    assert metadata == {"managed_by": "litemaas", **_per_model(key, models)}
    ends_at = min((at for at in (key.expires_at, secret.valid_until) if at), default=None)
    if ends_at is None:
        assert found["expires"] is None
    else:
        early = (ends_at - datetime.fromisoformat(found["expires"])).total_seconds()
        # A real LiteLLM reckons from its own clock, which the machine cannot move on with ours.
        ahead = world.clock.ahead.total_seconds() if world.stage.is_real else 0
        assert -5 <= early <= 5 + ahead


def _per_model(key: ApiKey, models: Iterable[str]) -> dict[str, Any]:
    limits: dict[str, dict[str, int]] = {}
    for model, figures in key.model_limits.items():
        for name, figure in figures.items():
            if model in models:
                limits.setdefault(f"model_{name}", {})[model] = figure
    return limits


def assert_secrets(world: World) -> None:
    """Each secret works for what it should, and for nothing else; those of keys that never came to be are dead."""
    found = {secret.digest: secret for secret in ApiKeySecret.objects.select_related("key__user", "key__team")}
    for digest, secret in world.secrets.items():
        wanted = works_for(found[digest]) if digest in found else []
        assert [model for model in sorted(MODELS) if _answers(world, secret, model)] == wanted, digest


def assert_no_false_proof(world: World) -> None:
    """In any weather: no secret counts as dead while a call gets through with it."""
    with world.eye_of_the_storm():
        for secret in _dead_ones():
            models = secret.key.links.order_by("model").values_list("model_id", flat=True)
            assert not [one for one in models if _answers(world, world.secrets[secret.digest], one)], secret.digest


def _dead_ones() -> list[ApiKeySecret]:
    secrets = ApiKeySecret.objects.select_related("key__user", "key__team").order_by("pk")
    return [secret for secret in secrets if secret.proof in {Proof.PROVEN, Proof.NEVER_THERE}]


def assert_ends_are_proved(world: World) -> None:
    """Whatever has ended for good is proved by now; what ended only lately is about to be."""
    dead = {secret.pk for secret in _dead_ones()}
    lately = timezone.now() - timedelta(seconds=2 * LOOKED_AT_AGAIN)
    for secret in ApiKeySecret.objects.select_related("key__user"):
        ended_at = secret.valid_until or lately
        if has_ended(secret) and ended_at <= lately:
            assert secret.pk in dead, (secret.proof, secret.stopped_at, secret.worked_at, secret.proof_due_at)
    assert_no_false_proof(world)


def _answers(world: World, secret: str, model: str) -> bool:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}]}
    headers = {"Authorization": f"Bearer {secret}"}
    answer = world.http.post(f"{world.stage.url}/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code in {200, 400, 401, 403, 404}, answer.text
    return answer.status_code == 200
