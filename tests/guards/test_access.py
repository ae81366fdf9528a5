"""Deny by default: every address is marked with a permission, and answers each person as the table says."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from django.apps import apps
from django.contrib import admin
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.enforcement import AccessPermission
from accounts.models import BrowserSession, Identity, PersonalToken, ProviderDocument, Role, User
from accounts.oidc import discovery_url
from accounts.personal_tokens import create_personal_token
from accounts.rbac import SCOPES, Permission, Scope
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from apikeys.upkeep import BulkChange
from litellm_sync.emulator.server import Emulator
from litellm_sync.models import Drift, SyncRun
from litemaas.foundation.access import PUBLIC, SIGNED_IN, required
from litemaas.foundation.once import new_ticket
from litemaas.foundation.providers import Provider
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription, deny_subscription
from tests.guards import admin_world
from tests.guards.access_matrix import ADMIN_TABLES, MATRIX, Answers
from tests.guards.routes import METHODS, Route, routes

WRITING = ("POST", "PUT", "PATCH", "DELETE")
# Open to everybody, with the reason; whoever adds a line here opens a door.
OPEN = {
    "/api/v1/auth/token": "signing in",
    "/api/v1/auth/token/refresh": "the token is the proof",
    "/api/v1/auth/token/revoke": "the token is the proof",
    "/healthz/live": "load balancers",
    "/healthz/ready": "load balancers",
    "/language": "a cookie of the reader's own",
    "/metrics": "Prometheus, which knows METRICS_TOKEN",
    "/sign-in": "signing in",
    "/sign-in/<slug:name>": "signing in",
    "/sign-in/<slug:name>/callback": "signing in; the state in the session is the proof",
    "/signed-out": "whoever has just signed out is nobody",
    "/theme": "a cookie of the reader's own",
}
# Writes that need nothing but being signed in, and that adminReadonly may do too: nothing of the product changes.
HARMLESS = {("POST", "/language"), ("POST", "/sign-out"), ("POST", "/theme"), ("POST", "/sign-in")}
# Questions that are sent by POST, because what they are about does not belong into an address.
QUESTIONS = {("POST", "/api/v1/api-keys/validate")}
# Ending sessions of one's own, which everybody may: whoever lost a computer must be able to lock it out.
SIGNING_OUT = {
    ("POST", "/profile/sessions/<uuid:sign_in_id>/end"),
    ("POST", "/profile/sessions/end-others"),
    ("DELETE", "/api/v1/me/sessions"),
    ("DELETE", "/api/v1/me/sessions/<uuid:pk>"),
}
OTHER_SESSION = "ada-elsewhere"
REFUSALS = {401, 403, 404, 405, 422}


def marker(route: Route, method: str) -> str | None:
    """The permission that a method of an address needs."""
    return required(route.drf_class or route.view, route.handlers.get(method))


# --- Markers ---------------------------------------------------------------------------------------------------------


def test_every_address_and_method_is_marked_with_a_permission_that_there_is() -> None:
    allowed = {PUBLIC, SIGNED_IN, *(permission.value for permission in Permission)}
    for route in routes():
        for method in route.handlers or ["GET"]:
            assert marker(route, method) in allowed, (method, route.path)


def test_every_view_of_the_rest_framework_obeys_its_marker() -> None:
    for route in routes():
        if route.drf_class is not None:
            assert list(route.drf_class.permission_classes) == [AccessPermission], route.path


def test_what_is_open_is_known_and_what_is_known_is_open() -> None:
    found = {route.path for route in routes() if any(marker(route, m) == PUBLIC for m in route.handlers or ["GET"])}
    assert found == set(OPEN)


def test_every_write_of_the_api_has_a_permission_of_its_own() -> None:
    for route in routes():
        for method in route.handlers:
            if method in WRITING and route.path not in OPEN and (method, route.path) not in SIGNING_OUT:
                found = marker(route, method)
                assert found not in {PUBLIC, SIGNED_IN, None}, (method, route.path)
                assert not str(found).endswith(".read"), (method, route.path)


def test_names_of_addresses_are_unique() -> None:
    names = [route.name for route in routes()]
    assert sorted(set(names)) == sorted(names)
    assert "" not in names


def test_trap_09_adminreadonly_has_every_reading_permission_and_no_other() -> None:
    readers = {permission for permission in Permission if permission.value.endswith(".read")}
    assert SCOPES[Role.ADMIN_READONLY] == dict.fromkeys(readers, Scope.ALL)
    nobody_elses_secret = {Permission.APIKEYS_ROTATE: Scope.OWN}
    assert SCOPES[Role.ADMIN] == dict.fromkeys(Permission, Scope.ALL) | nobody_elses_secret
    assert set(SCOPES[Role.USER]) < set(Permission)


def test_every_table_of_the_admin_portal_is_entered_by_hand() -> None:
    found: dict[str, Any] = {
        table._meta.label_lower.replace(".", "/"): page for table, page in admin.site._registry.items()
    }
    verbs = {
        name: (
            tuple(sorted(verb.name for verb in page.all_verbs())),
            any(verb.bulk for verb in page.all_verbs()),
            tuple(verb.name for verb in page.all_list_verbs()),
        )
        for name, page in found.items()
    }
    assert verbs == ADMIN_TABLES


def test_every_verb_of_the_admin_portal_has_a_permission_that_writes() -> None:
    registry: dict[Any, Any] = admin.site._registry
    for page in registry.values():
        for verb in (*page.all_verbs(), *page.all_list_verbs()):
            assert not verb.permission.value.endswith(".read"), verb.name


# --- The table -------------------------------------------------------------------------------------------------------


def test_every_address_stands_in_the_table_and_nothing_else_does() -> None:
    assert {path for _method, path in MATRIX} == {route.path for route in routes()}


def test_every_method_of_the_api_stands_in_the_table_and_nothing_else_does() -> None:
    offered = {(method, route.path) for route in routes() for method in route.handlers}
    assert offered == {(method, path) for method, path in MATRIX if path.startswith("/api/")}


@dataclass
class World:
    """What there is: everything with an owner is Ada's."""

    people: dict[str, User | None]
    key: ApiKey
    blocked: ApiKey
    revoked: ApiKey
    subscription: Subscription
    spare: Subscription
    waiting: Subscription
    denied: Subscription
    run: SyncRun
    session: BrowserSession
    token: PersonalToken

    def address(self, path: str, method: str = "GET") -> str:
        """The address with somebody's things filled in."""
        if path.startswith("/admin/"):
            return admin_world.address(path)
        if "/integration/drift/" in path:
            verb = path.rpartition("/")[2]
            found = Drift.objects.get(**admin_world.DIFFERENT.get(verb, {"name": "ours"}))
            return path.replace("<uuid:pk>", str(found.pk))
        if "/bulk-changes/" in path:
            status = "running" if path.endswith("/stop") else "planned"
            return path.replace("<uuid:pk>", str(BulkChange.objects.filter(status=status)[0].pk))
        api_key = "/api-keys/" in path
        ending = path.rpartition("/")[2]
        rotated = ApiKey.objects.filter(name="rotated").first() or self.key
        key = {"unblock": self.blocked, "delete": self.revoked, "end-old-secret": rotated}.get(ending, self.key)
        key = self.revoked if method == "DELETE" else key
        wished = {"approve": self.waiting, "deny": self.waiting, "request-review": self.denied, "review": self.denied}
        subscription = wished.get(path.rpartition("/")[2], self.spare)
        thing = key.pk if api_key else self.run.pk if "/runs/" in path else subscription.pk
        thing = self.session.pk if "/me/sessions/" in path else self.token.pk if "/me/tokens/" in path else thing
        path = path.replace("<uuid:sign_in_id>", str(self.session.pk)).replace("<uuid:token_id>", str(self.token.pk))
        thing = subscription.user_id if "/users/" in path else thing
        path = path.replace("<int:identity>", str(Identity.objects.order_by("pk").values_list("pk", flat=True)[0]))
        for name in ("<uuid:pk>", "<uuid:key_id>", "<uuid:subscription_id>"):
            path = path.replace(name, str(thing))
        path = path.replace("<slug:name>", "company").replace("<slug:kind>", "models")
        return path.replace("<path:pk>", "gpt-4o").replace("<path:model_id>", "gpt-4o")

    def body(self, path: str, person: User | None) -> dict[str, Any]:
        """What somebody would send there in earnest."""
        if path.startswith("/admin/"):
            return admin_world.body(path)
        bodies: dict[str, dict[str, Any]] = {
            "/api-keys/create": {"name": "k", "models": ["gpt-4o"], "ticket": new_ticket(person.pk if person else "")},
            "/api-keys/<uuid:key_id>/edit": {"name": "renamed", "models": ["gpt-4o"]},
            "/api-keys/<uuid:key_id>/rotate": {
                "grace_seconds": "3600",
                "ticket": new_ticket(person.pk if person else ""),
            },
            "/language": {"language": "de"},
            "/profile": {"full_name": "Somebody Else", "language": "de", "time_zone": "Europe/Berlin"},
            "/profile/language": {"language": "de"},
            "/profile/tokens/create": {
                "name": "t",
                "scope": "read",
                "days": "30",
                "ticket": new_ticket(person.pk if person else ""),
            },
            "/sign-in": {"username": "ada", "password": "wrong"},
            "/subscriptions/<uuid:subscription_id>/deny": {"reason": "r"},
            "/subscriptions/<uuid:subscription_id>/review": {"message": "m"},
            "/subscriptions/create": {"model": "claude-sonnet"},
            "/subscriptions/restrict": {"model": "gpt-4o", "restricted": "1"},
            "/theme": {"theme": "dark"},
            "/api/v1/api-keys": {"name": "k", "models": ["gpt-4o"]},
            "/api/v1/api-keys/<uuid:pk>": {"name": "renamed"},
            "/api/v1/api-keys/policy": {"keys_per_user": 7},
            "/api/v1/api-keys/validate": {"key": "sk-lm-nonsense"},
            "/api/v1/auth/token": {"username": "ada", "password": "wrong"},
            "/api/v1/auth/token/refresh": {"refresh": "x"},
            "/api/v1/auth/token/revoke": {"refresh": "x"},
            "/api/v1/integration/drift/<uuid:pk>/adopt": {"owner": "ada"},
            "/api/v1/integration/schedule/<slug:kind>": {"seconds": 600},
            "/api/v1/integration/sync": {"what": "usage"},
            "/api/v1/me": {"full_name": "Somebody Else"},
            "/api/v1/me/tokens": {"name": "t", "scope": "read"},
            "/api/v1/models/<path:pk>": {"restricted": True},
            "/api/v1/subscriptions": {"model": "claude-sonnet"},
            "/api/v1/subscriptions/<uuid:pk>/deny": {"reason": "r"},
            "/api/v1/subscriptions/<uuid:pk>/request-review": {"message": "m"},
            "/api/v1/api-keys/bulk-changes": {"action": "block", "which": "no_limit"},
            "/api/v1/subscriptions/bulk": {"action": "approve", "ids": [str(self.waiting.pk)]},
            "/api/v1/users": {"username": "newcomer"},
            "/api/v1/users/<uuid:pk>": {"roles": ["adminReadonly"], "is_active": False, "rpm_limit": 5},
            "/api/v1/users/<uuid:pk>/identities": {"provider": "company", "subject": "s-2"},
            "/api/v1/users/<uuid:pk>/offboard": {"reason": "r"},
            "/api/v1/users/bulk-limits": {"ids": [str(self.key.user_id)], "max_budget": "5"},
        }
        return bodies.get(path, {})


