"""In which shapes LiteLLM answers errors, whom it lets in, and how it tells that it is well."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from litellm_sync.client import LiteLLM
from litellm_sync.client.transport import Transport
from tests.contract.proxy import Proxy, fresh

ADMIN_ROUTES = ["/user/new", "/user/update", "/user/delete", "/team/new", "/team/block"]


class TestHealth:
    @pytest.mark.parametrize("path", ["/health/liveness", "/health/liveliness"])
    def test_alive(self, litellm: Proxy, path: str) -> None:
        answer = litellm.send("GET", path)
        assert (answer.status, answer.body) == (200, "I'm alive!")

    def test_ready_without_a_key(self, litellm: Proxy) -> None:
        answer = litellm.send("GET", "/health/readiness")
        assert (answer.status, answer.body["db"]) == (200, "connected")
        assert answer.body["status"] == litellm.either("healthy", "connected")
        assert answer.body.get("litellm_version") == litellm.either(None, litellm.version)

    def test_details_only_in_new_releases(self, litellm: Proxy) -> None:
        answer = litellm.get("/health/readiness/details")
        assert answer.status == litellm.either(200, 404)
        if answer.status == 200:
            assert (answer.body["litellm_version"], answer.body["db"]) == (litellm.version, "connected")


class TestLicence:
    """What a proxy without a licence refuses, by which the product knows that there is none."""

    def test_the_report_of_spend_is_refused(self, litellm: Proxy) -> None:
        answer = litellm.get("/global/spend/report", start_date="2026-11-24", end_date="2026-11-24")
        assert answer.status == 400
        assert answer.body["detail"]["error"].startswith("/spend/report endpoint You must be a LiteLLM Enterprise user")

    def test_the_report_of_spend_is_for_administrators(self, litellm: Proxy) -> None:
        query = {"start_date": "2026-11-24", "end_date": "2026-11-24"}
        assert litellm.get("/global/spend/report", litellm.new_key().secret, **query).status == litellm.either(403, 401)


class TestProduct:
    """The product's own client in front of both releases."""

    def test_detects_version_and_licence(self, litellm: Proxy) -> None:
        client = LiteLLM(30.0, Transport(litellm.url, litellm.master_key))
        assert client.get_version() == litellm.version
        assert client.has_enterprise(datetime.now(UTC).date() + timedelta(days=1)) is False

    def test_finds_the_token_of_a_key_by_its_last_characters(self, litellm: Proxy) -> None:
        client = LiteLLM(30.0, Transport(litellm.url, litellm.master_key))
        key = litellm.new_key()
        assert client.get_api_key_token(key.user_id, f"sk-...{key.secret[-4:]}") == key.token
        assert client.get_api_key_token(key.user_id, key.secret) == key.token
        assert client.get_api_key_token(litellm.new_user(), key.secret) is None

    def test_reads_a_whole_user(self, litellm: Proxy) -> None:
        client = LiteLLM(30.0, Transport(litellm.url, litellm.master_key))
        team = litellm.new_team(team_alias="Whole")
        user = litellm.new_user(teams=[team], max_budget=7)
        key = litellm.new_key(user_id=user, team_id=team)
        found = client.get_user_info_full(user)
        assert found is not None
        assert (found.user.max_budget, [one.token for one in found.keys]) == (Decimal(7), [key.token])
        assert [(one.team_id, one.alias, user in one.members) for one in found.teams] == [(team, "Whole", True)]


