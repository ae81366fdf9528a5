"""The only place that emulates LiteLLM's access groups: names of models that keys may use beside their own."""

import uuid
from http import HTTPStatus
from typing import Final

from litellm_sync.emulator import durations
from litellm_sync.emulator.call import Call
from litellm_sync.emulator.errors import bare_detail
from litellm_sync.emulator.state import ADMIN_ID
from litellm_sync.emulator.tables import Row

_FIELDS: Final = (
    *("access_model_names", "access_mcp_server_ids", "access_agent_ids"),
    *("assigned_team_ids", "assigned_key_ids"),
)


def create(call: Call) -> Row:
    """`/v1/access_group`: make a group; no model of it has to exist."""
    call.require("access_group_name")
    name = call.body["access_group_name"]
    if any(group["access_group_name"] == name for group in call.state.access_groups):
        raise bare_detail(HTTPStatus.CONFLICT, f"Access group '{name}' already exists")
    stamp = durations.stamp(durations.now())
    row: Row = {
        "access_group_id": str(uuid.uuid4()),
        "access_group_name": name,
        "description": call.body.get("description"),
        **{field: call.body.get(field) or [] for field in _FIELDS},
        "created_at": stamp,
        "created_by": ADMIN_ID,
        "updated_at": stamp,
        "updated_by": ADMIN_ID,
    }
    return call.state.access_groups.put(row["access_group_id"], row)