@pytest.fixture
def people(ada: User, eve: User, ro: User, ann: User) -> dict[str, User | None]:
    """Everybody by name, and nobody."""
    return {"anonymous": None, "eve": eve, "ada": ada, "ro": ro, "ann": ann}


@pytest.fixture
def world(people: dict[str, User | None], ada: User, models: list[Any], settings: Any) -> World:
    """Ada has a key and a blocked one, a subscription to spare, one that waits and one that was denied."""
    settings.PASSWORD_SIGN_IN = True
    for name in ("waiting", "denied"):
        Model.objects.create(id=name, provider="openai", mode="chat", restricted=True)
    waiting, denied = (create_subscription(ada, model=model) for model in ("waiting", "denied"))
    deny_subscription(people["ann"], subscription_id=denied.pk, reason="r")  # type: ignore[arg-type]  # Ann is somebody
    company = Provider("company", label="Company", issuer="https://idp.test", client_id="litemaas")
    settings.SIGN_IN_PROVIDERS = {"company": company}
    now, endpoint = timezone.now(), {"authorization_endpoint": "https://idp.test/authorize"}
    ProviderDocument.objects.create(url=discovery_url(company), body=endpoint, fetched_at=now, tried_at=now)
    used, spare = (create_subscription(ada, model=model) for model in ("gpt-4o", "gpt-4o-mini"))
    key = create_api_key(ada, name="notebook", models=["gpt-4o"]).key
    blocked = create_api_key(ada, name="blocked", models=["gpt-4o"]).key
    ApiKey.objects.filter(pk=blocked.pk).update(status="blocked")
    revoked = create_api_key(ada, name="ended", models=["gpt-4o"]).key
    ApiKey.objects.filter(pk=revoked.pk).update(status="revoked", revoked_at=now)
    run = SyncRun.objects.create(kind="models", status="done")
    admin_world.furnish(ada, key)
    session = BrowserSession.objects.create(user=ada, digest=OTHER_SESSION, data="")
    token = create_personal_token(ada, name="nightly", scope="read").token
    return World(people, key, blocked, revoked, used, spare, waiting, denied, run, session, token)


