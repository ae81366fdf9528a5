"""The only place that emulates LiteLLM's virtual keys: `/key/...`."""

import secrets
from http import HTTPStatus
from typing import Any, Final

from litellm_sync.emulator import durations, limits, shapes
from litellm_sync.emulator.access import LLM_ROUTES, digest
from litellm_sync.emulator.call import Call, chosen, page_of
from litellm_sync.emulator.errors import enterprise, invalid, refused, value_error
from litellm_sync.emulator.tables import Row

_FIELDS: Final = (
    *("key_alias", "models", "spend", "max_budget", "user_id", "team_id", "max_parallel_requests", "metadata"),
    *("tpm_limit", "rpm_limit", "budget_duration", "blocked", "aliases", "permissions", "allowed_routes"),
    *("access_group_ids", "router_settings"),
)
_CLEARABLE: Final = (
    *("max_budget", "tpm_limit", "rpm_limit", "max_parallel_requests", "key_alias", "team_id", "user_id"),
    "budget_duration",
)
_REQUIRED: Final = ("models", "metadata", "spend", "permissions", "access_group_ids", "aliases", "router_settings")
_MODEL_LIMITS: Final = ("model_rpm_limit", "model_tpm_limit")
_ROUTES: Final = {
    "llm_api": [LLM_ROUTES],
    "management": ["management_routes"],
    "read_only": ["info_routes"],
    "default": [],
}
_FOR_EVER: Final = "-1"
_NOT_OF_A_CACHED_KEY: Final = {
    *("policies", "organization_id", "litellm_organization_table", "litellm_project_table", "jwt_key_mappings"),
}
_NOT_OF_A_DELETED_KEY: Final = _NOT_OF_A_CACHED_KEY - {"organization_id"}
_REGENERATING: Final = "Regenerating Virtual Keys is an Enterprise feature, {}"


def generate(call: Call) -> Row:
    """`/key/generate`: make a key. Neither user, team nor models have to exist."""
    call.check_types()
    _check_licence(call)
    call.check_budget()
    body = dict(call.body)
    if not call.caller.is_admin:
        body["user_id"] = call.version.pick(call.caller.user_id, body.get("user_id"))
    _check_alias(call, body.get("key_alias"), None)
    secret, row = add(call, body)
    return _shown_row(call, shapes.generated_key(row, secret))


def add(call: Call, body: Row) -> tuple[str, Row]:
    """Store a new key and return its secret and row; a secret that exists already keeps its old row."""
    secret = body.get("key") or f"sk-{secrets.token_urlsafe(16)}"
    if not secret.startswith("sk-"):
        hidden = f"{secret[:4]}****{secret[-4:]}"
        message = (
            f"""{{'error': "Invalid key format. LiteLLM Virtual Key must start with 'sk-'. Received: {hidden}"}}"""
        )
        raise call.bad_request(message)
    moment, reset = durations.now(), call.reset_time()
    kind = body.get("key_type") or "default"
    if kind not in _ROUTES:
        message = "Input should be 'llm_api', 'management', 'read_only' or 'default'"
        raise invalid({"type": "enum", "loc": ["body", "key_type"], "msg": message})
    fields: Row = {"allowed_routes": _ROUTES[kind]} | chosen(body, _FIELDS)
    row = shapes.new_key(
        **fields | {"metadata": _with_model_limits(body.get("metadata") or {}, body), "budget_reset_at": reset},
        token=digest(secret),
        key_name=f"sk-...{secret[-4:]}",
        key_type=kind,
        expires=_expiry(call, body.get("duration"), HTTPStatus.INTERNAL_SERVER_ERROR),
        created_at=durations.stamp(moment),
        updated_at=durations.stamp(moment),
    )
    if row["token"] not in call.state.keys:
        call.state.keys.put(row["token"], row)
    return secret, row


def _check_licence(call: Call) -> None:
    if call.body.get("model_max_budget"):
        reason = enterprise("You must have an enterprise license to set model_max_budget. {}")
        example = "Example of valid model_max_budget: https://docs.litellm.ai/docs/proxy/users"
        raise call.server_error(f"Invalid model_max_budget: {reason}. {example}")
    if call.body.get("tags"):
        text = enterprise("This feature is only available for LiteLLM Enterprise users: tags. {}").replace("\n", "\\n")
        kind = call.version.pick("auth_error", "internal_server_error")
        raise refused(403, f"{{'error': '{text}'}}", kind, call.version.unset)


