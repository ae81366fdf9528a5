"""The only place that emulates LiteLLM's teams: `/team/...` but for their members."""

import uuid
from http import HTTPStatus
from typing import Any, Final

from litellm_sync.emulator import cache, durations, keys, limits, memberships, people, shapes
from litellm_sync.emulator.call import Call, chosen, page_of, sort_by_id
from litellm_sync.emulator.errors import detail, enterprise, refused
from litellm_sync.emulator.state import ADMIN_ID
from litellm_sync.emulator.tables import Row

_FIELDS: Final = (
    *("team_alias", "metadata", "tpm_limit", "rpm_limit", "max_budget", "budget_duration", "models", "blocked"),
    *("organization_id", "max_parallel_requests", "soft_budget"),
)
_CLEARABLE: Final = ("max_budget", "budget_duration", "tpm_limit", "rpm_limit", "team_alias")
_REQUIRED: Final = ("models", "metadata")
_ROW_ONLY: Final[Row] = {"litellm_organization_table": None, "projects": None}


def create(call: Call) -> Row:
    """`/team/new`: make a team; the caller becomes its admin, unknown members become users."""
    call.check_types()
    call.check_budget()
    body, state = call.body, call.state
    team_id = body.get("team_id") or str(uuid.uuid4())
    if team_id in state.teams:
        message = f"{{'error': 'Team id = {team_id} already exists. Please use a different team id.'}}"
        raise call.bad_request(message)
    reset, stamp = call.reset_time(), durations.stamp(durations.now())
    row = shapes.new_team(**chosen(body, _FIELDS), team_id=team_id, created_at=stamp, updated_at=stamp)
    state.teams.put(team_id, row | {"budget_reset_at": reset})
    for member in body.get("members_with_roles") or []:
        user = people.find_or_add(state, member)
        email = call.version.pick(user["user_email"], member.get("user_email"))
        entry = {"user_id": user["user_id"], "user_email": email, "role": member.get("role", "user")}
        memberships.join(call, state.teams.rows[team_id], entry, {})
    _add_caller(call, team_id)
    return memberships.team_shown(call, state.teams.rows[team_id])


def _add_caller(call: Call, team_id: str) -> None:
    team = call.state.teams.rows[team_id]
    caller = call.state.users.get(call.caller.user_id) or {"user_id": ADMIN_ID, "user_email": None}
    if all(member["user_id"] != caller["user_id"] for member in team["members_with_roles"]):
        entry = {"user_id": caller["user_id"], "user_email": caller["user_email"], "role": "admin"}
        memberships.join(call, team, entry, {})


def info(call: Call) -> Row:
    """`/team/info`: the team with its keys and memberships."""
    team_id = call.query.get("team_id")
    if team_id is None:
        raise call.bad_request("{'message': 'Malformed request. No team id passed in.'}", 422, "auth_error")
    team = call.state.teams.get(team_id)
    if team is None:
        message = f"{{'message': 'Team not found, passed team id: {team_id}.'}}"
        raise call.bad_request(message, 404, "auth_error")
    members = [member["user_id"] for member in team["members_with_roles"]]
    if not call.caller.is_admin and call.caller.user_id not in members:
        message = f"{{'error': 'User={call.caller.user_id} not authorized to access this team={team_id}'}}"
        raise refused(403, message, "auth_error", call.version.unset)
    limits.renew_budget(call.state, call.state.teams, team_id)
    whole = memberships.team_with_members(call, call.state.teams.rows[team_id])
    parts = {name: whole.pop(name) for name in ("keys", "team_memberships")}
    if not call.version.is_old:
        named = [member | {"user_alias": _alias(call, member)} for member in whole["members_with_roles"]]
        whole["members_with_roles"] = named
    return {"team_id": team_id, "team_info": whole, **parts}


def _alias(call: Call, member: Row) -> str | None:
    user = call.state.users.get(member["user_id"])
    return user["user_alias"] if user else None


