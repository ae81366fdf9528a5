"""LiteLLM's lists page by page in the order of their ids, and the newest entry of its spend log.

Ordered by ids, a list can be laid beside ours without keeping either in memory, and what is made or deleted meanwhile
shifts the rest by as much and no more.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import structlog

from litellm_sync.client.answers import ODD, KeyInfo, TeamInfo, UserInfo, as_documented, moment

log = structlog.get_logger(__name__)
Info = TypeVar("Info")

PAGE: Final = 100
# A team comes with all its members: fewer of them at a time.
TEAM_PAGE: Final = 20


@dataclass(frozen=True)
class ListPage(Generic[Info]):
    """One page of a list; ``total`` is how many entries the whole list has at the moment.

    ``unreadable`` are the ids of entries of which nothing else could be read: they are there all the same.
    """

    rows: tuple[Info, ...]
    total: int
    is_last: bool
    unreadable: frozenset[str] = frozenset()


class Lists:
    """What LiteLLM is asked for page by page; pages count from 1, one beyond the end is empty and the last."""

    @abstractmethod
    def _get(self, operation: str, path: str, **params: Any) -> Any: ...

    def get_key_page(self, number: int) -> ListPage[KeyInfo]:
        """Keys by their hashes; expired and blocked ones too, deleted ones never."""
        query = {"page": number, "size": PAGE, "return_full_object": "true", "sort_by": "token", "sort_order": "asc"}
        answer = self._get("get_key_page", "/key/list", **query)
        return _page(answer, "keys", "token", number, lambda entry: KeyInfo.parse(str(entry["token"]), entry))

    def get_team_page(self, number: int) -> ListPage[TeamInfo]:
        """Teams by their ids, with their members."""
        query = {"page": number, "page_size": TEAM_PAGE, "sort_by": "team_id", "sort_order": "asc"}
        answer = self._get("get_team_page", "/v2/team/list", **query)
        return _page(answer, "teams", "team_id", number, TeamInfo.parse)

    def get_user_page(self, number: int, *, email: str | None = None) -> ListPage[UserInfo]:
        """Users by their ids; ``email`` is a part of their addresses, None of no matter."""
        query = {"page": number, "page_size": PAGE, "sort_by": "user_id", "sort_order": "asc"}
        answer = self._get("get_user_page", "/user/list", **query, user_email=email)
        return _page(answer, "users", "user_id", number, UserInfo.parse)

    def get_last_success(self, token: str, since: datetime) -> datetime | None:
        """When the newest call of a key began that succeeded since then, as far as it is written down already.

        LiteLLM writes its spend log late (11 to 21 s with its defaults), and keeps the entries of deleted keys.
        """
        until = datetime.now(UTC) + timedelta(days=1)
        answer = self._get(
            "get_last_success",
            "/spend/logs/v2",
            api_key=token,
            status_filter="success",
            start_date=_second(since),
            end_date=_second(until),
            page=1,
            page_size=1,
        )
        with as_documented():
            return next((moment(entry["startTime"]) for entry in answer["data"]), None)


def _second(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _page(
    answer: Mapping[str, Any], name: str, column: str, number: int, parse: Callable[[Any], Info]
) -> ListPage[Info]:
    """Entries are read one by one, by their id in ``column``: one odd figure must not hide the others."""
    with as_documented():
        rows: list[Info] = []
        unreadable: set[str] = set()
        for entry in answer[name]:
            object_id = str(entry[column])
            try:
                rows.append(parse(entry))
            except ODD as error:
                log.warning("litellm_entry_unreadable", list=name, object_id=object_id, error=repr(error))
                unreadable.add(object_id)
        total = answer["total_count" if name == "keys" else "total"]
        return ListPage(tuple(rows), int(total), number >= int(answer["total_pages"]), frozenset(unreadable))
