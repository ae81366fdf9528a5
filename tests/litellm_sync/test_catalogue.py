"""The catalogue's synchronisation: incremental, careful, merged."""

from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role, User
from apikeys.endings import revoke_api_key
from apikeys.models import ApiKeySecret
from apikeys.services import create_api_key
from litellm_sync import catalogue, disappearance, integration
from litellm_sync.client.answers import Deployment
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import SyncRun
from litellm_sync.reports import findings
from litellm_sync.state import SyncStatus
from litemaas.foundation.errors import Conflict, NotFound, PermissionDenied, UpstreamUnavailable
from subscriptions.models import Availability, Model, Subscription
from tests.cast import make_person
from tests.races import at_once

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
    with CaptureQueriesContext(connection) as statements:
        report = sync(*models)
    assert [s["sql"] for s in statements if s["sql"].split()[0] in {"INSERT", "UPDATE", "DELETE"}] == []
    assert (report.unchanged, report.added, report.changed) == (20, [], {})


def test_changes_are_reported_old_to_new() -> None:
    sync(deployment("m"))
    report = sync(deployment("m", input_cost_per_token=Decimal("0.003")))
    assert report.changed == {"m": {"input_cost_per_token": ["0.001", "0.003"]}}
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
    gone = [f"m{number}" for number in range(left, 10)]
    assert caught.value.details == {"gone": 10 - left, "available": 10, "refused": gone}
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
    assert (report.added, list(report.skipped)) == (["sound"], ["long mode", "nul", "x" * 255])
    assert report.skipped["long mode"] == "mode: Ensure this value has at most 50 characters (it has 60)."


def test_a_model_that_does_not_fit_any_more_stays_as_it_is() -> None:
    """It works in LiteLLM: one odd word of its entry takes it from nobody, alone or with all others."""
    sync(deployment("a"), deployment("b"))
    odd = [deployment(name, mode="m" * 60) for name in ("a", "b")]
    for listed in ((odd[0], deployment("b")), odd):
        report = sync(*listed)
        assert (report.hidden, "a" in report.skipped) == ([], True)
        assert Model.objects.filter(availability=Availability.AVAILABLE, mode="chat").count() == 2
    assert sync(deployment("b")).hidden == ["a"]


def test_the_noise_of_floats_is_no_change() -> None:
    entry = {"model_name": "m", "model_info": {"input_cost_per_token": 5.0000000000000004e-08}}
    assert sync(Deployment.parse(entry)).added == ["m"]
    assert sync(Deployment.parse(entry)).unchanged == 1


# --- Statements and calls --------------------------------------------------------------------------------------------


def statements_of(*deployments: Deployment, confirmed: bool = False) -> int:
    """How many statements one synchronisation takes."""
    with CaptureQueriesContext(connection) as statements:
        sync(*deployments, confirmed=confirmed)
    return len(statements)


def test_five_hundred_models_cost_as_many_statements_as_five() -> None:
    """First, unchanged, all with a new price, all gone, all back."""
    spent = {}
    for number in (5, 500):
        Model.objects.all().delete()
        models = [deployment(f"m{n}") for n in range(number)]
        dearer = [deployment(f"m{n}", input_cost_per_token=Decimal("0.005")) for n in range(number)]
        spent[number] = [
            statements_of(*models),
            statements_of(*models),
            statements_of(*dearer),
            statements_of(confirmed=True),
            statements_of(*dearer),
        ]
    assert spent[500] == spent[5]
    assert Model.objects.filter(availability="available", input_cost_per_token=Decimal("0.005")).count() == 500


def test_a_sync_asks_litellm_once(litellm: Emulator) -> None:
    for _again in range(2):
        before = len(litellm.calls)
        catalogue.sync_models()
        assert litellm.calls[before:] == [("GET", "/model/info")]


@pytest.mark.usefixtures("real_transactions")
def test_trap_29_two_first_syncs_at_once_add_each_model_once() -> None:
    models = [deployment(f"m{number}") for number in range(50)]
    reports = at_once(2, lambda _turn: sync(*models))
    assert sorted((len(report.added), report.unchanged) for report in reports) == [(0, 50), (50, 0)]
    assert Model.objects.count() == 50