def update(call: Call) -> Row:
    """`/team/update`: change a team; nulls clear budget and limits."""
    call.check_types()
    call.require("team_id")
    body = call.body
    team_id = body["team_id"]
    if body.get("model_max_budget") and not call.version.is_old:
        message = enterprise("{{'error': 'Setting model_max_budget on a team is an enterprise feature. {}'}}")
        raise refused(403, message.replace("\n", "\\n"), "auth_error")
    if team_id not in call.state.teams:
        raise call.bad_request(f"{{'error': 'Team not found, passed team_id={team_id}'}}", 404)
    call.check_budget()
    call.check_not_null(_REQUIRED, HTTPStatus.INTERNAL_SERVER_ERROR)
    changes = chosen(body, _FIELDS) | {name: None for name in _CLEARABLE if name in body and body[name] is None}
    if changes.get("budget_duration") is not None:
        changes["budget_reset_at"] = call.reset_time()
    elif "budget_duration" in changes and not call.version.is_old:
        changes["budget_reset_at"] = None
    team = call.state.teams.update(team_id, changes | {"updated_at": durations.stamp(durations.now())})
    cache.renew_team(call.state, team_id)
    return {"team_id": team_id, "data": memberships.team_shown(call, team) | _ROW_ONLY}


def block(call: Call) -> Row:
    """`/team/block`: refuse the team's keys."""
    return _set_blocked(call, blocked=True)


def unblock(call: Call) -> Row:
    """`/team/unblock`: take the team's keys again."""
    return _set_blocked(call, blocked=False)


def _set_blocked(call: Call, *, blocked: bool) -> Row:
    call.check_types()
    call.require("team_id")
    team_id = call.body["team_id"]
    if team_id not in call.state.teams:
        raise detail(404, f"Team not found, passed team_id={team_id}")
    cache.keep_team(call.state, team_id)
    return memberships.team_shown(call, call.state.teams.update(team_id, {"blocked": blocked})) | _ROW_ONLY


def delete(call: Call) -> Row:
    """`/team/delete`: all of the teams or, when one is unknown, none; their keys are deleted too."""
    call.check_types()
    call.require("team_ids")
    state = call.state
    wanted = call.body["team_ids"]
    for team_id in wanted:
        if team_id not in state.teams:
            raise detail(404, f"Team not found, passed team_id={team_id}")
    for team_id in wanted:
        for key in state.keys.where("team_id", team_id):
            cache.keep_key(state, key)
            keys.bury(call, key["token"])
        for membership in state.memberships.where("team_id", team_id):
            memberships.leave(call, team_id, membership["user_id"])
        state.teams.remove(team_id)
    return {"deleted_teams": wanted}


def list_teams(call: Call) -> list[Row]:
    """`/team/list`: every team, or those of a user; no pages."""
    return [memberships.team_with_members(call, team) for team in _teams_of(call)]


def list_teams_in_pages(call: Call) -> Row:
    """`/v2/team/list`: pages of teams, newest first or by their ids."""
    page, size = call.page("page_size", 10, 100)
    user_id = call.query.get("user_id")
    if user_id is not None and user_id not in call.state.users:
        raise detail(404, f"User not found, passed user_id={user_id}")
    found = [team for team in reversed(_teams_of(call)) if _matches(team, call.query)]
    sort_by_id(call, found, "team_id")
    rows, pages = page_of(found, page, size)
    shown: list[Any] = [memberships.team_shown(call, team) | _counts(call, team) for team in rows]
    return {"teams": shown, "total": len(found), "page": page, "page_size": size, "total_pages": pages}


def _counts(call: Call, team: Row) -> Row:
    if call.version.is_old:
        return {}
    keys_of_team = call.state.keys.where("team_id", team["team_id"])
    return {"members_count": len(team["members_with_roles"]), "keys_count": len(keys_of_team)}


def _teams_of(call: Call) -> list[Row]:
    user_id = call.query.get("user_id")
    if not call.caller.is_admin and user_id != call.caller.user_id:
        raise detail(401, f"Only admin users can query all teams/other teams. Your user role={call.caller.role}")
    if user_id is None:
        return list(call.state.teams)
    memberships_of_user = call.state.memberships.where("user_id", user_id)
    return [call.state.teams.rows[row["team_id"]] for row in memberships_of_user]


def _matches(team: Row, query: dict[str, str]) -> bool:
    if "team_id" in query and team["team_id"] != query["team_id"]:
        return False
    return query.get("team_alias", "").lower() in (team["team_alias"] or "").lower()
