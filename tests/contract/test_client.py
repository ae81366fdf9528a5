"""The product's own client in front of both releases: people by their addresses, page by page."""

import pytest

from litellm_sync.client import LiteLLM
from litellm_sync.client.transport import Transport
from tests.contract.proxy import Proxy, fresh


@pytest.fixture
def client(litellm: Proxy, monkeypatch: pytest.MonkeyPatch) -> LiteLLM:
    """A client whose pages hold two."""
    monkeypatch.setattr("litellm_sync.client.lists.PAGE", 2)
    return LiteLLM(60.0, Transport(litellm.url, litellm.master_key))


def test_people_with_a_part_of_an_address_come_by_their_ids(litellm: Proxy, client: LiteLLM) -> None:
    part = fresh("mail")
    ids = [f"{part}-{end}" for end in ("c0", "0a", "a9", "f7", "77")]
    for user_id in ids:
        litellm.new_user(user_id=user_id, user_email=f"{user_id}@Example.com")
    litellm.new_user(user_id=f"{part}-b0", user_email=f"{fresh('mail')}@example.com")
    litellm.new_user(user_id=f"{part}-b1")
    pages = [client.get_user_page(number, email=f"{part.upper()}-") for number in (1, 2, 3, 4)]
    assert [[user.user_id for user in page.rows] for page in pages] == [
        [f"{part}-0a", f"{part}-77"],
        [f"{part}-a9", f"{part}-c0"],
        [f"{part}-f7"],
        [],
    ]
    assert [(page.total, page.is_last) for page in pages] == [(5, False), (5, False), (5, True), (5, True)]
    assert {(user.email or "").lower() for user in pages[0].rows} == {
        f"{part}-0a@example.com",
        f"{part}-77@example.com",
    }


def test_nobody_with_an_address_is_an_empty_last_page(client: LiteLLM) -> None:
    page = client.get_user_page(1, email=f"{fresh('mail')}@example.com")
    assert (page.rows, page.total, page.is_last) == ((), 0, True)


@pytest.mark.parametrize("odd", ["", "+tag", "_", "%", "o'neill", "&page=9", "#"])
def test_who_has_an_address_is_found_beside_longer_and_similar_ones(litellm: Proxy, client: LiteLLM, odd: str) -> None:
    name = fresh("mail")
    address = f"{name}{odd}x@example.com"
    similar = f"{name}{'q' * max(1, len(odd))}x@example.com"
    for number, one in enumerate((address, f"a{address}", f"{address}.org", f"{name}{odd}yx@example.com", similar)):
        litellm.new_user(user_id=f"{name}-{9 - number}", user_email=one)
    assert client.get_user_ids_with_email(address) == {f"{name}-9"}
    assert client.get_user_ids_with_email(address.upper()) == {f"{name}-9"}
    # LiteLLM lets two have one address.
    litellm.done("/user/update", {"user_id": f"{name}-5", "user_email": address})
    assert client.get_user_ids_with_email(address) == {f"{name}-5", f"{name}-9"}
    assert client.get_user_ids_with_email(similar) == set()


@pytest.mark.parametrize(("sign", "other"), [("_", "q"), ("_", "-"), ("%", ""), ("%", "anything")])
def test_an_address_with_a_wildcard_seems_taken_but_can_be_given(
    litellm: Proxy, client: LiteLLM, sign: str, other: str
) -> None:
    name = fresh("mail")
    address, similar = f"{name}{sign}x@example.com", f"{name}{other}x@example.com"
    litellm.new_user(user_id=f"{name}-0", user_email=similar)
    refused = litellm.post("/user/new", {"user_id": f"{name}-1", "user_email": address.upper()})
    assert refused.status == 409
    assert f"User with email {similar} already exists" in refused.error["message"]
    litellm.new_user(user_id=f"{name}-1")
    litellm.done("/user/update", {"user_id": f"{name}-1", "user_email": address})
    assert litellm.read("/user/list", user_email=address)["total"] == 2
    assert client.get_user_ids_with_email(address) == {f"{name}-1"}
    assert client.get_user_ids_with_email(similar) == {f"{name}-0"}