# --- The report ------------------------------------------------------------------------------------------------------


def test_what_is_back_says_what_has_changed_meanwhile() -> None:
    sync(deployment("a"), deployment("b"))
    sync(deployment("a"))
    report = sync(deployment("a"), deployment("b", mode="embedding"))
    assert (report.restored, report.changed) == (["b"], {"b": {"mode": ["chat", "embedding"]}})
    assert (report.unchanged, report.hidden, report.added) == (1, [], [])
    assert Model.objects.get(pk="b").mode == "embedding"


def test_one_model_with_an_odd_figure_is_skipped_and_all_others_come(litellm: Emulator) -> None:
    rows = litellm.state.models
    [odd] = rows.where("model_name", "gpt-4o")
    info = odd["model_info"]
    rows.put(info["id"], odd | {"model_info": info | {"max_input_tokens": "8k"}})
    report = catalogue.sync_models()
    assert (len(report.added), list(report.skipped)) == (8, ["gpt-4o"])
    assert "8k" in report.skipped["gpt-4o"]
    rows.put(info["id"], odd)
    assert catalogue.sync_models().added == ["gpt-4o"]
    rows.put(info["id"], odd | {"model_info": info | {"max_output_tokens": ["4k"]}})
    report = catalogue.sync_models()
    assert (report.hidden, list(report.skipped), report.unchanged) == ([], ["gpt-4o"], 8)
    assert Model.objects.get(pk="gpt-4o").is_available


def test_one_model_with_an_odd_figure_says_so_when_it_is_looked_at(ann: User, litellm: Emulator) -> None:
    catalogue.sync_models()
    rows = litellm.state.models
    [odd] = rows.where("model_name", "gpt-4o")
    info = odd["model_info"] | {"max_input_tokens": "8k"}
    rows.put(info["id"], odd | {"model_info": info})
    looked = catalogue.look_at_model(Model.objects.get(pk="gpt-4o"))
    assert (looked.source, looked.reason) == ("local", "garbage")
    with pytest.raises(Conflict) as caught:
        catalogue.refresh_model(ann, model="gpt-4o")
    assert caught.value.code == "model_unfit"
    assert catalogue.refresh_model(ann, model="gpt-4o-mini").unchanged == 1


def test_half_of_a_model_is_none() -> None:
    unread = Deployment("a", "", "", "", "", None, None, None, None, (), flaw="ValueError: 8k")
    report = sync(deployment("a"), unread, deployment("b"))
    assert (report.added, list(report.skipped)) == (["b"], ["a"])


def test_models_of_which_none_can_be_read_are_still_there() -> None:
    sync(deployment("a"))
    report = sync(Deployment("a", "", "", "", "", None, None, None, None, (), flaw="ValueError: 8k"))
    assert (report.hidden, list(report.skipped)) == ([], ["a"])


def test_a_report_is_made_before_anything_is_changed() -> None:
    sync(deployment("a"), deployment("gone"))
    known = {model.pk: model for model in Model.objects.all()}
    wanted = catalogue.merge_deployments([deployment("a", description="new words"), deployment("new")])
    report = catalogue.generate_sync_report(known, wanted, {"odd\x00": "a reason"})
    assert report.as_json() == {
        "added": ["new"],
        "changed": {"a": {"description": ["", "new words"]}},
        "hidden": ["gone"],
        "restored": [],
        "skipped": {"odd": "a reason"},
        "unchanged": 0,
        "integrity": {},
    }
    assert sorted(Model.objects.values_list("pk", "description", "availability")) == [
        ("a", "", "available"),
        ("gone", "", "available"),
    ]


def test_changed_models_say_when() -> None:
    sync(deployment("a"), deployment("b"))
    before = dict(Model.objects.values_list("pk", "updated_at"))
    sync(deployment("a", description="x"), deployment("b"))
    after = dict(Model.objects.values_list("pk", "updated_at"))
    assert (after["a"] > before["a"], after["b"] == before["b"]) == (True, True)


# --- A disappearance that an administrator agrees to -----------------------------------------------------------------