class TestAuthentication:
    def test_without_a_key(self, litellm: Proxy) -> None:
        answer = litellm.send("GET", "/user/list")
        assert answer.refusal == (401, "auth_error")
        assert answer.error["message"] == "Authentication Error, No api key passed in."
        assert answer.error["param"] == litellm.either(None, "None")
        assert answer.error["code"] == "401"

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_with_a_wrong_key(self, litellm: Proxy, method: str) -> None:
        path = {"GET": "/user/list", "POST": "/user/new"}[method]
        body = {"user_id": fresh("user")} if method == "POST" else None
        answer = litellm.call(method, path, body, f"sk-{fresh('wrong')}")
        assert answer.refusal == (401, "token_not_found_in_db")
        assert answer.error["param"] == "key"

    def test_with_a_key_of_another_kind(self, litellm: Proxy) -> None:
        assert litellm.get("/user/list", "no-prefix").refusal == (401, "auth_error")

    @pytest.mark.parametrize("path", ADMIN_ROUTES)
    def test_admin_routes_refuse_an_ordinary_key(self, litellm: Proxy, path: str) -> None:
        key = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="internal_user")})["key"]
        answer = litellm.post(path, {}, key)
        assert answer.refusal == (401, "auth_error")
        assert f"Route={path}. Your role=internal_user." in answer.error["message"]

    @pytest.mark.parametrize("path", ADMIN_ROUTES)
    def test_admin_routes_refuse_a_key_for_inference(self, litellm: Proxy, path: str) -> None:
        answer = litellm.post(path, {}, litellm.new_key().secret)
        assert answer.status == litellm.either(403, 401)

    @pytest.mark.parametrize(
        "path", ["/user/info", "/key/info", "/key/list", "/team/list", "/user/daily/activity", "/spend/logs"]
    )
    def test_reading_routes_refuse_a_key_for_inference(self, litellm: Proxy, path: str) -> None:
        answer = litellm.get(path, litellm.new_key().secret)
        assert answer.status == 403
        text = "Virtual key is not allowed to call this route. Only allowed to call routes: ['llm_api_routes']."
        assert answer.body == {"detail": f"{text} Tried to call route: {path}"}

    def test_a_key_for_inference_makes_no_keys(self, litellm: Proxy) -> None:
        assert litellm.post("/key/generate", {}, litellm.new_key().secret).status == 403

    def test_the_list_of_users_refuses_an_ordinary_key(self, litellm: Proxy) -> None:
        key = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="internal_user")})["key"]
        answer = litellm.get("/user/list", key)
        assert answer.status == litellm.either(403, 401)

    @pytest.mark.parametrize("path", ["/team/list", "/v2/team/list"])
    def test_the_list_of_all_teams_refuses_an_ordinary_key(self, litellm: Proxy, path: str) -> None:
        key = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="internal_user")})["key"]
        text = "Only admin users can query all teams/other teams. Your user role=internal_user"
        answer = litellm.get(path, key)
        assert (answer.status, answer.body) == (401, {"detail": {"error": text}})

    def test_a_team_refuses_a_stranger(self, litellm: Proxy) -> None:
        key = litellm.done("/key/generate", {"user_id": litellm.new_user(user_role="internal_user")})["key"]
        answer = litellm.get("/team/info", key, team_id=litellm.new_team())
        assert answer.refusal == (403, "auth_error")


class TestRequests:
    def test_unknown_path(self, litellm: Proxy) -> None:
        answer = litellm.get("/no/such/path")
        assert (answer.status, answer.body) == (404, {"detail": "Not Found"})

    def test_wrong_method(self, litellm: Proxy) -> None:
        answer = litellm.call("PUT", "/user/new", {})
        assert (answer.status, answer.body) == (405, {"detail": "Method Not Allowed"})

    @pytest.mark.parametrize("path", ["/user/new", "/key/generate", "/team/new"])
    def test_malformed_json(self, litellm: Proxy, path: str) -> None:
        headers = {"Authorization": f"Bearer {litellm.master_key}", "Content-Type": "application/json"}
        answer = litellm.send("POST", path, data='{"user_id": ', headers=headers)
        [entry] = answer.body["detail"]
        assert (answer.status, entry["type"], entry["loc"][0], entry["msg"]) == (
            422,
            "json_invalid",
            "body",
            "JSON decode error",
        )

    @pytest.mark.parametrize("path", ["/user/new", "/chat/completions"])
    def test_a_body_that_is_no_object(self, litellm: Proxy, path: str) -> None:
        answer = litellm.post(path, ["x"])
        assert answer.status == litellm.either(400, 500)

    def test_a_text_that_is_no_text(self, litellm: Proxy) -> None:
        answer = litellm.post("/key/generate", {"key_alias": 5})
        assert (answer.status, answer.body["detail"][0]["type"]) == (422, "string_type")

    def test_without_a_body(self, litellm: Proxy) -> None:
        answer = litellm.call("POST", "/team/new")
        [entry] = answer.body["detail"]
        assert (answer.status, entry["type"], entry["loc"]) == (422, "missing", ["body"])

    @pytest.mark.parametrize(
        ("path", "body", "missing"),
        [
            ("/key/block", {}, ["key"]),
            ("/user/delete", {}, ["user_ids"]),
            ("/team/delete", {}, ["team_ids"]),
            ("/team/update", {}, ["team_id"]),
            ("/team/member_add", {}, ["member", "team_id"]),
        ],
    )
    def test_missing_fields(self, litellm: Proxy, path: str, body: dict[str, str], missing: list[str]) -> None:
        answer = litellm.post(path, body)
        assert answer.status == 422
        assert [entry["loc"] for entry in answer.body["detail"]] == [["body", name] for name in missing]

    def test_a_page_that_is_no_number(self, litellm: Proxy) -> None:
        answer = litellm.get("/key/list", page="x")
        assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["query", "page"])
