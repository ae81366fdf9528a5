"""What tests of signing in through a provider share: a provider, its settings, a browser that goes there and back."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from accounts.models import AuditEvent
from litemaas.foundation.providers import OPENSHIFT, Provider
from tests.identity_providers import CLIENT, SECRET, OpenIdServer, OpenShiftServer, Server, running

LEA = {"preferred_username": "lea", "email": "lea@company.test", "email_verified": True, "name": "Lea Lang"}


@dataclass
class Company:
    """A running provider called "company", and how the portal is set up for it."""

    server: Any
    settings: Any
    provider: Provider
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def configure(self, **changes: Any) -> None:
        """Change the portal's settings for the provider."""
        self.provider = replace(self.provider, **changes)
        self.settings.SIGN_IN_PROVIDERS = {self.provider.name: self.provider}

    def leave(self, client: Client | None = None, **query: str) -> str:
        """Where the portal sends the browser."""
        response = (client or self.client).get(f"/sign-in/{self.provider.name}", query)
        assert response.status_code == 302, response.content.decode()
        return str(response["Location"])

    def come_back(self, address: str, client: Client | None = None, **more: str) -> Any:
        """What the portal answers to the address that the provider sent the browser back to."""
        parts = urlsplit(address)
        extra = "".join(f"&{name}={value}" for name, value in more.items())
        return (client or self.client).get(f"{parts.path}?{parts.query}{extra}")

    def sign_in(self, subject: str = "s-1", client: Client | None = None, **query: str) -> Any:
        """There and back as the person with this id."""
        return self.come_back(self.server.authorize(self.leave(client, **query), subject), client)


def _set_up(server: Server, settings: Any, **more: Any) -> Company:
    provider = Provider("company", label="Company", issuer=server.url, client_id=CLIENT, client_secret=SECRET, **more)
    settings.SIGN_IN_PROVIDERS = {"company": provider}
    return Company(server, settings, provider)


@pytest.fixture
def company(db: None, settings: Any) -> Iterator[Company]:
    """A strict OpenID provider that knows Lea."""
    server = OpenIdServer(people={"s-1": dict(LEA)})
    with running(server):
        yield _set_up(server, settings)


@pytest.fixture
def cluster(db: None, settings: Any) -> Iterator[Company]:
    """An OpenShift that knows Lea."""
    server = OpenShiftServer(users={"u-1": {"name": "lea", "fullName": "Lea Lang", "groups": ["data"]}})
    with running(server):
        yield _set_up(server, settings, kind=OPENSHIFT, scopes="user:info", require_email=False)


def is_signed_in(client: Client) -> bool:
    """Whether the browser has a session of somebody."""
    return "_auth_user_id" in client.session


def failures() -> list[tuple[str, str]]:
    """(reason, cause) of each failed sign-in in the audit log."""
    rows = AuditEvent.objects.filter(action="sign_in.failed", success=False).order_by("id")
    return [(row.details["reason"], row.details["cause"]) for row in rows]


def assert_refused(company: Company, response: Any, status: int, code: str) -> None:
    """A page with a way out, nobody signed in, and an entry in the audit log."""
    page = response.content.decode()
    assert response.status_code == status, page
    assert f'href="/sign-in/{company.provider.name}' in page or 'href="/sign-in?' in page
    assert not is_signed_in(company.client)
    assert failures()[-1][0] == code
