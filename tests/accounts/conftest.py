"""What the tests of accounts share: sign-in with a password, and threads."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.races import real_transactions
from tests.sign_in import cluster, company

__all__ = ["cluster", "company", "passwords", "real_transactions", "sign_in"]

TOKEN = "/api/v1/auth/token"


@pytest.fixture
def passwords(settings: Any) -> None:
    """Signing in with a password is switched on."""
    settings.PASSWORD_SIGN_IN = True


@pytest.fixture
def sign_in(passwords: None) -> Callable[..., Any]:
    """Ask for a pair of tokens."""

    def ask(username: str, password: str | None = None, **extra: Any) -> Any:
        client = APIClient(raise_request_exception=False)
        return client.post(TOKEN, {"username": username, "password": password or username}, **extra)

    return ask
