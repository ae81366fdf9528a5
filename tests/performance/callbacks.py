"""How the bench comes back from a provider: attempts begun beforehand, each of which one request brings to its end."""

from typing import Any, Final

from django.conf import settings
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import Identity, User
from accounts.session_store import SessionStore
from litemaas import sign_in
from tests.identity_providers import OpenIdServer
from tests.performance import data
from tests.performance.data import Size
from tests.performance.load import Request
from tests.performance.stage import PROVIDER

FIRST: Final = 4  # before come the administrators, whose roles no group of the provider gives


def requests(server: OpenIdServer, size: Size, host: str, number: int) -> list[Request]:
    """As many people, known to the provider, on their way back from it; some more than once."""
    names = _introduce(server, size)
    return [_on_the_way(server, host, names[n % len(names)]) for n in range(number)]


def _introduce(server: OpenIdServer, size: Size) -> list[str]:
    """Everybody who may sign in and is no administrator has done so before, so nothing about them is new."""
    people = [i for i in range(FIRST, size.users) if data.is_active(i)]
    names = [data.username(i) for i in people]
    server.people = {
        name: {"preferred_username": name, "email": f"{name}@example.com", "email_verified": True} for name in names
    }
    User.objects.filter(pk__in=[data.user_id(i) for i in people]).update(email_verified=True)
    Identity.objects.bulk_create(
        Identity(
            user_id=data.user_id(i),
            provider=PROVIDER,
            issuer=server.url,
            subject=data.username(i),
            last_sign_in_at=timezone.now(),
        )
        for i in people
    )
    return names


def _on_the_way(server: OpenIdServer, host: str, subject: str) -> Request:
    """A browser of its own, which has left for the provider and is sent back by it."""
    asked: Any = RequestFactory(headers={"host": host}).get("/")
    asked.session = SessionStore()
    there = sign_in.leave_for(asked, settings.SIGN_IN_PROVIDERS[PROVIDER], back="/")
    asked.session.save()
    back = server.authorize(there, subject).partition(host)[2]
    return Request(back, [f"Cookie: {settings.SESSION_COOKIE_NAME}={asked.session.session_key}"])
