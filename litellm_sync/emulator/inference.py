"""The only place that emulates model calls: it answers with fixed texts, charges them and writes them down."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from litellm_sync.emulator import access, catalogue, ledger, limits
from litellm_sync.emulator.access import Caller
from litellm_sync.emulator.errors import Refusal, refused
from litellm_sync.emulator.state import State
from litellm_sync.emulator.tables import Row

_MOCK_USAGE: Final = (10, 20)
_CHUNK: Final = 3
_WORD: Final = 5
_MESSAGE_OVERHEAD: Final = 7


@dataclass(frozen=True)
class Kind:
    """One family of inference routes."""

    endpoint: str
    call_type: str
    required: str
    usage: tuple[int, int]
    answer: Callable[[Row, Row, str], Row]
    is_charged: bool = True


class _Failed(Enum):
    """How far a call came before it failed; old releases know the less of it the earlier that was."""

    AT_THE_DOOR = "refused with its key"
    INSIDE = "refused with its key accepted"
    AT_THE_PROVIDER = "the provider did not answer"


@dataclass(frozen=True)
class Answered:
    """A model's answer: one body, or the chunks of a stream."""

    body: Row
    headers: dict[str, str]
    chunks: list[Row] | None = None


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text: word pieces of five letters, digits and signs one by one."""
    return sum(-(-len(piece) // _WORD) for piece in re.findall(r"[A-Za-z]+|\d|[^\sA-Za-z\d]", text))


def _prompt_tokens(body: Row) -> int:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return 0
    texts = (str(message.get("content", "")) for message in messages if isinstance(message, dict))
    return _MESSAGE_OVERHEAD + sum(count_tokens(text) for text in texts)


def _chat(body: Row, model: Row, call_id: str) -> Row:
    message = {"content": model["litellm_params"].get("mock_response", ""), "role": "assistant"}
    choice = {"finish_reason": "stop", "index": 0, "message": message}
    return _openai(body, call_id, "chat.completion", [choice])


def _completion(body: Row, model: Row, call_id: str) -> Row:
    text = model["litellm_params"].get("mock_response", "")
    choice = {"finish_reason": "stop", "index": 0, "text": text, "logprobs": None}
    return _openai(body, call_id, "text_completion", [choice])


def _openai(body: Row, call_id: str, kind: str, choices: list[Row]) -> Row:
    prompt, completion = _MOCK_USAGE
    usage = {"completion_tokens": completion, "prompt_tokens": prompt, "total_tokens": prompt + completion}
    return {
        "id": call_id,
        "created": int(time.time()),
        "model": body["model"],
        "object": kind,
        "choices": choices,
        "usage": usage,
    }


def _embeddings(body: Row, model: Row, _call_id: str) -> Row:
    vector = model["litellm_params"].get("mock_response") or [0.0]
    return {
        "model": body["model"],
        "data": [{"embedding": vector, "index": 0, "object": "embedding"}],
        "object": "list",
        "usage": {"completion_tokens": 0, "prompt_tokens": 10, "total_tokens": 0},
    }


def _responses(body: Row, model: Row, _call_id: str) -> Row:
    text = model["litellm_params"].get("mock_response", "")
    content = [{"annotations": [], "text": text, "type": "output_text", "logprobs": None}]
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "created_at": int(time.time()),
        "error": None,
        "model": body["model"],
        "object": "response",
        "output": [{"id": "msg_1", "content": content, "role": "assistant", "status": "completed", "type": "message"}],
        "status": "completed",
        "usage": {"input_tokens": 36, "output_tokens": 87, "total_tokens": 123},
    }


def _messages(body: Row, model: Row, _call_id: str) -> Row:
    return {
        "content": [{"text": model["litellm_params"].get("mock_response", ""), "type": "text"}],
        "id": f"msg_{uuid.uuid4().hex}",
        "model": body["model"],
        "role": "assistant",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "type": "message",
        "usage": {"input_tokens": 2095, "output_tokens": 503},
    }


CHAT: Final = Kind("/chat/completions", "acompletion", "messages", _MOCK_USAGE, _chat)
COMPLETION: Final = Kind("/completions", "atext_completion", "prompt", _MOCK_USAGE, _completion)
EMBEDDING: Final = Kind("/embeddings", "aembedding", "input", (10, 0), _embeddings)
RESPONSES: Final = Kind("/responses", "aresponses", "input", (36, 87), _responses)
MESSAGES: Final = Kind("", "anthropic_messages", "messages", (2095, 503), _messages, is_charged=False)


def answer(state: State, kind: Kind, headers: dict[str, str], body: Row, master_key: str) -> Answered:
    """Answer a model call; what is refused or fails is written down as a failed request."""
    caller: Caller | None = None
    failed = _Failed.AT_THE_DOOR
    try:
        caller = access.authenticate(state, headers, master_key)
        _admit(state, caller, body.get("model"))
        failed = _Failed.INSIDE
        model = _model_of(state, kind, caller, body)
        failed = _Failed.AT_THE_PROVIDER
        model, named = _answering(state, caller, model, body["model"])
    except Refusal:
        facts = ledger.caller_facts(caller) if caller else _stranger(headers)
        if state.version.is_old and failed is _Failed.AT_THE_DOOR:
            facts["user_id"] = ""
        _write_failure(state, kind, facts, body, failed)
        raise
    return _succeed(state, kind, caller, body | {"model": named}, model)


def _stranger(headers: dict[str, str]) -> Row:
    secret = access.secret_of(headers)
    return {"user_id": "", "api_key": access.digest(secret) if secret.startswith("sk-") else "", "team_id": ""}


def _admit(state: State, caller: Caller, name: Any) -> None:
    limits.renew_budgets(state, caller)
    access.check_alive(state, caller)
    access.check_model(state, caller, name)
    limits.check_budgets(state, caller)


def _model_of(state: State, kind: Kind, caller: Caller, body: Row) -> Row:
    name = access.aliased(caller, body.get("model"))
    deployments = state.models.where("model_name", name)
    if not deployments:
        raise _unknown_model(state, kind, name)
    limits.check_rates(state, caller, str(name), _prompt_tokens(body))
    if kind.required not in body:
        raise _lacks(state, kind)
    return deployments[0]


def _answering(state: State, caller: Caller, model: Row, asked: str) -> tuple[Row, str]:
    """Return the deployment that answers, and by what name its answer calls it: as it was asked for, or, where another
    one takes over, as its provider does."""
    try:
        _fail_on_purpose(state, model)
    except Refusal:
        other = access.fallback_for(state, caller, model["model_name"])
        if other is None:
            raise
        return other, other["litellm_params"]["model"].partition("/")[2]
    return model, asked


def _unknown_model(state: State, kind: Kind, name: Any) -> Refusal:
    message = (
        f"{kind.endpoint}: Invalid model name passed in model={name}. "
        "Call `/v1/models` to view available models for your key."
    )
    if state.version.is_old:
        return refused(400, f"{{'error': '{message}'}}", "None", "None")
    return refused(400, message, "invalid_request_error", None, provider_specific_fields={"error": message})


def _lacks(state: State, kind: Kind) -> Refusal:
    if state.version.is_old:
        message = f"Router.{kind.call_type}() missing 1 required positional argument: '{kind.required}'"
        return refused(500, message, "None", "None")
    message = f"{kind.endpoint}: Missing required parameter: '{kind.required}'."
    return refused(400, message, "invalid_request_error", kind.required)


def _fail_on_purpose(state: State, model: Row) -> None:
    failures = {
        catalogue.FAILS: (500, "InternalServerError: this is a mock internal server error", "internal_server_error"),
        catalogue.RATE_LIMITED: (429, "RateLimitError: this is a mock rate limit error", "throttling_error"),
    }
    text = model["litellm_params"].get("mock_response")
    if not isinstance(text, str) or text not in failures:
        return
    status, reason, kind = failures[text]
    group = model["model_name"]
    if state.version.is_old:
        message = f"litellm.{reason}. Received Model Group={group}\nAvailable Model Group Fallbacks=None"
        raise refused(status, message, kind if status == 429 else None)  # noqa: PLR2004 -- a status
    failed = f"LiteLLM: model group '{group}' failed with the error above. No fallback was attempted."
    raise refused(status, f"litellm.{reason}\n\n{failed}", kind)


def _succeed(state: State, kind: Kind, caller: Caller, body: Row, model: Row) -> Answered:
    call_id = f"chatcmpl-{uuid.uuid4()}"
    answered = kind.answer(body, model, call_id)
    streamed = bool(body.get("stream")) and kind is CHAT
    prompt, completion = _streamed_usage(body, model) if streamed else kind.usage
    cost = catalogue.cost_of(model, prompt, completion) if kind.is_charged else 0.0
    limits.count_tokens(state, caller, model["model_name"], prompt + completion)
    usage = ledger.Usage(
        **ledger.caller_facts(caller),
        **_model_facts(kind, model),
        spend=cost,
        prompt_tokens=prompt,
        completion_tokens=completion,
        successful_requests=1,
    )
    logged = ledger.Logged(kind.call_type, model["model_info"]["id"], call_id, str(body.get("user") or ""))
    ledger.record(state, caller, usage, logged)
    chunks = list(_chunks(body, model, answered, (prompt, completion))) if streamed else None
    return Answered(answered, _headers(state, caller, model, None if streamed else cost), chunks)


def _streamed_usage(body: Row, model: Row) -> tuple[int, int]:
    return _prompt_tokens(body), count_tokens(model["litellm_params"].get("mock_response", ""))


def _model_facts(kind: Kind, model: Row) -> Row:
    return {
        "model": model["litellm_params"]["model"],
        "model_group": model["model_name"],
        "provider": catalogue.provider_of(model),
        "endpoint": kind.endpoint,
    }


def _headers(state: State, caller: Caller, model: Row, cost: float | None) -> dict[str, str]:
    spent = state.spent(state.keys, caller.token) if caller.key else 0.0
    headers = {
        "x-litellm-call-id": str(uuid.uuid4()),
        "x-litellm-model-id": model["model_info"]["id"],
        "x-litellm-version": state.version.number,
        "x-litellm-key-spend": str(spent),
        "x-litellm-model-group": model["model_name"],
    }
    return headers if cost is None else headers | {"x-litellm-response-cost": str(cost)}


def _chunks(body: Row, model: Row, answered: Row, usage: tuple[int, int]) -> Iterator[Row]:
    """Yield a stream's events: the text in pieces of three letters, then the end, then the usage if it is asked for."""
    text = model["litellm_params"].get("mock_response", "")
    head = {name: answered[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    role = {"role": "assistant"}
    for start in range(0, len(text), _CHUNK):
        delta = role | {"content": text[start : start + _CHUNK]}
        yield head | {"choices": [{"index": 0, "delta": delta}]}
        role = {}
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if (body.get("stream_options") or {}).get("include_usage"):
        prompt, completion = usage
        totals = {"completion_tokens": completion, "prompt_tokens": prompt, "total_tokens": prompt + completion}
        yield head | {"choices": [], "usage": totals}


def _write_failure(state: State, kind: Kind, facts: Row, body: Row, failed: _Failed) -> None:
    describe = _described_failure_of_old if state.version.is_old else _described_failure
    usage = ledger.Usage(**facts, **describe(state, kind, body, failed), failed_requests=1)
    ledger.record(state, None, usage, ledger.Logged(kind.call_type, request_id=str(uuid.uuid4())))


def _described_failure(state: State, kind: Kind, body: Row, failed: _Failed) -> Row:
    """Return the model of a failed call, whatever it failed at."""
    deployments = state.models.where("model_name", body.get("model"))
    prompt = _prompt_tokens(body) if failed is _Failed.AT_THE_PROVIDER else 0
    if deployments:
        return _model_facts(kind, deployments[0]) | {"prompt_tokens": prompt}
    return {"model": "unknown-model", "model_group": "unknown-model", "provider": "unknown", "endpoint": kind.endpoint}


def _described_failure_of_old(state: State, _kind: Kind, body: Row, failed: _Failed) -> Row:
    """Return the model by its public name until it came to the provider's; the provider itself is never known."""
    name = body.get("model")
    if failed is _Failed.AT_THE_PROVIDER:
        provider_model = state.models.where("model_name", name)[0]["litellm_params"]["model"]
        return {"model": provider_model, "model_group": name, "provider": "unknown"}
    return {"model": str(name), "provider": "unknown"}
