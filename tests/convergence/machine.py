"""The machine: random sequences of what people, administrators, workers and the weather do."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from accounts.people import deactivate_user, reactivate_user, set_limits
from apikeys.policy import update_policy
from apikeys.services import block_api_key, revoke_api_key, unblock_api_key
from litellm_sync import catalogue
from litemaas.people.offboarding import offboard_user
from subscriptions.models import Subscription, SubscriptionStatus
from subscriptions.services import cancel_subscription, create_subscription
from tests.convergence.agreement import assert_agreement
from tests.convergence.world import MODELS, PEOPLE, TEAMS, Stage, World

people = st.integers(0, PEOPLE - 1)
numbers = st.integers(0, 7)
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
PATHS = (
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
MODES = ("down", "slow", "500", "429", "garbage", "cut", "lose")
DEEDS = (
    *("die", "die", "push_everything", "steal", "clear_up", "arrive", "late"),
    *("block", "unblock", "revoke", "leave", "come", "deactivate"),
)


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

    @initialize(wanted=st.lists(st.tuples(people, models, key_limits), min_size=3, max_size=5), is_fair=st.booleans())
    def begin(self, wanted: list[tuple[int, list[str], dict[str, Any]]], is_fair: bool) -> None:  # noqa: FBT001 -- hypothesis calls it by keyword
        if not is_fair:
            self.world.worsen("lose", [], 2, None)
        for number, (person, names, given) in enumerate(wanted):
            with self.world.doing():
                self.world.make_key(self.world.people[person], names, ("", *TEAMS)[number % 3], given)
        self.world.clear_up()

    @rule(person=people, models=models, limits=key_limits)
    def make_key(self, person: int, models: list[str], limits: dict[str, Any]) -> None:
        with self.world.doing():
            self.world.make_key(self.world.people[person], models, "", limits)

    @rule(person=people, models=models, team=st.sampled_from(TEAMS), limits=key_limits)
    def make_team_key(self, person: int, models: list[str], team: str, limits: dict[str, Any]) -> None:
        with self.world.doing():
            self.world.make_key(self.world.people[person], models, team, limits)

    @rule(number=numbers, changes=key_limits)
    def change_limits(self, number: int, changes: dict[str, Any]) -> None:
        key = self.world.key(number)
        with self.world.doing():
            if key:
                self.world.change_key(key, changes)

    @rule(number=numbers, models=models, per_model=per_model)
    def change_models(self, number: int, models: list[str], per_model: dict[str, Any]) -> None:
        key = self.world.key(number)
        with self.world.doing():
            if key:
                self.world.change_key(key, {"models": models, "model_limits": per_model})

    @rule(number=numbers, verb=st.sampled_from([block_api_key, unblock_api_key, revoke_api_key, unblock_api_key]))
    def move_key(self, number: int, verb: Any) -> None:
        key = self.world.key(number)
        with self.world.doing():
            if key:
                verb(self.world.ann, key_id=key.pk)

    @rule(tpm=st.sampled_from([None, 150_000]), days=st.sampled_from([None, 1]))
    def change_policy(self, tpm: int | None, days: int | None) -> None:
        with self.world.doing():
            update_policy(self.world.ann, maximum_tpm_limit=tpm, default_tpm_limit=tpm, default_expires_days=days)

    # --- People ------------------------------------------------------------------------------------------------------

    @rule(person=people, verb=st.sampled_from([deactivate_user, reactivate_user, reactivate_user]))
    def come_or_go(self, person: int, verb: Any) -> None:
        with self.world.doing():
            verb(self.world.ann, user_id=self.world.people[person].pk)

    @rule(person=people)
    def offboard(self, person: int) -> None:
        with self.world.doing():
            offboard_user(self.world.ann, user_id=self.world.people[person].pk)

    @rule(person=people, limits=limits)
    def limit_person(self, person: int, limits: dict[str, Any]) -> None:
        with self.world.doing():
            set_limits(self.world.ann, user_id=self.world.people[person].pk, **limits)

    @rule(person=people, teams=st.lists(st.sampled_from(TEAMS), max_size=2, unique=True))
    def belong(self, person: int, teams: list[str]) -> None:
        with self.world.doing():
            self.world.belong(self.world.people[person], teams)

    @rule(team=st.sampled_from(TEAMS), limits=limits)
    def limit_team(self, team: str, limits: dict[str, Any]) -> None:
        with self.world.doing():
            self.world.change_team(team, limits | {"budget_duration": limits.get("budget_duration") or ""})

    # --- Models ------------------------------------------------------------------------------------------------------

    @rule(person=people, model=st.sampled_from(MODELS))
    def subscribe(self, person: int, model: str) -> None:
        with self.world.doing():
            create_subscription(self.world.people[person], model=model)

    @rule(person=people, model=st.sampled_from(MODELS))
    def cancel(self, person: int, model: str) -> None:
        owner = self.world.people[person]
        subscription = Subscription.objects.filter(user=owner, model=model).first()
        with self.world.doing():
            if subscription:
                cancel_subscription(owner, subscription_id=subscription.pk)

    @rule(
        person=people,
        model=st.sampled_from(MODELS),
        status=st.sampled_from([SubscriptionStatus.SUSPENDED, SubscriptionStatus.ACTIVE]),
    )
    def decide(self, person: int, model: str, status: SubscriptionStatus) -> None:
        with self.world.doing():
            self.world.decide(self.world.people[person], model, status)

    @rule(listed=st.booleans(), heard=st.booleans())
    def change_catalogue(self, listed: bool, heard: bool) -> None:  # noqa: FBT001 -- hypothesis calls it by keyword
        with self.world.doing():
            (self.world.list_model if listed else self.world.unlist_model)()
            if heard:
                catalogue.sync_models(confirmed=True)

    # --- Jobs, time, weather -----------------------------------------------------------------------------------------

    @rule(seed=st.integers(0, 99), number=st.integers(1, 20), again=st.booleans())
    def work(self, seed: int, number: int, again: bool) -> None:  # noqa: FBT001 -- as above
        with self.world.doing():
            self.world.work(seed, number, again=again)

    @rule()
    def lose_jobs(self) -> None:
        self.world.lose_jobs()

    @rule()
    def tick(self) -> None:
        with self.world.doing():
            self.world.tick()

    @rule(number=st.integers(0, 50))
    def push(self, number: int) -> None:
        with self.world.doing():
            self.world.push(number)

    @rule(seconds=st.sampled_from([1, 6, 31, 65, 100, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @rule(
        mode=st.sampled_from(MODES),
        paths=st.sampled_from(PATHS),
        every=st.integers(1, 3),
        count=st.sampled_from([None, 1, 2, 5]),
    )
    def worsen(self, mode: str, paths: list[str], every: int, count: int | None) -> None:
        self.world.worsen(mode, paths, every, count)

    @rule(paths=st.sampled_from([["/key/generate"]]), count=st.integers(1, 3))
    def be_late(self, paths: list[str], count: int) -> None:
        self.world.worsen("late", paths, 1, count)

    @rule()
    def arrive(self) -> None:
        self.world.arrive()

    @rule()
    def clear_up(self) -> None:
        self.world.clear_up()

    @rule(after=st.integers(1, 14), deed=st.sampled_from(DEEDS), number=numbers)
    def plan(self, after: int, deed: str, number: int) -> None:
        self.world.plan(after, deed, number)

    @rule(seed=st.integers(0, 99))
    @precondition(lambda self: len(self.world.secrets) > 2)
    def agree(self, seed: int) -> None:
        with self.world.doing():
            assert_agreement(self.world, seed)
