"""The cast of the tests: people with telling names, models, and clients that speak for them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Role, User
from litellm_sync.client import transport
from litellm_sync.emulator.server import Emulator
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.services import provision_user

MASTER_KEY = "sk-test-master-key"
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet")


def make_person(name: str, role: Role = Role.USER) -> User:
    """A person whose password is the name."""
    return provision_user(None, username=name, email=f"{name}@test.example", roles=[role], password=name)


@pytest.fixture
def ada(db: None) -> User:
    """Owns things."""
    return make_person("ada")


@pytest.fixture
def eve(db: None) -> User:
    """A stranger to them."""
    return make_person("eve")


@pytest.fixture
def ann(db: None) -> User:
    """An administrator."""
    return make_person("ann", Role.ADMIN)


@pytest.fixture
def ro(db: None) -> User:
    """An administrator who may only read."""
    return make_person("ro", Role.ADMIN_READONLY)


@pytest.fixture
def models(db: None) -> list[Model]:
    """Three open models of the catalogue, with the names that the emulator has."""
    return [Model.objects.create(id=name, provider="openai", mode="chat") for name in MODELS]


@pytest.fixture
def subscribed(ada: User, models: list[Model]) -> list[Subscription]:
    """Ada may use every model."""
    return [create_subscription(ada, model=model.id) for model in models]


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """An API client that speaks for somebody, or for nobody."""

    def speak_for(user: User | None = None) -> APIClient:
        client = APIClient(raise_request_exception=False)
        if user is not None:
            client.force_authenticate(user)
        return client

    return speak_for


@pytest.fixture
def browser() -> Callable[[User | None], Client]:
    """A browser in which somebody is signed in, or nobody."""

    def speak_for(user: User | None = None) -> Client:
        client = Client(raise_request_exception=False)
        if user is not None:
            client.force_login(user)
        return client

    return speak_for


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[Emulator]:
    """One LiteLLM emulator for a worker's whole run."""
    with Emulator(master_key=MASTER_KEY, state=None) as emulator:
        yield emulator


@pytest.fixture
def litellm(running_emulator: Emulator, settings: Any) -> Iterator[Emulator]:
    """An empty LiteLLM that behaves; the product is pointed at it."""
    running_emulator.reset()
    settings.LITELLM_API_URL = settings.LITELLM_PUBLIC_URL = running_emulator.url
    settings.LITELLM_API_KEY = MASTER_KEY
    transport.shared.cache_clear()
    yield running_emulator
    running_emulator.reset()
    transport.shared.cache_clear()