def refused_run(*left: Deployment) -> SyncRun:
    """A run that refused to hide everything but ``left``."""
    with pytest.raises(Conflict) as caught:
        sync(*left)
    error = caught.value
    report = {"code": error.code, **error.details}
    return SyncRun.objects.create(kind="models", status="failed", report=report)


def test_trap_26_a_confirmation_holds_for_the_models_that_were_shown_and_for_no_others() -> None:
    models = [deployment(f"m{number}") for number in range(10)]
    sync(*models)
    shown = [f"m{number}" for number in range(4, 10)]
    with pytest.raises(Conflict) as caught:
        catalogue.sync_models(Listing(*models[:3]), shown=shown)  # type: ignore[arg-type]  # a stand-in
    assert caught.value.details["refused"] == ["m3", *shown]
    assert Model.objects.filter(availability="available").count() == 10
    # What is back meanwhile stays.
    report = catalogue.sync_models(Listing(*models[:4], models[9]), shown=shown)  # type: ignore[arg-type]  # as above
    assert report.hidden == ["m4", "m5", "m6", "m7", "m8"]


def test_an_administrator_confirms_a_refused_disappearance(
    ann: User, litellm: Emulator, work: Callable[[], int]
) -> None:
    catalogue.sync_models()
    extra = [deployment(f"extra-{number}") for number in range(12)]
    Model.objects.bulk_create(Model(id=one.name, provider="openai", mode="chat") for one in extra)
    integration.request_sync(ann, what="models")
    work()
    refused = SyncRun.objects.get()
    assert (refused.status, refused.report["code"], refused.report["gone"]) == ("failed", "mass_disappearance", 12)
    assert disappearance.refused_models(refused) == sorted(one.name for one in extra)
    queued = disappearance.confirm_disappearance(ann, run=refused.pk)
    event = AuditEvent.objects.get(action="models.disappearance_confirmed")
    assert (event.actor_id, event.target_id) == (ann.pk, str(refused.pk))
    assert event.details == {"models": sorted(one.name for one in extra), "run": str(queued.pk)}
    assert Model.objects.filter(availability="available").count() == 21
    work()
    done = SyncRun.objects.get(pk=queued.pk)
    assert (done.status, done.requested_by, len(done.report["hidden"])) == ("done", ann.pk, 12)
    assert Model.objects.filter(availability="available").count() == 9
    with pytest.raises(Conflict) as caught:
        disappearance.confirm_disappearance(ann, run=refused.pk)
    assert caught.value.code == "nothing_to_confirm"


def test_a_confirmation_that_is_refused_again_says_what_is_missing_now(
    ann: User, litellm: Emulator, work: Callable[[], int]
) -> None:
    catalogue.sync_models()
    Model.objects.bulk_create(Model(id=f"extra-{n}", provider="openai", mode="chat") for n in range(12))
    integration.request_sync(ann, what="models")
    work()
    refused = SyncRun.objects.get()
    Model.objects.create(id="another", provider="openai", mode="chat")
    queued = disappearance.confirm_disappearance(ann, run=refused.pk)
    work()
    again = SyncRun.objects.get(pk=queued.pk)
    assert (again.status, again.report["gone"]) == ("failed", 13)
    assert "another" in disappearance.refused_models(again)
    assert disappearance.is_confirmable(again)
    assert Model.objects.filter(availability="available").count() == 22


def test_only_administrators_confirm_and_only_what_was_refused(ann: User, ro: User, ada: User) -> None:
    sync(*[deployment(f"m{number}") for number in range(4)])
    run = refused_run()
    for actor in (ro, ada):
        with pytest.raises(PermissionDenied):
            disappearance.confirm_disappearance(actor, run=run.pk)
    with pytest.raises(NotFound):
        disappearance.confirm_disappearance(ann, run=uuid4())
    other = SyncRun.objects.create(kind="models", status="failed", report={"code": "litellm_unavailable"})
    with pytest.raises(Conflict):
        disappearance.confirm_disappearance(ann, run=other.pk)
    running = integration.request_sync(ann, what="models")
    with pytest.raises(Conflict) as caught:
        disappearance.confirm_disappearance(ann, run=run.pk)
    assert (caught.value.code, caught.value.details["run"]) == ("sync_already_running", str(running.pk))
    assert not AuditEvent.objects.filter(action="models.disappearance_confirmed").exists()


