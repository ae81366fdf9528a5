"""Which release LiteLLM is, what is thought of it, and what needs a licence."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from litellm_sync import integration, versions
from litellm_sync.client import LiteLLM, transport
from litellm_sync.client.transport import NEEDS_ENTERPRISE
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import Upstream
from litellm_sync.versions import judge
from litemaas.foundation.errors import UpstreamRejected
from tests.cast import MASTER_KEY

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(params=["1.109.1", "1.81.15"])
def release(request: pytest.FixtureRequest, settings: Any) -> Iterator[Emulator]:
    """Both releases that the contract tests know."""
    with Emulator(master_key=MASTER_KEY, state=None, version=request.param) as emulator:
        settings.LITELLM_API_URL, settings.LITELLM_API_KEY = emulator.url, MASTER_KEY
        transport.shared.cache_clear()
        yield emulator
    transport.shared.cache_clear()


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("", "unknown"),
        ("nightly", "unknown"),
        ("0.1.0", "too_old"),
        ("1.81.14", "too_old"),
        ("1.81.15", "tested"),
        ("v1.81.15-stable", "tested"),
        ("1.81.16", "cannot_delete"),
        ("1.81.17", "sql_injection"),
        ("1.82.0", "sql_injection"),
        ("1.82.7", "malicious"),
        ("1.82.8", "malicious"),
        ("1.82.9", "sql_injection"),
        ("1.83.6", "sql_injection"),
        ("1.83.6.rc1", "sql_injection"),
        ("1.83.7", "untested"),
        ("1.107.0", "malicious"),
        ("1.107.1", "untested"),
        ("1.109.1", "tested"),
        ("1.110.0", "untested"),
        ("2.0.0", "untested"),
    ],
)
def test_releases_are_judged(version: str, code: str) -> None:
    judgement = judge(version)
    assert judgement.code == code
    assert judgement.is_bad is (code in {"cannot_delete", "malicious", "sql_injection"})


@pytest.mark.usefixtures("release")
def test_the_release_is_looked_up_and_kept(request: pytest.FixtureRequest) -> None:
    integration.notice(latency=5, now=NOW)
    versions.look(NOW)
    upstream = Upstream.objects.get()
    assert (upstream.version, upstream.enterprise, upstream.version_at) == (
        request.node.callspec.params["release"],
        False,
        NOW,
    )


def test_litellm_is_asked_rarely_and_again_at_the_end_of_an_outage(litellm: Emulator) -> None:
    versions.look(NOW)
    assert litellm.calls == []  # nobody has seen LiteLLM yet
    integration.notice(latency=5, now=NOW)
    versions.look(NOW)
    asked = len(litellm.calls)
    assert asked > 0
    versions.look(NOW + timedelta(minutes=4))
    assert len(litellm.calls) == asked
    integration.notice(latency=None, now=NOW)
    versions.look(NOW + timedelta(hours=1))
    assert len(litellm.calls) == asked
    integration.notice(latency=5, now=NOW)
    versions.look(NOW + timedelta(seconds=1))
    assert len(litellm.calls) == 2 * asked
    versions.look(NOW + timedelta(minutes=6))
    assert len(litellm.calls) == 3 * asked


def test_what_cannot_be_asked_is_asked_soon_again_and_what_was_known_stays(litellm: Emulator) -> None:
    Upstream.objects.create(id=1, checked_at=NOW, version="1.81.15", enterprise=True)
    litellm.faults.add("500")
    versions.look(NOW)
    upstream = Upstream.objects.get()
    assert (upstream.version, upstream.enterprise, upstream.version_at) == ("1.81.15", True, None)
    litellm.faults.clear()
    versions.look(NOW + timedelta(seconds=15))
    assert Upstream.objects.get().version == "1.109.1"


@pytest.mark.parametrize(("version", "kept"), [("1.109.1", True), ("1.108.0", None)])
def test_a_licence_that_cannot_be_asked_for_is_remembered_of_the_same_release(
    litellm: Emulator,
    version: str,
    kept: bool | None,  # noqa: FBT001
) -> None:
    Upstream.objects.create(id=1, checked_at=NOW, version=version, enterprise=True)
    litellm.faults.add("500", paths=["/global/spend/report"])
    versions.look(NOW)
    upstream = Upstream.objects.get()
    assert (upstream.version, upstream.enterprise) == ("1.109.1", kept)


def test_a_bad_release_is_said_to_administrators(
    ann: User, litellm: Emulator, browser: Callable[[User], Client], api: Callable[[User], APIClient]
) -> None:
    Upstream.objects.create(id=1, checked_at=NOW, version="1.82.7", version_at=NOW, enterprise=False)
    text = browser(ann).get("/admin/").content.decode()
    assert "LiteLLM 1.82.7: This release of LiteLLM was malicious." in text
    assert "Known to be bad" in text
    told = api(ann).get("/api/v1/integration/health").json()["version"]
    assert (told["version"], told["judgement"], told["enterprise"]) == ("1.82.7", "malicious", False)
    assert litellm.calls == []
    Upstream.objects.update(version="1.109.1")
    assert "Known to be bad" not in browser(ann).get("/admin/").content.decode()


# --- Enterprise ------------------------------------------------------------------------------------------------------

NEED_A_LICENCE: dict[str, Callable[[LiteLLM], Any]] = {
    "model_max_budget": lambda litellm: litellm._post(
        "create_key", "/key/generate", {"model_max_budget": {"gpt-4o": {"budget_limit": 1.0, "time_period": "1d"}}}
    ),
    "regenerate": lambda litellm: litellm._post("regenerate", "/key/regenerate", {"key": "sk-any"}),
    "tags": lambda litellm: litellm._post("create_key", "/key/generate", {"tags": ["a"]}),
}


@pytest.mark.parametrize("feature", sorted(NEED_A_LICENCE))
def test_trap_25_what_needs_a_licence_is_refused_for_good_and_says_so(release: Emulator, feature: str) -> None:
    """LiteLLM answers 500 or 403 to some of them: neither an outage nor a wrong credential."""
    litellm = LiteLLM(5.0)
    for _again in range(transport.CIRCUIT_FAILURES * 2):
        with pytest.raises(UpstreamRejected) as caught:
            NEED_A_LICENCE[feature](litellm)
        assert caught.value.details["reason"] == NEEDS_ENTERPRISE
    assert transport.configured().circuit.state == "closed"
    assert litellm.get_key_page(1).rows == ()


def test_trap_25_the_licence_is_detected_and_said(release: Emulator, ann: User, browser: Any) -> None:
    assert LiteLLM(5.0).has_enterprise(NOW.date()) is False
    integration.notice(latency=5, now=NOW)
    versions.look(NOW)
    assert "Without an Enterprise licence" in browser(ann).get("/admin/").content.decode()


def test_what_is_revoked_in_a_release_that_cannot_delete_keys_is_blocked_and_said_to_be() -> None:
    """The push blocks before it deletes (test_push.py): it does not go on working."""
    words = str(versions.judge("1.81.16").words)
    assert "stays there, blocked" in words
    assert "working" not in words
