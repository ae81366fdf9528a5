"""The machine: random sequences of what people, administrators, workers and the weather do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from accounts.people import deactivate_user, reactivate_user, set_limits
from apikeys.endings import block_api_key, delete_api_key, reset_spend, revoke_api_key, unblock_api_key
from apikeys.policy import update_policy
from litellm_sync import catalogue
from litemaas.people.offboarding import offboard_user
from subscriptions.models import Subscription, SubscriptionStatus
from subscriptions.services import cancel_subscription, create_subscription
from tests.convergence.agreement import assert_agreement, assert_no_false_proof
from tests.convergence.world import MODELS, PEOPLE, TEAMS, Stage, World

people = st.integers(0, PEOPLE - 1)
numbers = st.integers(0, 4)
models = st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique=True)
per_model = st.sampled_from([{}, {MODELS[0]: {"rpm_limit": 5000}}, {MODELS[1]: {"tpm_limit": 70_000}}])
limits = st.fixed_dictionaries(
    {},
    optional={
        "max_budget": st.sampled_from([None, 5, 7]),
        "budget_duration": st.sampled_from([None, "1d", "7d"]),
        "tpm_limit": st.sampled_from([None, 100_000, 200_000]),
        "rpm_limit": st.sampled_from([None, 4000, 6000]),
    },
)
key_limits = st.fixed_dictionaries(
    {},
    optional={
        "max_budget": st.sampled_from([None, 5, 7]),
        "budget_duration": st.sampled_from([None, "1d", "7d"]),
        "tpm_limit": st.sampled_from([None, 100_000, 200_000]),
        "max_parallel_requests": st.sampled_from([None, 50, 60]),
        "expires_at": st.sampled_from([None, 1, 30]),
    },
)
PATHS: tuple[list[str], ...] = (
    [],
    ["/key/"],
    ["/key/generate"],
    ["/key/update"],
    ["/key/delete"],
    ["/key/block", "/key/unblock"],
    ["/key/info"],
    ["/user/"],
    ["/team/"],
    ["/team/member_add"],
)
# What changes something there; keys weigh most, for a secret that works although it must not is the worst.
LATE_PATHS: tuple[list[str], ...] = (
    ["/key/"],
    ["/key/"],
    ["/user/new", "/user/update"],
    ["/team/new", "/team/update"],
    ["/team/member_add", "/team/member_delete"],
)
MODES = ("down", "slow", "500", "429", "garbage", "cut", "lose")
VERBS = (
    *(block_api_key, unblock_api_key, unblock_api_key, revoke_api_key),
    *(delete_api_key, reset_spend),
)
DEEDS = (
    *("die", "die", "die", "die", "push_everything", "steal", "clear_up", "arrive", "late", "lose_jobs"),
    *("dawdle", "dawdle"),
    *("block", "unblock", "revoke", "leave", "come", "deactivate"),
)


@dataclass(frozen=True)
class Trouble:
    """What befalls a step: a fault of LiteLLM, or something that happens in the middle of its pushes."""

    faults: tuple[tuple[str, list[str], int, int | None], ...] = ()
    deed: tuple[int, str, int] | None = None


FAULTS = st.tuples(
    st.sampled_from(MODES), st.sampled_from(PATHS), st.integers(1, 3), st.sampled_from([1, 1, 2, 4, None])
)
LATE = st.tuples(st.just("late"), st.sampled_from(LATE_PATHS), st.just(1), st.integers(1, 2))
TROUBLES = st.one_of(
    st.just(Trouble()),
    st.builds(Trouble, faults=st.tuples(FAULTS)),
    st.builds(Trouble, deed=st.tuples(st.integers(1, 8), st.sampled_from(DEEDS), numbers)),
    st.builds(
        Trouble,
        faults=st.tuples(st.one_of(FAULTS, LATE)),
        deed=st.tuples(st.integers(1, 8), st.sampled_from(DEEDS), numbers),
    ),
)


STEPS: list[st.SearchStrategy[tuple[str, dict[str, Any]]]] = []


def step(**given: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Something that is done, with what is drawn for it.

    All steps are one rule: of many rules hypothesis would leave out half in each example, and most make no sense alone.
    """

    def added(do: Callable[..., None]) -> Callable[..., None]:
        STEPS.append(st.tuples(st.just(do.__name__), st.fixed_dictionaries(given)))
        return do

    return added