@pytest.mark.usefixtures("real_transactions")
def test_two_administrators_confirm_at_once_and_one_run_comes_of_it() -> None:
    people = [make_person(name, Role.ADMIN) for name in ("ann", "amy")]
    sync(*[deployment(f"m{number}") for number in range(4)])
    run = refused_run()

    def confirm(turn: int) -> str:
        try:
            return str(disappearance.confirm_disappearance(people[turn], run=run.pk).status)
        except Conflict as error:
            return error.code

    assert sorted(at_once(2, confirm)) == ["queued", "sync_already_running"]
    assert SyncRun.objects.filter(status="queued").count() == 1


# --- One model -------------------------------------------------------------------------------------------------------


def test_a_model_is_compared_with_litellm_and_taken_over(ann: User, litellm: Emulator) -> None:
    catalogue.sync_models()
    Model.objects.filter(pk="gpt-4o").update(input_cost_per_token=Decimal("0.001"), description="ours")
    Model.objects.filter(pk="gpt-4o-mini").update(description="ours too")
    looked = catalogue.look_at_model(Model.objects.get(pk="gpt-4o"))
    wanted = {
        "description": ["ours", "Large multimodal model"],
        "input_cost_per_token": ["0.001", "0.0000025"],
    }
    assert (looked.source, looked.value) == ("litellm", wanted)
    assert catalogue.refresh_model(ann, model="gpt-4o").changed == {"gpt-4o": wanted}
    assert catalogue.look_at_model(Model.objects.get(pk="gpt-4o")).value == {}
    assert Model.objects.get(pk="gpt-4o-mini").description == "ours too"
    assert AuditEvent.objects.filter(action="models.synced", target_id="gpt-4o", actor_id=ann.pk).count() == 1


def test_a_model_that_is_back_is_restored_with_its_keys(
    ann: User, ada: User, subscribed: list[Subscription], litellm: Emulator
) -> None:
    create_api_key(ada, name="k", models=["gpt-4o"])
    ApiKeySecret.objects.update(sync_status=SyncStatus.SYNCED)
    Model.objects.filter(pk="gpt-4o").update(availability="unavailable")
    assert catalogue.refresh_model(ann, model="gpt-4o").restored == ["gpt-4o"]
    assert ApiKeySecret.objects.get().sync_status == SyncStatus.PENDING


def test_a_look_says_when_litellm_is_away_or_does_not_list_it(ann: User, litellm: Emulator) -> None:
    model = Model.objects.create(id="nowhere", provider="openai", mode="chat")
    looked = catalogue.look_at_model(model)
    assert (looked.source, looked.value) == ("litellm", None)
    with pytest.raises(Conflict) as caught:
        catalogue.refresh_model(ann, model="nowhere")
    assert caught.value.code == "model_not_listed"
    litellm.faults.add("500")
    away = catalogue.look_at_model(model)
    assert (away.source, away.value, away.reason) == ("local", {}, "http_500")
    with pytest.raises(UpstreamUnavailable):
        catalogue.refresh_model(ann, model="nowhere")
    assert Model.objects.get().is_available


def told(*words: str) -> str:
    """What the command says."""
    out = StringIO()
    call_command("sync", "models", *words, stdout=out)
    return out.getvalue()


def test_the_command_compares_and_refreshes_one_model(litellm: Emulator) -> None:
    catalogue.sync_models()
    assert told("--only", "gpt-4o", "--dry-run") == "the same: gpt-4o\n"
    Model.objects.filter(pk="gpt-4o").update(description="ours")
    assert told("--only", "gpt-4o", "--dry-run") == "description: ours here, Large multimodal model in LiteLLM\n"
    assert Model.objects.get(pk="gpt-4o").description == "ours"
    assert "changed: {'gpt-4o'" in told("--only", "gpt-4o")
    assert Model.objects.get(pk="gpt-4o").description == "Large multimodal model"
    Model.objects.create(id="nowhere", provider="x", mode="chat")
    assert "does not list it" in told("--only", "nowhere", "--dry-run")
    litellm.faults.add("500")
    assert told("--only", "gpt-4o", "--dry-run").startswith("LiteLLM does not answer: http_500")
    for words in (["--only", "gpt-4o"], ["--only", "absent", "--dry-run"], ["--dry-run"]):
        with pytest.raises(CommandError):
            told(*words)


