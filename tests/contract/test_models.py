"""What LiteLLM does with deployments, and which models it lists for whom."""

from typing import Any

import pytest

from tests.contract.proxy import Proxy, fresh

PRICES = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
NAMES = [
    *("gpt-4o", "gpt-4o-mini", "claude-sonnet", "llama-3-8b", "granite-3-8b", "mistral-small"),
    *("text-embedding-3-small", "always-fails", "always-rate-limited"),
]


def new_model(litellm: Proxy, name: str, **info: Any) -> str:
    model_id = fresh("id")
    parameters = {"model": f"openai/{name}", "api_key": "sk-fake", "mock_response": f"Hello from {name}"} | PRICES
    body = {"model_name": name, "litellm_params": parameters, "model_info": {"id": model_id, "mode": "chat"} | info}
    made = litellm.done("/model/new", body)
    assert (made["model_id"], made["model_name"]) == (model_id, name)
    assert made["litellm_params"]["model"] != parameters["model"]  # the answer has it encrypted
    return model_id


def shown(litellm: Proxy, model_id: str) -> dict[str, Any]:
    [found] = litellm.read("/v1/model/info", litellm_model_id=model_id)["data"]
    assert isinstance(found, dict)
    return found


def configured(litellm: Proxy) -> dict[str, Any]:
    return {model["model_name"]: model for model in litellm.read("/model/info")["data"] if model["model_name"] in NAMES}


