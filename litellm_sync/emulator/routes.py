"""The only place that ties paths to what answers them, and says who may call them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from litellm_sync.emulator import (
    access_groups,
    activity,
    health,
    inference,
    keys,
    memberships,
    models,
    spend_logs,
    teams,
    users,
)
from litellm_sync.emulator.call import Call


class Access(Enum):
    """Who may call a management route."""

    EVERYBODY = "no key is asked for"
    MODELS = "any key; old releases refuse keys that are for inference alone"
    CLIENTS = "any key"
    OWN = "ordinary keys, for what is their user's; never keys that are for inference alone"
    ADMIN = "the master key"


@dataclass(frozen=True)
class Route:
    """What answers a path."""

    handler: Callable[[Call], Any]
    access: Access
    status: HTTPStatus = HTTPStatus.OK


_TABLE: Final[dict[Access, dict[str, Callable[[Call], Any]]]] = {
    Access.EVERYBODY: {
        "GET /health/liveness": health.alive,
        "GET /health/liveliness": health.alive,
        "GET /health/readiness": health.ready,
    },
    Access.CLIENTS: {
        "GET /v1/models": models.list_for_clients,
        "GET /models": models.list_for_clients,
    },
    Access.MODELS: {
        "GET /model/info": models.info,
        "GET /v1/model/info": models.info,
    },
    Access.OWN: {
        "GET /user/info": users.info,
        "GET /key/info": keys.info,
        "GET /key/list": keys.list_keys,
        "GET /team/info": teams.info,
        "GET /team/list": teams.list_teams,
        "GET /v2/team/list": teams.list_teams_in_pages,
        "GET /user/daily/activity": activity.of_user,
        "GET /user/daily/activity/aggregated": activity.of_user_aggregated,
        "GET /team/daily/activity": activity.of_team,
        "GET /spend/logs": spend_logs.raw,
        "GET /user/list": users.list_users,
        "POST /key/generate": keys.generate,
    },
    Access.ADMIN: {
        "GET /global/spend/report": spend_logs.report,
        "GET /health/readiness/details": health.details,
        "GET /spend/logs/ui": spend_logs.in_pages,
        "GET /spend/logs/v2": spend_logs.in_pages,
        "POST /user/new": users.create,
        "POST /v1/access_group": access_groups.create,
        "POST /user/update": users.update,
        "POST /user/delete": users.delete,
        "POST /team/new": teams.create,
        "POST /team/update": teams.update,
        "POST /team/delete": teams.delete,
        "POST /team/block": teams.block,
        "POST /team/unblock": teams.unblock,
        "POST /team/member_add": memberships.add_members,
        "POST /team/member_delete": memberships.remove_member,
        "POST /team/member_update": memberships.update_member,
        "POST /key/update": keys.update,
        "POST /key/block": keys.block,
        "POST /key/unblock": keys.unblock,
        "POST /key/delete": keys.delete,
        "POST /key/regenerate": keys.regenerate,
        "POST /model/new": models.create,
        "POST /model/update": models.update,
        "POST /model/delete": models.delete,
    },
}
_STATUSES: Final = {"POST /v1/access_group": HTTPStatus.CREATED}
_ROUTES: Final = {
    name: Route(handler, access, _STATUSES.get(name, HTTPStatus.OK))
    for access, handlers in _TABLE.items()
    for name, handler in handlers.items()
}
_ADMIN_ONLY_IN_OLD: Final = {"GET /user/list", "GET /user/daily/activity/aggregated"}
_NOT_IN_OLD: Final = {"GET /health/readiness/details"}
_PATHS: Final = {name.partition(" ")[2] for name in _ROUTES}
INFERENCE: Final = {
    "/chat/completions": inference.CHAT,
    "/v1/chat/completions": inference.CHAT,
    "/completions": inference.COMPLETION,
    "/v1/completions": inference.COMPLETION,
    "/embeddings": inference.EMBEDDING,
    "/v1/embeddings": inference.EMBEDDING,
    "/responses": inference.RESPONSES,
    "/v1/responses": inference.RESPONSES,
    "/v1/messages": inference.MESSAGES,
}


def route_for(method: str, path: str, *, old: bool) -> Route | None:
    """Return what answers a management path, or None."""
    name = f"{method} {path}"
    if old and name in _NOT_IN_OLD:
        return None
    if method == "PATCH" and path.startswith("/model/") and path.endswith("/update"):
        return Route(models.patch, Access.ADMIN)
    if method == "POST" and path.startswith("/key/") and path.endswith("/regenerate"):
        return Route(keys.regenerate, Access.ADMIN)
    route = _ROUTES.get(name)
    if route and old and name in _ADMIN_ONLY_IN_OLD:
        return Route(route.handler, Access.ADMIN)
    return route


def is_known(path: str, *, old: bool) -> bool:
    """Return whether some method would answer this path."""
    return path in INFERENCE or (path in _PATHS and not (old and f"GET {path}" in _NOT_IN_OLD))


def names() -> set[str]:
    """Return every route as method and path; what has the name of a thing in its path is left out."""
    return set(_ROUTES) | {f"POST {path}" for path in INFERENCE}
