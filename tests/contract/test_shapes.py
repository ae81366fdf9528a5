"""Which fields LiteLLM's answers have: a release that changes them is seen here, and the emulator invents none.

`fields.json` holds what the real proxies show. A new release fails here first; take over its fields then.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.proxy import NEWEST, OLDEST, Key, Proxy, fresh

RECORDED: dict[str, dict[str, list[str]]] = json.loads((Path(__file__).parent / "fields.json").read_text())


class Cast:
    """A user with a team and a key, whose answers are looked at."""

    def __init__(self, litellm: Proxy) -> None:
        self.litellm = litellm
        self.team_id = litellm.new_team(team_alias="Shapes")
        self.user_id = litellm.new_user(teams=[self.team_id], user_email=f"{fresh('mail')}@example.com")
        self.key: Key = litellm.new_key(user_id=self.user_id, team_id=self.team_id, key_alias=fresh("alias"))

    def user_info(self) -> Any:
        return self.litellm.read("/user/info", user_id=self.user_id)

    def team_info(self) -> Any:
        return self.litellm.read("/team/info", team_id=self.team_id)

    def listed_key(self) -> Any:
        return self.litellm.read("/key/list", user_id=self.user_id, return_full_object="true")["keys"][0]

    def listed_user(self) -> Any:
        return self.litellm.read("/user/list", user_ids=self.user_id)["users"][0]

    def model(self) -> Any:
        return self.litellm.read("/v1/model/info", litellm_model_id="model-gpt-4o")["data"][0]

    def activity(self) -> Any:
        assert self.litellm.chat(self.key).status == 200
        today = datetime.now(UTC).date()
        days = {"start_date": str(today - timedelta(days=1)), "end_date": str(today)}
        return self.litellm.eventually(
            lambda: self.litellm.read("/user/daily/activity", user_id=self.user_id, **days),
            lambda found: bool(found["results"]),
        )

    def log_entry(self) -> Any:
        assert self.litellm.chat(self.key).status == 200
        return self.litellm.eventually(lambda: self.litellm.read("/spend/logs", api_key=self.key.token), bool)[0]


LOOKS: dict[str, Callable[[Cast], Any]] = {
    "/user/new": lambda cast: cast.litellm.done("/user/new", {"auto_create_key": False}),
    "/user/info": Cast.user_info,
    "/user/info user_info": lambda cast: cast.user_info()["user_info"],
    "/user/info keys": lambda cast: cast.user_info()["keys"][0],
    "/user/info teams": lambda cast: cast.user_info()["teams"][0],
    "/user/list": Cast.listed_user,
    "/user/update": lambda cast: cast.litellm.done("/user/update", {"user_id": cast.user_id, "max_budget": 1})["data"],
    "/team/new": lambda cast: cast.litellm.done("/team/new", {}),
    "/team/info": Cast.team_info,
    "/team/info team_info": lambda cast: cast.team_info()["team_info"],
    "/team/info keys": lambda cast: cast.team_info()["keys"][0],
    "/team/info member": lambda cast: cast.team_info()["team_info"]["members_with_roles"][0],
    "/team/update": lambda cast: cast.litellm.done("/team/update", {"team_id": cast.team_id, "max_budget": 1})["data"],
    "/team/block": lambda cast: cast.litellm.done("/team/block", {"team_id": cast.team_id}),
    "/team/list": lambda cast: cast.litellm.read("/team/list", user_id=cast.user_id)[0],
    "/v2/team/list": lambda cast: cast.litellm.read("/v2/team/list", user_id=cast.user_id)["teams"][0],
    "/key/generate": lambda cast: cast.litellm.done("/key/generate", {}),
    "/key/info": lambda cast: cast.litellm.key(cast.key.token),
    "/key/update": lambda cast: cast.litellm.done("/key/update", {"key": cast.key.token, "max_budget": 1}),
    "/key/block": lambda cast: cast.litellm.done("/key/block", {"key": cast.key.token}),
    "/key/unblock": lambda cast: cast.litellm.done("/key/unblock", {"key": cast.key.token}),
    "/key/list": Cast.listed_key,
    "/model/info": Cast.model,
    "/model/info litellm_params": lambda cast: cast.model()["litellm_params"],
    "/model/info model_info": lambda cast: cast.model()["model_info"],
    "/user/daily/activity": Cast.activity,
    "/user/daily/activity metadata": lambda cast: cast.activity()["metadata"],
    "/user/daily/activity metrics": lambda cast: cast.activity()["results"][0]["metrics"],
    "/user/daily/activity breakdown": lambda cast: cast.activity()["results"][0]["breakdown"],
    "/spend/logs": Cast.log_entry,
}


@pytest.mark.parametrize("look", LOOKS)
def test_fields(litellm: Proxy, request: pytest.FixtureRequest, look: str) -> None:
    shown = set(LOOKS[look](Cast(litellm)))
    recorded = set(RECORDED[litellm.either(NEWEST, OLDEST)][look])
    if "emulator" in request.node.callspec.id:
        assert shown - recorded == set()
    else:
        assert shown == recorded
