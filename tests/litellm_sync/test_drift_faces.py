"""Differences and proofs as people and programs see them: the API, the admin portal, the page of a key."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.services import IssuedKey, create_api_key
from litellm_sync import integration, proof, state
from litellm_sync.drift import Drift, DriftKind
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litemaas.foundation.checks import MENDABLE, what_is_mended_is_known
from subscriptions.models import Subscription
from tests.admin.conftest import listing, page
from tests.litellm_sync.test_reconcile import KIND, compare, post, push_everything

pytestmark = pytest.mark.django_db

Api = Callable[[User | None], APIClient]
Browser = Callable[[User | None], Client]


@pytest.fixture
def issued(ada: User, subscribed: list[Subscription], litellm: Emulator) -> IssuedKey:
    """A key of ada's, and everything in step."""
    made = create_api_key(ada, name="notebook", models=["gpt-4o"])
    push_everything()
    return made


@pytest.fixture
def differing(issued: IssuedKey, litellm: Emulator) -> dict[str, Any]:
    """A key of ours that was changed, and one that was made in LiteLLM."""
    post(litellm, "/key/update", key=issued.key.secrets.get().digest, max_budget=50, models=["gpt-4o", "claude-sonnet"])
    made: dict[str, Any] = post(litellm, "/key/generate", key_alias="langfuse", models=["gpt-4o"])
    compare()
    return made


def test_the_api_lists_what_differs_with_filters_and_pages(
    issued: IssuedKey, differing: dict[str, Any], ro: User, api: Api
) -> None:
    everything = api(ro).get("/api/v1/integration/drift").json()
    assert everything["count"] == 2
    [changed] = api(ro).get("/api/v1/integration/drift?kind=different&what=key").json()["results"]
    secret = issued.key.secrets.get()
    assert (changed["object_id"], changed["row_id"], changed["name"]) == (
        secret.digest,
        str(secret.pk),
        f"notebook ({secret})",
    )
    assert changed["details"]["fields"] == {
        "max_budget": [None, "50.0"],
        "models": [["gpt-4o"], ["gpt-4o", "claude-sonnet"]],
    }
    [unknown] = api(ro).get("/api/v1/integration/drift?kind=unknown").json()["results"]
    assert (unknown["name"], unknown["row_id"], unknown["asked_at"]) == ("langfuse", None, None)
    assert api(ro).get("/api/v1/integration/drift?what=team").json()["results"] == []
    assert api(ro).get("/api/v1/integration/drift?kind=nonsense").status_code == 422
    turned = [
        api(ro).get(f"/api/v1/integration/drift?page_size=1&page={number}").json()["results"] for number in (1, 2)
    ]
    assert {row["id"] for rows in turned for row in rows} == {changed["id"], unknown["id"]}
    assert api(ro).get(f"/api/v1/integration/drift?search={differing['token'][:12]}").json()["count"] == 1
    assert differing["key"] not in str(everything)


