"""The only place that emulates who belongs to which team: `/team/member_...` and what else ties users to teams."""

import uuid
from typing import Any, Final

from litellm_sync.emulator import durations, keys, limits, people, shapes
from litellm_sync.emulator.call import Call
from litellm_sync.emulator.errors import detail, enterprise, refused
from litellm_sync.emulator.tables import Row

_LIMITS: Final = {"max_budget_in_team": "max_budget", "tpm_limit": "tpm_limit", "rpm_limit": "rpm_limit"}


def team_with_members(call: Call, team: Row) -> Row:
    """Return a team as lists show it: with its memberships and keys."""
    team_id = team["team_id"]
    return team_shown(call, team) | {
        "team_memberships": shown(call, call.state.memberships.where("team_id", team_id)),
        "keys": [keys.shown(call, key) for key in call.state.keys.where("team_id", team_id)],
    }


def team_shown(call: Call, team: Row) -> Row:
    """Return a team's row as the emulated release shows it."""
    return shapes.team_without_newer_fields(team) if call.version.is_old else team


def shown(call: Call, rows: list[Row]) -> list[Row]:
    """Return memberships as the emulated release shows them: old ones know only those with a budget of their own."""
    if not call.version.is_old:
        return rows
    return [shapes.without_newer_fields(row) for row in rows if row["budget_id"] is not None]


def join_teams(call: Call, user: Row, teams: list[Any]) -> None:
    """Put a new user into teams; those that do not exist are dropped without a word."""
    for entry in teams:
        team_id, budget = (entry["team_id"], entry) if isinstance(entry, dict) else (entry, {})
        team = call.state.teams.get(team_id)
        if team is not None:
            member = {"user_id": user["user_id"], "user_email": user["user_email"], "role": "user"}
            join(call, team, member, budget)


def join(call: Call, team: Row, member: Row, budget: Row) -> Row:
    """Enter a member with id, e-mail and role into a team and return the membership."""
    state = call.state
    team_id, user_id = team["team_id"], member["user_id"]
    stamp = durations.stamp(durations.now())
    state.teams.update(team_id, {"members_with_roles": [*team["members_with_roles"], member], "updated_at": stamp})
    user = state.users.get(user_id)
    if user and team_id not in user["teams"]:
        state.users.update(user_id, {"teams": [*user["teams"], team_id]})
    key = limits.membership_key(team_id, user_id)
    membership = state.memberships.put(key, shapes.new_membership(user_id=user_id, team_id=team_id))
    _limit(call, membership, budget)
    return membership


def leave(call: Call, team_id: str, user_id: str) -> None:
    """Take a user out of a team."""
    state = call.state
    team, user = state.teams.get(team_id), state.users.get(user_id)
    if team:
        kept = [member for member in team["members_with_roles"] if member["user_id"] != user_id]
        state.teams.update(team_id, {"members_with_roles": kept})
    if user:
        state.users.update(user_id, {"teams": [name for name in user["teams"] if name != team_id]})
    key = limits.membership_key(team_id, user_id)
    if key in state.memberships:
        state.memberships.remove(key)


def _limit(call: Call, membership: Row, wanted: Row) -> None:
    given = {field: wanted[name] for name, field in _LIMITS.items() if wanted.get(name) is not None}
    if not given:
        return
    budget_id = membership["budget_id"] or str(uuid.uuid4())
    blank: Row = {"budget_id": budget_id, "soft_budget": None, "max_budget": None, "tpm_limit": None, "rpm_limit": None}
    budget = blank | (membership["litellm_budget_table"] or {}) | given
    key = limits.membership_key(membership["team_id"], membership["user_id"])
    call.state.memberships.update(key, {"budget_id": budget_id, "litellm_budget_table": budget})


def add_members(call: Call) -> Row:
    """`/team/member_add`: add one member or a list; in a list those who are in already are passed over."""
    call.check_types()
    call.require("member", "team_id")
    team_id, asked = call.body["team_id"], call.body["member"]
    team = call.state.teams.get(team_id)
    if team is None:
        message = f"Team doesn't exist in db. Team={team_id}. Create team via `/team/new` call."
        raise detail(404, message)
    entries: list[Row] = asked if isinstance(asked, list) else [asked]
    if any(entry.get("role") == "admin" for entry in entries):
        raise detail(400, enterprise("Assigning team admins is a premium feature. {}"))
    fresh = [entry for entry in entries if not _is_member(call, team, entry)]
    if not fresh:
        raise _already_in(team, asked)
    joined = []
    for entry in fresh:
        user = people.find_or_add(call.state, entry)
        member = {"user_id": user["user_id"], "user_email": user["user_email"], "role": entry.get("role", "user")}
        joined.append((user, join(call, call.state.teams.rows[team_id], member, call.body)))
    return team_shown(call, call.state.teams.rows[team_id]) | {
        "updated_users": [user for user, _ in joined],
        "updated_team_memberships": shown(call, [membership for _, membership in joined]),
    }


def _is_member(call: Call, team: Row, entry: Row) -> bool:
    user_id = entry.get("user_id")
    if not user_id and entry.get("user_email"):
        known = call.state.users.where("user_email", entry["user_email"].lower())
        user_id = known[0]["user_id"] if known else None
    return any(member["user_id"] == user_id for member in team["members_with_roles"])


def _already_in(team: Row, asked: Row | list[Row]) -> Exception:
    members = ", ".join(
        f"Member(user_id={member['user_id']!r}, user_email={member['user_email']!r}, role={member['role']!r})"
        for member in team["members_with_roles"]
    )
    if isinstance(asked, list):
        message = f"All users are already in team. Existing members=[{members}]"
    else:
        who = f"user_id={asked.get('user_id')}, user_email={asked.get('user_email')}"
        message = f"User already in team. Member: {who}. Existing members=[{members}]"
    return refused(400, message, "team_member_already_in_team", "member")


def remove_member(call: Call) -> Row:
    """`/team/member_delete`: take a member, found by id or e-mail, and the member's keys out of the team."""
    call.check_types()
    call.require("team_id")
    team = _team(call)
    wanted = call.body.get("user_id"), call.body.get("user_email")
    found = [
        member["user_id"]
        for member in team["members_with_roles"]
        if (wanted[0] and member["user_id"] == wanted[0]) or (wanted[1] and member["user_email"] == wanted[1])
    ]
    if not found:
        raise detail(400, "User not found in team")
    for key in call.state.keys.where("team_id", team["team_id"]):
        if key["user_id"] == found[0]:
            keys.bury(call, key["token"])
    leave(call, team["team_id"], found[0])
    return team_shown(call, call.state.teams.rows[team["team_id"]])


def update_member(call: Call) -> Row:
    """`/team/member_update`: change what a member may spend in the team; nobody checks that it is a member."""
    call.check_types()
    call.require("team_id")
    team, user_id = _team(call), call.body.get("user_id")
    membership = call.state.memberships.get(limits.membership_key(team["team_id"], user_id))
    if membership is not None:
        _limit(call, membership, call.body)
    return {
        "user_id": user_id,
        "user_email": call.body.get("user_email"),
        "team_id": team["team_id"],
        **{name: call.body.get(name) for name in _LIMITS},
    }


def _team(call: Call) -> Row:
    team = call.state.teams.get(call.body["team_id"])
    if team is None:
        raise detail(400, f"Team id={call.body['team_id']} does not exist in db")
    return team