def ask(world: World, who: str, method: str, path: str) -> int:
    """The status that a person gets."""
    return int(answer(world, who, method, path).status_code)


def answer(world: World, who: str, method: str, path: str) -> Any:
    """What a person gets, as a browser or a program would send it."""
    client, person = Client(raise_request_exception=False), world.people[who]
    if person is not None:
        client.force_login(person)
    body = world.body(path, person)
    extra: dict[str, Any] = {}
    if method in WRITING and path.startswith("/api/"):
        extra = {"data": json.dumps(body), "content_type": "application/json"}
    elif method in WRITING:
        extra = {"data": body} if method == "POST" else {}
    send: Callable[..., Any] = getattr(client, method.lower())
    return send(world.address(path, method), **extra)


@contextmanager
def undone() -> Iterator[None]:
    """Whatever happens inside has not happened afterwards.

    The transaction is a test's: verbs that ask LiteLLM before they write do so outside of any of the product's.
    """
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]  # as TestCase marks its own
    with block:
        yield
        transaction.set_rollback(True)


def fingerprint() -> str:
    """Everything in the product's tables, but the audit log, failed sign-ins and attempts, which note refusals.

    Of sessions only Ada's other one: everybody who asks has one.
    """
    left_out = {"accounts_auditevent", "accounts_failedsignin", "accounts_signinattempt"}
    ours = {"accounts", "teams", "subscriptions", "apikeys", "usage", "litellm_sync"}
    tables = [model._meta.db_table for model in apps.get_models() if model._meta.app_label in ours]
    digest = hashlib.sha256()
    with connection.cursor() as cursor:
        for table in sorted(set(tables) - left_out):
            # A sign-in is noted on the person; that is no write of the product's.
            which = f"WHERE digest = '{OTHER_SESSION}'" if table == "accounts_browsersession" else ""
            cursor.execute(f"SELECT to_jsonb(t) - 'last_login' FROM {table} t {which} ORDER BY 1")  # noqa: S608 -- our own tables
            digest.update(f"{table} {cursor.fetchall()}".encode())
    return digest.hexdigest()


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), MATRIX, ids=str)
def test_everybody_gets_what_the_table_says_and_no_reading_asks_litellm(
    world: World, litellm: Emulator, method: str, path: str
) -> None:
    admin_world.made_in(litellm)
    before = fingerprint()
    answers = {}
    for who in world.people:
        with undone():
            answers[who] = ask(world, who, method, path)
            refused = answers[who] in REFUSALS or method == "GET" or (method, path) in HARMLESS | QUESTIONS
            if (method, path) in SIGNING_OUT:
                continue
            assert (fingerprint() == before) is refused or path.startswith("/api/v1/auth/"), (who, answers[who])
    assert Answers(**answers) == MATRIX[method, path]
    assert method != "GET" or litellm.calls == []


