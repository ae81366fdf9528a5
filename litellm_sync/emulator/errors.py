"""The only place that knows the three shapes in which LiteLLM answers an error."""

from typing import Any

_ENTERPRISE = (
    "You must be a LiteLLM Enterprise user to use this feature. If you have a license please set `LITELLM_LICENSE` "
    "in your env. Get a 7 day trial key here: https://www.litellm.ai/enterprise#trial. "
    "\nPricing: https://www.litellm.ai/#pricing"
)


class Refusal(Exception):
    """An answer other than 200, with its status and its JSON body."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}


def refused(status: int, message: str, kind: str | None, param: str | None = None, **extra: Any) -> Refusal:
    """Return the usual shape: ``code`` is the status as a text."""
    return Refusal(status, {"error": {"message": message, "type": kind, "param": param, "code": str(status)} | extra})


def detail(status: int, message: str) -> Refusal:
    """Return the shape that `/user/delete`, `/team/delete` and others use."""
    return Refusal(status, {"detail": {"error": message}})


def bare_detail(status: int, message: str) -> Refusal:
    """Return the shape of the web framework's own refusals (404, 405, routes a key may not call)."""
    return Refusal(status, {"detail": message})


def invalid(*entries: dict[str, Any]) -> Refusal:
    """Return a 422 of the validation, one entry a field."""
    return Refusal(422, {"detail": list(entries)})


def missing(*place: str) -> dict[str, Any]:
    """Return the validation's entry for a field that is required."""
    return {"type": "missing", "loc": list(place), "msg": "Field required"}


def value_error(message: str) -> dict[str, Any]:
    """Return the validation's entry for a body that contradicts itself."""
    return {"type": "value_error", "loc": ["body"], "msg": f"Value error, {message}"}


def enterprise(message: str) -> str:
    """Return the text with which features that need a licence are refused."""
    return message.format(_ENTERPRISE)
