"""The only place that describes the models which the emulated proxy has from its configuration."""

import copy
import json
from pathlib import Path
from typing import Any, Final

from litellm_sync.emulator.tables import Row

FAILS = "litellm.InternalServerError"
RATE_LIMITED = "litellm.RateLimitError"

_PARAMETER_DEFAULTS: Final[Row] = {
    "use_in_pass_through": False,
    "use_litellm_proxy": False,
    "merge_reasoning_content_in_choices": False,
}
_NEWER_PARAMETERS: Final[Row] = {"allow_client_keepalive_override": False, "use_xai_oauth": False}
_UNKNOWN: Final[Row] = dict.fromkeys(
    (
        *("max_tokens", "max_input_tokens", "max_output_tokens", "input_cost_per_token", "output_cost_per_token"),
        *("cache_read_input_token_cost", "cache_creation_input_token_cost", "output_vector_size", "tpm", "rpm"),
        *("supports_vision", "supports_function_calling", "supports_parallel_function_calling", "supports_reasoning"),
        *("supports_tool_choice", "supports_response_schema", "supports_prompt_caching", "supports_system_messages"),
        *("supports_audio_input", "supports_audio_output", "supports_pdf_input", "supports_web_search"),
    )
)
# What LiteLLM itself knows about a provider's model and adds to what the configuration says.
_KNOWLEDGE: Final[dict[str, Row]] = {
    "mistral/mistral-small-latest": {
        "max_input_tokens": 262144,
        "max_output_tokens": 262144,
        "supports_vision": True,
        "supports_tool_choice": True,
        "supports_response_schema": True,
        "supports_reasoning": True,
    },
    "openai/text-embedding-3-small": {"max_input_tokens": 8191},
    "anthropic/claude-sonnet-4-5": {"supports_tool_choice": True, "supports_response_schema": True},
    "openai/gpt-4o": {
        "supports_tool_choice": True,
        "supports_response_schema": True,
        "supports_prompt_caching": True,
        "supports_system_messages": True,
        "supports_pdf_input": True,
        "cache_read_input_token_cost": 0.00000125,
    },
    "openai/gpt-4o-mini": {
        "supports_tool_choice": True,
        "supports_response_schema": True,
        "supports_parallel_function_calling": True,
    },
}


def _chat(name: str, provider_model: str, answer: str, prices: tuple[float, float] | None, **info: Any) -> Row:
    parameters: Row = {"model": provider_model, "mock_response": answer}
    if prices:
        parameters |= {"input_cost_per_token": prices[0], "output_cost_per_token": prices[1]}
    return {
        "model_name": name,
        "litellm_params": parameters,
        "model_info": {"id": f"model-{name}", "mode": "chat"} | info,
    }


_TOOLS: Final[Row] = {"supports_function_calling": True}
_SEES_AND_TOOLS: Final[Row] = {"supports_vision": True, "supports_function_calling": True}
_DEFAULTS: Final = (
    _chat(
        *("gpt-4o", "openai/gpt-4o", "Hello from the mocked gpt-4o.", (0.0000025, 0.00001)),
        **_SEES_AND_TOOLS,
        max_tokens=128000,
        max_input_tokens=128000,
        max_output_tokens=16384,
        supports_parallel_function_calling=True,
        description="Large multimodal model",
    ),
    _chat(
        *("gpt-4o-mini", "openai/gpt-4o-mini", "Hello from the mocked gpt-4o-mini.", (0.00000015, 0.0000006)),
        **_SEES_AND_TOOLS,
        max_tokens=128000,
        max_input_tokens=128000,
        max_output_tokens=16384,
    ),
    _chat(
        *("claude-sonnet", "anthropic/claude-sonnet-4-5", "Hello from the mocked Claude.", (0.000003, 0.000015)),
        **_SEES_AND_TOOLS,
        max_tokens=200000,
        max_input_tokens=200000,
        max_output_tokens=64000,
        supports_reasoning=True,
    ),
    _chat(
        *("llama-3-8b", "openai/meta-llama/Llama-3.1-8B-Instruct", "Hello from the mocked Llama."),
        (0.0000001, 0.0000002),
        **_TOOLS,
        max_tokens=8192,
        supports_vision=False,
    ),
    _chat(
        *("granite-3-8b", "hosted_vllm/ibm-granite/granite-3.3-8b-instruct", "Hello from the mocked Granite.", None),
        max_tokens=32768,
    ),
    _chat(
        *("mistral-small", "mistral/mistral-small-latest", "Bonjour from the mocked Mistral.", None),
        **_TOOLS,
        max_tokens=32000,
        input_cost_per_token=0.0000001,
        output_cost_per_token=0.0000003,
    ),
    _chat(
        *("text-embedding-3-small", "openai/text-embedding-3-small", "", (0.00000002, 0.0)),
        max_tokens=8191,
        output_vector_size=1536,
    ),
    _chat("always-fails", "openai/always-fails", FAILS, None),
    _chat("always-rate-limited", "openai/always-rate-limited", RATE_LIMITED, None),
)
_ADDITIONS: Final[dict[str, tuple[Row, Row]]] = {
    "llama-3-8b": ({"api_base": "http://127.0.0.1:9/v1"}, {}),
    "granite-3-8b": ({"api_base": "http://127.0.0.1:9/v1"}, {}),
    "mistral-small": ({"tpm": 1000000, "rpm": 600}, {}),
    "text-embedding-3-small": ({"mock_response": [0.1, 0.2, 0.3, 0.4]}, {"mode": "embedding"}),
}


