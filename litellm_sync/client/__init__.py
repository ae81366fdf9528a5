"""The only HTTP to LiteLLM: one method for each thing that the product asks of it."""

import time
from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any, Self

from django.utils.translation import gettext as _

from litellm_sync.client.answers import (
    SENTINEL,
    Activity,
    Deployment,
    KeyInfo,
    TeamInfo,
    UserInfo,
    UserInfoFull,
    activity_of_day,
    as_documented,
)
from litellm_sync.client.bodies import (
    FormerKeys,
    FormerMember,
    KeyChanges,
    KeyUpdate,
    Member,
    NamedKey,
    NewKey,
    NewMember,
    NewTeam,
    NewUser,
    TeamChanges,
    TeamUpdate,
    UserChanges,
    UserCreation,
    UserUpdate,
)
from litellm_sync.client.lists import Lists
from litellm_sync.client.transport import NEEDS_ENTERPRISE, Transport, configured
from litemaas.foundation.errors import Conflict, UpstreamRejected, UpstreamUnavailable

__all__ = ["SENTINEL", "Activity", "Deployment", "KeyInfo", "LiteLLM", "TeamInfo", "UserInfo", "UserInfoFull"]

NOT_FOUND = 404
ACTIVITY_PAGE = 1000
# What every page shows of a key instead of the key: both ellipses, and the last characters.
MASKS = ("...", "…")
LAST = 4