class Convergence(RuleBasedStateMachine):
    """Whatever happens: when the weather clears and the queue is empty, LiteLLM agrees with us."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.stage)

    def teardown(self) -> None:
        """The last thing that happens is that the weather clears."""
        try:
            if not self.world.is_broken:
                assert_agreement(self.world, 0)
        finally:
            self.world.end()

    # --- Keys --------------------------------------------------------------------------------------------------------

    @initialize(wanted=st.lists(st.tuples(people, models, key_limits), min_size=2, max_size=3))
    def begin(self, wanted: list[tuple[int, list[str], dict[str, Any]]]) -> None:
        for number, (person, names, given) in enumerate(wanted):
            with self.world.doing():
                self.world.make_key(self.world.people[person], names, ("", *TEAMS)[number % 3], given)

    @step(person=people, models=models, limits=key_limits)
    def make_key(self, person: int, models: list[str], limits: dict[str, Any]) -> None:
        self.world.make_key(self.world.people[person], models, "", limits)

    @step(person=people, models=models, team=st.sampled_from(TEAMS), limits=key_limits)
    def make_team_key(self, person: int, models: list[str], team: str, limits: dict[str, Any]) -> None:
        self.world.make_key(self.world.people[person], models, team, limits)

    @step(number=numbers, changes=key_limits)
    def change_limits(self, number: int, changes: dict[str, Any]) -> None:
        key = self.world.key(number)
        if key:
            self.world.change_key(key, changes)

    @step(number=numbers, models=models, per_model=per_model)
    def change_models(self, number: int, models: list[str], per_model: dict[str, Any]) -> None:
        key = self.world.key(number)
        if key:
            self.world.change_key(key, {"models": models, "model_limits": per_model})

    @step(number=numbers, grace=st.sampled_from([0, 5, 60, 600]), replace_newest=st.booleans())
    def rotate(self, number: int, grace: int, replace_newest: bool) -> None:  # noqa: FBT001 -- as below
        key = self.world.key(number)
        if key:
            self.world.rotate(key, grace, replace_newest=replace_newest)

    @step(number=numbers, force=st.booleans())
    def end_old(self, number: int, force: bool) -> None:  # noqa: FBT001 -- as below
        key = self.world.key(number)
        if key:
            self.world.end_old(key, force=force)

    @step(number=numbers, verb=st.sampled_from(VERBS))
    def move_key(self, number: int, verb: Any) -> None:
        key = self.world.key(number)
        if key:
            verb(self.world.ann, key_id=key.pk)

    @step(tpm=st.sampled_from([None, 150_000]), days=st.sampled_from([None, 1]))
    def change_policy(self, tpm: int | None, days: int | None) -> None:
        update_policy(self.world.ann, maximum_tpm_limit=tpm, default_tpm_limit=tpm, default_expires_days=days)

    # --- People ------------------------------------------------------------------------------------------------------

    @step(person=people, verb=st.sampled_from([deactivate_user, reactivate_user, reactivate_user]))
    def come_or_go(self, person: int, verb: Any) -> None:
        verb(self.world.ann, user_id=self.world.people[person].pk)

    @step(person=people)
    def offboard(self, person: int) -> None:
        offboard_user(self.world.ann, user_id=self.world.people[person].pk)

    @step(person=people, limits=limits)
    def limit_person(self, person: int, limits: dict[str, Any]) -> None:
        set_limits(self.world.ann, user_id=self.world.people[person].pk, **limits)

    @step(person=people, teams=st.lists(st.sampled_from(TEAMS), max_size=2, unique=True))
    def belong(self, person: int, teams: list[str]) -> None:
        self.world.belong(self.world.people[person], teams)

    @step(team=st.sampled_from(TEAMS), limits=limits)
    def limit_team(self, team: str, limits: dict[str, Any]) -> None:
        self.world.change_team(team, limits | {"budget_duration": limits.get("budget_duration") or ""})

    # --- Models ------------------------------------------------------------------------------------------------------

    @step(person=people, model=st.sampled_from(MODELS))
    def subscribe(self, person: int, model: str) -> None:
        create_subscription(self.world.people[person], model=model)

    @step(person=people, model=st.sampled_from(MODELS))
    def cancel(self, person: int, model: str) -> None:
        owner = self.world.people[person]
        subscription = Subscription.objects.filter(user=owner, model=model).first()
        if subscription:
            cancel_subscription(owner, subscription_id=subscription.pk)

    @step(
        person=people,
        model=st.sampled_from(MODELS),
        status=st.sampled_from([SubscriptionStatus.SUSPENDED, SubscriptionStatus.ACTIVE]),
    )
    def decide(self, person: int, model: str, status: SubscriptionStatus) -> None:
        self.world.decide(self.world.people[person], model, status)

    @step(listed=st.booleans(), heard=st.booleans())
    def change_catalogue(self, listed: bool, heard: bool) -> None:  # noqa: FBT001 -- hypothesis calls it by keyword
        (self.world.list_model if listed else self.world.unlist_model)()
        if heard:
            catalogue.sync_models(confirmed=True)

    # --- Jobs, time, weather -----------------------------------------------------------------------------------------

    @step(seed=st.integers(0, 99), number=st.integers(1, 20), again=st.booleans())
    def work(self, seed: int, number: int, again: bool) -> None:  # noqa: FBT001 -- as above
        self.world.work(seed, number, again=again)

    @step()
    def lose_jobs(self) -> None:
        self.world.lose_jobs()

    @step()
    def tick(self) -> None:
        self.world.tick()

    @step(number=st.integers(0, 50))
    def push(self, number: int) -> None:
        self.world.push(number)

    @step(seconds=st.sampled_from([1, 6, 31, 65, 100, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @step()
    def arrive(self) -> None:
        self.world.arrive()

    @step()
    def clear_up(self) -> None:
        self.world.clear_up()

    @rule(deed=st.deferred(lambda: st.one_of(STEPS)), trouble=TROUBLES)
    def act(self, deed: tuple[str, dict[str, Any]], trouble: Trouble) -> None:
        """One of the steps; it meets trouble, may be refused, and may die."""
        for fault in trouble.faults:
            self.world.worsen(*fault)
        if trouble.deed:
            self.world.plan(*trouble.deed)
        with self.world.doing():
            getattr(self, deed[0])(**deed[1])
        assert_no_false_proof(self.world)
