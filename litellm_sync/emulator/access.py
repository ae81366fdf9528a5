"""The only place that decides who calls and which routes and models a caller may use."""

import hashlib
from dataclasses import dataclass
from typing import Any

from litellm_sync.emulator import cache, durations
from litellm_sync.emulator.errors import Refusal, bare_detail, refused
from litellm_sync.emulator.state import ADMIN_ID, State
from litellm_sync.emulator.tables import Row

LLM_ROUTES = "llm_api_routes"
_EVERY_MODEL = {"*", "all-proxy-models"}
_HIDDEN = slice(-4, None)


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the master key, or a key with its user."""

    token: str
    key: Row | None
    user: Row | None

    @property
    def is_admin(self) -> bool:
        """True for the master key and for ordinary keys of LiteLLM's own admins."""
        return self.key is None or (self.user is not None and self.user["user_role"] == "proxy_admin")

    @property
    def user_id(self) -> str | None:
        """The user whom calls are counted for."""
        return ADMIN_ID if self.key is None else self.key["user_id"]

    @property
    def role(self) -> str:
        """The role as refusals name it."""
        return (self.user or {}).get("user_role") or "unknown"

    @property
    def team_id(self) -> str | None:
        """The team that calls are charged to."""
        return self.key["team_id"] if self.key else None


def digest(secret: str) -> str:
    """Return what LiteLLM stores of a key; a digest stays as it is."""
    return hashlib.sha256(secret.encode()).hexdigest() if secret.startswith("sk-") else secret


def secret_of(headers: dict[str, str]) -> str:
    """Return the key of a request from the first header that has one."""
    sent = headers.get("x-litellm-api-key") or headers.get("authorization") or headers.get("api-key") or ""
    return sent.removeprefix("Bearer ").strip()


def authenticate(state: State, headers: dict[str, str], master_key: str) -> Caller:
    """Return the caller; raise the proxy's 401s for a key that is missing, unknown, blocked or expired."""
    version = state.version
    secret = secret_of(headers)
    if secret == master_key:
        return Caller(digest(master_key), None, None)
    if not secret:
        raise refused(401, "Authentication Error, No api key passed in.", "auth_error", version.unset)
    if not secret.startswith("sk-"):
        message = "LiteLLM Virtual Key expected. Received=****, expected to start with 'sk-'."
        raise refused(401, message, "auth_error", version.unset)
    key = cache.find_key(state, digest(secret))
    if key is None:
        raise _unknown_key(state, secret)
    return Caller(key["token"], key, state.users.get(key["user_id"]))


def _unknown_key(state: State, secret: str) -> Refusal:
    text = "Authentication Error, Invalid API key provided."
    if state.version.is_old:
        text = (
            f"Authentication Error, Invalid proxy server token passed. Received API Key = sk-...{secret[_HIDDEN]}, "
            f"Key Hash (Token) ={digest(secret)}. Unable to find token in cache or `LiteLLM_VerificationTokenTable`"
        )
    return refused(401, text, "token_not_found_in_db", "key")


def check_alive(state: State, caller: Caller) -> None:
    """Raise the refusal of a key that is blocked or expired, or whose team is blocked or gone."""
    if caller.key is None:
        return
    _check_key_alive(state, caller.key)
    team_id = caller.team_id
    if team_id is None:
        return
    team = state.teams.get(team_id)
    if team is None and not state.version.is_old:
        message = f"""{{'error': "Team doesn't exist in db. Team={team_id}. Create team via `/team/new` call."}}"""
        raise refused(404, message, "auth_error")
    if team and cache.is_blocked(state, team):
        message = f"Team={team_id} is blocked. Update via `/team/unblock` if {_if_admin(state)}."
        raise refused(401, f"Authentication Error, {message}", "auth_error", state.version.unset)


def _check_key_alive(state: State, key: Row) -> None:
    if key["blocked"]:
        message = f"Authentication Error, Key is blocked. Update via `/key/unblock` if {_if_admin(state)}."
        raise refused(401, message, "auth_error", state.version.unset)
    moment = durations.now()
    if key["expires"] and durations.parse_stamp(key["expires"]) < moment:
        message = f"Authentication Error - Expired Key. Key Expiry time {key['expires']} and current time {moment}"
        raise refused(state.version.expired, message, "expired_key", f"sk-...{key['token'][_HIDDEN]}")


def _if_admin(state: State) -> str:
    return state.version.pick("you're an admin", "you're admin")


