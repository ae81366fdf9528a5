"""The product as the machine sees it: people and what they do, jobs and what befalls them, the weather."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app as jobs

from accounts import people
from accounts.models import Role, User
from apikeys import endings
from apikeys import services as keys
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.rotation import end_old_secret, rotate_api_key
from litellm_sync import catalogue, integration, proof, state
from litellm_sync import push as pushes
from litellm_sync.client import transport
from litellm_sync.models import LateCall, SyncRun, Upstream
from litemaas.foundation import crypto
from litemaas.foundation.errors import DomainError
from subscriptions.models import Model, Subscription, SubscriptionStatus
from subscriptions.services import create_subscription
from teams.models import Team
from teams.services import provision_user, set_provider_teams
from tests.convergence.moments import Clock, Killed, Moments, survived

PEOPLE = 2
TEAMS = ("blue", "red")
# Two of LiteLLM's configuration, and one that comes and goes.
FLEETING = "fleeting"
MODELS = ("gpt-4o", "gpt-4o-mini", FLEETING)
KEPT_OF_A_FAULT = ("mode", "seconds", "every", "paths", "methods")
# In the middle of a push so many seconds pass; the longest are more than it may take, and less than its claim.
DAWDLES = (1, 3, 6, 9, 20)
# A request that LiteLLM is late with is done within this time, in seconds; the product waits a little longer.
LATEST = 80.0


@dataclass(frozen=True)
class Stage:
    """What a run of the machine stands on."""

    url: str
    master_key: str
    clock: Clock
    moments: Moments
    is_real: bool
    version: str


class World:
    """One product and one LiteLLM from their first day on."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.clock, self.moments = stage, stage.clock, stage.moments
        self.is_broken = False
        self.secrets: dict[str, str] = {}
        self.http = requests.Session()
        self.http.trust_env = False
        self._late_since: float | None = None
        self._empty()
        self.foreign = self.in_litellm()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(crypto, "new_api_key_secret", self._remembered(crypto.new_api_key_secret))
        self.list_model()
        catalogue.sync_models()
        # A real LiteLLM remembers those of the last time, and gives nobody an address that somebody has.
        here = f"{uuid4().hex[:8]}.example"
        self.ann = provision_user(None, username="ann", email=f"ann@{here}", roles=[Role.ADMIN])
        names = [f"person{number}" for number in range(PEOPLE)]
        self.people = [provision_user(None, username=name, email=f"{name}@{here}") for name in names]
        for name in TEAMS:
            team = Team.objects.create(name=name)
            state.request_push(team, immediately=False)
        for person in self.people:
            for model in MODELS:
                create_subscription(person, model=model)

    def end(self) -> None:
        """Leave nothing behind that the next one could stumble over."""
        self._patch.undo()
        self.moments.forget()
        self.order("DELETE", "faults")
        self.order("POST", "arrivals")
        if self.stage.is_real:
            self.unlist_model()
        self.http.close()

    def _empty(self) -> None:
        self.moments.forget()
        self.order("DELETE", "faults")
        self.order("POST", "arrivals")
        if not self.stage.is_real:
            self.order("POST", "reset")
        self.clock.ahead = timedelta()
        transport.shared.cache_clear()
        for rows in (User, Team, Model, KeyPolicy, LateCall, SyncRun, Upstream):
            rows.objects.all().delete()
        self.lose_jobs()

    def _remembered(self, make: Callable[[], str]) -> Callable[[], str]:
        """Also a secret whose maker died before saying it."""

        def new_secret() -> str:
            secret = make()
            self.secrets[crypto.secret_digest(secret)] = secret
            return secret

        return new_secret

    # --- What is done, whatever comes of it --------------------------------------------------------------------------

    @contextmanager
    def doing(self) -> Iterator[None]:
        """A verb may be refused and its process may die; anything else is a bug."""
        try:
            with survived():
                yield
        except DomainError:
            pass
        except BaseException:
            self.is_broken = True
            raise
        self._watch_late()

    def key(self, number: int) -> ApiKey | None:
        """One of the keys, the newest first."""
        found = list(ApiKey.objects.order_by("-created_at", "pk"))
        return found[number % len(found)] if found else None

    def make_key(self, person: User, models: list[str], team: str, limits: dict[str, Any]) -> None:
        """A key of somebody's, charged to the usual team or to that one, which the person joins."""
        if team:
            self.belong(person, [team])
        found = Team.objects.filter(name=team).first()
        keys.create_api_key(person, name="key", models=models, team=found.pk if found else None, **self._dated(limits))

    def change_key(self, key: ApiKey, changes: dict[str, Any]) -> None:
        """What an administrator changes of it."""
        keys.update_api_key(self.ann, key_id=key.pk, **self._dated(changes))

    def _dated(self, limits: dict[str, Any]) -> dict[str, Any]:
        """The limits with an expiry in hours as a moment."""
        hours = limits.get("expires_at")
        return limits | {"expires_at": timezone.now() + timedelta(hours=hours)} if hours else limits

    def rotate(self, key: ApiKey, grace: int, *, replace_newest: bool) -> None:
        """Its owner wants another secret, or has lost the one of before."""
        owner = User.objects.get(pk=key.user_id)
        rotate_api_key(owner, key_id=key.pk, grace_seconds=grace, replace_newest=replace_newest)

    def end_old(self, key: ApiKey, *, force: bool) -> None:
        """An old secret is ended, also where nothing else works."""
        end_old_secret(self.ann, key_id=key.pk, force=force)

    def belong(self, person: User, teams: list[str]) -> None:
        """The groups of the person's provider say so."""
        set_provider_teams(User.objects.get(pk=person.pk), teams)

    def decide(self, person: User, model: str, status: SubscriptionStatus) -> None:
        """An administrator suspends a subscription, or gives it back."""
        subscription = Subscription.objects.filter(user=person, model=model).exclude(status=status).first()
        if subscription is not None:
            Subscription.objects.filter(pk=subscription.pk).update(status=status)
            state.request_push(subscription, immediately=False)

    def change_team(self, team: str, limits: dict[str, Any]) -> None:
        """An administrator changes what a team may use."""
        Team.objects.filter(name=team).update(**limits)
        state.request_push(Team.objects.get(name=team), immediately=False)

    # --- LiteLLM -----------------------------------------------------------------------------------------------------

    def order(self, method: str, what: str, **body: Any) -> Any:
        """One of the routes by which the weather is made."""
        answer = self.http.request(method, f"{self.stage.url}/emulator/{what}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """What LiteLLM answers to its administrator."""
        headers = {"Authorization": f"Bearer {self.stage.master_key}"}
        answer = self.http.request(method, self.stage.url + path, headers=headers, timeout=60, **options)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def pages(self, path: str, what: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Everything of a list that LiteLLM gives page by page."""
        page = last = 1
        while page <= last:
            answer = self.ask("GET", path, params={"page": page, **params})
            yield from answer[what]
            page, last = page + 1, answer["total_pages"]

    def in_litellm(self) -> set[str]:
        """The ids of all users, teams and keys that LiteLLM has."""
        users = {user["user_id"] for user in self.pages("/user/list", "users", page_size=100)}
        teams = {team["team_id"] for team in self.ask("GET", "/team/list")}
        tokens = {key["token"] for key in self.pages("/key/list", "keys", size=100, return_full_object="true")}
        return users | teams | tokens

    @contextmanager
    def eye_of_the_storm(self) -> Iterator[None]:
        """Fair weather for a moment."""
        faults = self.order("GET", "faults")["faults"]
        self.order("DELETE", "faults")
        yield
        for fault in faults:
            left = None if fault["count"] is None else {"count": fault["count"] - fault["hits"]}
            self.order("POST", "faults", **{name: fault[name] for name in KEPT_OF_A_FAULT}, **(left or {}))

    def list_model(self) -> None:
        """The model comes (back); whoever is at LiteLLM does that, in any weather."""
        parameters = {"model": "openai/fleeting", "api_key": "sk-fake", "mock_response": "I am back."}
        with self.eye_of_the_storm():
            if not self.has_model():
                body = {"model_name": FLEETING, "litellm_params": parameters, "model_info": {"id": FLEETING}}
                self.ask("POST", "/model/new", json=body)

    def unlist_model(self) -> None:
        """The model goes."""
        with self.eye_of_the_storm():
            if self.has_model():
                self.ask("POST", "/model/delete", json={"id": FLEETING})

    def has_model(self) -> bool:
        """Whether LiteLLM lists it."""
        return any(model["model_name"] == FLEETING for model in self.ask("GET", "/model/info")["data"])

    def worsen(self, mode: str, paths: list[str], every: int, count: int | None) -> None:
        """A fault more."""
        limits = {} if count is None else {"count": count}
        seconds = 0.02 if mode == "slow" else 600
        self.order("POST", "faults", mode=mode, paths=paths, every=every, seconds=seconds, **limits)

    def clear_up(self) -> None:
        """No fault any more; what LiteLLM is late with stays so."""
        self.order("DELETE", "faults")

    # --- Jobs and time -----------------------------------------------------------------------------------------------

    def jobs(self) -> list[Any]:
        """The pushes that wait in the queue."""
        from procrastinate.contrib.django.models import ProcrastinateJob  # noqa: PLC0415 -- needs the app registry

        return list(ProcrastinateJob.objects.filter(status="todo", task_name=state.PUSH_TASK).order_by("id"))

    def lose_jobs(self) -> None:
        """Workers died over them."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs")

    def work(self, seed: int, number: int | None = None, *, again: bool = False) -> None:
        """Carry jobs out, in some order; ``again`` leaves them in the queue, so that they are carried out twice."""
        waiting = self.jobs()
        random.Random(seed).shuffle(waiting)  # noqa: S311 -- an order, no secret
        for job in waiting[:number]:
            if not again:
                job.__class__.objects.filter(pk=job.pk)._raw_delete("default")
            with survived():
                jobs.tasks[job.task_name](**job.args)

    def tick(self) -> None:
        """What happens every few seconds."""
        integration.tick(timezone.now())
        proof.note_ended(timezone.now())
        proof.prove_due(timezone.now())

    def push(self, number: int) -> None:
        """Push one of the rows, due or not."""
        rows = [row for model in state.synced_models() for row in model._base_manager.order_by("pk")]
        row = rows[number % len(rows)]
        pushes.push(state.kind_of(row), str(row.pk), limit=pushes.JOB_SECONDS)

    def push_everything(self) -> None:
        """Somebody else pushes all that waits."""
        for model in state.synced_models():
            for pk in model._base_manager.filter(sync_status="pending").values_list("pk", flat=True):
                pushes.push(state.kind_of(model), str(pk), limit=pushes.JOB_SECONDS)

    # --- What happens in the middle of a push ------------------------------------------------------------------------

    def plan(self, after: int, deed: str, number: int) -> None:
        """Have something happen at the n-th moment from now."""
        deeds: dict[str, Callable[[], Any]] = {
            "die": self.die,
            "push_everything": self.push_everything,
            "steal": self.steal,
            "dawdle": lambda: self.pass_time(DAWDLES[number]),
            "clear_up": self.clear_up,
            "arrive": self.arrive,
            "lose_jobs": self.lose_jobs,
            "late": lambda: self.worsen("late", ["/key/"], 1, 1),
            "block": lambda: self._move_key(endings.block_api_key, number),
            "unblock": lambda: self._move_key(endings.unblock_api_key, number),
            "revoke": lambda: self._move_key(endings.revoke_api_key, number),
            "leave": lambda: self.belong(self.people[number % PEOPLE], []),
            "come": lambda: self.belong(self.people[number % PEOPLE], list(TEAMS)),
            "deactivate": lambda: people.deactivate_user(self.ann, user_id=self.people[number % PEOPLE].pk),
        }
        self.moments.plan(after, deeds[deed])

    def _move_key(self, verb: Callable[..., Any], number: int) -> None:
        key = self.key(number)
        if key is not None:
            with suppress(DomainError):
                verb(self.ann, key_id=key.pk)

    def steal(self) -> None:
        """The process sleeps for so long that another takes its claim."""
        self.pass_time(31)
        self.push_everything()

    def die(self) -> None:
        """The process ends here."""
        raise Killed

    def pass_time(self, seconds: float) -> None:
        """Time passes, but not without the work that LiteLLM is late with."""
        since = self._late_since
        if since is not None and self.clock.monotonic() + seconds - since > LATEST:
            self.arrive()
        self.clock.pass_on(seconds)

    def arrive(self) -> None:
        """LiteLLM does the work that it is late with."""
        self.order("POST", "arrivals")
        self._late_since = None

    def _watch_late(self) -> None:
        if self._late_since is None and self.order("GET", "arrivals")["late"]:
            self._late_since = self.clock.monotonic()

    def pending_secrets(self) -> set[str]:
        """The digests of secrets that are kept encrypted."""
        kept = ApiKeySecret.objects.filter(pending_secret__isnull=False)
        return set(kept.values_list("digest", flat=True))
