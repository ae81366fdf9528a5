"""What LiteLLM does with users: `/user/...`."""

from typing import Any

import pytest

from tests.contract.proxy import Proxy, fresh


class TestNewUser:
    def test_keeps_what_it_was_given(self, litellm: Proxy) -> None:
        user_id = fresh("user")
        given = {
            "user_email": f"{user_id}@Example.com",
            "user_alias": "Ada",
            "user_role": "internal_user",
            "max_budget": 25.5,
            "tpm_limit": 1000,
            "rpm_limit": 10,
            "models": ["gpt-4o"],
            "metadata": {"portal": "1"},
        }
        answer = litellm.done("/user/new", {"user_id": user_id, "auto_create_key": False, **given})
        assert answer["user_id"] == user_id
        assert answer["key"] == ""
        user = litellm.user(user_id)
        assert {name: user[name] for name in given} == given
        assert user["spend"] == 0.0
        assert user["teams"] == []

    def test_without_a_role_has_none(self, litellm: Proxy) -> None:
        assert litellm.user(litellm.new_user())["user_role"] is None

    def test_without_an_id_gets_one(self, litellm: Proxy) -> None:
        made = litellm.done("/user/new", {"auto_create_key": False})
        assert len(made["user_id"]) == 36
        assert litellm.user(made["user_id"])["user_email"] is None

    def test_makes_a_key_unless_told_not_to(self, litellm: Proxy) -> None:
        user_id = fresh("user")
        made = litellm.done("/user/new", {"user_id": user_id})
        assert made["key"].startswith("sk-")
        assert made["token"] is None
        keys = litellm.read("/user/info", user_id=user_id)["keys"]
        assert [key["key_name"] for key in keys] == [f"sk-...{made['key'][-4:]}"]

    def test_with_an_id_that_exists_is_a_conflict(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        answer = litellm.post("/user/new", {"user_id": user_id, "auto_create_key": False})
        assert answer.refusal == (409, litellm.either("invalid_request_error", "internal_server_error"))
        assert answer.error["message"] == f"{{'error': 'User with id {user_id} already exists'}}"

    def test_with_an_email_that_exists_is_a_conflict_whatever_its_case(self, litellm: Proxy) -> None:
        email = f"{fresh('mail')}@Example.com"
        litellm.new_user(user_email=email)
        answer = litellm.post("/user/new", {"user_id": fresh("user"), "user_email": email.lower()})
        assert answer.status == 409
        assert answer.error["message"] == f"{{'error': 'User with email {email} already exists'}}"

    def test_joins_the_teams_that_exist(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(team_alias="Known")
        user_id = litellm.new_user(teams=[team_id, fresh("nowhere")])
        assert litellm.user(user_id)["teams"] == [team_id]
        members = {member["user_id"]: member["role"] for member in litellm.team(team_id)["members_with_roles"]}
        assert members == {"default_user_id": "admin", user_id: "user"}

    def test_with_an_unknown_role_is_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/user/new", {"user_id": fresh("user"), "user_role": "king"})
        assert answer.status == 422
        assert answer.body["detail"][0]["loc"] == ["body", "user_role"]

    def test_may_have_a_negative_budget(self, litellm: Proxy) -> None:
        assert litellm.user(litellm.new_user(max_budget=-1))["max_budget"] == -1.0


class TestUserInfo:
    def test_of_an_unknown_user_is_not_found(self, litellm: Proxy) -> None:
        user_id = fresh("nobody")
        answer = litellm.get("/user/info", user_id=user_id)
        assert answer.refusal == (404, litellm.either("invalid_request_error", "internal_server_error"))
        assert answer.error["message"] == f"User {user_id} not found"

    def test_shows_keys_and_whole_teams(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(team_alias="Whole", models=["gpt-4o"])
        user_id = litellm.new_user(teams=[team_id])
        personal = litellm.new_key(user_id=user_id, key_alias=fresh("alias"))
        shared = litellm.new_key(user_id=user_id, team_id=team_id)
        found = litellm.read("/user/info", user_id=user_id)
        assert found["user_id"] == user_id
        assert [(team["team_id"], team["team_alias"], team["models"]) for team in found["teams"]] == [
            (team_id, "Whole", ["gpt-4o"])
        ]
        aliases = {key["token"]: key["team_alias"] for key in found["keys"]}
        assert aliases == {personal.token: "None", shared.token: "Whole"}

    def test_of_a_user_that_only_a_key_names_is_not_found(self, litellm: Proxy) -> None:
        user_id = fresh("nobody")
        litellm.done("/key/generate", {"user_id": user_id})
        assert litellm.get("/user/info", user_id=user_id).status == 404

    def test_of_its_own_is_open_to_an_ordinary_key(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="internal_user")
        key = litellm.done("/key/generate", {"user_id": user_id})["key"]
        assert litellm.get("/user/info", key).body["user_id"] == user_id

    def test_of_somebody_else_is_closed_to_an_ordinary_key(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="internal_user")
        key = litellm.done("/key/generate", {"user_id": user_id})["key"]
        assert litellm.get("/user/info", key, user_id=litellm.new_user()).refusal == (403, "auth_error")

    def test_of_the_master_key_is_a_user_only_in_new_releases(self, litellm: Proxy) -> None:
        found = litellm.read("/user/info")
        assert found["user_id"] == litellm.either("default_user_id", None)


class TestUpdateUser:
    def test_changes_what_is_given_and_leaves_the_rest(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_alias="Old", metadata={"a": 1, "b": 2}, tpm_limit=5)
        answer = litellm.done("/user/update", {"user_id": user_id, "user_alias": "New", "metadata": {"a": 3}})
        assert answer["user_id"] == user_id
        assert answer["data"]["user_alias"] == "New"
        user = litellm.user(user_id)
        assert (user["user_alias"], user["metadata"], user["tpm_limit"]) == ("New", {"a": 3}, 5)

    def test_nulls_clear_limits(self, litellm: Proxy) -> None:
        limits: dict[str, Any] = {"max_budget": 10, "budget_duration": "7d", "tpm_limit": 500, "rpm_limit": 5}
        user_id = litellm.new_user(**limits)
        before = litellm.user(user_id)
        litellm.done("/user/update", {"user_id": user_id} | dict.fromkeys(limits))
        user = litellm.user(user_id)
        assert user["max_budget"] is None
        others = ("budget_duration", "budget_reset_at", "tpm_limit", "rpm_limit")
        left = {name: user[name] for name in others}
        assert left == litellm.either(dict.fromkeys(others), {name: before[name] for name in others})

    def test_null_alias_and_email_are_ignored(self, litellm: Proxy) -> None:
        email = f"{fresh('mail')}@example.com"
        user_id = litellm.new_user(user_alias="Ada", user_email=email)
        litellm.done("/user/update", {"user_id": user_id, "user_alias": None, "user_email": None})
        user = litellm.user(user_id)
        assert (user["user_alias"], user["user_email"]) == ("Ada", email)

    def test_passes_over_an_empty_list_and_an_empty_object(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(models=["gpt-4o"], metadata={"a": 1})
        litellm.done("/user/update", {"user_id": user_id, "models": [], "metadata": {}})
        user = litellm.user(user_id)
        assert (user["models"], user["metadata"]) == (["gpt-4o"], {"a": 1})

    def test_zero_is_a_value(self, litellm: Proxy) -> None:
        zeros = {"max_budget": 0, "tpm_limit": 0, "rpm_limit": 0, "spend": 0}
        user_id = litellm.new_user(max_budget=9, tpm_limit=9, rpm_limit=9, spend=9)
        litellm.done("/user/update", {"user_id": user_id} | zeros)
        user = litellm.user(user_id)
        assert {name: user[name] for name in zeros} == zeros

    def test_of_an_unknown_user_creates_it(self, litellm: Proxy) -> None:
        user_id = fresh("user")
        litellm.done("/user/update", {"user_id": user_id, "max_budget": 1})
        assert litellm.user(user_id)["max_budget"] == 1.0

    def test_finds_the_user_by_email(self, litellm: Proxy) -> None:
        email = f"{fresh('mail')}@example.com"
        user_id = litellm.new_user(user_email=email)
        assert litellm.done("/user/update", {"user_email": email, "max_budget": 3})["user_id"] == user_id
        assert litellm.user(user_id)["max_budget"] == 3.0

    def test_by_an_unknown_email_is_a_bad_request(self, litellm: Proxy) -> None:
        answer = litellm.post("/user/update", {"user_email": f"{fresh('mail')}@example.com", "max_budget": 1})
        assert answer.refusal == (400, litellm.either("invalid_request_error", "auth_error"))

    def test_without_id_and_email_is_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/user/update", {"max_budget": 1})
        assert answer.status == 422
        assert answer.body["detail"][0]["msg"] == "Value error, Either user id or user email must be provided"

    def test_takes_an_email_of_somebody_else(self, litellm: Proxy) -> None:
        email = f"{fresh('mail')}@example.com"
        litellm.new_user(user_email=email)
        other = litellm.new_user()
        litellm.done("/user/update", {"user_id": other, "user_email": email})
        assert litellm.user(other)["user_email"] == email

    def test_sets_spend(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        litellm.done("/user/update", {"user_id": user_id, "spend": 2.5})
        assert litellm.user(user_id)["spend"] == 2.5

    def test_sets_the_role_at_once(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="internal_user")
        key = litellm.done("/key/generate", {"user_id": user_id})["key"]
        statuses = []
        for role in ("proxy_admin", "internal_user"):
            litellm.done("/user/update", {"user_id": user_id, "user_role": role})
            [listed] = litellm.read("/user/list", user_ids=user_id)["users"]
            assert litellm.user(user_id)["user_role"] == listed["user_role"] == role
            statuses.append(litellm.get("/key/info", key, key=litellm.new_key().token).status)
        assert statuses == [200, 403]

    def test_a_role_gives_nothing_to_a_key_for_models(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="proxy_admin")
        key = litellm.new_key(user_id=user_id)
        assert litellm.get("/user/list", key.secret).status == 403
        assert litellm.post("/key/generate", {}, key.secret).status == 403
        assert litellm.chat(key).status == 200

    def test_other_changes_leave_the_role(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="proxy_admin")
        litellm.done("/user/update", {"user_id": user_id, "max_budget": 3, "user_role": None})
        assert litellm.user(user_id)["user_role"] == "proxy_admin"

    def test_a_role_alone_changes_nothing_else(self, litellm: Proxy) -> None:
        user_id = litellm.new_user(user_role="proxy_admin", max_budget=7, budget_duration="7d", tpm_limit=5)
        before = litellm.user(user_id)
        litellm.done("/user/update", {"user_id": user_id, "user_role": "internal_user"})
        after = litellm.user(user_id)
        assert {name for name in after if before[name] != after[name]} <= {"user_role", "updated_at"}

    def test_an_unknown_role_is_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/user/update", {"user_id": litellm.new_user(), "user_role": "king"})
        assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "user_role"])

    def test_bad_budget_duration(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        answer = litellm.post("/user/update", {"user_id": user_id, "budget_duration": "soon"})
        assert answer.status == litellm.either(400, 200)
        assert litellm.user(user_id)["budget_duration"] == litellm.either(None, "soon")


class TestDeleteUser:
    def test_takes_its_keys_and_memberships_along(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        user_id = litellm.new_user(teams=[team_id])
        key = litellm.new_key(user_id=user_id)
        assert litellm.done("/user/delete", {"user_ids": [user_id]}) == 1
        assert litellm.get("/user/info", user_id=user_id).status == 404
        assert litellm.get("/key/info", key=key.secret).status == 404
        assert [member["user_id"] for member in litellm.team(team_id)["members_with_roles"]] == ["default_user_id"]

    def test_with_one_unknown_deletes_nobody(self, litellm: Proxy) -> None:
        user_id, unknown = litellm.new_user(), fresh("nobody")
        answer = litellm.post("/user/delete", {"user_ids": [user_id, unknown]})
        assert answer.status == 404
        assert answer.body == {"detail": {"error": f"User not found, passed user_id={unknown}"}}
        assert litellm.user(user_id)["user_id"] == user_id

    def test_of_nobody_is_zero(self, litellm: Proxy) -> None:
        assert litellm.done("/user/delete", {"user_ids": []}) == 0

    def test_without_ids_is_invalid(self, litellm: Proxy) -> None:
        answer = litellm.post("/user/delete", {})
        assert answer.status == 422
        assert answer.body["detail"][0]["loc"] == ["body", "user_ids"]


class TestListUsers:
    def test_filters_by_part_of_the_email_whatever_its_case(self, litellm: Proxy) -> None:
        part = fresh("mail")
        users = [litellm.new_user(user_email=f"{part}-{number}@example.com") for number in range(3)]
        found = litellm.read("/user/list", user_email=part.upper(), page_size=2)
        assert (found["total"], found["page"], found["page_size"], found["total_pages"]) == (3, 1, 2, 2)
        rest = litellm.read("/user/list", user_email=part, page_size=2, page=2)
        assert {user["user_id"] for user in found["users"] + rest["users"]} == set(users)
        assert found["users"][0]["key_count"] == 0

    def test_newest_first(self, litellm: Proxy) -> None:
        part = fresh("mail")
        users = [litellm.new_user(user_email=f"{part}-{number}@example.com") for number in range(3)]
        found = litellm.read("/user/list", user_email=part)
        assert [user["user_id"] for user in found["users"]] == users[::-1]

    def test_by_their_ids_on_demand(self, litellm: Proxy) -> None:
        part = fresh("mail")
        names = [f"{part}-{name}" for name in ("c0", "0a", "a9")]
        users = [litellm.new_user(user_id=name, user_email=f"{name}@example.com") for name in names]
        query = {"user_email": part, "sort_by": "user_id", "sort_order": "asc", "page_size": 2}
        pages = [litellm.read("/user/list", page=page, **query) for page in (1, 2)]
        assert [user["user_id"] for page in pages for user in page["users"]] == sorted(users)
        assert [page["total"] for page in pages] == [3, 3]

    def test_filters_by_ids(self, litellm: Proxy) -> None:
        users = [litellm.new_user() for _ in range(2)]
        found = litellm.read("/user/list", user_ids=",".join(users))
        assert {user["user_id"] for user in found["users"]} == set(users)

    def test_filters_by_role(self, litellm: Proxy) -> None:
        part = fresh("mail")
        litellm.new_user(user_email=f"{part}-0@example.com", user_role="internal_user")
        viewer = litellm.new_user(user_email=f"{part}-1@example.com", user_role="internal_user_viewer")
        found = litellm.read("/user/list", user_email=part, role="internal_user_viewer")
        assert [user["user_id"] for user in found["users"]] == [viewer]

    def test_beyond_the_last_page_is_empty(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        found = litellm.read("/user/list", user_ids=user_id, page=9)
        assert (found["users"], found["total"], found["total_pages"]) == ([], 1, 1)

    @pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 422), (0, 422)])
    def test_page_size_is_at_most_100(self, litellm: Proxy, size: int, status: int) -> None:
        assert litellm.get("/user/list", page_size=size).status == status
