"""Reading from LiteLLM where our own tables know an answer too: its word when it answers, ours when it is away."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, TypeVar

from litellm_sync.client import LiteLLM
from litemaas.foundation.errors import UpstreamUnavailable

T = TypeVar("T")
LITELLM: Final = "litellm"
LOCAL: Final = "local"


@dataclass(frozen=True)
class Answered(Generic[T]):
    """An answer with its ``source``: litellm, or local with the ``reason`` why LiteLLM did not answer."""

    value: T
    source: str
    reason: str = ""


class ReadingLiteLLM(LiteLLM):
    """A LiteLLM that is only read: what was written may have been done although no answer came, so it stands alone."""

    def _post(self, operation: str, path: str, body: Mapping[str, object]) -> NoReturn:
        raise RuntimeError(f"{operation} writes: it cannot be answered from our tables")


def execute_with_fallback(limit: float, ask: Callable[[LiteLLM], T], local: Callable[[], T]) -> Answered[T]:
    """What LiteLLM says within ``limit`` seconds; what ``local`` says when it is away, slow, broken or not configured.

    A refusal (UpstreamRejected) is an answer and is raised: our tables must not hide it.
    """
    try:
        return Answered(ask(ReadingLiteLLM(limit)), LITELLM)
    except UpstreamUnavailable as error:
        return Answered(local(), LOCAL, str(error.details.get("reason", error.code)))
