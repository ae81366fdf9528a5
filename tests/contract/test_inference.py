"""What LiteLLM does with model calls: answers, refusals, budgets, rate limits and what they cost."""

import json
from typing import Any

import pytest

from tests.contract.proxy import Answer, Key, Proxy, fresh

GPT_4O_CALL = 0.000225
"""What 10 prompt and 20 completion tokens of gpt-4o cost in USD."""


def spent(shown: dict[str, Any]) -> float:
    return round(float(shown["spend"]), 10)


def denied(litellm: Proxy, who: str) -> tuple[int, str]:
    return litellm.either(403, 401), f"{who}_model_access_denied"


def over_budget(litellm: Proxy) -> tuple[int, str]:
    return litellm.either(422, 400), "budget_exceeded"


def too_many(litellm: Proxy) -> tuple[int, str]:
    return 429, litellm.either("throttling_error", "None")


def chat_until_refused(litellm: Proxy, key: Key) -> Answer:
    """Chat until the proxy has counted what was used before.

    Tokens and spend are counted a moment after the answer.
    """
    return litellm.eventually(lambda: litellm.chat(key), lambda answer: answer.status != 200)


class TestAnswers:
    @pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
    def test_chat(self, litellm: Proxy, path: str) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]}
        answer = litellm.post(path, body, litellm.new_key().secret)
        assert answer.status == 200
        message = {"content": "Hello from the mocked gpt-4o.", "role": "assistant"}
        assert answer.body["choices"] == [{"finish_reason": "stop", "index": 0, "message": message}]
        assert answer.body["usage"] == {"completion_tokens": 20, "prompt_tokens": 10, "total_tokens": 30}
        assert (answer.body["model"], answer.body["object"]) == ("gpt-4o", "chat.completion")

    def test_headers_tell_version_model_and_cost(self, litellm: Proxy) -> None:
        headers = litellm.chat(litellm.new_key()).headers
        assert headers["x-litellm-version"] == litellm.version
        assert headers["x-litellm-model-id"] == "model-gpt-4o"
        assert headers["x-litellm-model-group"] == "gpt-4o"
        assert float(headers["x-litellm-response-cost"]) == pytest.approx(GPT_4O_CALL)

    def test_stream(self, litellm: Proxy) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}], "stream": True}
        body["stream_options"] = {"include_usage": True}
        answer = litellm.post("/chat/completions", body, litellm.new_key().secret)
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.body.split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        texts = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
        assert "".join(texts) == "Hello from the mocked gpt-4o."
        assert len([text for text in texts if text]) == 10
        usage = chunks[-1]["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (9, 10, 19)

    @pytest.mark.parametrize("path", ["/v1/completions", "/completions"])
    def test_completion(self, litellm: Proxy, path: str) -> None:
        answer = litellm.post(path, {"model": "gpt-4o", "prompt": "Say hello"}, litellm.new_key().secret)
        assert answer.body["choices"][0]["text"] == "Hello from the mocked gpt-4o."
        assert answer.body["object"] == "text_completion"

    @pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
    def test_embedding(self, litellm: Proxy, path: str) -> None:
        body = {"model": "text-embedding-3-small", "input": "hello"}
        answer = litellm.post(path, body, litellm.new_key().secret)
        vector = {"embedding": [0.1, 0.2, 0.3, 0.4], "index": 0, "object": "embedding"}
        assert answer.body["data"] == [vector]
        assert answer.body["usage"]["prompt_tokens"] == 10

    @pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
    def test_responses(self, litellm: Proxy, path: str) -> None:
        answer = litellm.post(path, {"model": "gpt-4o", "input": "hello"}, litellm.new_key().secret)
        assert (answer.body["object"], answer.body["status"]) == ("response", "completed")
        assert answer.body["output"][0]["content"][0]["text"] == "Hello from the mocked gpt-4o."
        usage = answer.body["usage"]
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (36, 87, 123)

    def test_messages(self, litellm: Proxy) -> None:
        body = {"model": "claude-sonnet", "max_tokens": 20, "messages": [{"role": "user", "content": "Say hello"}]}
        answer = litellm.post("/v1/messages", body, litellm.new_key().secret)
        assert answer.body["content"] == [{"text": "Hello from the mocked Claude.", "type": "text"}]
        assert (answer.body["usage"]["input_tokens"], answer.body["usage"]["output_tokens"]) == (2095, 503)

    @pytest.mark.parametrize("header", ["x-litellm-api-key", "api-key", "Authorization"])
    def test_the_key_may_come_in_other_headers(self, litellm: Proxy, header: str) -> None:
        key = litellm.new_key()
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]}
        value = f"Bearer {key.secret}" if header == "Authorization" else key.secret
        assert litellm.send("POST", "/chat/completions", json=body, headers={header: value}).status == 200


