"""In step with LiteLLM, whatever happens to either side."""

from hypothesis.stateful import run_state_machine_as_test

from tests.convergence.conftest import profile
from tests.convergence.machine import Convergence
from tests.convergence.world import Stage


def test_trap_20_litellm_agrees_when_the_weather_has_cleared(stage: Stage) -> None:
    machine = type("Convergence", (Convergence,), {"stage": stage})
    run_state_machine_as_test(machine, settings=profile(real=stage.is_real))