class LiteLLM(Lists):
    """LiteLLM's management API for as long as ``limit`` seconds, over all calls together.

    Every method raises UpstreamUnavailable (try again later) or UpstreamRejected (do not). How LiteLLM behaves was
    seen on running proxies of 1.81.15 and 1.109.1; tests/contract holds the proofs.
    """

    def __init__(self, limit: float, transport: Transport | None = None) -> None:
        self._transport = transport or configured()
        self._deadline = time.monotonic() + limit

    def _call(self, operation: str, method: str, path: str, **kwargs: Any) -> Any:
        answer = self._transport.call(operation, method, path, deadline=self._deadline, **kwargs)
        if not isinstance(answer, dict):
            raise UpstreamUnavailable(reason="garbage")
        return answer

    def _get(self, operation: str, path: str, **params: Any) -> Any:
        return self._call(operation, "GET", path, params=params)

    def _post(self, operation: str, path: str, body: Mapping[str, object]) -> Any:
        return self._call(operation, "POST", path, json=body)

    def _find(self, operation: str, path: str, **params: Any) -> Any | None:
        """Like _get, but absent is None."""
        try:
            return self._get(operation, path, **params)
        except UpstreamRejected as error:
            if error.details["http_status"] == NOT_FOUND:
                return None
            raise

    # --- Health and models -------------------------------------------------------------------------------------------

    def test_connection(self) -> None:
        """Ask something that needs our credential and LiteLLM's database, for /health/readiness needs neither."""
        self._call("test_connection", "GET", "/key/list", probe=True, params={"page": 1, "size": 1})

    def get_version(self) -> str:
        """What LiteLLM says its release is; empty when it does not say.

        1.81 tells everybody; 1.109 tells whoever has an administrator's key, at an address that 1.81 does not have.
        """
        answer = self._get("get_version", "/health/readiness")
        if "litellm_version" not in answer:
            try:
                answer = self._get("get_version", "/health/readiness/details")
            except UpstreamUnavailable as error:
                if error.details["reason"] != "not_litellm":
                    raise
        return str(answer.get("litellm_version") or "")

    def has_enterprise(self, day: date) -> bool | None:
        """Whether LiteLLM has a licence; None when that cannot be told.

        Asked of a report that only reads and that is refused without one. A ``day`` to come has nothing to add up.
        """
        days = {"start_date": day.isoformat(), "end_date": day.isoformat()}
        try:
            self._transport.call("has_enterprise", "GET", "/global/spend/report", deadline=self._deadline, params=days)
        except UpstreamRejected as error:
            return False if error.details.get("reason") == NEEDS_ENTERPRISE else None
        except UpstreamUnavailable:
            return None  # also where a release has no such report any more
        return True

    def get_models(self) -> list[Deployment]:
        """Every deployment, those of the config file too.

        A proxy that has not loaded its list answers 500 (UpstreamUnavailable), never an empty list.
        """
        answer = self._get("get_models", "/model/info")
        with as_documented():
            return [Deployment.parse(entry) for entry in answer["data"]]

    def get_model_info(self, name: str) -> list[Deployment]:
        """The deployments of one public name; none when LiteLLM does not list it.

        /v1/model/info asks by the id of a deployment, which is nobody's name for a model.
        """
        return [deployment for deployment in self.get_models() if deployment.name == name]

    # --- Users -------------------------------------------------------------------------------------------------------

    def get_user_info(self, user_id: str) -> UserInfo | None:
        """The user, or None when absent. Without teams it may be a user of ours all the same (see ensure.py)."""
        answer = self._find("get_user_info", "/user/info", user_id=user_id)
        if answer is None:
            return None
        with as_documented():
            return UserInfo.parse(answer["user_info"])

    def get_user_info_full(self, user_id: str) -> UserInfoFull | None:
        """The user with limits, keys and teams, or None when absent. Large for members of a large team."""
        answer = self._find("get_user_info_full", "/user/info", user_id=user_id)
        if answer is None:
            return None
        with as_documented():
            return UserInfoFull.parse(answer)

    def create_user(self, body: NewUser) -> None:
        """/user/new without making a key. UpstreamRejected with ``already exists`` in its text on a duplicate."""
        self._post("create_user", "/user/new", UserCreation(auto_create_key=False, **body))

    def get_user_ids_with_email(self, email: str) -> set[str]:
        """Who has an address, whatever its case. LiteLLM looks for parts of addresses: longer ones are left out."""
        ids: set[str] = set()
        number, is_last = 1, False
        while not is_last:
            page = self.get_user_page(number, email=email)
            ids |= {one.user_id for one in page.rows if (one.email or "").lower() == email.lower()}
            ids |= page.unreadable  # it may be theirs
            number, is_last = number + 1, page.is_last
        return ids

    def update_user(self, user_id: str, changes: UserChanges) -> None:
        """Look before: LiteLLM *creates* unknown users here, and 1.81 ignores most nulls."""
        self._post("update_user", "/user/update", UserUpdate(user_id=user_id, **changes))

    # --- Teams -------------------------------------------------------------------------------------------------------

    def get_team_info(self, team_id: str) -> TeamInfo | None:
        """The team, or None when absent."""
        answer = self._find("get_team_info", "/team/info", team_id=team_id)
        if answer is None:
            return None
        with as_documented():
            return TeamInfo.parse(answer["team_info"])

    def create_team(self, body: NewTeam) -> None:
        """/team/new with our id."""
        self._post("create_team", "/team/new", body)

    def update_team(self, team_id: str, changes: TeamChanges) -> None:
        """Nulls clear limits here in both versions."""
        self._post("update_team", "/team/update", TeamUpdate(team_id=team_id, **changes))

    def add_team_member(self, team_id: str, user_id: str) -> None:
        """Look before: LiteLLM creates unknown users here and refuses those who are members already."""
        member = Member(role="user", user_id=user_id)
        self._post("add_team_member", "/team/member_add", NewMember(team_id=team_id, member=member))

    def remove_team_member(self, team_id: str, user_id: str) -> None:
        """UpstreamRejected when the user is no member."""
        self._post("remove_team_member", "/team/member_delete", FormerMember(team_id=team_id, user_id=user_id))

    # --- Keys --------------------------------------------------------------------------------------------------------

    def get_key_info(self, token: str) -> KeyInfo | None:
        """The key with this hash, or None when absent; expired and blocked keys are shown too.

        1.109 goes on showing deleted keys, with status ``deleted``; they are absent.
        """
        answer = self._find("get_key_info", "/key/info", key=token)
        if answer is None:
            return None
        with as_documented():
            info = answer["info"]
            return None if info.get("status") == "deleted" else KeyInfo.parse(token, info)

    def get_api_key_token(self, user_id: str, key: str) -> str | None:
        """LiteLLM's token of a user's key; None when the user has no such key. ``key`` is the secret, or masked.

        The token of a secret is its SHA-256, and of our own keys we keep it: nothing is guessed about them. Of a key
        that was made elsewhere often only ``sk-...abcd`` is known: the last four characters then have to be those of
        one key of the user alone. Raises Conflict (ambiguous_key) when they are those of several.
        """
        masked = any(mask in key for mask in MASKS)
        if not masked:
            found = self.get_key_info(sha256(key.encode()).hexdigest())
            return found.token if found and found.user_id == user_id else None
        user = self.get_user_info_full(user_id)
        tokens = [one.token for one in user.keys if one.key_name[-LAST:] == key[-LAST:]] if user else []
        if len(tokens) > 1:
            message = _("Several keys end in these characters. Which one is meant cannot be told.")
            raise Conflict(message, code="ambiguous_key")
        return tokens[0] if tokens else None

    def create_key(self, body: NewKey) -> None:
        """/key/generate with our own secret. Look before, read back after: it checks neither user, team nor models,
        and answers 200 for a value that exists, keeping its old settings."""
        self._post("create_key", "/key/generate", body)

    def update_key(self, token: str, changes: KeyChanges) -> None:
        """Only what is sent changes; null clears (1.81 cannot clear budget_duration); metadata is replaced."""
        self._post("update_key", "/key/update", KeyUpdate(key=token, **changes))

    def block_key(self, token: str) -> None:
        """Takes effect at once on the worker that answers."""
        self._post("block_key", "/key/block", NamedKey(key=token))

    def unblock_key(self, token: str) -> None:
        """The opposite of block_key."""
        self._post("unblock_key", "/key/unblock", NamedKey(key=token))

    def delete_key(self, token: str) -> bool:
        """Whether there was such a key; one that is not there is as good as deleted."""
        try:
            answer = self._post("delete_key", "/key/delete", FormerKeys(keys=[token]))
        except UpstreamRejected as error:
            if error.details["http_status"] == NOT_FOUND:
                return False
            raise
        with as_documented():
            return token in answer["deleted_keys"]

    # --- Activity ----------------------------------------------------------------------------------------------------

    def get_daily_activity(self, start: date, end: date) -> list[Activity]:
        """What each key did with each public model on each UTC day, both dates included.

        /user/daily/activity pages over rows of LiteLLM's table, so one day may come in parts and the totals of an
        answer are those of its page alone: every page is read, and equal keys have to be added up by the caller.
        /user/daily/activity/aggregated would be one call, but 1.109 cuts its keys at 100 (``api_key_limit``).
        """
        rows: list[Activity] = []
        page = 1
        while True:
            answer = self._get(
                "get_daily_activity",
                "/user/daily/activity",
                start_date=start.isoformat(),
                end_date=end.isoformat(),
                page=page,
                page_size=ACTIVITY_PAGE,
            )
            with as_documented():
                rows.extend(row for day in answer["results"] for row in activity_of_day(day))
            if not (answer.get("metadata") or {}).get("has_more"):
                return rows
            page += 1

    def with_limit(self, limit: float) -> Self:
        """The same LiteLLM with a deadline of its own."""
        return type(self)(limit, self._transport)