def test_only_administrators_refresh_a_model(ann: User, ro: User, ada: User, litellm: Emulator) -> None:
    Model.objects.create(id="gpt-4o", provider="openai", mode="chat")
    for actor in (ro, ada):
        with pytest.raises(PermissionDenied):
            catalogue.refresh_model(actor, model="gpt-4o")
    with pytest.raises(NotFound):
        catalogue.refresh_model(ann, model="absent")
    assert litellm.calls == []


# --- Integrity -------------------------------------------------------------------------------------------------------


def numbers() -> dict[str, int]:
    """What does not fit together, in figures."""
    return {code: found["number"] for code, found in catalogue.validate_model_integrity().items() if found["number"]}


def test_a_sound_catalogue_has_nothing_to_say(ada: User, subscribed: list[Subscription]) -> None:
    Model.objects.update(input_cost_per_token=1, output_cost_per_token=1)
    create_api_key(ada, name="k", models=["gpt-4o"])
    assert numbers() == {}


def test_integrity_finds_what_an_administrator_should_look_at(ada: User, subscribed: list[Subscription]) -> None:
    Model.objects.update(input_cost_per_token=1, output_cost_per_token=1)
    both = create_api_key(ada, name="both", models=["gpt-4o", "claude-sonnet"]).key
    alone = create_api_key(ada, name="alone", models=["gpt-4o"]).key
    sound = create_api_key(ada, name="sound", models=["claude-sonnet"]).key
    Model.objects.create(id="free", provider="x", mode="chat", input_cost_per_token=0, output_cost_per_token=0)
    Model.objects.create(id="half", provider="x", mode="chat", input_cost_per_token=0, output_cost_per_token=1)
    Model.objects.create(id="old", provider="x", mode="chat", availability="unavailable")
    Model.objects.filter(pk__in=["gpt-4o", "gpt-4o-mini"]).update(availability="unavailable")
    found = catalogue.validate_model_integrity()
    assert found == {
        "unpriced": {"number": 1, "examples": [["free", "free"]]},
        "gone": {"number": 2, "examples": [["gpt-4o", "gpt-4o"], ["gpt-4o-mini", "gpt-4o-mini"]]},
        "gone_on_keys": {"number": 1, "examples": [["gpt-4o", "gpt-4o"]]},
        "idle_keys": {"number": 1, "examples": [[str(alone.pk), "alone"]]},
        "idle_links": {"number": 2, "examples": [[str(alone.pk), "alone"], [str(both.pk), "both"]]},
    }
    revoke_api_key(ada, key_id=alone.pk)
    assert numbers() == {"unpriced": 1, "gone": 2, "gone_on_keys": 1, "idle_links": 1}
    Subscription.objects.filter(model="claude-sonnet").update(status="suspended")
    assert numbers()["idle_keys"] == 2  # both and sound
    assert sound.links.alive().count() == 1


def test_integrity_costs_as_many_statements_whatever_it_finds(ada: User, subscribed: list[Subscription]) -> None:
    costs = set()
    for number in (1, 8):
        for turn in range(number):
            create_api_key(ada, name=f"k{number}-{turn}", models=["gpt-4o"])
        with CaptureQueriesContext(connection) as statements:
            catalogue.validate_model_integrity()
        costs.add(len(statements))
        Model.objects.filter(pk="gpt-4o").update(availability="available")
    assert costs == {5}


def test_a_sync_stores_what_does_not_fit_together(ann: User, litellm: Emulator, work: Callable[[], int]) -> None:
    integration.request_sync(ann, what="models")
    work()
    stored = SyncRun.objects.get().report["integrity"]
    assert [name for _id, name in stored["unpriced"]["examples"]] == [
        "always-fails",
        "always-rate-limited",
        "granite-3-8b",
    ]
    assert [one.code for one in findings(SyncRun.objects.get())] == ["unpriced"]
