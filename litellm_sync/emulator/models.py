"""The only place that emulates LiteLLM's deployments: `/model/...` and the list of models for clients."""

import base64
import uuid
from typing import Any, Final

from litellm_sync.emulator import access, catalogue, durations
from litellm_sync.emulator.call import Call
from litellm_sync.emulator.errors import Refusal, detail, refused
from litellm_sync.emulator.tables import Row

_CREATED: Final = 1677610602
_LISTED_LIMITS: Final = ("max_input_tokens", "max_output_tokens")


def info(call: Call) -> Row:
    """`/model/info`: the deployments that the caller may use, or one by `litellm_model_id`."""
    wanted = call.query.get("litellm_model_id")
    old = call.version.is_old
    if wanted is not None:
        row = call.state.models.get(wanted)
        if row is None:
            raise detail(400, f"Model id = {wanted} not found on litellm proxy")
        return {"data": [catalogue.shown(row, old=old)]}
    visible = set(access.visible_models(call.state, call.caller))
    return {"data": [catalogue.shown(row, old=old) for row in call.state.models if row["model_name"] in visible]}


def list_for_clients(call: Call) -> Row:
    """`/v1/models`: the public names, as OpenAI's clients expect them."""
    return {"data": [_listed(call, name) for name in access.visible_models(call.state, call.caller)], "object": "list"}


def _listed(call: Call, name: str) -> Row:
    entry: Row = {"id": name, "object": "model", "created": _CREATED, "owned_by": "openai"}
    deployments = call.state.models.where("model_name", name)
    if not deployments or call.version.is_old:
        return entry
    facts = catalogue.shown(deployments[0], old=False)["model_info"]
    entry["mode"] = facts["mode"]
    return entry | {limit: facts[limit] for limit in _LISTED_LIMITS if facts[limit] is not None}


def create(call: Call) -> Row:
    """`/model/new`: add a deployment; the same name twice makes a second deployment of one model."""
    body = call.body
    if "litellm_params" not in body:
        error: Row = {"message": "Internal server error", "type": "internal_server_error"}
        raise Refusal(500, call.version.pick({"error": error}, "Internal Server Error"))
    given = body.get("model_info") or {}
    model_id = given.get("id") or str(uuid.uuid4())
    if model_id in call.state.models:
        message = "{'error': 'Failed to add model to db. Check your server logs for more details.'}"
        kind = call.version.pick("internal_server_error", "auth_error")
        raise refused(500, message, kind, call.version.unset)
    row = catalogue.deployment(body | {"model_info": given | {"id": model_id}}, from_database=True)
    call.state.models.put(model_id, row)
    return _stored(row)


def _stored(row: Row) -> Row:
    """Return a deployment as the database has it, with encrypted parameters."""
    stamp = durations.stamp(durations.now())
    parameters = {name: _encrypted(value) for name, value in row["litellm_params"].items()}
    return {
        "model_id": row["model_info"]["id"],
        "model_name": row["model_name"],
        "litellm_params": parameters,
        "model_info": row["model_info"],
        "created_at": stamp,
        "created_by": "default_user_id",
        "updated_at": stamp,
        "updated_by": "default_user_id",
    }


def _encrypted(value: Any) -> Any:
    return base64.urlsafe_b64encode(value.encode()).decode() if isinstance(value, str) else value


def update(call: Call) -> Row:
    """`/model/update`: merge parameters and info into a deployment of the database."""
    return _merge(call, (call.body.get("model_info") or {}).get("id"))


def patch(call: Call) -> Row:
    """`/model/ID/update`: the same, with the id in the path."""
    return _merge(call, call.path.split("/")[2])


def _merge(call: Call, model_id: str | None) -> Row:
    row = call.state.models.get(model_id)
    if row is None or not row["model_info"]["db_model"]:
        raise call.crossed("model not found")
    changes: Row = {name: row[name] | (call.body.get(name) or {}) for name in ("litellm_params", "model_info")}
    changes["model_info"] |= {"id": model_id, "db_model": True}
    if call.body.get("model_name"):
        changes["model_name"] = call.body["model_name"]
    return _stored(call.state.models.update(str(model_id), changes))


def delete(call: Call) -> Row:
    """`/model/delete`: remove a deployment of the database; those of the configuration stay."""
    model_id = call.body.get("id")
    row = call.state.models.get(model_id)
    if row is None or not row["model_info"]["db_model"]:
        message = f"{{'error': 'Model with id={model_id} not found in db'}}"
        raise call.bad_request(message, old_kind="auth_error")
    call.state.models.remove(str(model_id))
    return {"message": f"Model: {model_id} deleted successfully"}
