"""In step with LiteLLM, whatever happens to either side."""

from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from apikeys.endings import revoke_api_key
from apikeys.models import ApiKey
from litellm_sync import keys, late, proof
from tests.convergence.agreement import assert_agreement, assert_ends_are_proved
from tests.convergence.conftest import profile
from tests.convergence.machine import Convergence
from tests.convergence.world import MODELS, Stage, World


def test_trap_20_litellm_agrees_when_the_weather_has_cleared(stage: Stage) -> None:
    machine = type("Convergence", (Convergence,), {"stage": stage})
    run_state_machine_as_test(machine, settings=profile(real=stage.is_real))


def revoke_while_it_is_offered(world: World) -> None:
    """A key whose offer arrives when it has been revoked."""
    world.worsen("late", ["/key/generate"], 1, 1)
    with world.doing():
        world.make_key(world.people[0], [MODELS[0]], "", {})
    revoke_api_key(world.ann, key_id=ApiKey.objects.get().pk)
    world.push_everything()
    world.arrive()


def limit_twice(world: World) -> None:
    """A team whose older limit arrives after the newer one."""
    world.worsen("late", ["/team/update"], 1, 1)
    for figure in (100_000, 200_000):
        world.change_team("red", {"tpm_limit": figure})
        world.push_everything()
    world.arrive()


# What waits for calls that arrive late, and a short story that needs it.
WATCHES: dict[str, tuple[Any, str, Any]] = {
    "a change of a team": (late, "follow", limit_twice),
    "an offer of a key": (keys, "_await_lost_offer", revoke_while_it_is_offered),
}


@pytest.mark.parametrize("watch", sorted(WATCHES))
@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_trap_20_what_arrives_late_is_noticed_by_the_product_and_else_by_the_judgement(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, watch: str, *, is_on: bool
) -> None:
    """The random machine may miss a watch that is switched off; this never does."""
    module, name, story = WATCHES[watch]
    world = World(stage)
    try:
        assert_agreement(world, 0)
        if not is_on:
            monkeypatch.setattr(module, name, lambda *_arguments: 0)
            monkeypatch.setattr(proof, "prove_due", lambda _now: {})  # it finds what works and has it ended
        story(world)
        if is_on:
            assert_agreement(world, 0)
        else:
            with pytest.raises(AssertionError) as caught:
                assert_agreement(world, 0)
            assert assert_ends_are_proved.__name__ not in {entry.name for entry in caught.traceback}
    finally:
        world.end()