def test_the_api_adopts_and_blocks(
    issued: IssuedKey, differing: dict[str, Any], ann: User, ada: User, api: Api
) -> None:
    drift = Drift.objects.get(kind=DriftKind.UNKNOWN)
    address = f"/api/v1/integration/drift/{drift.pk}"
    assert api(ann).post(f"{address}/block").json()["details"]["blocked"] is True
    assert api(ann).post(f"{address}/unblock").json()["details"]["blocked"] is False
    refused = api(ann).post(f"{address}/adopt", {"owner": "nobody"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_owner")
    adopted = api(ann).post(f"{address}/adopt", {"owner": "ada"}, format="json")
    assert (adopted.status_code, adopted.json()["user"], "secret" in adopted.json()) == (201, str(ada.pk), False)
    assert api(ann).post(f"{address}/block").status_code == 404


def test_the_admin_portal_shows_what_widens_a_key_in_words(
    issued: IssuedKey, litellm: Emulator, ann: User, browser: Browser
) -> None:
    metadata = {"throttled": "no", "model_rpm_limit": {"gpt-4o": 3}}
    changes = {"access_group_ids": ["a-group"], "aliases": {"gpt-4o": "gpt-5"}, "metadata": metadata}
    post(litellm, "/key/update", key=issued.key.secrets.get().digest, **changes)
    compare()
    text = browser(ann).get(page(Drift.objects.get())).content.decode()
    for words in ("Access groups", "a-group", "Other models under a name", "gpt-4o: gpt-5", "throttled: no"):
        assert words in text


def test_the_admin_portal_shows_both_sides_and_mends(
    issued: IssuedKey, differing: dict[str, Any], ann: User, browser: Browser
) -> None:
    text = browser(ann).get(listing(Drift)).content.decode()
    assert "langfuse" in text
    assert "Budget, Models" in text
    changed, unknown = Drift.objects.get(kind="different"), Drift.objects.get(kind="unknown")
    one = browser(ann).get(page(changed)).content.decode()
    assert "gpt-4o, claude-sonnet" in one
    assert page(changed, "mend") in one
    assert page(changed, "adopt") not in one
    asked = browser(ann).get(page(unknown, "adopt")).content.decode()
    assert "langfuse" in asked
    browser(ann).post(page(unknown, "adopt"), {"owner": "ada"})
    assert not Drift.objects.filter(kind="unknown").exists()
    browser(ann).post("/admin/litellm_sync/drift/mend-all/", {"kind": "different", "what": ""})
    assert ApiKeySecret.objects.get(pk=changed.row_id).sync_status == "pending"


def test_a_wrong_owner_is_said_at_the_field(differing: dict[str, Any], ann: User, browser: Browser) -> None:
    answer = browser(ann).post(page(Drift.objects.get(kind="unknown"), "adopt"), {"owner": "nobody"})
    assert answer.status_code == 422
    assert "There is no active person of this name." in answer.content.decode()


def stopped(api: Api, user: User, key: Any) -> Any:
    """What the API says of a key's end, in the list and alone."""
    alone = api(user).get(f"/api/v1/api-keys/{key.pk}").json()["stopped_at"]
    [listed] = [row["stopped_at"] for row in api(user).get("/api/v1/api-keys").json()["results"]]
    assert alone == listed
    [way] = [row["stopped_proof"] for row in api(user).get("/api/v1/api-keys").json()["results"]]
    assert (way is None) is (alone is None)
    return alone


def test_the_end_of_a_key_is_shown_from_the_wish_to_the_proof(
    issued: IssuedKey, ada: User, ann: User, api: Api, browser: Browser
) -> None:
    def shown() -> str:
        pages = (f"/api-keys/{issued.key.pk}", f"/admin/apikeys/apikey/{issued.key.pk}/change/")
        return " ".join(
            browser(person).get(path).content.decode() for person, path in zip((ada, ann), pages, strict=True)
        )

    assert "Stopped in LiteLLM" not in shown()
    revoke_api_key(ada, key_id=issued.key.pk)
    assert shown().count("Not yet proven") == 2
    push(KIND, str(issued.key.secrets.get().pk), limit=5)
    assert shown().count("Refused since") == 2
    assert stopped(api, ada, issued.key) is None
    proof.prove_due(timezone.now() + proof.LATE + timedelta(seconds=1))
    text = shown()
    assert text.count("no call got through after it was refused") == 2
    assert stopped(api, ada, issued.key) is not None
    ways = {
        "read_back": ("could not be read, so calls were not looked at", "read_back"),
        "": ("In which way was not noted then", "unknown"),
    }
    for way, (words, told) in ways.items():
        ApiKeySecret.objects.update(proven_by=way)
        assert shown().count(words) == 2
        assert api(ada).get(f"/api/v1/api-keys/{issued.key.pk}").json()["stopped_proof"] == told
    ApiKeySecret.objects.update(worked_at=timezone.now(), proven_at=None)
    assert shown().count("Still works: alarm") == 2
    assert stopped(api, ada, issued.key) is None


def test_a_key_without_a_usable_model_shows_its_end_until_a_model_is_back(
    issued: IssuedKey, ada: User, ann: User, api: Api, browser: Browser
) -> None:
    def shown(words: str) -> int:
        paths = {f"/api-keys/{issued.key.pk}": ada, f"/admin/apikeys/apikey/{issued.key.pk}/change/": ann}
        return sum(browser(person).get(path).content.decode().count(words) for path, person in paths.items())

    for status, stays in (("suspended", True), ("active", False)):
        Subscription.objects.filter(user=ada).update(status=status)
        state.request_push(issued.key.secrets.get(), immediately=False)
        assert shown("Not yet proven") == 2 * stays
        push(KIND, str(issued.key.secrets.get().pk), limit=5)
        assert shown("Stopped, proof to come") == 2 * stays
        proof.prove_due(timezone.now() + proof.LATE + timedelta(seconds=1))
        assert shown("Stopped in LiteLLM") == 2 * stays
        assert (stopped(api, ada, issued.key) is not None) is stays
        assert api(ada).get(f"/api/v1/api-keys/{issued.key.pk}").json()["status"] == "active"


def test_the_list_of_keys_without_a_usable_model_asks_no_more_for_more_keys(
    issued: IssuedKey, ada: User, api: Api
) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            rows = api(ada).get("/api/v1/api-keys").json()["results"]
        assert all(row["stopped_at"] for row in rows)
        return len(queries)

    def end() -> None:
        for key in ApiKey.objects.all():
            push(KIND, str(key.secrets.get().pk), limit=5)
        proof.prove_due(timezone.now() + proof.LATE + timedelta(seconds=1))

    Subscription.objects.filter(user=ada).exclude(model="gpt-4o").update(status="suspended")
    more = [create_api_key(ada, name=f"k{number}", models=["gpt-4o"]).key for number in range(4)]
    push_everything()
    Subscription.objects.filter(user=ada).update(status="suspended")
    state.request_pushes(ApiKeySecret, ApiKeySecret.objects.values_list("pk", flat=True))
    end()
    several = asked()
    ApiKey.objects.filter(pk__in=[key.pk for key in more]).update(deleted_at=timezone.now())
    assert asked() == several


def test_the_dashboard_says_what_differs_and_what_must_not_work(
    issued: IssuedKey, differing: dict[str, Any], ada: User, ann: User, browser: Browser
) -> None:
    text = browser(ann).get("/admin/").content.decode()
    assert "Different in LiteLLM" in text
    assert "?kind=unknown" in text
    assert "calls got through all the same" not in text
    revoke_api_key(ada, key_id=issued.key.pk)
    ApiKeySecret.objects.update(worked_at=timezone.now())
    assert "calls got through all the same" in browser(ann).get("/admin/").content.decode()


def test_a_comparison_is_asked_for_like_any_run(issued: IssuedKey, ann: User, api: Api) -> None:
    asked = api(ann).post("/api/v1/integration/sync", {"what": "reconcile"}, format="json").json()
    integration.perform(asked["id"])
    run = api(ann).get(f"/api/v1/integration/runs/{asked['id']}").json()
    assert (run["kind"], run["status"], run["done"], run["report"]["compared"]) == ("reconcile", "done", 3, 3)


def test_the_check_knows_what_can_be_mended(settings: Any) -> None:
    assert {kind.value for kind in DriftKind} - {"unknown"} == MENDABLE
    settings.RECONCILE_MENDS = ["missing", "unknwon"]
    assert [(found.id, found.msg) for found in what_is_mended_is_known()] == [
        ("litemaas.E022", "RECONCILE_MENDS: 'unknwon' cannot be mended.")
    ]
