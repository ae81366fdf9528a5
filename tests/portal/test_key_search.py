"""Finding keys by their owners: the API and both portals find the same, and nobody finds what is somebody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.bulk import plan_bulk_change
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import create_api_key
from apikeys.upkeep import BulkChangeKey
from subscriptions.models import Subscription
from subscriptions.services import create_subscription
from tests.admin.conftest import listing
from tests.portal.conftest import Browser

Api = Callable[[User | None], APIClient]


@pytest.fixture
def found_by(
    browser: Browser, api: Api, ada: User, eve: User, *, ann: User, subscribed: list[Subscription]
) -> Callable[[User, str, str], list[str]]:
    """Ada and Eve have two keys each; which of them a face finds for a person."""
    User.objects.filter(pk=ada.pk).update(full_name="Ada King Lovelace", email="countess@analytical.example")
    User.objects.filter(pk=eve.pk).update(full_name="Eve Adair", email="eve@Elsewhere.example")
    create_subscription(eve, model="gpt-4o")
    for owner in (ada, eve):
        for name in ("night", "day"):
            create_api_key(owner, name=f"{owner.username} {name}", models=["gpt-4o"], description=f"the {name} job")

    def found(person: User, face: str, words: str) -> list[str]:
        if face.startswith("api"):
            field = {"api": "search", "api-owner": "owner"}[face]
            answer = api(person).get("/api/v1/api-keys", {field: words})
            assert answer.status_code == 200
            return sorted(row["name"] for row in answer.json()["results"])
        if face.startswith("portal"):
            field = {"portal": "q", "portal-owner": "person"}[face]
            everybody = {"of": "everybody"} if person == ann else {}
            context: Any = browser(person).get("/api-keys", {field: words, **everybody}).context
            return sorted(key.name for key in context["page"])
        context = browser(person).get(listing(ApiKey), {"q": words}).context
        return sorted(key.name for key in context["cl"].result_list)

    return found


ADAS, EVES = ["ada day", "ada night"], ["eve day", "eve night"]
# What is typed, and whose keys that finds by words and by the owner alone.
WORDS: dict[str, tuple[list[str], list[str]]] = {
    "lovelace": (ADAS, ADAS),
    "KING ada": (ADAS, ADAS),
    "ovelac": (ADAS, ADAS),
    "countess@ANALYTICAL.example": (ADAS, ADAS),
    "elsewhere": (EVES, EVES),
    "adair": (EVES, EVES),
    "ada": ([*ADAS, *EVES], [*ADAS, *EVES]),
    "lovelace night": (["ada night"], []),
    "job elsewhere": (EVES, []),
    "adair lovelace": ([], []),
    "100%": ([], []),
    "nobody": ([], []),
}


@pytest.mark.parametrize("words", sorted(WORDS))
def test_all_faces_find_the_same(found_by: Callable[..., list[str]], ann: User, words: str) -> None:
    by_words, by_owner = WORDS[words]
    assert {face: found_by(ann, face, words) for face in ("admin", "api", "portal")} == dict.fromkeys(
        ("admin", "api", "portal"), by_words
    )
    assert found_by(ann, "api-owner", words) == found_by(ann, "portal-owner", words) == by_owner


@pytest.mark.parametrize("words", sorted(WORDS))
def test_a_member_finds_only_the_own_keys(found_by: Callable[..., list[str]], eve: User, words: str) -> None:
    by_words, by_owner = WORDS[words]
    own = [name for name in by_words if name in EVES]
    assert found_by(eve, "api", words) == found_by(eve, "portal", words) == own
    assert found_by(eve, "api-owner", words) == [name for name in by_owner if name in EVES]
    assert found_by(eve, "portal-owner", words) == EVES, "whoever has no such field finds all the own keys"


def test_keys_are_found_by_what_is_looked_up_as_a_whole(
    found_by: Callable[..., list[str]], ann: User, eve: User
) -> None:
    key = ApiKey.objects.get(name="ada night")
    secret = ApiKeySecret.objects.get(key=key)
    ApiKeySecret.objects.filter(pk=secret.pk).update(last4="Zq_9")
    for words in (str(key.pk), secret.digest, "Zq_9"):
        for face in ("admin", "api", "portal"):
            assert found_by(ann, face, words) == ["ada night"], (face, words)
        assert found_by(eve, "api", words) == found_by(eve, "portal", words) == []


def test_the_keys_of_a_bulk_change_are_found_alike(
    found_by: Callable[..., list[str]], browser: Browser, ann: User
) -> None:
    plan_bulk_change(ann, action="block", which="no_limit")
    context: Any = browser(ann).get(listing(BulkChangeKey), {"q": "countess night"}).context
    assert [row.key.name for row in context["cl"].result_list] == ["ada night"]