class TestRefusedKeys:
    def test_without_a_key(self, litellm: Proxy) -> None:
        answer = litellm.send("POST", "/chat/completions", json={"model": "gpt-4o", "messages": []})
        assert answer.refusal == (401, "auth_error")
        assert answer.error["message"] == "Authentication Error, No api key passed in."

    def test_unknown(self, litellm: Proxy) -> None:
        assert litellm.chat(f"sk-{fresh('no')}").refusal == (401, "token_not_found_in_db")

    def test_deleted(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.chat(key).status == 200
        litellm.done("/key/delete", {"keys": [key.token]})
        assert litellm.chat(key).refusal == (401, "token_not_found_in_db")

    def test_blocked_and_unblocked(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.chat(key).status == 200
        litellm.done("/key/block", {"key": key.token})
        answer = litellm.chat(key)
        assert answer.refusal == (401, "auth_error")
        assert answer.error["message"].startswith("Authentication Error, Key is blocked.")
        litellm.done("/key/unblock", {"key": key.token})
        assert litellm.chat(key).status == 200

    def test_made_blocked(self, litellm: Proxy) -> None:
        assert litellm.chat(litellm.new_key(blocked=True)).refusal == (401, "auth_error")

    def test_expired(self, litellm: Proxy) -> None:
        answer = litellm.chat(litellm.new_key(duration="0s"))
        assert answer.refusal == (litellm.either(401, 400), "expired_key")

    def test_of_a_team_that_does_not_exist_is_refused_only_by_new_releases(self, litellm: Proxy) -> None:
        answer = litellm.chat(litellm.new_key(team_id=fresh("nowhere")))
        assert answer.status == litellm.either(404, 200)

    def test_of_a_deleted_user_are_refused_at_once_or_only_after_a_minute(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.chat(key).status == 200
        litellm.done("/user/delete", {"user_ids": [key.user_id]})
        assert litellm.chat(key).status == litellm.either(401, 200)

    def test_of_a_deleted_team_are_refused_at_once_or_only_after_a_minute(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        key = litellm.new_key(team_id=team_id)
        assert litellm.chat(key).status == 200
        litellm.done("/team/delete", {"team_ids": [team_id]})
        assert litellm.chat(key).status == litellm.either(401, 200)


class TestModelsOfAKey:
    def test_another_model_is_denied_and_allowed_after_an_update(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"])
        assert litellm.chat(key, "gpt-4o").status == 200
        assert litellm.chat(key, "gpt-4o-mini").refusal == denied(litellm, "key")
        litellm.done("/key/update", {"key": key.token, "models": ["gpt-4o-mini"]})
        assert litellm.chat(key, "gpt-4o").refusal == denied(litellm, "key")
        assert litellm.chat(key, "gpt-4o-mini").status == 200

    def test_an_empty_list_means_every_model(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"])
        litellm.done("/key/update", {"key": key.token, "models": []})
        assert litellm.chat(key, "claude-sonnet").status == 200

    @pytest.mark.parametrize("models", [["*"], ["all-proxy-models"], ["openai/*"]])
    def test_some_names_mean_many_models(self, litellm: Proxy, models: list[str]) -> None:
        assert litellm.chat(litellm.new_key(models=models)).status == 200

    def test_one_name_means_none(self, litellm: Proxy) -> None:
        assert litellm.chat(litellm.new_key(models=["no-default-models"])).refusal == denied(litellm, "key")

    def test_those_of_the_team_hold_too(self, litellm: Proxy) -> None:
        key = litellm.new_key(team_id=litellm.new_team(models=["gpt-4o-mini"]))
        assert litellm.chat(key, "gpt-4o").refusal == denied(litellm, "team")
        assert litellm.chat(key, "gpt-4o-mini").status == 200

    def test_all_of_the_team(self, litellm: Proxy) -> None:
        key = litellm.new_key(team_id=litellm.new_team(models=["gpt-4o-mini"]), models=["all-team-models"])
        assert litellm.chat(key, "gpt-4o-mini").status == 200

    def test_those_of_the_user_hold_for_personal_keys(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(models=["gpt-4o-mini"])
        assert litellm.chat(litellm.new_key(user_id=user_id), "gpt-4o").refusal == denied(litellm, "user")
        key = litellm.new_key(user_id=user_id, team_id=litellm.new_team())
        assert litellm.chat(key, "gpt-4o").status == 200


class TestRefusedCalls:
    def test_unknown_model(self, litellm: Proxy) -> None:
        answer = litellm.chat(litellm.new_key(), "no-such-model")
        assert answer.refusal == (400, litellm.either("invalid_request_error", "None"))
        assert "/chat/completions: Invalid model name passed in model=no-such-model." in answer.error["message"]

    def test_without_messages(self, litellm: Proxy) -> None:
        answer = litellm.post("/chat/completions", {"model": "gpt-4o"}, litellm.new_key().secret)
        assert answer.refusal == litellm.either((400, "invalid_request_error"), (500, "None"))

    def test_provider_fails(self, litellm: Proxy) -> None:
        answer = litellm.chat(litellm.new_key(), "always-fails")
        assert answer.refusal == (500, litellm.either("internal_server_error", None))
        assert "this is a mock internal server error" in answer.error["message"]

    def test_provider_limits(self, litellm: Proxy) -> None:
        answer = litellm.chat(litellm.new_key(), "always-rate-limited")
        assert answer.refusal == (429, "throttling_error")

    def test_malformed_json(self, litellm: Proxy) -> None:
        headers = {"Authorization": f"Bearer {litellm.new_key().secret}", "Content-Type": "application/json"}
        answer = litellm.send("POST", "/chat/completions", data='{"model": "gpt-4o",', headers=headers)
        assert answer.status == 400
        assert answer.error["message"].startswith("Invalid JSON payload")


class TestBudgets:
    def test_of_a_key(self, litellm: Proxy) -> None:
        key = litellm.new_key(max_budget=0.0001)
        assert litellm.chat(key).status == 200
        assert chat_until_refused(litellm, key).refusal == over_budget(litellm)
        litellm.done("/key/update", {"key": key.token, "max_budget": 1})
        assert litellm.chat(key).status == 200

    def test_of_zero_allows_a_key_nothing(self, litellm: Proxy) -> None:
        assert litellm.chat(litellm.new_key(max_budget=0)).refusal == over_budget(litellm)

    def test_used_up_from_the_beginning_until_spend_is_set(self, litellm: Proxy) -> None:
        key = litellm.new_key(spend=5, max_budget=5)
        assert litellm.chat(key).refusal == over_budget(litellm)
        litellm.done("/key/update", {"key": key.token, "spend": 0})
        assert litellm.chat(key).status == 200

    def test_of_a_user_holds_for_personal_keys(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(max_budget=0.0001)
        key = litellm.new_key(user_id=user_id)
        assert litellm.chat(key).status == 200
        assert chat_until_refused(litellm, key).refusal == over_budget(litellm)
        other = litellm.new_key(user_id=user_id)
        assert litellm.chat(other).refusal == over_budget(litellm)
        litellm.done("/user/update", {"user_id": user_id, "max_budget": 1})
        assert litellm.chat(key).status == 200

    def test_of_a_user_does_not_hold_for_keys_of_a_team(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(max_budget=0.0001, spend=1)
        key = litellm.new_key(user_id=user_id, team_id=litellm.new_team())
        assert litellm.chat(key).status == 200

    def test_of_zero_allows_a_user_nothing_or_one_call(self, litellm: Proxy) -> None:
        key = litellm.new_key(user_id=litellm.new_user(max_budget=0))
        assert litellm.chat(key).status == litellm.either(422, 200)
        assert chat_until_refused(litellm, key).refusal == over_budget(litellm)

    def test_of_a_team(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(max_budget=0.0001)
        key = litellm.new_key(team_id=team_id)
        assert litellm.chat(key).status == 200
        assert chat_until_refused(litellm, key).refusal == over_budget(litellm)
        if litellm.either(new=True, old=False):
            # Making a key brings old releases back to the team's spend of some seconds ago.
            assert litellm.chat(litellm.new_key(team_id=team_id)).refusal == over_budget(litellm)

    def test_of_zero_allows_a_team_one_call(self, litellm: Proxy) -> None:
        key = litellm.new_key(team_id=litellm.new_team(max_budget=0))
        assert litellm.chat(key).status == 200
        assert chat_until_refused(litellm, key).refusal == over_budget(litellm)

    def test_of_a_member(self, litellm: Proxy) -> None:
        team_id, user_id = litellm.new_team(), litellm.new_user()
        member = {"team_id": team_id, "member": {"role": "user", "user_id": user_id}, "max_budget_in_team": 0.0001}
        litellm.done("/team/member_add", member)
        key = litellm.new_key(user_id=user_id, team_id=team_id)
        assert litellm.chat(key).status == 200
        if litellm.either(new=True, old=False):
            # Old releases look at a figure that is up to a minute old.
            assert chat_until_refused(litellm, key).refusal == over_budget(litellm)
            other = litellm.new_key(team_id=team_id)
            assert litellm.chat(other).status == 200


class TestRateLimits:
    def refused(self, litellm: Proxy, key: Key, limit: str) -> Answer | None:
        """Chat until the limit holds and return the refusal.

        Old releases keep their counters among 200 things in memory and forget the ones that live shortest. Then they
        hold nobody to a limit, for which None is returned.
        """
        answer = chat_until_refused(litellm, key) if litellm.either(new=True, old=False) else litellm.chat(key)
        if answer.status == litellm.either(0, 200):
            return None
        assert answer.refusal == too_many(litellm)
        assert answer.error["message"].startswith(f"Rate limit exceeded for {limit}")
        return answer

    def test_requests_of_a_key(self, litellm: Proxy) -> None:
        key = litellm.new_key(rpm_limit=2)
        assert [litellm.chat(key).status for _ in range(2)] == [200, 200]
        limit = f"api_key: {key.token}. Limit type: requests. Current limit: 2, Remaining: 0."
        answer = self.refused(litellm, key, limit)
        assert answer is None or answer.headers["retry-after"] == "60"

    def test_tokens_of_a_key(self, litellm: Proxy) -> None:
        key = litellm.new_key(tpm_limit=10)
        assert litellm.chat(key).status == 200
        self.refused(litellm, key, f"api_key: {key.token}. Limit type: tokens. Current limit: 10")

    @pytest.mark.parametrize("limit", ["rpm_limit", "tpm_limit"])
    def test_zero_allows_nothing(self, litellm: Proxy, limit: str) -> None:
        assert litellm.chat(litellm.new_key(**{limit: 0})).refusal == too_many(litellm)

    def test_requests_of_a_key_for_a_model(self, litellm: Proxy) -> None:
        key = litellm.new_key(model_rpm_limit={"gpt-4o": 1})
        assert litellm.chat(key).status == 200
        self.refused(litellm, key, f"model_per_key: {key.token}:gpt-4o. Limit type: requests.")
        assert litellm.chat(key, "gpt-4o-mini").status == 200

    def test_tokens_of_a_key_for_a_model(self, litellm: Proxy) -> None:
        key = litellm.new_key(model_tpm_limit={"gpt-4o": 20})
        assert litellm.chat(key).status == 200
        self.refused(litellm, key, f"model_per_key: {key.token}:gpt-4o. Limit type: tokens.")
        assert litellm.chat(key, "gpt-4o-mini").status == 200

    def test_a_prompt_beyond_the_limit_is_refused_before_it_is_sent_only_by_new_releases(self, litellm: Proxy) -> None:
        key = litellm.new_key(model_tpm_limit={"gpt-4o": 1})
        assert litellm.chat(key).status == litellm.either(429, 200)

    def test_requests_of_a_user(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(rpm_limit=1)
        keys = [litellm.new_key(user_id=user_id) for _ in range(2)]
        assert litellm.chat(keys[0]).status == 200
        self.refused(litellm, keys[1], f"user: {user_id}. Limit type: requests.")

    def test_requests_of_a_team(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(rpm_limit=1)
        keys = [litellm.new_key(team_id=team_id) for _ in range(2)]
        assert litellm.chat(keys[0]).status == 200
        self.refused(litellm, keys[1], f"team: {team_id}. Limit type: requests.")


class TestSpend:
    def test_reaches_key_user_team_and_member(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        team_id = litellm.new_team(members_with_roles=[{"role": "user", "user_id": user_id}])
        key = litellm.new_key(user_id=user_id, team_id=team_id)
        for _ in range(2):
            assert litellm.chat(key).status == 200
        expected = round(2 * GPT_4O_CALL, 10)
        probes = {
            "key": lambda: spent(litellm.key(key.token)),
            "user": lambda: spent(litellm.user(user_id)),
            "team": lambda: spent(litellm.team(team_id)),
        }
        found = {name: litellm.eventually(probe, lambda spend: spend == expected) for name, probe in probes.items()}
        assert found == dict.fromkeys(probes, expected)
        members = litellm.read("/team/info", team_id=team_id)["team_memberships"]
        of_member = [spent(membership) for membership in members if membership["user_id"] == user_id]
        assert of_member == litellm.either([expected], [])

    def test_of_the_kinds_of_calls(self, litellm: Proxy) -> None:
        calls: list[tuple[str, dict[str, Any], float]] = [
            ("/v1/completions", {"model": "gpt-4o", "prompt": "x"}, GPT_4O_CALL),
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}, 10 * 0.00000002),
            ("/chat/completions", {"model": "granite-3-8b", "messages": [{"role": "user", "content": "x"}]}, 0.0),
            ("/chat/completions", {"model": "mistral-small", "messages": [{"role": "user", "content": "x"}]}, 0.000007),
            (
                "/v1/messages",
                {"model": "claude-sonnet", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]},
                0,
            ),
            (
                "/chat/completions",
                {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}], "stream": True},
                0.0001225,
            ),
        ]
        keys = []
        for path, body, _ in calls:
            key = litellm.new_key()
            assert litellm.post(path, body, key.secret).status == 200
            keys.append(key)
        expected = [round(cost, 10) for _, _, cost in calls]
        found = litellm.eventually(lambda: [spent(litellm.key(key.token)) for key in keys], lambda f: f == expected)
        assert found == expected

    def test_of_responses(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.post("/v1/responses", {"model": "gpt-4o", "input": "x"}, key.secret).status == 200
        found = litellm.eventually(lambda: spent(litellm.key(key.token)), lambda spend: spend > 0)
        # Old releases charge the prices of another model here.
        assert found == litellm.either(0.00096, found)

    def test_refused_calls_cost_nothing(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o", "always-fails"])
        assert litellm.chat(key, "gpt-4o-mini").status == litellm.either(403, 401)
        assert litellm.chat(key, "always-fails").status == 500
        assert litellm.chat(key).status == 200
        found = litellm.eventually(lambda: spent(litellm.key(key.token)), lambda spend: spend > 0)
        assert found == GPT_4O_CALL