def default_models() -> list[Row]:
    """Return the nine models that the emulator has without a configuration of its own."""
    models = copy.deepcopy(list(_DEFAULTS))
    for model in models:
        parameters, info = _ADDITIONS.get(model["model_name"], ({}, {}))
        model["litellm_params"] |= parameters
        model["model_info"] |= info
    return [deployment(model, from_database=False) for model in models]


def models_of_file(path: Path) -> list[Row]:
    """Return the default models and those of a JSON file: ``{"model_list": [...]}``, entries as in LiteLLM's own."""
    models = default_models()
    for entry in json.loads(path.read_text())["model_list"]:
        name = entry["model_name"]
        info = {"id": f"model-{name}", "mode": "chat"} | entry.get("model_info", {})
        models.append(deployment(entry | {"model_info": info}, from_database=False))
    return models


def deployment(entry: Row, *, from_database: bool) -> Row:
    """Return the row of a deployment, in the shape in which it is stored."""
    return {
        "model_name": entry["model_name"],
        "litellm_params": dict(entry["litellm_params"]),
        "model_info": dict(entry["model_info"]) | {"db_model": from_database},
    }


def provider_of(model: Row) -> str:
    """Return the provider's name: what stands before the first slash."""
    return str(model["litellm_params"]["model"]).partition("/")[0]


def price_of(model: Row, name: str) -> float | None:
    """Return a price, which may stand in either half of a deployment."""
    price = model["litellm_params"].get(name, model["model_info"].get(name))
    return None if price is None else float(price)


def cost_of(model: Row, prompt: int, completion: int) -> float:
    """Return what so many tokens cost in USD; a model without prices costs nothing."""
    prices = [price_of(model, name) or 0.0 for name in ("input_cost_per_token", "output_cost_per_token")]
    return prompt * prices[0] + completion * prices[1]


def shown(model: Row, *, old: bool) -> Row:
    """Return a deployment as `/model/info` shows it: no key, everything that LiteLLM knows."""
    parameters = {name: value for name, value in model["litellm_params"].items() if name != "api_key"}
    prices = {name: price_of(model, name) for name in ("input_cost_per_token", "output_cost_per_token")}
    provider_model = parameters["model"]
    known = _UNKNOWN | _KNOWLEDGE.get(provider_model, {})
    known |= {"key": provider_model, "litellm_provider": provider_of(model)}
    info = known | model["model_info"] | {name: price for name, price in prices.items() if price is not None}
    if old:
        info |= {name: 0 for name, price in prices.items() if price is None}
    return {
        "model_name": model["model_name"],
        "litellm_params": (_PARAMETER_DEFAULTS | ({} if old else _NEWER_PARAMETERS)) | parameters,
        "model_info": info,
    }
