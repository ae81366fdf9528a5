"""What LiteLLM counts: daily activity and the spend log."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.proxy import Key, Proxy, fresh

GPT_4O_CALL = 0.000225


def days() -> dict[str, str]:
    today = datetime.now(UTC).date()
    return {"start_date": str(today - timedelta(days=1)), "end_date": str(today + timedelta(days=1))}


def counts(metrics: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return successful and failed requests, prompt and completion tokens."""
    names = ("successful_requests", "failed_requests", "prompt_tokens", "completion_tokens")
    successful, failed, prompt, completion = (int(metrics[name]) for name in names)
    return successful, failed, prompt, completion


def by(breakdown: dict[str, Any], name: str) -> dict[str, tuple[int, int, int, int]]:
    return {key: counts(entry["metrics"]) for key, entry in breakdown[name].items()}


@dataclass(frozen=True)
class Used:
    """A user with two keys, one of a team, and the calls they made."""

    user_id: str
    email: str
    team_id: str
    personal: Key
    shared: Key


@pytest.fixture(scope="module")
def used(litellm: Proxy) -> Used:
    """Three calls of gpt-4o and one of claude-sonnet with a personal key, one of gpt-4o with a team's key."""
    email = f"{fresh('mail')}@example.com"
    user_id = litellm.new_user(user_email=email, user_role="internal_user")
    team_id = litellm.new_team(team_alias="Used", members_with_roles=[{"role": "user", "user_id": user_id}])
    personal = litellm.new_key(user_id=user_id, key_alias=fresh("alias"), key_type="default")
    shared = litellm.new_key(user_id=user_id, team_id=team_id, key_alias=fresh("alias"), key_type="default")
    for key, model in [*[(personal, "gpt-4o")] * 3, (personal, "claude-sonnet"), (shared, "gpt-4o")]:
        assert litellm.chat(key, model).status == 200
    activity = litellm.eventually(
        lambda: litellm.read("/user/daily/activity", user_id=user_id, **days()),
        lambda found: found["metadata"]["total_successful_requests"] == 5,
    )
    assert activity["metadata"]["total_successful_requests"] == 5
    return Used(user_id, email, team_id, personal, shared)


