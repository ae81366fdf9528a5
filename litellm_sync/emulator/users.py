"""The only place that emulates LiteLLM's users: `/user/...`."""

import uuid
from typing import Any, Final

from litellm_sync.emulator import cache, durations, keys, limits, memberships, people, shapes
from litellm_sync.emulator.call import Call, chosen, page_of, sort_by_id
from litellm_sync.emulator.errors import detail, invalid, refused, value_error
from litellm_sync.emulator.state import ADMIN_ID
from litellm_sync.emulator.tables import Row

_FIELDS: Final = (
    *("user_email", "user_alias", "user_role", "max_budget", "spend", "models", "metadata", "max_parallel_requests"),
    *("tpm_limit", "rpm_limit", "budget_duration", "allowed_cache_controls"),
)
_CLEARABLE: Final = ("max_budget", "budget_duration", "tpm_limit", "rpm_limit", "max_parallel_requests")
_ROLES: Final = ("proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer")
_UNSET_IN_ANSWER: Final = (
    *("key_type", "created_by", "updated_by", "router_settings", "access_group_ids", "model_max_budget"),
    "budget_fallbacks",
)
_NOT_IN_OLD_LIST: Final = {
    *("allowed_cache_controls", "max_parallel_requests", "object_permission_id", "organization_id", "password"),
    *("policies", "team_id"),
}
_ONLY_IN_LIST_ABSENT: Final = {
    *("verified_subjects", "litellm_organization_table", "invitations_created", "invitations_updated"),
    "invitations_user",
}


def create(call: Call) -> Row:
    """`/user/new`: make a user, put it into teams, and make a key unless told not to."""
    call.check_types()
    _check_role(call)
    body, state = call.body, call.state
    user_id = body.get("user_id") or str(uuid.uuid4())
    if user_id in state.users:
        raise call.bad_request(f"{{'error': 'User with id {user_id} already exists'}}", 409)
    email = body.get("user_email")
    if email and (taken := people.with_email(state, email)):
        raise call.bad_request(f"{{'error': 'User with email {taken[0]['user_email']} already exists'}}", 409)
    reset = call.reset_time()
    user = people.add(state, user_id, chosen(body, _FIELDS) | {"budget_reset_at": reset})
    memberships.join_teams(call, user, body.get("teams") or [])
    return _created(call, user)


def _check_role(call: Call) -> None:
    role = call.body.get("user_role")
    if role is None or role in _ROLES:
        return
    names = [f"<LitellmUserRoles.{name.upper()}: '{name}'>" for name in _ROLES]
    message = f"Input should be {', '.join(names[:-1])} or {names[-1]}"
    raise invalid({"type": "literal_error", "loc": ["body", "user_role"], "msg": message})


def _created(call: Call, user: Row) -> Row:
    fields = ("models", "spend", "max_budget", "metadata", "tpm_limit", "rpm_limit", "budget_duration")
    answer = shapes.generated_key(shapes.new_key(**{name: user[name] for name in fields}), "")
    answer |= {"user_id": user["user_id"]} | dict.fromkeys(_UNSET_IN_ANSWER)
    answer |= {name: user[name] for name in ("user_email", "user_role", "user_alias")}
    answer["teams"] = user["teams"] or None
    if call.version.is_old:
        answer = shapes.without_newer_fields(answer)
    if call.body.get("auto_create_key", True):
        secret, key = keys.add(call, {"user_id": user["user_id"]} | chosen(call.body, ("key_alias", "models")))
        answer |= {"key": secret, "key_name": key["key_name"]}
    return answer


def info(call: Call) -> Row:
    """`/user/info`: the user with its keys and whole teams; without an id, the caller's own."""
    state = call.state
    user_id = call.query.get("user_id") or call.caller.user_id
    if not call.caller.is_admin and user_id != call.caller.user_id:
        raise _not_yours(call, str(user_id))
    user = state.users.get(user_id)
    if user is None and user_id == ADMIN_ID:
        return _of_master_key(call)
    if user is None or user_id is None:
        raise refused(404, f"User {user_id} not found", call.version.bad_request, call.version.unset)
    limits.renew_budget(state, state.users, user_id)
    teams = [state.teams.rows[team_id] for team_id in user["teams"] if team_id in state.teams]
    owned = [
        keys.shown(call, key) | {"team_alias": _team_alias(call, key)} for key in state.keys.where("user_id", user_id)
    ]
    return {
        "user_id": user_id,
        "user_info": _shown(call, user) | call.version.pick({"model_max_budget_usage": {}}, {}),
        "keys": owned,
        "teams": [memberships.team_with_members(call, team) for team in teams],
    }


