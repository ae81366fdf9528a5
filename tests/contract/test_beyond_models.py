"""What of a key reaches other models than those that its list names, and how that is taken away."""

from typing import Any

import pytest

from tests.contract.proxy import Answer, Key, Proxy, fresh

GPT = "Hello from the mocked gpt-4o."
CLAUDE = "Hello from the mocked Claude."
FALLBACK = {"fallbacks": [{"always-fails": ["claude-sonnet"]}]}
NOTHING: dict[str, Any] = {"access_group_ids": [], "aliases": {}, "router_settings": {}}


def group(litellm: Proxy, *models: str) -> str:
    """An access group with these models."""
    answer = litellm.post("/v1/access_group", {"access_group_name": fresh("group"), "access_model_names": models})
    assert answer.status == 201, answer
    return str(answer.body["access_group_id"])


def said(answer: Answer) -> str:
    """What the model said, or why there was none."""
    return str(answer.body["choices"][0]["message"]["content"] if answer.status == 200 else answer.error["type"])


def denied(who: str = "key") -> str:
    return f"{who}_model_access_denied"


def clear(litellm: Proxy, key: Key, *names: str) -> None:
    """As a push does."""
    litellm.done("/key/update", {"key": key.token, **{name: NOTHING[name] for name in names}})
    shown = litellm.key(key.token)
    assert {name: shown[name] for name in names} == {name: NOTHING[name] for name in names}