@pytest.mark.django_db
@pytest.mark.parametrize("path", sorted({path for _method, path in MATRIX}))
def test_methods_that_are_not_in_the_table_are_offered_to_nobody(world: World, path: str) -> None:
    for method in METHODS:
        if (method, path) not in MATRIX:
            with undone():
                assert ask(world, "ann", method, path) == 405, method
            for who in ("anonymous", "ro"):
                with undone():
                    assert ask(world, who, method, path) in {405, 401, 403, 302}, (method, who)


@pytest.mark.django_db
def test_trap_09_adminreadonly_writes_nothing_through_any_face(world: World) -> None:
    before = fingerprint()
    for method, path in MATRIX:
        if method in WRITING and (method, path) not in HARMLESS | SIGNING_OUT and path not in OPEN:
            assert ask(world, "ro", method, path) == 403, (method, path)
    assert fingerprint() == before


def test_calls_of_litellm_are_counted(litellm: Emulator) -> None:
    requests.get(f"{litellm.url}/health/liveliness", timeout=10)
    assert litellm.calls == [("GET", "/health/liveliness")]


@pytest.mark.django_db
def test_deactivated_people_get_what_the_anonymous_get(world: World) -> None:
    User.objects.update(is_active=False)
    for (method, path), answers in MATRIX.items():
        if path not in OPEN:
            with undone():
                assert ask(world, "ann", method, path) == answers.anonymous, (method, path)


@pytest.mark.django_db
def test_a_view_without_marker_is_refused_to_everybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = {route.path: route for route in routes()}
    monkeypatch.delattr(by_path["/usage"].view, "access")
    assert ask(world, "ann", "GET", "/usage") == 403
    viewset: Any = by_path["/api/v1/subscriptions"].drf_class
    monkeypatch.delattr(viewset, "access")
    assert ask(world, "ann", "GET", "/api/v1/subscriptions") == 403
    assert ask(world, "anonymous", "GET", "/api/v1/subscriptions") == 401