def _check_alias(call: Call, alias: str | None, token: str | None) -> None:
    if alias and any(key["token"] != token for key in call.state.keys.where("key_alias", alias)):
        message = f"Key with alias '{alias}' already exists. Unique key aliases across all keys are required."
        raise refused(400, message, "bad_request_error", "key_alias")


def _with_model_limits(metadata: Row, body: Row) -> Row:
    """Return metadata with the limits per model, which LiteLLM keeps there."""
    return metadata | chosen(body, _MODEL_LIMITS)


def _expiry(call: Call, duration: str | None, status: HTTPStatus) -> str | None:
    if duration is None:
        return None
    try:
        return durations.stamp(durations.expiry(duration, durations.now()))
    except durations.InvalidDurationError as error:
        if status is HTTPStatus.BAD_REQUEST:
            raise call.crossed(str(error)) from error
        raise call.server_error(str(error)) from error


def info(call: Call) -> Row:
    """`/key/info`: a key by secret or hash; new releases still show one that was deleted."""
    asked = call.query.get("key") or (call.caller.token if call.caller.key else "")
    token = digest(asked)
    row = call.state.keys.get(token)
    if row is not None:
        limits.renew_budget(call.state, call.state.keys, token)
    status = "active"
    if row is None and not call.version.is_old:
        row, status = call.state.deleted_keys.get(token), "deleted"
    if row is None:
        raise refused(404, "Key not found in database", "not_found_error", "key")
    if not call.caller.is_admin and row["user_id"] != call.caller.user_id:
        message = f"You are not allowed to access this key's info. Your role={call.caller.role}"
        kind = call.version.pick("auth_error", "internal_server_error")
        raise refused(403, message, kind, call.version.unset)
    hidden = {"token"} if status == "active" else {"token"} | _NOT_OF_A_DELETED_KEY
    details = {name: value for name, value in _with_offset(_shown_row(call, row)).items() if name not in hidden}
    return {"key": asked, "info": details if call.version.is_old else details | {"status": status}}


def _shown_row(call: Call, row: Row) -> Row:
    return shapes.without_newer_fields(row) if call.version.is_old else row


def shown(call: Call, row: Row) -> Row:
    """Return a key as users and teams show it, with its hash as `token`."""
    limits.renew_budget(call.state, call.state.keys, row["token"])
    return _with_offset(_shown_row(call, call.state.keys.rows[row["token"]]), ("expires",))


_MOMENTS: Final = ("expires", "budget_reset_at", "created_at", "updated_at", "last_active")


def _with_offset(row: Row, names: tuple[str, ...] = _MOMENTS) -> Row:
    """Return a row with its times written in the other of LiteLLM's two ways."""
    return row | {name: row[name].replace("Z", "+00:00") for name in names if row[name]}


def update(call: Call) -> Row:
    """`/key/update`: change what is given; nulls clear, `metadata` is replaced as a whole."""
    call.check_types()
    if not call.body.get("key"):
        raise _no_key(call)
    _check_licence(call)
    row = _existing(call, call.body["key"])
    token = row["token"]
    changes = _changes(call, row)
    _check_alias(call, changes.get("key_alias"), token)
    stamp = durations.stamp(durations.now())
    if "spend" in changes:
        call.state.windows.pop(("budget", token), None)
    row = call.state.keys.update(token, changes | {"updated_at": stamp, "settings_updated_at": stamp})
    return {"key": call.body["key"]} | _with_offset(_shown_row(call, row))


def _no_key(call: Call) -> Exception:
    if call.version.is_old:
        return invalid({"type": "missing", "loc": ["body", "key"], "msg": "Field required"})
    return invalid(value_error("either key or key_alias must be provided"))


def _changes(call: Call, row: Row) -> Row:
    body, version = call.body, call.version
    call.check_budget()
    call.check_not_null(_REQUIRED, HTTPStatus.BAD_REQUEST)
    _check_team(call)
    changes = chosen(body, _FIELDS) | {name: None for name in _CLEARABLE if name in body and body[name] is None}
    if version.is_old and "budget_duration" in changes and changes["budget_duration"] is None:
        del changes["budget_duration"]
    if "budget_duration" in changes:
        changes["budget_reset_at"] = call.reset_time()
    if "metadata" in body or any(body.get(name) for name in _MODEL_LIMITS):
        given: Row = body["metadata"] if "metadata" in body else row["metadata"]
        changes["metadata"] = _with_model_limits(given, body)
    return changes | _expiry_change(call)


def _check_team(call: Call) -> None:
    team_id = call.body.get("team_id")
    if team_id is not None and team_id not in call.state.teams:
        message = f"""{{'error': "Team doesn't exist in db. Team={team_id}. Create team via `/team/new` call."}}"""
        raise call.bad_request(message, 404, "auth_error")


