"""The catalogue's synchronisation: incremental, careful, merged."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, User
from apikeys.models import ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import catalogue
from litellm_sync.client.answers import Deployment
from litellm_sync.emulator.server import Emulator
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import Conflict, UpstreamUnavailable
from subscriptions.models import Availability, Model, Subscription

pytestmark = pytest.mark.django_db


class Listing:
    """A LiteLLM that lists what it is told; the only method that a sync asks for."""

    def __init__(self, *deployments: Deployment) -> None:
        self.deployments = list(deployments)

    def get_models(self) -> list[Deployment]:
        """The deployments."""
        return self.deployments


def deployment(name: str, number: int = 0, **fields: Any) -> Deployment:
    """A deployment with usual values."""
    usual: dict[str, Any] = {
        "provider": "openai",
        "mode": "chat",
        "description": "",
        "context_length": 1000,
        "max_output_tokens": 100,
        "input_cost_per_token": Decimal("0.001"),
        "output_cost_per_token": Decimal("0.002"),
        "capabilities": ("vision",),
    }
    return Deployment(name=name, deployment_id=f"{name}-{number}", **(usual | fields))


def sync(*deployments: Deployment, confirmed: bool = False) -> catalogue.Report:
    """One synchronisation with a LiteLLM that lists these."""
    return catalogue.sync_models(Listing(*deployments), confirmed=confirmed)  # type: ignore[arg-type]  # a stand-in for its one method


def test_the_emulators_models_become_the_catalogue(litellm: Emulator) -> None:
    report = catalogue.sync_models()
    assert (len(report.added), report.unchanged) == (9, 0)
    model = Model.objects.get(pk="gpt-4o")
    assert (model.provider, model.mode, model.context_length) == ("openai", "chat", 128000)
    assert (model.input_cost_per_million, model.output_cost_per_million) == (Decimal("2.5"), Decimal(10))
    assert "vision" in model.capabilities
    assert Model.objects.get(pk="granite-3-8b").input_cost_per_token in (None, Decimal(0))


def test_nothing_new_writes_nothing() -> None:
    models = [deployment(f"m{number}") for number in range(20)]
    sync(*models)
    with CaptureQueriesContext(
        connection,
    ) as statements:
        report = sync(*models)
    written = [s["sql"] for s in statements if s["sql"].split()[0] in {"INSERT", "UPDATE", "DELETE"}]
    assert [sql for sql in written if 'SET "availability"' not in sql] == []
    assert (report.unchanged, report.added, report.changed) == (20, [], {})


def test_changes_are_reported_old_to_new() -> None:
    sync(deployment("m"))
    report = sync(deployment("m", input_cost_per_token=Decimal("0.003")))
    assert report.changed == {"m": {"input_cost_per_token": ["0.0010000000000000", "0.003"]}}
    assert Model.objects.get().input_cost_per_token == Decimal("0.003")
    assert AuditEvent.objects.filter(action="models.synced").count() == 2


def test_trap_27_several_deployments_of_one_name_are_one_model() -> None:
    sync(
        deployment("m", 1, context_length=1000, capabilities=("vision", "tool_choice")),
        deployment("m", 2, context_length=500, capabilities=("vision",), input_cost_per_token=Decimal("0.009")),
        deployment("m", 3, context_length=None, input_cost_per_token=None, description="With words"),
    )
    model = Model.objects.get()
    assert (model.context_length, model.capabilities, model.description) == (500, ["vision"], "With words")
    assert model.input_cost_per_token == Decimal("0.009")


@pytest.mark.parametrize("left", [0, 1, 4])
def test_trap_26_a_mass_disappearance_changes_nothing_until_confirmed(left: int) -> None:
    models = [deployment(f"m{number}") for number in range(10)]
    sync(*models)
    with pytest.raises(Conflict) as caught:
        sync(*models[:left])
    assert caught.value.code == "mass_disappearance"
    assert caught.value.details == {"gone": 10 - left, "available": 10}
    assert Model.objects.filter(availability=Availability.AVAILABLE).count() == 10
    assert len(sync(*models[:left], confirmed=True).hidden) == 10 - left


def test_trap_26_a_lone_model_may_go_and_a_litellm_that_is_not_ready_changes_nothing(litellm: Emulator) -> None:
    sync(deployment("a"), deployment("b"))
    assert sync(deployment("a")).hidden == ["b"]
    with pytest.raises(Conflict):
        sync()
    litellm.faults.add("500")
    with pytest.raises(UpstreamUnavailable):
        catalogue.sync_models()
    assert Model.objects.get(pk="a").is_available


def test_trap_26_what_disappears_comes_back_with_subscriptions_and_keys(
    ada: User, subscribed: list[Subscription]
) -> None:
    create_api_key(ada, name="k", models=["gpt-4o"])
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    report = sync(deployment("gpt-4o-mini"), deployment("claude-sonnet"))
    assert report.hidden == ["gpt-4o"]
    assert Subscription.objects.filter(user=ada, model="gpt-4o").exists()
    assert ApiKeySecret.objects.get().sync_status == SyncStatus.PENDING
    assert not ApiKeySecret.objects.get().key.links.effective().exists()

    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    report = sync(deployment("gpt-4o"), deployment("gpt-4o-mini"), deployment("claude-sonnet"))
    assert report.restored == ["gpt-4o"]
    assert ApiKeySecret.objects.get().sync_status == SyncStatus.PENDING
    assert [link.model_id for link in ApiKeySecret.objects.get().key.links.effective()] == ["gpt-4o"]


def test_one_odd_entry_does_not_keep_the_others_out() -> None:
    odd = [deployment("x" * 256), deployment("long mode", mode="m" * 60), deployment("nul\x00")]
    report = sync(deployment("sound"), *odd)
    assert (report.added, report.skipped) == (["sound"], ["long mode", "nul", "x" * 255])


def test_the_noise_of_floats_is_no_change() -> None:
    entry = {"model_name": "m", "model_info": {"input_cost_per_token": 5.0000000000000004e-08}}
    assert sync(Deployment.parse(entry)).added == ["m"]
    assert sync(Deployment.parse(entry)).unchanged == 1
