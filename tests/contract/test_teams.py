"""What LiteLLM does with teams and their members: `/team/...`."""

from datetime import datetime
from typing import Any

import pytest

from tests.contract.proxy import Proxy, fresh

LIMITS: dict[str, Any] = {"max_budget": 100, "budget_duration": "30d", "tpm_limit": 1000, "rpm_limit": 10}


def members(litellm: Proxy, team_id: str) -> dict[str, str]:
    return {member["user_id"]: member["role"] for member in litellm.team(team_id)["members_with_roles"]}


def memberships(litellm: Proxy, team_id: str) -> dict[str, Any]:
    found = litellm.read("/team/info", team_id=team_id)["team_memberships"]
    return {membership["user_id"]: membership for membership in found}


class TestNewTeam:
    def test_keeps_what_it_was_given(self, litellm: Proxy) -> None:
        team_id = fresh("team")
        given = {"team_alias": "Two", "models": ["gpt-4o"], "metadata": {"cost": "42"}} | LIMITS
        made = litellm.done("/team/new", {"team_id": team_id, **given})
        team = litellm.team(team_id)
        for shown in (made, team):
            assert {name: shown[name] for name in given} == given
            assert (shown["team_id"], shown["spend"], shown["blocked"]) == (team_id, 0.0, False)

    def test_without_an_id_gets_one(self, litellm: Proxy) -> None:
        made = litellm.done("/team/new", {"team_alias": "Auto"})
        assert litellm.team(made["team_id"])["team_alias"] == "Auto"

    def test_the_caller_becomes_its_admin(self, litellm: Proxy) -> None:
        assert members(litellm, litellm.new_team()) == {"default_user_id": "admin"}

    def test_unknown_members_become_users(self, litellm: Proxy) -> None:
        admin, user = fresh("user"), fresh("user")
        roles = [{"role": "admin", "user_id": admin}, {"role": "user", "user_id": user}]
        team_id = litellm.new_team(members_with_roles=roles)
        assert members(litellm, team_id) == {admin: "admin", user: "user", "default_user_id": "admin"}
        assert litellm.user(user)["teams"] == [team_id]

    def test_with_an_id_that_exists_is_a_bad_request(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        answer = litellm.post("/team/new", {"team_id": team_id})
        assert answer.refusal == (400, litellm.either("invalid_request_error", "internal_server_error"))
        text = f"Team id = {team_id} already exists. Please use a different team id."
        assert answer.error["message"] == f"{{'error': '{text}'}}"

    def test_takes_an_alias_and_models_that_exist_or_not(self, litellm: Proxy) -> None:
        alias = fresh("alias")
        litellm.new_team(team_alias=alias)
        other = litellm.team(litellm.new_team(team_alias=alias, models=["no-such-model"]))
        assert (other["team_alias"], other["models"]) == (alias, ["no-such-model"])

    def test_a_negative_budget_is_a_bad_request(self, litellm: Proxy) -> None:
        assert litellm.post("/team/new", {"team_id": fresh("team"), "max_budget": -1}).status == 400


class TestTeamInfo:
    def test_of_an_unknown_team_is_not_found(self, litellm: Proxy) -> None:
        answer = litellm.get("/team/info", team_id="nowhere")
        assert answer.refusal == (404, litellm.either("invalid_request_error", "auth_error"))
        assert answer.error["message"] == "{'message': 'Team not found, passed team id: nowhere.'}"

    def test_without_an_id_is_invalid(self, litellm: Proxy) -> None:
        assert litellm.get("/team/info").status == 422

    def test_names_its_first_members_by_email_too(self, litellm: Proxy) -> None:
        email = f"{fresh('mail')}@example.com"
        user_id = litellm.new_user(user_email=email)
        team_id = litellm.new_team(members_with_roles=[{"role": "user", "user_id": user_id}])
        emails = {row["user_id"]: row["user_email"] for row in litellm.team(team_id)["members_with_roles"]}
        assert emails == {user_id: litellm.either(email, None), "default_user_id": None}

    def test_shows_its_keys(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        key = litellm.new_key(team_id=team_id)
        assert [shown["token"] for shown in litellm.read("/team/info", team_id=team_id)["keys"]] == [key.token]


class TestUpdateTeam:
    def test_changes_what_is_given_and_leaves_the_rest(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(team_alias="Old", models=["gpt-4o"], metadata={"a": 1})
        answer = litellm.done("/team/update", {"team_id": team_id, "team_alias": "New", "models": []})
        assert (answer["team_id"], answer["data"]["team_alias"]) == (team_id, "New")
        team = litellm.team(team_id)
        assert (team["team_alias"], team["models"], team["metadata"]) == ("New", [], {"a": 1})

    def test_nulls_clear_limits(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(**LIMITS)
        before = litellm.team(team_id)["budget_reset_at"]
        litellm.done("/team/update", {"team_id": team_id} | dict.fromkeys(LIMITS))
        team = litellm.team(team_id)
        assert {name: team[name] for name in LIMITS} == dict.fromkeys(LIMITS)
        assert team["budget_reset_at"] == litellm.either(None, before)

    def test_a_budget_period_sets_when_it_resets(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        assert litellm.team(team_id)["budget_reset_at"] is None
        litellm.done("/team/update", {"team_id": team_id, "max_budget": 1, "budget_duration": "30d"})
        assert datetime.fromisoformat(litellm.team(team_id)["budget_reset_at"]).day == 1

    def test_null_clears_the_alias_but_not_models_and_metadata(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(team_alias="Old", models=["gpt-4o"], metadata={"a": 1})
        litellm.done("/team/update", {"team_id": team_id, "team_alias": None})
        for name in ("models", "metadata"):
            answer = litellm.post("/team/update", {"team_id": team_id, name: None})
            assert answer.refusal == (500, "internal_server_error")
        team = litellm.team(team_id)
        assert (team["team_alias"], team["models"], team["metadata"]) == (None, ["gpt-4o"], {"a": 1})

    def test_empty_list_and_object_and_zero_are_values(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(models=["gpt-4o"], metadata={"a": 1}, max_budget=9, tpm_limit=9)
        given: dict[str, Any] = {"models": [], "metadata": {}, "max_budget": 0, "tpm_limit": 0}
        litellm.done("/team/update", {"team_id": team_id} | given)
        team = litellm.team(team_id)
        assert {name: team[name] for name in given} == given

    def test_of_an_unknown_team_is_not_found(self, litellm: Proxy) -> None:
        answer = litellm.post("/team/update", {"team_id": "nowhere", "max_budget": 1})
        assert answer.status == 404
        assert answer.error["message"] == "{'error': 'Team not found, passed team_id=nowhere'}"

    def test_a_budget_for_a_model_needs_a_licence_or_is_ignored(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        budget = {"gpt-4o": {"budget_limit": 1, "time_period": "1d"}}
        answer = litellm.post("/team/update", {"team_id": team_id, "model_max_budget": budget})
        assert answer.status == litellm.either(403, 200)
        if answer.status == 403:
            assert "You must be a LiteLLM Enterprise user to use this feature" in answer.error["message"]


class TestBlockTeam:
    def test_shows_in_the_team(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        assert litellm.done("/team/block", {"team_id": team_id})["blocked"] is True
        assert litellm.team(team_id)["blocked"] is True
        assert litellm.done("/team/unblock", {"team_id": team_id})["blocked"] is False

    def test_refuses_its_keys_at_once_or_only_after_a_minute(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        key = litellm.new_key(team_id=team_id)
        assert litellm.chat(key).status == 200
        litellm.done("/team/block", {"team_id": team_id})
        answer = litellm.chat(key)
        assert answer.status == litellm.either(401, 200)
        if answer.status == 401:
            assert answer.error["type"] == "auth_error"
            assert answer.error["message"].startswith(f"Authentication Error, Team={team_id} is blocked.")
        litellm.done("/team/unblock", {"team_id": team_id})
        assert litellm.chat(key).status == 200

    def test_by_an_update_refuses_its_keys_and_takes_them_again_at_once(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        key = litellm.new_key(team_id=team_id)
        others = litellm.new_key()
        for blocked, status in ((True, 401), (False, 200), (True, 401)):
            answer = litellm.done("/team/update", {"team_id": team_id, "blocked": blocked})
            assert answer["data"]["blocked"] is litellm.team(team_id)["blocked"] is blocked
            assert (litellm.chat(key).status, litellm.chat(others).status) == (status, 200)
        refused = litellm.chat(key).error
        assert refused["message"].startswith(f"Authentication Error, Team={team_id} is blocked.")
        litellm.done("/team/update", {"team_id": team_id, "blocked": False, "max_budget": 5})
        assert litellm.chat(key).status == 200

    def test_another_update_leaves_it_blocked(self, litellm: Proxy) -> None:
        team_id = litellm.new_team(blocked=True)
        litellm.done("/team/update", {"team_id": team_id, "max_budget": 5})
        assert litellm.team(team_id)["blocked"] is True

    def test_unblocking_takes_its_keys_at_once_or_only_after_a_minute(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        key = litellm.new_key(team_id=team_id)
        litellm.done("/team/update", {"team_id": team_id, "blocked": True})
        assert litellm.chat(key).status == 401
        litellm.done("/team/unblock", {"team_id": team_id})
        assert litellm.team(team_id)["blocked"] is False
        assert litellm.chat(key).status == litellm.either(200, 401)

    def test_shows_in_the_list(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        litellm.done("/team/block", {"team_id": team_id})
        [team] = litellm.read("/v2/team/list", team_id=team_id)["teams"]
        assert team["blocked"] is True

    def test_of_an_unknown_team_is_not_found(self, litellm: Proxy) -> None:
        answer = litellm.post("/team/block", {"team_id": "nowhere"})
        assert (answer.status, answer.body) == (404, {"detail": {"error": "Team not found, passed team_id=nowhere"}})


class TestDeleteTeam:
    def test_takes_its_keys_and_memberships_along(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        user_id = litellm.new_user(teams=[team_id])
        key = litellm.new_key(user_id=user_id, team_id=team_id)
        assert litellm.done("/team/delete", {"team_ids": [team_id]}) == {"deleted_teams": [team_id]}
        assert litellm.get("/team/info", team_id=team_id).status == 404
        assert litellm.read("/user/info", user_id=user_id)["keys"] == []
        assert litellm.user(user_id)["teams"] == []
        info = litellm.get("/key/info", key=key.secret)
        assert info.status == litellm.either(200, 404)
        if info.status == 200:
            assert info.body["info"]["status"] == "deleted"

    def test_with_one_unknown_deletes_none(self, litellm: Proxy) -> None:
        team_id = litellm.new_team()
        answer = litellm.post("/team/delete", {"team_ids": [team_id, "nowhere"]})
        assert (answer.status, answer.body) == (404, {"detail": {"error": "Team not found, passed team_id=nowhere"}})
        assert litellm.team(team_id)["team_id"] == team_id


class TestListTeams:
    def test_of_a_user_is_a_bare_list(self, litellm: Proxy) -> None:
        teams = [litellm.new_team(), litellm.new_team()]
        user_id = litellm.new_user(teams=teams)
        found = litellm.read("/team/list", user_id=user_id)
        assert {team["team_id"] for team in found} == set(teams)
        mine = [user_id in {row["user_id"] for row in team["team_memberships"]} for team in found]
        assert mine == litellm.either([True, True], [False, False])

    def test_of_an_unknown_user_is_empty(self, litellm: Proxy) -> None:
        assert litellm.read("/team/list", user_id=fresh("nobody")) == []

    def test_v2_has_pages(self, litellm: Proxy) -> None:
        teams = [litellm.new_team() for _ in range(3)]
        user_id = litellm.new_user(teams=teams)
        pages = [litellm.read("/v2/team/list", user_id=user_id, page=page, page_size=2) for page in (1, 2)]
        assert [(page["total"], page["page"], page["page_size"], page["total_pages"]) for page in pages] == [
            (3, 1, 2, 2),
            (3, 2, 2, 2),
        ]
        assert {team["team_id"] for page in pages for team in page["teams"]} == set(teams)

    def test_v2_by_their_ids_on_demand(self, litellm: Proxy) -> None:
        part = fresh("team")
        names = [f"{part}-{name}" for name in ("c0", "0a", "a9")]
        teams = [litellm.new_team(team_id=name, team_alias=name) for name in names]
        member = litellm.new_user(teams=teams[:1])
        query = {"team_alias": part, "sort_by": "team_id", "sort_order": "asc", "page_size": 2}
        pages = [litellm.read("/v2/team/list", page=page, **query) for page in (1, 2)]
        found = [team for page in pages for team in page["teams"]]
        assert [team["team_id"] for team in found] == sorted(teams)
        members = {team["team_id"]: [one["user_id"] for one in team["members_with_roles"]] for team in found}
        assert member in members[teams[0]]
        assert member not in members[teams[1]]

    def test_v2_filters_by_alias(self, litellm: Proxy) -> None:
        alias = fresh("alias")
        team_id = litellm.new_team(team_alias=alias)
        found = litellm.read("/v2/team/list", team_alias=alias)["teams"]
        assert [team["team_id"] for team in found] == [team_id]

    def test_v2_of_an_unknown_user_is_not_found(self, litellm: Proxy) -> None:
        user_id = fresh("nobody")
        answer = litellm.get("/v2/team/list", user_id=user_id)
        assert (answer.status, answer.body) == (404, {"detail": {"error": f"User not found, passed user_id={user_id}"}})

    @pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 422)])
    def test_v2_page_size_is_at_most_100(self, litellm: Proxy, size: int, status: int) -> None:
        assert litellm.get("/v2/team/list", page_size=size).status == status


class TestAddMember:
    def test_adds_a_known_user(self, litellm: Proxy) -> None:
        email = f"{fresh('mail')}@example.com"
        team_id, user_id = litellm.new_team(), litellm.new_user(user_email=email)
        answer = litellm.done("/team/member_add", {"team_id": team_id, "member": {"role": "user", "user_id": user_id}})
        joined = [row["user_id"] for row in answer["updated_team_memberships"]]
        assert joined == litellm.either([user_id], [])
        found = {row["user_id"]: row["user_email"] for row in litellm.team(team_id)["members_with_roles"]}
        assert found == {"default_user_id": None, user_id: email}
        assert litellm.user(user_id)["teams"] == [team_id]

    def test_adds_a_list(self, litellm: Proxy) -> None:
        team_id, users = litellm.new_team(), [litellm.new_user(), litellm.new_user()]
        asked = [{"role": "user", "user_id": user_id} for user_id in users]
        litellm.done("/team/member_add", {"team_id": team_id, "member": asked})
        assert members(litellm, team_id) == {"default_user_id": "admin"} | dict.fromkeys(users, "user")

    def test_creates_an_unknown_user(self, litellm: Proxy) -> None:
        team_id, user_id = litellm.new_team(), fresh("user")
        litellm.done("/team/member_add", {"team_id": team_id, "member": {"role": "user", "user_id": user_id}})
        user = litellm.user(user_id)
        assert (user["user_role"], user["teams"]) == ("internal_user", [team_id])

    def test_finds_a_user_by_email_and_creates_an_unknown_one(self, litellm: Proxy) -> None:
        email, unknown = (f"{fresh('mail')}@example.com" for _ in range(2))
        team_id, user_id = litellm.new_team(), litellm.new_user(user_email=email)
        for address in (email, unknown):
            asked = {"role": "user", "user_email": address}
            litellm.done("/team/member_add", {"team_id": team_id, "member": asked})
        found = {row["user_email"]: row["user_id"] for row in litellm.team(team_id)["members_with_roles"]}
        assert found[email] == user_id
        assert litellm.user(found[unknown])["user_role"] == "internal_user"

    def test_of_a_member_is_a_bad_request(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        team_id = litellm.new_team(members_with_roles=[{"role": "user", "user_id": user_id}])
        answer = litellm.post("/team/member_add", {"team_id": team_id, "member": {"role": "user", "user_id": user_id}})
        assert answer.refusal == (400, "team_member_already_in_team")
        start = f"User already in team. Member: user_id={user_id}, user_email=None. Existing members=["
        assert answer.error["message"].startswith(start)

    def test_of_a_list_passes_over_members(self, litellm: Proxy) -> None:
        old, new = litellm.new_user(), litellm.new_user()
        team_id = litellm.new_team(members_with_roles=[{"role": "user", "user_id": old}])
        both = [{"role": "user", "user_id": old}, {"role": "user", "user_id": new}]
        litellm.done("/team/member_add", {"team_id": team_id, "member": both})
        assert members(litellm, team_id) == {old: "user", "default_user_id": "admin", new: "user"}
        answer = litellm.post("/team/member_add", {"team_id": team_id, "member": both})
        assert answer.refusal == (400, "team_member_already_in_team")
        assert answer.error["message"].startswith("All users are already in team. Existing members=[")

    def test_as_an_admin_needs_a_licence(self, litellm: Proxy) -> None:
        team_id, user_id = litellm.new_team(), litellm.new_user()
        answer = litellm.post("/team/member_add", {"team_id": team_id, "member": {"role": "admin", "user_id": user_id}})
        assert answer.status == 400
        assert answer.body["detail"]["error"].startswith("Assigning team admins is a premium feature.")
        assert members(litellm, team_id) == {"default_user_id": "admin"}

    def test_to_an_unknown_team_is_not_found(self, litellm: Proxy) -> None:
        answer = litellm.post("/team/member_add", {"team_id": "nowhere", "member": {"role": "user", "user_id": "x"}})
        text = "Team doesn't exist in db. Team=nowhere. Create team via `/team/new` call."
        assert (answer.status, answer.body) == (404, {"detail": {"error": text}})

    def test_with_a_budget(self, litellm: Proxy) -> None:
        team_id, user_id = litellm.new_team(), litellm.new_user()
        asked = {"team_id": team_id, "member": {"role": "user", "user_id": user_id}, "max_budget_in_team": 5}
        litellm.done("/team/member_add", asked)
        assert memberships(litellm, team_id)[user_id]["litellm_budget_table"]["max_budget"] == 5.0


class TestUpdateMember:
    def test_sets_what_it_may_spend(self, litellm: Proxy) -> None:
        user_id = litellm.new_user()
        team_id = litellm.new_team(members_with_roles=[{"role": "user", "user_id": user_id}])
        asked = {"team_id": team_id, "user_id": user_id, "max_budget_in_team": 7.5}
        answer = litellm.done("/team/member_update", asked)
        assert {name: answer[name] for name in asked} == asked
        assert memberships(litellm, team_id)[user_id]["litellm_budget_table"]["max_budget"] == 7.5

    def test_of_somebody_else_answers_as_if_it_were_done(self, litellm: Proxy) -> None:
        team_id, user_id = litellm.new_team(), fresh("nobody")
        asked = {"team_id": team_id, "user_id": user_id, "max_budget_in_team": 7.5}
        assert litellm.done("/team/member_update", asked)["max_budget_in_team"] == 7.5
        assert user_id not in members(litellm, team_id)

    def test_of_an_unknown_team_is_a_bad_request(self, litellm: Proxy) -> None:
        asked = {"team_id": "nowhere", "user_id": "x", "max_budget_in_team": 7.5}
        answer = litellm.post("/team/member_update", asked)
        assert (answer.status, answer.body) == (400, {"detail": {"error": "Team id=nowhere does not exist in db"}})


class TestRemoveMember:
    @pytest.mark.parametrize("field", ["user_id", "user_email"])
    def test_by_id_or_email(self, litellm: Proxy, field: str) -> None:
        email = f"{fresh('mail')}@example.com"
        team_id, user_id = litellm.new_team(), litellm.new_user(user_email=email)
        litellm.done("/team/member_add", {"team_id": team_id, "member": {"role": "user", "user_id": user_id}})
        asked = {"user_id": user_id, "user_email": email}[field]
        litellm.done("/team/member_delete", {"team_id": team_id, field: asked})
        assert members(litellm, team_id) == {"default_user_id": "admin"}
        assert litellm.user(user_id)["teams"] == []

    def test_takes_the_members_keys_of_this_team_along(self, litellm: Proxy) -> None:
        teams = [litellm.new_team(), litellm.new_team()]
        user_id, other = litellm.new_user(teams=teams), litellm.new_user(teams=teams)
        key, elsewhere = (litellm.new_key(user_id=user_id, team_id=team) for team in teams)
        colleague = litellm.new_key(user_id=other, team_id=teams[0])
        assert litellm.chat(key).status == 200
        litellm.done("/team/member_delete", {"team_id": teams[0], "user_id": user_id})
        left = {row["token"] for row in litellm.read("/user/info", user_id=user_id)["keys"]}
        assert left == {elsewhere.token}
        info = litellm.get("/key/info", key=key.secret)
        assert info.status == 404 or info.body["info"]["status"] == "deleted"
        assert [litellm.chat(one).status for one in (elsewhere, colleague)] == [200, 200]

    @pytest.mark.parametrize("known", [True, False])
    def test_of_a_stranger_or_an_unknown_team_is_a_bad_request(self, litellm: Proxy, known: bool) -> None:  # noqa: FBT001
        team_id = litellm.new_team() if known else "nowhere"
        answer = litellm.post("/team/member_delete", {"team_id": team_id, "user_id": "nobody"})
        text = "User not found in team" if known else "Team id=nowhere does not exist in db"
        assert (answer.status, answer.body) == (400, {"detail": {"error": text}})