class TestAccessGroups:
    def test_add_their_models_to_those_of_the_key(self, litellm: Proxy) -> None:
        ids = [group(litellm, "claude-sonnet"), "no-such-group"]
        key = litellm.new_key(models=["gpt-4o"], access_group_ids=ids)
        assert said(litellm.chat(key)) == GPT
        assert said(litellm.chat(key, "claude-sonnet")) == CLAUDE
        refused = litellm.chat(key, "mistral-small")
        assert refused.refusal == (litellm.either(403, 401), denied())
        assert refused.error["param"] == "model"

    def test_are_shown_and_taken_away(self, litellm: Proxy) -> None:
        ids = [group(litellm, "claude-sonnet")]
        key = litellm.new_key(models=["gpt-4o"], access_group_ids=ids)
        (listed,) = litellm.read("/key/list", key_hash=key.token, return_full_object="true")["keys"]
        assert listed["access_group_ids"] == litellm.key(key.token)["access_group_ids"] == ids
        clear(litellm, key, "access_group_ids")
        assert said(litellm.chat(key, "claude-sonnet")) == denied()
        assert said(litellm.chat(key)) == GPT

    def test_that_nobody_knows_add_nothing(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"], access_group_ids=["no-such-group"])
        assert said(litellm.chat(key, "claude-sonnet")) == denied()

    def test_reach_beyond_the_team_in_new_releases(self, litellm: Proxy) -> None:
        team_id, ids = litellm.new_team(models=["gpt-4o"]), [group(litellm, "claude-sonnet")]
        key = litellm.new_key(models=["gpt-4o"], team_id=team_id, access_group_ids=ids)
        assert said(litellm.chat(key, "claude-sonnet")) == litellm.either(CLAUDE, denied("team"))

    def test_are_among_the_models_that_new_releases_list(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"], access_group_ids=[group(litellm, "claude-sonnet", "mistral-small")])
        names = {entry["id"] for entry in litellm.get("/v1/models", key.secret).body["data"]}
        assert names == litellm.either({"gpt-4o", "claude-sonnet", "mistral-small"}, {"gpt-4o"})

    def test_have_names_that_exist_once(self, litellm: Proxy) -> None:
        name = fresh("group")
        assert litellm.post("/v1/access_group", {"access_group_name": name}).status == 201
        again = litellm.post("/v1/access_group", {"access_group_name": name})
        assert (again.status, again.body) == (409, {"detail": f"Access group '{name}' already exists"})


class TestAliases:
    def test_answer_with_a_model_that_the_key_lacks_in_old_releases(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"], aliases={"gpt-4o": "claude-sonnet"})
        answer = litellm.chat(key)
        assert said(answer) == litellm.either(denied(), CLAUDE)
        if answer.status == 200:
            assert answer.body["model"] == "gpt-4o"
            assert answer.headers["x-litellm-model-group"] == "claude-sonnet"

    @pytest.mark.parametrize(
        ("models", "asked", "new", "old"),
        [
            pytest.param(["gpt-4o"], "pet", GPT, denied(), id="of-an-allowed-model"),
            pytest.param(["pet"], "pet", denied(), GPT, id="allowed-by-its-own-name"),
            pytest.param(["gpt-4o", "claude-sonnet"], "gpt-4o", CLAUDE, CLAUDE, id="of-one-allowed-model-for-another"),
            pytest.param(["claude-sonnet"], "gpt-4o", CLAUDE, denied(), id="of-an-allowed-model-for-one-that-is-not"),
        ],
    )
    def test_are_judged_by_their_model_in_new_releases(
        self, litellm: Proxy, models: list[str], asked: str, new: str, old: str
    ) -> None:
        aliases = {"pet": "gpt-4o"} if asked == "pet" else {"gpt-4o": "claude-sonnet"}
        key = litellm.new_key(models=models, aliases=aliases)
        assert said(litellm.chat(key, asked)) == litellm.either(new, old)

    def test_are_followed_twice_by_new_releases(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"], aliases={"pet": "gpt-4o", "gpt-4o": "claude-sonnet"})
        assert said(litellm.chat(key, "pet")) == denied()

    def test_pass_the_models_of_a_team_in_old_releases(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(models=["gpt-4o"])
        key = litellm.new_key(models=["gpt-4o"], team_id=team_id, aliases={"gpt-4o": "claude-sonnet"})
        answer = litellm.chat(key)
        assert said(answer) in litellm.either({denied("key"), denied("team")}, {CLAUDE})

    def test_of_a_person_are_judged_like_those_of_a_key(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(models=["claude-sonnet"])
        key = litellm.new_key(user_id=user_id, aliases={"gpt-4o": "claude-sonnet"})
        assert said(litellm.chat(key)) == litellm.either(CLAUDE, denied("user"))

    def test_are_shown_and_taken_away(self, litellm: Proxy) -> None:
        aliases = {"gpt-4o": "claude-sonnet"}
        key = litellm.new_key(models=["gpt-4o"], aliases=aliases)
        (listed,) = litellm.read("/key/list", key_hash=key.token, return_full_object="true")["keys"]
        assert listed["aliases"] == litellm.key(key.token)["aliases"] == aliases
        clear(litellm, key, "aliases")
        assert said(litellm.chat(key)) == GPT


class TestRouterSettings:
    def test_answer_with_another_model_than_failed(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["always-fails", "claude-sonnet"], router_settings=FALLBACK)
        answer = litellm.chat(key, "always-fails")
        assert (said(answer), answer.headers["x-litellm-model-group"]) == (CLAUDE, "claude-sonnet")
        assert answer.body["model"] == "claude-sonnet-4-5"

    def test_also_with_one_that_the_key_lacks_in_old_releases(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["always-fails"], router_settings=FALLBACK)
        answer = litellm.chat(key, "always-fails")
        assert answer.status == litellm.either(500, 200)
        if answer.status == 200:
            assert said(answer) == CLAUDE

    def test_are_shown_and_taken_away(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["always-fails"], router_settings=FALLBACK)
        (listed,) = litellm.read("/key/list", key_hash=key.token, return_full_object="true")["keys"]
        assert listed["router_settings"] == litellm.key(key.token)["router_settings"] == FALLBACK
        clear(litellm, key, "router_settings")
        assert litellm.chat(key, "always-fails").status == 500


@pytest.mark.parametrize("name", sorted(NOTHING))
def test_nulls_are_refused(litellm: Proxy, name: str) -> None:
    key = litellm.new_key()
    answer = litellm.post("/key/update", {"key": key.token, name: None})
    assert answer.status == 400
    assert f"`data.{name}`: A value is required but not set" in answer.error["message"]


def test_all_three_are_taken_away_together(litellm: Proxy) -> None:
    given = {"access_group_ids": [group(litellm, "claude-sonnet")], "aliases": {"gpt-4o": "mistral-small"}}
    key = litellm.new_key(models=["gpt-4o"], router_settings=FALLBACK, **given)
    clear(litellm, key, *NOTHING)
    assert said(litellm.chat(key)) == GPT
    assert said(litellm.chat(key, "claude-sonnet")) == denied()


def test_permissions_for_objects_reach_no_models(litellm: Proxy) -> None:
    permission = {"vector_stores": ["a-store"], "models": ["claude-sonnet"]}
    key = litellm.new_key(models=["gpt-4o"], object_permission=permission)
    assert said(litellm.chat(key)) == GPT
    assert said(litellm.chat(key, "claude-sonnet")) == denied()


def test_aliases_of_router_settings_reach_no_models(litellm: Proxy) -> None:
    settings = {"model_group_alias": {"gpt-4o": "claude-sonnet"}}
    key = litellm.new_key(models=["gpt-4o"], router_settings=settings)
    assert said(litellm.chat(key)) != CLAUDE