def _of_master_key(call: Call) -> Row:
    """Return what the master key is told of itself: every key and team; new releases call it a user."""
    state = call.state
    user = shapes.new_user(user_id=ADMIN_ID, user_role="internal_user")
    return {
        "user_id": call.version.pick(ADMIN_ID, None),
        "user_info": call.version.pick(user, None),
        "keys": [keys.shown(call, key) for key in state.keys],
        "teams": [memberships.team_with_members(call, team) for team in state.teams],
    }


def _not_yours(call: Call, user_id: str) -> Exception:
    message = f"key not allowed to access this user's info. user_id={user_id}, key's user_id={call.caller.user_id}"
    return refused(403, message, "auth_error", call.version.unset)


def _team_alias(call: Call, key: Row) -> str:
    team = call.state.teams.get(key["team_id"])
    return str(team["team_alias"]) if team else "None"


def _shown(call: Call, user: Row) -> Row:
    return shapes.without_newer_fields(user) | {"password": None} if call.version.is_old else user


def update(call: Call) -> Row:
    """`/user/update`: change a user found by id or e-mail; an unknown id is created."""
    call.check_types()
    _check_role(call)
    body, state = call.body, call.state
    if not body.get("user_id") and not body.get("user_email"):
        raise invalid(value_error("Either user id or user email must be provided"))
    user = _find(call)
    # LiteLLM passes over empty lists and objects here: `[]` does not clear the models of a user.
    given = {name: value for name, value in chosen(body, _FIELDS).items() if value not in ([], {})}
    changes = given | _cleared(call)
    if changes.get("budget_duration") is not None:
        changes["budget_reset_at"] = call.reset_time()
    if user is None:
        user = people.add(state, str(body["user_id"]), changes)
    else:
        changes["updated_at"] = durations.stamp(durations.now())
        user = state.users.update(user["user_id"], changes)
    return {"user_id": user["user_id"], "data": _shown(call, user) | {"organization_memberships": None}}


def _find(call: Call) -> Row | None:
    if call.body.get("user_id"):
        return call.state.users.get(call.body["user_id"])
    found = call.state.users.where("user_email", call.body["user_email"].lower())
    if not found:
        raise call.crossed("'LiteLLM_UserTable' object has no attribute 'get'")
    return found[0]


def _cleared(call: Call) -> Row:
    """Return the fields that a null empties; old releases take the null of the budget alone."""
    clearable = call.version.pick(_CLEARABLE, ("max_budget",))
    nulls: Row = {name: None for name in clearable if name in call.body and call.body[name] is None}
    if "budget_duration" in nulls:
        nulls["budget_reset_at"] = None
    return nulls


def delete(call: Call) -> int:
    """`/user/delete`: all of the users or, when one is unknown, none; their keys and memberships go too."""
    call.check_types()
    call.require("user_ids")
    state = call.state
    wanted = call.body["user_ids"]
    for user_id in wanted:
        if user_id not in state.users:
            raise detail(404, f"User not found, passed user_id={user_id}")
    for user_id in wanted:
        for key in state.keys.where("user_id", user_id):
            cache.keep_key(state, key)
            state.keys.remove(key["token"])
        for membership in state.memberships.where("user_id", user_id):
            memberships.leave(call, membership["team_id"], user_id)
        state.users.remove(user_id)
    return len(wanted)


def list_users(call: Call) -> Row:
    """`/user/list`: pages of users, newest first or by their ids, with filters."""
    page, size = call.page("page_size", 25, 100)
    if not call.caller.is_admin:
        raise detail(403, "Only proxy admins and organization admins can list users.")
    found = [user for user in reversed(call.state.users.rows.values()) if _matches(user, call.query)]
    sort_by_id(call, found, "user_id")
    rows, pages = page_of(found, page, size)
    users: list[Any] = [_listed(call, user) for user in rows]
    return {"users": users, "total": len(found), "page": page, "page_size": size, "total_pages": pages}


def _listed(call: Call, user: Row) -> Row:
    hidden = _ONLY_IN_LIST_ABSENT | call.version.pick(set(), _NOT_IN_OLD_LIST)
    facts = {name: value for name, value in _shown(call, user).items() if name not in hidden}
    counted = {"key_count": len(call.state.keys.where("user_id", user["user_id"]))}
    return facts | {"organization_memberships": None} | counted


def _matches(user: Row, query: dict[str, str]) -> bool:
    if "user_ids" in query and user["user_id"] not in query["user_ids"].split(","):
        return False
    if "role" in query and user["user_role"] != query["role"]:
        return False
    return "user_email" not in query or people.is_like(user["user_email"], f"%{query['user_email']}%")