def _expiry_change(call: Call) -> Row:
    if "duration" not in call.body:
        return {}
    duration = call.body["duration"]
    if duration == _FOR_EVER:
        return {"expires": None}
    if duration is None:
        return call.version.pick({"expires": None}, {})
    return {"expires": _expiry(call, duration, HTTPStatus.BAD_REQUEST)}


def _existing(call: Call, asked: str) -> Row:
    row = call.state.keys.get(digest(asked))
    if row is not None:
        return row
    if not call.version.is_old:
        raise refused(404, "Key not found.", "not_found_error", "key")
    if call.path == "/key/update":
        message = f"Authentication Error: invalid user key - user key does not exist in db. User Key={asked}"
        raise refused(401, message, "auth_error", "None")
    message = (
        f"Authentication Error, Invalid proxy server token passed. key={digest(asked)}, not found in db. "
        "Create key via `/key/generate` call."
    )
    raise refused(401, message, "token_not_found_in_db", "key")


def block(call: Call) -> Row:
    """`/key/block`: refuse the key from now on."""
    return _listed(call, _set_blocked(call, blocked=True))


def unblock(call: Call) -> Row:
    """`/key/unblock`: take the key again."""
    return _shown_row(call, _set_blocked(call, blocked=False))


def _set_blocked(call: Call, *, blocked: bool) -> Row:
    call.check_types()
    call.require("key")
    row = _existing(call, call.body["key"])
    stamp = durations.stamp(durations.now())
    return call.state.keys.update(row["token"], {"blocked": blocked, "updated_at": stamp})


def delete(call: Call) -> Row:
    """`/key/delete`: keys by secret, hash or alias; only when none of them exists is it a refusal."""
    call.check_types()
    body, state = call.body, call.state
    asked, aliases = body.get("keys") or [], body.get("key_aliases") or []
    if not asked and not aliases:
        raise invalid(value_error("At least one of 'keys' or 'key_aliases' must be provided."))
    tokens = [digest(key) for key in asked if digest(key) in state.keys]
    if not asked:
        tokens += [key["token"] for alias in aliases for key in state.keys.where("key_alias", alias)]
    if not tokens:
        raise call.bad_request("{'error': 'No keys found'}", 404)
    for token in dict.fromkeys(tokens):
        bury(call, token)
    return {"deleted_keys": asked or aliases}


def bury(call: Call, token: str) -> None:
    """Move a key to the deleted ones, where its facts stay known."""
    row = call.state.keys.remove(token)
    call.state.deleted_keys.put(token, row | {"deleted_at": durations.stamp(durations.now())})


def list_keys(call: Call) -> Row:
    """`/key/list`: pages of hashes or whole keys, newest first, with filters."""
    page, size = call.page("size", 10, 100)
    found = list(reversed(_candidates(call)))
    sort_by = call.query.get("sort_by")
    if sort_by:
        found.sort(key=lambda row: _sortable(row.get(sort_by)), reverse=call.query.get("sort_order") != "asc")
    rows, pages = page_of(found, page, size)
    whole = call.query.get("return_full_object", "").lower() == "true"
    keys: list[Any] = [_listed(call, row) if whole else row["token"] for row in rows]
    return {"keys": keys, "total_count": len(found), "current_page": page, "total_pages": pages}


def _candidates(call: Call) -> list[Row]:
    state, query = call.state, dict(call.query)
    if not call.caller.is_admin:
        own = call.caller.user_id or ""
        if query.setdefault("user_id", own) != own:
            raise refused(403, "You are not authorized to check another user's keys", "bad_request_error", "user_id")
    rows = list(state.keys)
    for name in ("user_id", "team_id", "key_alias"):
        if name in query:
            rows = state.keys.where(name, query[name])
            break
    wanted: dict[str, str] = {name: query[name] for name in ("user_id", "team_id", "key_alias") if name in query}
    if "key_hash" in query:
        wanted["token"] = query["key_hash"]
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _listed(call: Call, row: Row) -> Row:
    """Return a key as lists and `/key/block` show it: as LiteLLM has it in memory."""
    shown_row = _shown_row(call, row)
    if call.version.is_old:
        del shown_row["budget_id"]
    return {name: value for name, value in shown_row.items() if name not in _NOT_OF_A_CACHED_KEY} | {"org_id": None}


def _sortable(value: object) -> tuple[bool, Any]:
    return value is not None, value


def regenerate(call: Call) -> Row:
    """`/key/regenerate`: needs a licence."""
    raise call.server_error(enterprise(_REGENERATING))
