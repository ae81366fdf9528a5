"""What LiteLLM does with virtual keys: `/key/...`."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.proxy import Proxy, fresh

LIMITS: dict[str, Any] = {"max_budget": 12.5, "tpm_limit": 2000, "rpm_limit": 20, "max_parallel_requests": 3}
SOON = timedelta(minutes=2)


def own_secret() -> str:
    return f"sk-{uuid.uuid4().hex}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestGenerate:
    def test_keeps_what_it_was_given(self, litellm: Proxy) -> None:
        user_id, team_id = litellm.new_user(), litellm.new_team(team_alias="Keys")
        given = {"user_id": user_id, "team_id": team_id, "key_alias": fresh("alias"), "models": ["gpt-4o"]}
        given |= {"metadata": {"portal": "1"}} | LIMITS
        made = litellm.done("/key/generate", given)
        key = litellm.key(made["key"])
        for shown in (made, key):
            assert {name: shown[name] for name in given} == given
            assert shown["spend"] == 0.0
        assert made["key_name"] == key["key_name"] == f"sk-...{made['key'][-4:]}"

    def test_token_is_the_sha256_of_the_secret(self, litellm: Proxy) -> None:
        made = litellm.done("/key/generate", {})
        assert made["token"] == made["token_id"] == hashlib.sha256(made["key"].encode()).hexdigest()

    def test_takes_an_own_value(self, litellm: Proxy) -> None:
        secret = own_secret()
        made = litellm.done("/key/generate", {"key": secret})
        assert (made["key"], made["token"]) == (secret, hashlib.sha256(secret.encode()).hexdigest())

    def test_an_own_value_that_exists_keeps_its_settings(self, litellm: Proxy) -> None:
        secret = own_secret()
        litellm.done("/key/generate", {"key": secret, "max_budget": 1})
        again = litellm.done("/key/generate", {"key": secret, "max_budget": 9, "key_alias": fresh("alias")})
        assert again["max_budget"] == 9.0
        kept = litellm.key(secret)
        assert (kept["max_budget"], kept["key_alias"]) == (1.0, None)

    def test_an_own_value_of_a_deleted_key_is_a_new_key(self, litellm: Proxy) -> None:
        secret = own_secret()
        litellm.done("/key/generate", {"key": secret, "max_budget": 1})
        litellm.done("/key/delete", {"keys": [secret]})
        litellm.done("/key/generate", {"key": secret, "max_budget": 9})
        assert litellm.key(secret)["max_budget"] == 9.0
        assert litellm.chat(secret).status == 200

    def test_an_own_value_must_begin_with_sk(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/generate", {"key": "no-prefix-1234"})
        assert answer.status == 400
        assert "LiteLLM Virtual Key must start with 'sk-'" in answer.error["message"]

    def test_an_alias_that_exists_is_a_bad_request(self, litellm: Proxy) -> None:
        alias = fresh("alias")
        key = litellm.new_key(key_alias=alias)
        answer = litellm.post("/key/generate", {"key_alias": alias})
        assert answer.refusal == (400, "bad_request_error")
        text = f"Key with alias '{alias}' already exists. Unique key aliases across all keys are required."
        assert (answer.error["message"], answer.error["param"]) == (text, "key_alias")
        litellm.done("/key/delete", {"keys": [key.secret]})
        litellm.done("/key/generate", {"key_alias": alias})

    def test_neither_user_nor_team_nor_models_have_to_exist(self, litellm: Proxy) -> None:
        given = {"user_id": fresh("nobody"), "team_id": fresh("nowhere"), "models": ["no-such-model"]}
        made = litellm.done("/key/generate", given)
        key = litellm.key(made["token"])
        assert {name: key[name] for name in given} == given

    @pytest.mark.parametrize(
        ("kind", "routes"),
        [("llm_api", ["llm_api_routes"]), ("management", ["management_routes"]), ("default", [])],
    )
    def test_its_kind_shows_as_routes(self, litellm: Proxy, kind: str, routes: list[str]) -> None:
        made = litellm.done("/key/generate", {"key_type": kind})
        assert litellm.key(made["key"])["allowed_routes"] == routes

    def test_an_unknown_kind_is_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/generate", {"key_type": "king"})
        assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "key_type"])

    def test_limits_per_model_stand_in_metadata(self, litellm: Proxy) -> None:
        limits = {"model_rpm_limit": {"gpt-4o": 2}, "model_tpm_limit": {"gpt-4o": 1000}}
        key = litellm.new_key(metadata={"a": 1}, **limits)
        assert litellm.key(key.token)["metadata"] == {"a": 1} | limits

    def test_may_begin_blocked_and_with_spend(self, litellm: Proxy) -> None:
        key = litellm.key(litellm.new_key(blocked=True, spend=1.5).token)
        assert (key["blocked"], key["spend"]) == (True, 1.5)

    @pytest.mark.parametrize("budget", [-1, -0.5])
    def test_a_negative_budget_is_a_bad_request(self, litellm: Proxy, budget: float) -> None:
        answer = litellm.post("/key/generate", {"max_budget": budget})
        assert answer.refusal == (400, litellm.either("invalid_request_error", "internal_server_error"))

    def test_a_negative_rate_limit(self, litellm: Proxy) -> None:
        assert litellm.post("/key/generate", {"rpm_limit": -1}).status == litellm.either(422, 200)

    def test_wrong_types_are_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/generate", {"max_budget": "lots", "models": "gpt-4o"})
        assert answer.status == 422
        found = [(entry["type"], entry["loc"]) for entry in answer.body["detail"]]
        assert found == [("list_type", ["body", "models"]), ("float_parsing", ["body", "max_budget"])]


class TestLicence:
    def test_a_budget_for_a_model_needs_one(self, litellm: Proxy) -> None:
        budget = {"gpt-4o": {"budget_limit": 1.0, "time_period": "1d"}}
        answer = litellm.post("/key/generate", {"model_max_budget": budget})
        assert answer.refusal == (500, "internal_server_error")
        assert "You must be a LiteLLM Enterprise user to use this feature" in answer.error["message"]

    def test_tags_need_one(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/generate", {"tags": ["a"]})
        assert answer.status == 403
        assert "You must be a LiteLLM Enterprise user to use this feature" in answer.error["message"]

    @pytest.mark.parametrize("by_path", [True, False])
    def test_regenerating_needs_one(self, litellm: Proxy, by_path: bool) -> None:  # noqa: FBT001
        key = litellm.new_key()
        path, body = (f"/key/{key.token}/regenerate", {}) if by_path else ("/key/regenerate", {"key": key.secret})
        answer = litellm.post(path, body)
        assert answer.refusal == (500, "internal_server_error")
        assert "Regenerating Virtual Keys is an Enterprise feature" in answer.error["message"]
        assert litellm.chat(key).status == 200


class TestKeyInfo:
    def test_by_secret_and_by_hash_is_the_same(self, litellm: Proxy) -> None:
        key = litellm.new_key(key_alias=fresh("alias"))
        by_secret, by_hash = (litellm.read("/key/info", key=name) for name in (key.secret, key.token))
        assert (by_secret["key"], by_hash["key"]) == (key.secret, key.token)
        assert by_secret["info"] == by_hash["info"]
        assert "token" not in by_secret["info"]

    def test_of_an_unknown_key_is_not_found(self, litellm: Proxy) -> None:
        answer = litellm.get("/key/info", key=own_secret())
        assert answer.refusal == (404, "not_found_error")
        assert answer.error["message"] == "Key not found in database"

    def test_of_a_deleted_key(self, litellm: Proxy) -> None:
        key = litellm.new_key(max_budget=3)
        litellm.done("/key/delete", {"keys": [key.secret]})
        answer = litellm.get("/key/info", key=key.secret)
        assert answer.status == litellm.either(200, 404)
        if answer.status == 200:
            assert (answer.body["info"]["status"], answer.body["info"]["max_budget"]) == ("deleted", 3.0)

    def test_says_that_a_key_is_active_only_in_new_releases(self, litellm: Proxy) -> None:
        assert litellm.key(litellm.new_key().token).get("status") == litellm.either("active", None)


class TestUpdate:
    @pytest.mark.parametrize("by", ["secret", "token"])
    def test_changes_what_is_given_and_leaves_the_rest(self, litellm: Proxy, by: str) -> None:
        key = litellm.new_key(models=["gpt-4o"], metadata={"a": 1, "b": 2}, **LIMITS)
        changes = {"max_budget": 20.0, "metadata": {"a": 3}, "key_alias": fresh("alias")}
        answer = litellm.done("/key/update", {"key": getattr(key, by)} | changes)
        info = litellm.key(key.token)
        for shown in (answer, info):
            assert {name: shown[name] for name in changes} == changes
        assert (info["models"], info["tpm_limit"], info["user_id"]) == (["gpt-4o"], 2000, key.user_id)

    def test_can_take_management_routes_away(self, litellm: Proxy) -> None:
        key = litellm.new_key(key_type="default")
        assert litellm.get("/key/info", key.secret).status == 200
        litellm.done("/key/update", {"key": key.token, "allowed_routes": ["llm_api_routes"]})
        assert litellm.key(key.token)["allowed_routes"] == ["llm_api_routes"]
        assert litellm.get("/key/info", key.secret).status == 403
        assert litellm.chat(key).status == 200

    def test_nulls_clear(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        key = litellm.new_key(team_id=team_id, key_alias=fresh("alias"), **LIMITS)
        clearable = (*LIMITS, "key_alias", "team_id", "user_id")
        litellm.done("/key/update", {"key": key.secret} | dict.fromkeys(clearable))
        info = litellm.key(key.token)
        assert {name: info[name] for name in clearable} == dict.fromkeys(clearable)

    def test_null_clears_the_budget_period_only_in_new_releases(self, litellm: Proxy) -> None:
        key = litellm.new_key(max_budget=1, budget_duration="30d")
        before = litellm.key(key.token)["budget_reset_at"]
        litellm.done("/key/update", {"key": key.secret, "budget_duration": None})
        info = litellm.key(key.token)
        left = (info["budget_duration"], info["budget_reset_at"])
        assert left == litellm.either((None, None), ("30d", before))

    @pytest.mark.parametrize("name", ["models", "metadata", "spend", "permissions"])
    def test_null_is_a_bad_request_where_a_value_is_needed(self, litellm: Proxy, name: str) -> None:
        key = litellm.new_key(models=["gpt-4o"], metadata={"a": 1})
        answer = litellm.post("/key/update", {"key": key.secret, name: None})
        assert answer.refusal == (400, litellm.either("invalid_request_error", "auth_error"))
        assert f"`data.{name}`: A value is required but not set" in answer.error["message"]
        info = litellm.key(key.token)
        assert (info["models"], info["metadata"]) == (["gpt-4o"], {"a": 1})

    def test_empty_list_and_object_and_zero_are_values(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"], metadata={"a": 1}, **LIMITS)
        given: dict[str, Any] = {"models": [], "metadata": {}, "max_budget": 0, "tpm_limit": 0}
        litellm.done("/key/update", {"key": key.secret} | given)
        info = litellm.key(key.token)
        assert {name: info[name] for name in given} == given

    def test_a_duration_sets_when_it_expires(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.key(key.token)["expires"] is None
        litellm.done("/key/update", {"key": key.secret, "duration": "10d"})
        expires = moment(litellm.key(key.token)["expires"])
        assert abs(expires - datetime.now(UTC) - timedelta(days=10)) < SOON

    @pytest.mark.parametrize("duration", ["-1", None])
    def test_minus_one_means_for_ever_and_null_only_in_new_releases(self, litellm: Proxy, duration: str | None) -> None:
        key = litellm.new_key(duration="90d")
        before = litellm.key(key.token)["expires"]
        litellm.done("/key/update", {"key": key.secret, "duration": duration})
        expected = None if duration == "-1" else litellm.either(None, before)
        assert litellm.key(key.token)["expires"] == expected

    def test_a_bad_duration_is_a_bad_request(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        answer = litellm.post("/key/update", {"key": key.secret, "duration": "soon"})
        assert answer.refusal == (400, litellm.either("invalid_request_error", "auth_error"))

    def test_metadata_replaces_limits_per_model(self, litellm: Proxy) -> None:
        limits = {"model_rpm_limit": {"gpt-4o": 2}}
        key = litellm.new_key(metadata={"a": 1}, **limits)
        litellm.done("/key/update", {"key": key.secret, "metadata": {"b": 2}})
        assert litellm.key(key.token)["metadata"] == {"b": 2}
        litellm.done("/key/update", {"key": key.secret} | limits)
        assert litellm.key(key.token)["metadata"] == {"b": 2} | limits
        litellm.done("/key/update", {"key": key.secret, "model_rpm_limit": None})
        assert litellm.key(key.token)["metadata"] == {"b": 2} | limits

    def test_blocks_and_sets_spend(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        litellm.done("/key/update", {"key": key.secret, "blocked": True, "spend": 3.5})
        info = litellm.key(key.token)
        assert (info["blocked"], info["spend"]) == (True, 3.5)

    def test_passes_over_unknown_fields_and_another_kind(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        litellm.done("/key/update", {"key": key.secret, "nonsense": 1, "key_type": "default"})
        assert litellm.key(key.token)["allowed_routes"] == ["llm_api_routes"]

    def test_takes_an_unknown_user_but_no_unknown_team(self, litellm: Proxy) -> None:
        key, user_id = litellm.new_key(), fresh("nobody")
        litellm.done("/key/update", {"key": key.secret, "user_id": user_id})
        assert litellm.key(key.token)["user_id"] == user_id
        answer = litellm.post("/key/update", {"key": key.secret, "team_id": "nowhere"})
        assert answer.refusal == (404, litellm.either("invalid_request_error", "auth_error"))

    def test_an_alias_of_another_key_is_a_bad_request_its_own_is_not(self, litellm: Proxy) -> None:
        alias = fresh("alias")
        key, other = litellm.new_key(key_alias=alias), litellm.new_key()
        answer = litellm.post("/key/update", {"key": other.secret, "key_alias": alias})
        assert answer.refusal == (400, "bad_request_error")
        litellm.done("/key/update", {"key": key.secret, "key_alias": alias})

    def test_without_a_key_is_invalid(self, litellm: Proxy) -> None:
        assert litellm.post("/key/update", {"max_budget": 1}).status == 422

    def test_a_budget_period_sets_when_it_resets(self, litellm: Proxy) -> None:
        key = litellm.new_key(max_budget=1, budget_duration="1d")
        before = litellm.key(key.token)["budget_reset_at"]
        litellm.done("/key/update", {"key": key.secret, "budget_duration": "90d"})
        info = litellm.key(key.token)
        assert (info["budget_duration"], info["max_budget"]) == ("90d", 1.0)
        assert moment(info["budget_reset_at"]) - moment(before) == timedelta(days=89)

    def test_a_negative_budget_is_a_bad_request(self, litellm: Proxy) -> None:
        key = litellm.new_key(max_budget=1)
        assert litellm.post("/key/update", {"key": key.secret, "max_budget": -1}).status == 400
        assert litellm.key(key.token)["max_budget"] == 1.0

    @pytest.mark.parametrize("path", ["/key/update", "/key/block", "/key/unblock"])
    def test_of_an_unknown_key(self, litellm: Proxy, path: str) -> None:
        answer = litellm.post(path, {"key": own_secret()})
        old = (401, "auth_error" if path == "/key/update" else "token_not_found_in_db")
        assert answer.refusal == litellm.either((404, "not_found_error"), old)

    def test_of_a_deleted_key_is_as_of_an_unknown_one(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        litellm.done("/key/delete", {"keys": [key.secret]})
        assert litellm.post("/key/update", {"key": key.secret, "max_budget": 1}).status == litellm.either(404, 401)
        assert litellm.post("/key/delete", {"keys": [key.secret]}).status == 404


class TestBlock:
    @pytest.mark.parametrize("by", ["secret", "token"])
    def test_and_unblock(self, litellm: Proxy, by: str) -> None:
        key = litellm.new_key()
        assert litellm.key(key.token)["blocked"] is None
        for _ in range(2):
            assert litellm.done("/key/block", {"key": getattr(key, by)})["blocked"] is True
        assert litellm.key(key.token)["blocked"] is True
        assert litellm.done("/key/unblock", {"key": getattr(key, by)})["blocked"] is False
        assert litellm.key(key.token)["blocked"] is False


class TestDelete:
    @pytest.mark.parametrize("by", ["secret", "token"])
    def test_answers_what_was_asked_for(self, litellm: Proxy, by: str) -> None:
        key = litellm.new_key()
        asked = getattr(key, by)
        assert litellm.done("/key/delete", {"keys": [asked]}) == {"deleted_keys": [asked]}
        assert litellm.read("/user/info", user_id=key.user_id)["keys"] == []
        assert litellm.read("/key/list", user_id=key.user_id)["keys"] == []

    def test_by_alias(self, litellm: Proxy) -> None:
        alias = fresh("alias")
        key = litellm.new_key(key_alias=alias)
        assert litellm.done("/key/delete", {"key_aliases": [alias]}) == {"deleted_keys": [alias]}
        assert litellm.read("/key/list", key_hash=key.token)["keys"] == []

    def test_passes_over_unknown_ones_beside_a_known_one(self, litellm: Proxy) -> None:
        key, unknown = litellm.new_key(), own_secret()
        answer = litellm.done("/key/delete", {"keys": [key.secret, unknown]})
        assert answer == {"deleted_keys": [key.secret, unknown]}
        assert litellm.read("/key/list", key_hash=key.token)["keys"] == []

    def test_of_unknown_ones_alone_is_not_found(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/delete", {"keys": [own_secret()]})
        assert answer.refusal == (404, litellm.either("invalid_request_error", "internal_server_error"))
        assert answer.error["message"] == "{'error': 'No keys found'}"

    def test_of_nothing_is_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/delete", {"keys": []})
        assert answer.status == 422
        text = "Value error, At least one of 'keys' or 'key_aliases' must be provided."
        assert answer.body["detail"][0]["msg"] == text


class TestList:
    def test_has_pages_newest_first(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        tokens = [litellm.new_key(user_id=user_id).token for _ in range(3)]
        pages = [litellm.read("/key/list", user_id=user_id, page=page, size=2) for page in (1, 2, 3)]
        assert [token for page in pages for token in page["keys"]] == tokens[::-1]
        assert [(page["total_count"], page["current_page"], page["total_pages"]) for page in pages] == [
            (3, 1, 2),
            (3, 2, 2),
            (3, 3, 2),
        ]

    def test_by_their_hashes_on_demand(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        tokens = [litellm.new_key(user_id=user_id).token for _ in range(5)]
        query = {"user_id": user_id, "sort_by": "token", "sort_order": "asc", "size": 3, "return_full_object": "true"}
        pages = [litellm.read("/key/list", page=page, **query) for page in (1, 2)]
        assert [key["token"] for page in pages for key in page["keys"]] == sorted(tokens)

    def test_filters_by_team_alias_and_hash(self, litellm: Proxy) -> None:
        team_id, alias = litellm.new_team(), fresh("alias")
        key = litellm.new_key(team_id=team_id, key_alias=alias)
        for filters in ({"team_id": team_id}, {"key_alias": alias}, {"key_hash": key.token}):
            assert litellm.read("/key/list", **filters)["keys"] == [key.token]
        assert litellm.read("/key/list", user_id=key.user_id, key_alias=fresh("alias"))["keys"] == []

    def test_shows_whole_keys_on_demand(self, litellm: Proxy) -> None:
        key = litellm.new_key(key_alias=fresh("alias"), models=["gpt-4o"], metadata={"a": 1}, **LIMITS)
        [shown] = litellm.read("/key/list", user_id=key.user_id, return_full_object="true")["keys"]
        info = litellm.key(key.token)
        names = ("key_alias", "models", "metadata", "user_id", "spend", "blocked", "expires", *LIMITS)
        assert shown["token"] == key.token
        assert {name: shown[name] for name in names} == {name: info[name] for name in names}

    def test_shows_routes_and_name(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        [shown] = litellm.read("/key/list", user_id=key.user_id, return_full_object="true")["keys"]
        for facts in (shown, litellm.key(key.token)):
            assert (facts["allowed_routes"], facts["key_name"]) == (["llm_api_routes"], f"sk-...{key.secret[-4:]}")

    @pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 422), (0, 422)])
    def test_size_is_at_most_100(self, litellm: Proxy, size: int, status: int) -> None:
        assert litellm.get("/key/list", size=size).status == status

    def test_of_an_unknown_user_is_empty(self, litellm: Proxy) -> None:
        found = litellm.read("/key/list", user_id=fresh("nobody"))
        assert found == {"keys": [], "total_count": 0, "current_page": 1, "total_pages": 0}

    @pytest.mark.parametrize(("order", "expected"), [("asc", [1.0, 2.0, 3.0]), ("desc", [3.0, 2.0, 1.0])])
    def test_sorts_by_spend(self, litellm: Proxy, order: str, expected: list[float]) -> None:
        user_id = litellm.new_user()
        for spend in (2, 1, 3):
            litellm.new_key(user_id=user_id, spend=spend)
        query = {"user_id": user_id, "sort_by": "spend", "sort_order": order, "return_full_object": "true"}
        assert [key["spend"] for key in litellm.read("/key/list", **query)["keys"]] == expected


class TestOrdinaryKey:
    """A key that is not made for inference alone can do much for its user."""

    def test_makes_new_keys(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="internal_user")
        key = litellm.done("/key/generate", {"user_id": user_id})["key"]
        made = litellm.done("/key/generate", {"key_alias": fresh("alias")}, key)
        assert litellm.key(made["key"])["user_id"] == litellm.either(user_id, None)

    def test_reads_itself(self, litellm: Proxy) -> None:
        made = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="internal_user")})
        assert litellm.get("/key/info", made["key"]).body["key"] == made["token"]

    def test_reads_no_keys_of_others(self, litellm: Proxy) -> None:
        made = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="internal_user")})
        other = litellm.new_key()
        answer = litellm.get("/key/info", made["key"], key=other.token)
        assert answer.refusal == (403, litellm.either("auth_error", "internal_server_error"))
        assert litellm.get("/key/list", made["key"]).body["keys"] == [made["token"]]
        answer = litellm.get("/key/list", made["key"], user_id=other.user_id)
        assert answer.refusal == (403, "bad_request_error")

    def test_of_an_admin_of_litellm_may_do_everything(self, litellm: Proxy) -> None:
        key = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="proxy_admin")})["key"]
        assert litellm.get("/user/list", key).status == 200