class TestOfAUser:
    @pytest.mark.parametrize("path", ["/user/daily/activity", "/user/daily/activity/aggregated"])
    def test_counts_calls_tokens_and_spend(self, litellm: Proxy, used: Used, path: str) -> None:
        found = litellm.read(path, user_id=used.user_id, **days())
        total = found["metadata"]
        names = (
            "successful_requests",
            "failed_requests",
            "api_requests",
            "prompt_tokens",
            "completion_tokens",
            "tokens",
        )
        assert [total[f"total_{name}"] for name in names] == [5, 0, 5, 50, 100, 150]
        assert total["total_spend"] == pytest.approx(4 * GPT_4O_CALL + 0.00033)
        assert (total["page"], total["total_pages"], total["has_more"]) == (1, 1, False)
        [day] = found["results"]
        assert day["date"] == str(datetime.now(UTC).date())
        assert counts(day["metrics"]) == (5, 0, 50, 100)
        assert day["metrics"]["total_tokens"] == 150

    def test_breaks_down(self, litellm: Proxy, used: Used) -> None:
        [day] = litellm.read("/user/daily/activity", user_id=used.user_id, **days())["results"]
        breakdown = day["breakdown"]
        gpt, claude, every = (4, 0, 40, 80), (1, 0, 10, 20), (5, 0, 50, 100)
        assert by(breakdown, "models") == {"openai/gpt-4o": gpt, "anthropic/claude-sonnet-4-5": claude}
        assert by(breakdown, "model_groups") == {"gpt-4o": gpt, "claude-sonnet": claude}
        assert by(breakdown, "providers") == {"openai": gpt, "anthropic": claude}
        assert by(breakdown, "endpoints") == {"/chat/completions": every}
        assert by(breakdown, "entities") == {used.user_id: every}
        keys = {used.personal.token: (4, 0, 40, 80), used.shared.token: (1, 0, 10, 20)}
        assert by(breakdown, "api_keys") == keys
        per_key = breakdown["model_groups"]["gpt-4o"]["api_key_breakdown"]
        assert {token: counts(entry["metrics"]) for token, entry in per_key.items()} == {
            used.personal.token: (3, 0, 30, 60),
            used.shared.token: (1, 0, 10, 20),
        }

    def test_names_the_keys(self, litellm: Proxy, used: Used) -> None:
        [day] = litellm.read("/user/daily/activity", user_id=used.user_id, **days())["results"]
        facts = day["breakdown"]["api_keys"][used.shared.token]["metadata"]
        expected = {"key_alias": litellm.key(used.shared.token)["key_alias"], "team_id": used.team_id}
        newer = {"user_id": used.user_id, "user_email": used.email, "key_exists": True}
        assert facts == expected | litellm.either(newer, {})

    @pytest.mark.parametrize("path", ["/user/daily/activity", "/user/daily/activity/aggregated"])
    def test_filters_by_hash_but_not_by_secret(self, litellm: Proxy, used: Used, path: str) -> None:
        by_hash = litellm.read(path, api_key=used.shared.token, **days())
        assert by_hash["metadata"]["total_api_requests"] == 1
        by_secret = litellm.read(path, api_key=used.shared.secret, **days())
        assert (by_secret["results"], by_secret["metadata"]["total_api_requests"]) == ([], 0)

    def test_filters_by_the_models_name_at_the_provider(self, litellm: Proxy, used: Used) -> None:
        query = {"user_id": used.user_id, **days()}
        named = litellm.read("/user/daily/activity", model="anthropic/claude-sonnet-4-5", **query)
        assert named["metadata"]["total_api_requests"] == 1
        assert litellm.read("/user/daily/activity", model="claude-sonnet", **query)["results"] == []

    def test_pages_count_rows_and_totals_are_those_of_the_page(self, litellm: Proxy, used: Used) -> None:
        pages = [
            litellm.read("/user/daily/activity", user_id=used.user_id, page=page, page_size=1, **days())
            for page in (1, 2, 3)
        ]
        paging = [
            (page["metadata"]["page"], page["metadata"]["total_pages"], page["metadata"]["has_more"]) for page in pages
        ]
        assert paging == [(1, 3, True), (2, 3, True), (3, 3, False)]
        assert sorted(page["metadata"]["total_api_requests"] for page in pages) == [1, 1, 3]
        assert [len(page["results"]) for page in pages] == [1, 1, 1]

    def test_of_an_unknown_user_is_empty(self, litellm: Proxy) -> None:
        found = litellm.read("/user/daily/activity", user_id=fresh("nobody"), **days())
        assert (found["results"], found["metadata"]["total_pages"]) == ([], 0)

    def test_of_other_days_is_empty(self, litellm: Proxy, used: Used) -> None:
        query = {"user_id": used.user_id, "start_date": "2020-01-01", "end_date": "2020-01-31"}
        assert litellm.read("/user/daily/activity", **query)["results"] == []

    def test_without_days_is_a_bad_request(self, litellm: Proxy) -> None:
        answer = litellm.get("/user/daily/activity")
        text = "Please provide start_date and end_date"
        assert (answer.status, answer.body) == (400, {"detail": {"error": text}})

    def test_bad_days_are_refused_only_by_new_releases(self, litellm: Proxy) -> None:
        answer = litellm.get("/user/daily/activity", start_date="yesterday", end_date="x")
        assert answer.status == litellm.either(400, 200)

    @pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 422)])
    def test_page_size_is_at_most_1000(self, litellm: Proxy, size: int, status: int) -> None:
        answer = litellm.get("/user/daily/activity", user_id=fresh("nobody"), page_size=size, **days())
        assert answer.status == status

    def test_is_open_to_the_user_but_not_to_others(self, litellm: Proxy, used: Used) -> None:
        own = litellm.get("/user/daily/activity", used.personal.secret, **days())
        assert own.body["metadata"]["total_api_requests"] == 5
        other = litellm.get("/user/daily/activity", used.personal.secret, user_id=fresh("nobody"), **days())
        text = "Non-admin users can only view their own spend data."
        assert other.status == 403
        assert other.body["detail"] == {"error": text}
        aggregated = litellm.get("/user/daily/activity/aggregated", used.personal.secret, **days())
        assert aggregated.status == litellm.either(200, 401)


class TestOfATeam:
    def test_counts_what_its_keys_did(self, litellm: Proxy, used: Used) -> None:
        found = litellm.eventually(
            lambda: litellm.read("/team/daily/activity", team_ids=used.team_id, **days()),
            lambda found: found["metadata"]["total_api_requests"] == 1,
        )
        [day] = found["results"]
        assert by(day["breakdown"], "entities") == {used.team_id: (1, 0, 10, 20)}
        assert day["breakdown"]["entities"][used.team_id]["metadata"] == {"team_alias": "Used"}
        assert by(day["breakdown"], "api_keys") == {used.shared.token: (1, 0, 10, 20)}

    def test_is_open_to_its_members(self, litellm: Proxy, used: Used) -> None:
        found = litellm.get("/team/daily/activity", used.personal.secret, **days()).body
        assert found["metadata"]["total_api_requests"] == 1

    def test_of_an_unknown_team_is_empty(self, litellm: Proxy) -> None:
        assert litellm.read("/team/daily/activity", team_ids=fresh("nowhere"), **days())["results"] == []