class TestModelInfo:
    def test_has_the_models_of_the_configuration(self, litellm: Proxy) -> None:
        found = litellm.read("/model/info")["data"]
        assert [model["model_name"] for model in found if not model["model_info"]["db_model"]] == NAMES

    @pytest.mark.parametrize(
        ("name", "provider_model", "prices"),
        [
            ("gpt-4o", "openai/gpt-4o", (0.0000025, 0.00001)),
            ("gpt-4o-mini", "openai/gpt-4o-mini", (0.00000015, 0.0000006)),
            ("claude-sonnet", "anthropic/claude-sonnet-4-5", (0.000003, 0.000015)),
            ("llama-3-8b", "openai/meta-llama/Llama-3.1-8B-Instruct", (0.0000001, 0.0000002)),
            ("mistral-small", "mistral/mistral-small-latest", (0.0000001, 0.0000003)),
            ("text-embedding-3-small", "openai/text-embedding-3-small", (0.00000002, 0.0)),
        ],
    )
    def test_tells_provider_and_prices(
        self, litellm: Proxy, name: str, provider_model: str, prices: tuple[float, float]
    ) -> None:
        model = configured(litellm)[name]
        assert model["litellm_params"]["model"] == provider_model
        info = model["model_info"]
        assert (info["id"], info["db_model"]) == (f"model-{name}", False)
        assert (info["input_cost_per_token"], info["output_cost_per_token"]) == prices
        assert info["litellm_provider"] == provider_model.partition("/")[0]

    @pytest.mark.parametrize("name", ["granite-3-8b", "always-fails"])
    def test_without_prices_there_is_none_or_zero(self, litellm: Proxy, name: str) -> None:
        info = configured(litellm)[name]["model_info"]
        prices = (info["input_cost_per_token"], info["output_cost_per_token"])
        assert prices == litellm.either((None, None), (0, 0))

    @pytest.mark.parametrize(
        ("name", "facts"),
        [
            ("gpt-4o", {"max_tokens": 128000, "max_input_tokens": 128000, "max_output_tokens": 16384}),
            ("gpt-4o", {"supports_vision": True, "supports_function_calling": True, "mode": "chat"}),
            ("gpt-4o", {"description": "Large multimodal model", "supports_parallel_function_calling": True}),
            ("claude-sonnet", {"max_output_tokens": 64000, "supports_reasoning": True}),
            ("llama-3-8b", {"max_tokens": 8192, "max_input_tokens": None, "supports_vision": False}),
            ("granite-3-8b", {"max_tokens": 32768, "supports_vision": None, "supports_function_calling": None}),
            ("text-embedding-3-small", {"mode": "embedding", "output_vector_size": 1536, "max_input_tokens": 8191}),
        ],
    )
    def test_tells_limits_and_abilities(self, litellm: Proxy, name: str, facts: dict[str, Any]) -> None:
        info = configured(litellm)[name]["model_info"]
        assert {fact: info[fact] for fact in facts} == facts

    def test_hides_the_key_of_the_provider(self, litellm: Proxy) -> None:
        assert all("api_key" not in model["litellm_params"] for model in litellm.read("/model/info")["data"])

    def test_of_an_unknown_id_is_a_bad_request(self, litellm: Proxy) -> None:
        answer = litellm.get("/model/info", litellm_model_id="nope")
        text = "Model id = nope not found on litellm proxy"
        assert (answer.status, answer.body) == (400, {"detail": {"error": text}})

    def test_with_a_key_shows_its_models(self, litellm: Proxy) -> None:
        made = litellm.done("/key/generate", {"user_id": litellm.new_user(), "models": ["gpt-4o", "claude-sonnet"]})
        found = litellm.get("/model/info", made["key"]).body["data"]
        assert [model["model_name"] for model in found] == ["gpt-4o", "claude-sonnet"]

    def test_with_a_key_for_inference_works_only_in_new_releases(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o"])
        assert litellm.get("/model/info", key.secret).status == litellm.either(200, 403)


class TestModelsForClients:
    @pytest.mark.parametrize("path", ["/v1/models", "/models"])
    def test_lists_public_names(self, litellm: Proxy, path: str) -> None:
        found = litellm.read(path)
        assert found["object"] == "list"
        assert [model["id"] for model in found["data"] if model["id"] in NAMES] == NAMES
        first = found["data"][0]
        assert (first["object"], first["owned_by"]) == ("model", "openai")
        assert first.get("mode") == litellm.either("chat", None)

    def test_of_a_key_are_its_own_even_if_unknown(self, litellm: Proxy) -> None:
        key = litellm.new_key(models=["gpt-4o", "no-such-model"])
        found = litellm.get("/v1/models", key.secret).body["data"]
        assert {model["id"] for model in found} == {"gpt-4o", "no-such-model"}

    def test_of_a_key_without_models_are_all(self, litellm: Proxy) -> None:
        found = litellm.get("/v1/models", litellm.new_key().secret).body["data"]
        assert [model["id"] for model in found if model["id"] in NAMES] == NAMES

    def test_of_a_key_without_models_in_a_team_are_the_teams(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(models=["gpt-4o"])
        key = litellm.new_key(team_id=team_id)
        found = litellm.get("/v1/models", key.secret).body["data"]
        assert [model["id"] for model in found] == ["gpt-4o"]


class TestChangeModels:
    def test_a_new_one_works_at_once(self, litellm: Proxy) -> None:
        name = fresh("model")
        model_id = new_model(litellm, name, max_tokens=4096)
        model = shown(litellm, model_id)
        assert model["model_name"] == name
        assert model["litellm_params"]["model"] == f"openai/{name}"
        assert "api_key" not in model["litellm_params"]
        info = model["model_info"]
        assert (info["db_model"], info["max_tokens"], info["input_cost_per_token"]) == (True, 4096, 1e-06)
        answer = litellm.chat(litellm.new_key(), name)
        assert answer.body["choices"][0]["message"]["content"] == f"Hello from {name}"
        litellm.done("/model/delete", {"id": model_id})

    def test_the_same_name_twice_is_a_second_deployment(self, litellm: Proxy) -> None:
        name = fresh("model")
        ids = {new_model(litellm, name) for _ in range(2)}
        found = {m["model_info"]["id"] for m in litellm.read("/model/info")["data"] if m["model_name"] == name}
        assert found == ids
        listed = [model["id"] for model in litellm.read("/v1/models")["data"] if model["id"] == name]
        assert listed == [name]
        for model_id in ids:
            litellm.done("/model/delete", {"id": model_id})

    def test_the_same_id_twice_is_an_error(self, litellm: Proxy) -> None:
        name = fresh("model")
        model_id = new_model(litellm, name)
        body = {"model_name": name, "litellm_params": {"model": "openai/x"}, "model_info": {"id": model_id}}
        answer = litellm.post("/model/new", body)
        assert answer.status == 500
        assert "Failed to add model to db" in answer.error["message"]
        litellm.done("/model/delete", {"id": model_id})

    def test_without_parameters_is_an_error(self, litellm: Proxy) -> None:
        answer = litellm.post("/model/new", {"model_name": "x"})
        error = {"message": "Internal server error", "type": "internal_server_error"}
        assert (answer.status, answer.body) == (500, litellm.either({"error": error}, "Internal Server Error"))

    @pytest.mark.parametrize("patch", [True, False])
    def test_an_update_merges(self, litellm: Proxy, patch: bool) -> None:  # noqa: FBT001
        name = fresh("model")
        model_id = new_model(litellm, name, max_tokens=4096)
        change: dict[str, Any] = {"litellm_params": {"input_cost_per_token": 1e-05}}
        if patch:
            assert litellm.call("PATCH", f"/model/{model_id}/update", change).status == 200
        else:
            change["litellm_params"]["model"] = f"openai/{name}"
            litellm.done("/model/update", change | {"model_name": name, "model_info": {"id": model_id}})
        model = litellm.eventually(
            lambda: shown(litellm, model_id), lambda model: model["litellm_params"]["input_cost_per_token"] == 1e-05
        )
        assert model["litellm_params"]["input_cost_per_token"] == 1e-05
        assert model["litellm_params"]["output_cost_per_token"] == 2e-06
        assert (model["model_info"]["max_tokens"], model["model_info"]["mode"]) == (4096, "chat")
        litellm.done("/model/delete", {"id": model_id})

    def test_an_update_of_an_unknown_one_is_a_bad_request(self, litellm: Proxy) -> None:
        body = {"model_name": "x", "litellm_params": {"model": "openai/x"}, "model_info": {"id": "no-such-id"}}
        answer = litellm.post("/model/update", body)
        assert answer.refusal == (400, litellm.either("invalid_request_error", "auth_error"))
        assert answer.error["message"] == litellm.either("model not found", "Authentication Error, model not found")

    def test_deleted_it_is_gone(self, litellm: Proxy) -> None:
        name = fresh("model")
        model_id = new_model(litellm, name)
        answer = litellm.done("/model/delete", {"id": model_id})
        assert answer == {"message": f"Model: {model_id} deleted successfully"}
        key = litellm.new_key()
        # Old releases may offer it until their next look into the database.
        assert litellm.eventually(lambda: litellm.chat(key, name).status, lambda status: status == 400) == 400
        again = litellm.post("/model/delete", {"id": model_id})
        assert again.status == 400
        assert again.error["message"] == f"{{'error': 'Model with id={model_id} not found in db'}}"

    def test_those_of_the_configuration_cannot_be_deleted(self, litellm: Proxy) -> None:
        answer = litellm.post("/model/delete", {"id": "model-always-fails"})
        assert answer.refusal == (400, litellm.either("invalid_request_error", "auth_error"))
        assert "always-fails" in configured(litellm)
