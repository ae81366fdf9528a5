"""The only place that answers `/emulator/...`: faults, reset, seen calls and usage of the past."""

import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from litellm_sync.emulator import catalogue, ledger
from litellm_sync.emulator.faults import Faults
from litellm_sync.emulator.state import State, add_spend
from litellm_sync.emulator.tables import Row
from litellm_sync.emulator.wire import Request, Response

PREFIX: Final = "/emulator/"
_MOST_CALLS: Final = 10_000
"""Calls remembered one by one; the counts go on beyond that."""


class NoSuchRouteError(Exception):
    """The emulator has no route of this name."""


class Calls:
    """What was asked of the proxy since the last reset, so that a test can prove that nothing was."""

    def __init__(self) -> None:
        self._last: deque[tuple[str, str]] = deque(maxlen=_MOST_CALLS)
        self._counts: Counter[str] = Counter()

    def note(self, request: Request) -> None:
        """Remember a request."""
        self._last.append((request.method, request.path))
        self._counts[f"{request.method} {request.path}"] += 1

    def clear(self) -> None:
        """Forget all of them."""
        self._last.clear()
        self._counts.clear()

    def described(self) -> dict[str, Any]:
        """Return how many calls there were, how many of each kind, and the calls in their order."""
        calls = [{"method": method, "path": path} for method, path in self._last]
        return {"total": self._counts.total(), "counts": dict(self._counts), "calls": calls}


def answer(request: Request, do: Callable[[str, Any], Any]) -> Response:
    """Answer a request with what ``do`` says to the route's name, such as ``POST faults``, and the decoded body."""
    name = f"{request.method} {request.path.removeprefix(PREFIX)}"
    try:
        return _json(200, do(name, json.loads(request.body or b"{}")))
    except NoSuchRouteError:
        return _json(404, {"detail": f"no such route of the emulator: {name}"})
    except KeyError as error:
        return _json(422, {"detail": f"{error} is missing"})
    except (ValueError, TypeError) as error:
        return _json(422, {"detail": str(error)})


def steer_faults(faults: Faults, name: str, body: Any) -> Any:
    """Do what a route about the weather asks for; raise ``NoSuchRouteError`` for any other."""
    if name == "POST arrivals":
        return {"arrived": faults.arrive()}
    if name == "GET arrivals":
        return {"late": faults.late}
    if name == "POST faults":
        faults.add(**body)
    elif name == "DELETE faults":
        faults.clear()
    elif name != "GET faults":
        raise NoSuchRouteError(name)
    return {"faults": faults.described()}


class Steering:
    """Answers the emulator's own routes, which no fault touches and no call counter sees."""

    def __init__(self, state: State, faults: Faults, calls: Calls) -> None:
        self._state = state
        self._faults = faults
        self._calls = calls

    def answer(self, request: Request) -> Response:
        """Answer one of the emulator's own routes."""
        return answer(request, self._do)

    def _do(self, name: str, body: Any) -> Any:
        if name == "POST reset":
            self.reset()
        elif name == "DELETE calls":
            self._calls.clear()
        elif name == "POST activity":
            return {"rows": self.seed(body["rows"])}
        elif name == "GET calls":
            return self._calls.described()
        else:
            return steer_faults(self._faults, name, body)
        return {"faults": self._faults.described()}

    def reset(self) -> None:
        """Forget users, teams, keys, added models, usage, faults and seen calls."""
        self._faults.end()
        self._state.reset()
        self._calls.clear()

    def seed(self, rows: list[Row]) -> int:
        """Add usage of the past and return how many rows there were.

        A row has `date`, `token` (the hash of a key), `model` (its public name) and any of `requests`, `failed`,
        `prompt_tokens`, `completion_tokens`, `spend` (by default what the tokens cost) and `charge` (true: key, user
        and team have spent it too).
        """
        with self._state.lock:
            for row in rows:
                self._seed(row)
        return len(rows)

    def _seed(self, row: Row) -> None:
        key = self._state.keys.get(row["token"]) or self._state.deleted_keys.get(row["token"]) or {}
        deployments = self._state.models.where("model_name", row["model"])
        prompt, completion = int(row.get("prompt_tokens", 0)), int(row.get("completion_tokens", 0))
        spend = row.get("spend")
        usage = ledger.Usage(
            user_id=row.get("user_id") or key.get("user_id") or "",
            api_key=row["token"],
            team_id=row.get("team_id") or key.get("team_id") or "",
            model=deployments[0]["litellm_params"]["model"] if deployments else row["model"],
            model_group=row["model"],
            provider=catalogue.provider_of(deployments[0]) if deployments else "unknown",
            endpoint="/chat/completions",
            spend=float(spend if spend is not None else self._cost(deployments, prompt, completion)),
            prompt_tokens=prompt,
            completion_tokens=completion,
            successful_requests=int(row.get("requests", 1)),
            failed_requests=int(row.get("failed", 0)),
            date=str(row["date"]),
        )
        ledger.add_activity(self._state, usage)
        if row.get("charge"):
            self._charge(usage)

    def _cost(self, deployments: list[Row], prompt: int, completion: int) -> float:
        return catalogue.cost_of(deployments[0], prompt, completion) if deployments else 0.0

    def _charge(self, usage: ledger.Usage) -> None:
        add_spend(self._state.keys, usage.api_key, usage.spend)
        add_spend(self._state.users, usage.user_id, usage.spend)
        add_spend(self._state.teams, usage.team_id, usage.spend)


def _json(status: int, value: Any) -> Response:
    return Response(status, json.dumps(value).encode())