class TestFailures:
    """What is refused counts as a failed request; old releases do not know whose it was."""

    def failed(self, litellm: Proxy, key: Key) -> dict[str, Any]:
        found = litellm.eventually(
            lambda: litellm.read("/user/daily/activity", api_key=key.token, **days()),
            lambda found: found["metadata"]["total_api_requests"] == 1,
        )
        assert found["metadata"]["total_failed_requests"] == 1
        [day] = found["results"]
        breakdown: dict[str, Any] = day["breakdown"]
        return breakdown

    @pytest.mark.parametrize(
        ("limits", "block"),
        [({"models": ["gpt-4o-mini"]}, False), ({"max_budget": 0}, False), ({}, True), ({"duration": "0s"}, False)],
        ids=["denied", "over budget", "blocked", "expired"],
    )
    def test_a_call_that_the_proxy_refuses(self, litellm: Proxy, limits: dict[str, Any], block: bool) -> None:  # noqa: FBT001
        key = litellm.new_key(**limits)
        if block:
            litellm.done("/key/block", {"key": key.token})
        assert litellm.chat(key).status != 200
        breakdown = self.failed(litellm, key)
        one = (0, 1, 0, 0)
        assert by(breakdown, "models") == {litellm.either("openai/gpt-4o", "gpt-4o"): one}
        assert by(breakdown, "model_groups") == litellm.either({"gpt-4o": one}, {})
        assert by(breakdown, "providers") == {litellm.either("openai", "unknown"): one}
        of_user = litellm.read("/user/daily/activity", user_id=key.user_id, **days())
        assert of_user["metadata"]["total_failed_requests"] == litellm.either(1, 0)

    def test_a_call_beyond_the_rate_limit(self, litellm: Proxy) -> None:
        key = litellm.new_key(rpm_limit=0)
        assert litellm.chat(key).status == 429
        breakdown = self.failed(litellm, key)
        assert by(breakdown, "entities") == {key.user_id: (0, 1, 0, 0)}
        assert by(breakdown, "models") == {litellm.either("openai/gpt-4o", "gpt-4o"): (0, 1, 0, 0)}
        assert by(breakdown, "model_groups") == litellm.either({"gpt-4o": (0, 1, 0, 0)}, {})

    def test_a_call_of_an_unknown_model(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.chat(key, "no-such").status == 400
        breakdown = self.failed(litellm, key)
        assert by(breakdown, "models") == {litellm.either("unknown-model", "no-such"): (0, 1, 0, 0)}
        assert by(breakdown, "providers") == {"unknown": (0, 1, 0, 0)}
        assert by(breakdown, "entities") == {key.user_id: (0, 1, 0, 0)}

    def test_a_call_that_the_provider_fails(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.chat(key, "always-fails").status == 500
        breakdown = self.failed(litellm, key)
        prompt = litellm.either(9, 0)
        assert by(breakdown, "models") == {"openai/always-fails": (0, 1, prompt, 0)}
        assert by(breakdown, "model_groups") == {"always-fails": (0, 1, prompt, 0)}
        assert by(breakdown, "providers") == {litellm.either("openai", "unknown"): (0, 1, prompt, 0)}
        assert by(breakdown, "entities") == {key.user_id: (0, 1, prompt, 0)}


class TestAfterDeletion:
    def test_usage_stays(self, litellm: Proxy) -> None:
        alias = fresh("alias")
        key = litellm.new_key(key_alias=alias)
        assert litellm.chat(key).status == 200

        def activity(**query: str) -> Callable[[], Any]:
            return lambda: litellm.read("/user/daily/activity", **query, **days())

        def counted(found: Any) -> bool:
            return bool(found["metadata"]["total_api_requests"] == 1)

        litellm.eventually(activity(api_key=key.token), counted)
        litellm.done("/key/delete", {"keys": [key.token]})
        litellm.done("/user/delete", {"user_ids": [key.user_id]})
        [day] = litellm.eventually(activity(api_key=key.token), counted)["results"]
        facts = day["breakdown"]["api_keys"][key.token]["metadata"]
        assert (facts["key_alias"], facts.get("key_exists")) == (alias, litellm.either(new=False, old=None))
        assert counted(litellm.eventually(activity(user_id=key.user_id), counted))


class TestSpendLog:
    def entries(self, litellm: Proxy, wanted: int, **query: str) -> list[dict[str, Any]]:
        found = litellm.eventually(lambda: litellm.read("/spend/logs", **query), lambda rows: len(rows) == wanted)
        assert len(found) == wanted
        assert isinstance(found, list)
        return found

    def test_has_an_entry_a_call(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        request_id = litellm.chat(key).body["id"]
        [entry] = self.entries(litellm, 1, api_key=key.token)
        expected = {
            "request_id": request_id,
            "call_type": "acompletion",
            "api_key": key.token,
            "user": key.user_id,
            "model": "openai/gpt-4o",
            "model_group": "gpt-4o",
            "model_id": "model-gpt-4o",
            "custom_llm_provider": "openai",
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 30,
            "status": "success",
            "messages": {},
            "response": {},
        }
        assert {name: entry[name] for name in expected} == expected
        assert entry["spend"] == pytest.approx(GPT_4O_CALL)
        for query in ({"api_key": key.secret}, {"user_id": key.user_id}, {"request_id": request_id}):
            assert [row["request_id"] for row in self.entries(litellm, 1, **query)] == [request_id]

    def test_has_failures(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.chat(key, "always-fails").status == 500
        [entry] = self.entries(litellm, 1, api_key=key.token)
        assert (entry["status"], entry["spend"], entry["user"]) == ("failure", 0.0, key.user_id)

    def test_is_open_to_the_user_for_its_own_calls(self, litellm: Proxy, used: Used) -> None:
        own = litellm.get("/spend/logs", used.personal.secret).body
        assert [row["user"] for row in own] == [used.user_id] * 5

    def test_filters_by_status(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert [litellm.chat(key, model).status for model in ("gpt-4o", "always-fails")] == [200, 500]
        self.entries(litellm, 2, api_key=key.token)
        times = {name: f"{day} 00:00:00" for name, day in days().items()}
        for status in ("success", "failure"):
            found = litellm.read("/spend/logs/ui", api_key=key.token, status_filter=status, **times)
            assert [row["status"] for row in found["data"]] == [status]

    def test_says_newest_first_when_a_deleted_key_last_succeeded(self, litellm: Proxy) -> None:
        """What the proof of a revocation asks, and that LiteLLM still tells it of a key that is gone."""
        key = litellm.new_key()
        for model in ("gpt-4o", "gpt-4o-mini", "always-fails"):
            litellm.chat(key, model)
        litellm.done("/key/delete", {"keys": [key.token]})
        assert litellm.chat(key).status == 401
        times = {name: f"{day} 00:00:00" for name, day in days().items()}
        query = {"api_key": key.token, "status_filter": "success", "page": 1, "page_size": 1, **times}
        found = litellm.eventually(lambda: litellm.read("/spend/logs/v2", **query), lambda page: page["total"] == 2)
        assert [row["model_group"] for row in found["data"]] == ["gpt-4o-mini"]
        assert datetime.fromisoformat(found["data"][0]["startTime"]).tzinfo is not None

    def test_of_an_unknown_request_is_empty(self, litellm: Proxy) -> None:
        assert litellm.read("/spend/logs", request_id=fresh("request")) == []

    @pytest.mark.parametrize("path", ["/spend/logs/ui", "/spend/logs/v2"])
    def test_has_pages(self, litellm: Proxy, used: Used, path: str) -> None:
        times = {name: f"{day} 00:00:00" for name, day in days().items()}
        query = {"api_key": used.personal.token, "page_size": 3, **times}
        first = litellm.eventually(lambda: litellm.read(path, **query), lambda found: found["total"] == 4)
        paging = (first["total"], first["page"], first["page_size"], first["total_pages"], len(first["data"]))
        assert paging == (4, 1, 3, 2, 3)
        rest = litellm.read(path, page=2, **query)
        assert len({row["request_id"] for row in first["data"] + rest["data"]}) == 4

    def test_pages_want_times(self, litellm: Proxy) -> None:
        assert litellm.get("/spend/logs/ui").refusal == (400, "bad_request")
        answer = litellm.get("/spend/logs/ui", start_date="2026-01-01", end_date="2026-01-02")
        assert answer.status == 400
        assert answer.error["message"] == "Invalid date format: 2026-01-01. Expected: 'YYYY-MM-DD HH:MM:SS'"


class TestLastUse:
    def test_a_key_knows_when_it_last_spent(self, litellm: Proxy) -> None:
        key = litellm.new_key()
        assert litellm.key(key.secret)["last_active"] is None
        before = datetime.now(UTC)
        assert litellm.chat(key).status == 200
        shown = litellm.eventually(lambda: litellm.key(key.secret)["last_active"], bool)
        assert shown.endswith("+00:00")
        assert abs(datetime.fromisoformat(shown) - before) < timedelta(minutes=2)
