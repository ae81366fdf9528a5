"""The client's operations on a LiteLLM of both releases: whole users, tokens of keys, models, reads with a fallback."""

from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest

from litellm_sync.client import LiteLLM, transport
from litellm_sync.client.bodies import NewUser
from litellm_sync.client.fallback import Answered, execute_with_fallback
from litellm_sync.emulator.server import Emulator
from litemaas.foundation.errors import Conflict, UpstreamRejected
from tests.cast import MASTER_KEY

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["1.109.1", "1.81.15"])
def release(request: pytest.FixtureRequest, settings: Any) -> Iterator[Emulator]:
    """Both releases that the contract tests know."""
    with Emulator(master_key=MASTER_KEY, state=None, version=request.param) as emulator:
        settings.LITELLM_API_URL, settings.LITELLM_API_KEY = emulator.url, MASTER_KEY
        transport.shared.cache_clear()
        yield emulator
    transport.shared.cache_clear()


@pytest.fixture
def client(release: Emulator) -> LiteLLM:
    """A client with a team and two people of it in LiteLLM."""
    litellm = LiteLLM(20.0)
    litellm.create_team({"team_id": "team", "team_alias": "A team", "models": []})
    for name in ("ada", "eve"):
        who: NewUser = {"user_id": name, "user_alias": name, "user_role": "internal_user", "teams": ["team"]}
        litellm.create_user({**who, "max_budget": 5.0, "tpm_limit": 100})
    return litellm


def make_key(litellm: LiteLLM, secret: str, owner: str = "ada") -> str:
    """A key as somebody made it in LiteLLM; returns its token."""
    token = sha256(secret.encode()).hexdigest()
    litellm.create_key(
        {
            "key": secret,
            "key_type": "llm_api",
            "key_alias": token,
            "user_id": owner,
            "team_id": "team",
            "models": [],
            "blocked": False,
            "metadata": {},
        }
    )
    return token


def test_a_whole_user_has_limits_keys_and_teams(client: LiteLLM) -> None:
    token = make_key(client, "sk-one-000000000000000000001111")
    make_key(client, "sk-not-hers-00000000000000002222", "eve")
    found = client.get_user_info_full("ada")
    assert found is not None
    assert (found.user.user_id, found.user.max_budget, found.user.tpm_limit) == ("ada", Decimal(5), 100)
    assert [(key.token, key.team_id, key.key_name[-4:]) for key in found.keys] == [(token, "team", "1111")]
    assert [(team.team_id, team.alias, "ada" in team.members) for team in found.teams] == [("team", "A team", True)]
    assert client.get_user_info_full("nobody") is None


def test_deleted_keys_are_no_longer_a_users(client: LiteLLM) -> None:
    token = make_key(client, "sk-one-000000000000000000001111")
    assert client.delete_key(token)
    found = client.get_user_info_full("ada")
    assert found is not None
    assert found.keys == ()
    assert client.get_api_key_token("ada", "sk-...1111") is None


def test_the_token_of_a_secret_is_its_digest_and_nothing_is_guessed(client: LiteLLM) -> None:
    secret = "sk-one-000000000000000000001111"
    token = make_key(client, secret)
    assert client.get_api_key_token("ada", secret) == token
    # The same last characters are not the same key.
    assert client.get_api_key_token("ada", "sk-two-000000000000000000001111") is None
    assert client.get_api_key_token("eve", secret) is None


@pytest.mark.parametrize("mask", ["...", "…"])
def test_of_a_foreign_key_the_last_four_characters_do_if_they_are_one_keys_alone(client: LiteLLM, mask: str) -> None:
    token = make_key(client, "sk-one-000000000000000000001111")
    make_key(client, "sk-two-000000000000000000002222")
    make_key(client, "sk-of-eve-0000000000000000001111", "eve")
    assert client.get_api_key_token("ada", f"sk-{mask}1111") == token
    assert client.get_api_key_token("ada", f"sk-{mask}3333") is None
    assert client.get_api_key_token("nobody", f"sk-{mask}1111") is None
    make_key(client, "sk-three-00000000000000000001111")
    with pytest.raises(Conflict) as caught:
        client.get_api_key_token("ada", f"sk-{mask}1111")
    assert caught.value.code == "ambiguous_key"


def test_a_model_is_found_by_its_public_name(client: LiteLLM) -> None:
    assert [(one.name, one.provider) for one in client.get_model_info("gpt-4o")] == [("gpt-4o", "openai")]
    assert client.get_model_info("gpt") == []


# --- Reads with a fallback -------------------------------------------------------------------------------------------


def read() -> Answered[int]:
    """How many models there are: LiteLLM's answer, or minus one as ours."""
    return execute_with_fallback(5.0, lambda litellm: len(litellm.get_models()), lambda: -1)


def test_a_read_says_who_answered(litellm: Emulator) -> None:
    assert read() == Answered(9, "litellm")


@pytest.mark.parametrize(("fault", "reason"), [("500", "http_500"), ("429", "http_429"), ("garbage", "garbage")])
def test_a_read_is_answered_from_our_tables_when_litellm_is_not_well(
    litellm: Emulator, fault: str, reason: str
) -> None:
    litellm.faults.add(fault)
    assert read() == Answered(-1, "local", reason)


def test_a_read_without_a_litellm_is_answered_from_our_tables() -> None:
    assert read() == Answered(-1, "local", "not_configured")


def test_a_refusal_is_an_answer(litellm: Emulator) -> None:
    with pytest.raises(UpstreamRejected):
        execute_with_fallback(5.0, lambda one: one._get("bad", "/user/list", page_size=5000), lambda: None)


def test_what_writes_has_no_fallback(litellm: Emulator) -> None:
    with pytest.raises(RuntimeError, match="block_key writes"):
        execute_with_fallback(5.0, lambda one: one.block_key("token"), lambda: None)
    assert litellm.calls == []