def check_route(state: State, caller: Caller, path: str, *, admin: bool) -> None:
    """Raise the refusal of a management route to a key that may not call it."""
    if caller.key is None:
        return
    may_not = state.version.is_old and admin and not caller.is_admin
    if caller.key["allowed_routes"] and not may_not:
        allowed = caller.key["allowed_routes"]
        raise bare_detail(
            403,
            f"Virtual key is not allowed to call this route. Only allowed to call routes: {allowed}. "
            f"Tried to call route: {path}",
        )
    if admin and not caller.is_admin:
        raise _only_admins(state, caller, path)


def _only_admins(state: State, caller: Caller, path: str) -> Refusal:
    user = str(caller.user_id)
    hidden = f"{user[:6]}****{user[-2:]}"
    message = (
        "Authentication Error, Only proxy admin can be used to generate, delete, update info for new keys/users/teams. "
        f"Route={path}. Your role={caller.role}. Your user_id={hidden}"
    )
    return refused(401, message, "auth_error", state.version.unset)


def check_model(state: State, caller: Caller, model: Any) -> None:
    """Raise the refusal of a model to a key, its team or its user, told apart by ``error.type``."""
    if caller.key is None or not isinstance(model, str):
        return
    # Old releases judge the name that was sent and answer with what the key's alias says; new ones judge the latter.
    judged = model if state.version.is_old else aliased(caller, aliased(caller, model))
    team = state.teams.get(caller.team_id)
    groups = _models_of_groups(state, caller.key)
    beyond_team = [] if state.version.is_old else groups
    if team and not _allows_one_of(state, (team["models"], beyond_team), judged, None):
        raise _denied(state, "team", "team", team["models"], model)
    if not _allows_one_of(state, (caller.key["models"], groups), judged, team):
        raise _denied(state, "key", "key", groups or caller.key["models"], model)
    own = caller.user["models"] if caller.user and caller.team_id is None else []
    if not _allows(state, own, judged, None):
        kind = "key" if own == ["no-default-models"] else "user"
        raise _denied(state, kind, "user", own, model)


def aliased(caller: Caller, model: Any) -> Any:
    """Return the model that answers when the key asks for this one."""
    return caller.key["aliases"].get(model, model) if caller.key else model


def fallback_for(state: State, caller: Caller, failed: str) -> Row | None:
    """Return the deployment that the key's router settings name for a model that failed; new releases take only one
    that the key may use."""
    fallbacks = (caller.key["router_settings"].get("fallbacks") if caller.key else None) or []
    for name in (name for fallback in fallbacks for name in fallback.get(failed, [])):
        deployments = state.models.where("model_name", name)
        if deployments and (state.version.is_old or _may_call(state, caller, name)):
            return deployments[0]
    return None


def _may_call(state: State, caller: Caller, model: str) -> bool:
    try:
        check_model(state, caller, model)
    except Refusal:
        return False
    return True


def _models_of_groups(state: State, key: Row) -> list[str]:
    """Return what the key's access groups add to its models; unknown groups add nothing."""
    groups = [state.access_groups.get(name) for name in key["access_group_ids"]]
    return [model for group in groups if group for model in group["access_model_names"]]


def _allows_one_of(state: State, lists: tuple[list[str], list[str]], model: str, team: Row | None) -> bool:
    """Return whether the first list allows a model, in which nothing means everything, or the second, if any."""
    first, second = lists
    return _allows(state, first, model, team) or (bool(second) and _allows(state, second, model, team))


def _allows(state: State, models: list[str], model: str, team: Row | None) -> bool:
    if not models or model in models or _EVERY_MODEL & set(models):
        return True
    if "all-team-models" in models:
        return team is None or _allows(state, team["models"], model, None)
    wildcards = [name[:-1] for name in models if name.endswith("/*")]
    backends = [row["litellm_params"]["model"] for row in state.models.where("model_name", model)]
    return any(backend.startswith(prefix) for backend in backends for prefix in wildcards)


def _denied(state: State, kind: str, who: str, models: list[str], model: str) -> Refusal:
    message = (
        f"The requested model '{model}' is not available for this API key, or the model name is invalid. "
        "Check the models available to you and try again."
    )
    if state.version.is_old:
        message = (
            f"{who} not allowed to access model. This {who} can only access models={models}. Tried to access {model}"
        )
    return refused(state.version.denied, message, f"{kind}_model_access_denied", "model")


def visible_models(state: State, caller: Caller) -> list[str]:
    """Return the public names that a caller may use, unknown ones of its key included."""
    every = state.models.values_of("model_name")
    if caller.key is None:
        return every
    team = state.teams.get(caller.team_id)
    models: list[str] = caller.key["models"]
    if not models or "all-team-models" in models:
        models = team["models"] if team else []
    if not models or _EVERY_MODEL & set(models):
        return every
    return list(dict.fromkeys([*models, *state.version.pick(_models_of_groups(state, caller.key), [])]))
