"""After a full tour with known secrets nobody finds one of them: not in tables, logs, pages, answers, the audit log."""

import io
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.apps import apps
from django.conf import settings as product
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import AuditEvent, PersonalToken, User
from apikeys.models import ApiKey, ApiKeySecret
from litellm_sync.emulator.server import Emulator
from litellm_sync.push import push
from litemaas.foundation import logs
from litemaas.foundation.once import new_ticket
from subscriptions.models import Model, Subscription
from tests.cast import MASTER_KEY, make_person
from tests.guards.routes import routes
from tests.identity_providers import SECRET as CLIENT_SECRET
from tests.races import real_transactions
from tests.sign_in import Company, company

__all__ = ["company", "real_transactions"]

PASSWORD, WRONG = "the-Password-of-Ada-7311", "a-wrong-Guess-of-Eves-5522"
CODE = "a-made-up-Code-of-Eves-9034"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the product's own log handler writes, at its most talkative."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter(json=True))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def dump() -> str:
    """Every row of every table, the job queue's too, as text."""
    parts = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            if table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608 -- the name of a table
                parts += [f"{table}: {row}" for (row,) in cursor.fetchall()]
    return "\n".join(parts)


def tour(ada: User, client: APIClient, page: Client) -> list[str]:
    """Sign in, wrongly and rightly, in both faces; make, push and end keys; returns every secret that was met."""
    assert client.post("/api/v1/auth/token", {"username": "ada", "password": WRONG}).status_code == 401
    assert page.post("/sign-in", {"username": "ada", "password": WRONG}).status_code == 401
    pair = client.post("/api/v1/auth/token", {"username": "ada", "password": PASSWORD}).json()
    newer = client.post("/api/v1/auth/token/refresh", {"refresh": pair["refresh"]}).json()
    assert page.post("/sign-in", {"username": "ada", "password": PASSWORD}).status_code == 302
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {newer['access']}")
    assert client.post("/api/v1/subscriptions", {"model": "gpt-4o"}).status_code == 201
    first = client.post("/api/v1/api-keys", {"name": "api", "models": ["gpt-4o"]}).json()
    wish = {"name": "page", "models": ["gpt-4o"], "ticket": new_ticket(ada.pk)}
    second = page.post("/api-keys/create", wish).context["secret"]
    changes = {"name": "renamed", "rpm_limit": 7, "key": second, "secret": second}
    assert client.patch(f"/api/v1/api-keys/{first['id']}", changes).status_code == 200
    rotated = client.post(f"/api/v1/api-keys/{first['id']}/rotate", {"grace_seconds": 60})
    assert rotated.status_code in {201, 409}, "what LiteLLM does not have yet cannot be rotated"
    newest = [rotated.json()["secret"]] if rotated.status_code == 201 else []
    assert client.post(f"/api/v1/api-keys/{first['id']}/revoke").status_code == 200
    script = client.post("/api/v1/me/tokens", {"name": "api", "scope": "read"}).json()["secret"]
    wish = {"name": "page", "scope": "read", "days": "7", "ticket": new_ticket(ada.pk)}
    other = page.post("/profile/tokens/create", wish).context["secret"]
    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {script}").status_code == 200
    # Secrets that are sent where they do not belong.
    client.post("/api/v1/api-keys", {"name": "x", "models": ["gpt-4o"], "key": second, "password": PASSWORD})
    client.post("/api/v1/api-keys", {"name": "y", "models": [second], "description": "d"})
    client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {newer['refresh']}")
    client.get(f"/api/v1/nowhere?token={newer['access']}&api_key={second}")
    assert client.post("/api/v1/auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401
    session = page.cookies[product.SESSION_COOKIE_NAME].value
    tokens = [pair["access"], pair["refresh"], newer["access"], newer["refresh"], script, other, session]
    return [PASSWORD, WRONG, MASTER_KEY, first["secret"], second, *newest, *tokens]


def tour_of_a_provider(company: Company) -> list[str]:
    """Sign in through a provider, rightly, with a spent code, and with made-up answers; returns what was secret."""
    issued: list[str] = []
    sign = company.server.signed_with(company.server.key)

    def remember(claims: dict[str, Any]) -> str:
        issued.append(sign(claims))
        return issued[-1]

    company.server.sign = remember
    address = company.server.authorize(company.leave())
    sent = parse_qs(urlsplit(address).query)
    assert company.come_back(address).status_code == 302
    assert company.come_back(address).status_code == 400
    state = parse_qs(urlsplit(company.leave(Client())).query)["state"][0]
    made_up = f"{urlsplit(address).path}?code={CODE}&state={state}"
    assert company.client.get(made_up).status_code == 400
    assert company.client.get(f"{made_up}&error=access_denied&error_description={CODE}").status_code in {400, 403}
    return [CLIENT_SECRET, CODE, sent["code"][0], sent["state"][0], state, *issued]


def everything_shown(page: Client, ann: User) -> str:
    """Every address that can be read, as Ada and as an administrator."""
    key, model, subscription = ApiKey.objects.get(name="page"), Model.objects.get(), Subscription.objects.get()
    admin = Client()
    admin.force_login(ann)
    shown = []
    for route in routes():
        path = route.path.replace("<path:pk>", model.pk).replace("<path:model_id>", model.pk)
        path = path.replace("<uuid:key_id>", str(key.pk)).replace("<uuid:subscription_id>", str(subscription.pk))
        path = path.replace("<uuid:token_id>", str(PersonalToken.objects.get(name="page").pk))
        path = path.replace("<uuid:pk>", str(key.pk if "api-keys" in path else subscription.pk))
        for reader in (page, admin):
            response = reader.get(path)
            shown.append(response.content.decode() if not response.streaming else "")
    return "\n".join(shown)


@pytest.mark.usefixtures("real_transactions")
@pytest.mark.parametrize("reachable", [True, False], ids=["LiteLLM is there", "LiteLLM is away"])
def test_trap_18_no_secret_is_left_anywhere(
    request: pytest.FixtureRequest,
    settings: Any,
    written: io.StringIO,
    company: Company,
    reachable: bool,  # noqa: FBT001
) -> None:
    settings.PASSWORD_SIGN_IN = True
    if reachable:
        litellm: Emulator = request.getfixturevalue("litellm")
    ada, ann = make_person("ada"), make_person("ann")
    User.objects.filter(pk=ann.pk).update(roles=["admin"])
    ada.set_password(PASSWORD)
    ada.save(update_fields=["password"])
    Model.objects.create(id="gpt-4o", provider="openai", mode="chat")
    page = Client(raise_request_exception=False)
    secrets = tour(ada, APIClient(raise_request_exception=False), page)
    secrets += tour_of_a_provider(company)
    sessions = [client.cookies[product.SESSION_COOKIE_NAME].value for client in (page, company.client)]
    if reachable:
        assert {row["user_id"] for row in litellm.state.keys} == {str(ada.pk)}
        for secret in ApiKeySecret.objects.all():
            push("apikeys.apikeysecret", str(secret.pk), limit=5)
        assert set(ApiKeySecret.objects.values_list("pending_secret", flat=True)) == {None}
    audited = str([vars(event) for event in AuditEvent.objects.all()])
    ann.refresh_from_db()
    places = {"tables": dump(), "logs": written.getvalue(), "audit": audited, "shown": everything_shown(page, ann)}
    assert "apikey.created" in places["audit"]
    assert ("apikey.rotated" in places["audit"]) is reachable
    assert "/api/v1/auth/token" in places["logs"]
    assert str(ada.pk) in places["tables"]
    assert "page" in places["shown"]
    assert "sign_in_unknown" in places["audit"]
    assert "/sign-in/company/callback" in places["logs"]
    found = {(place, secret[:12]) for place, text in places.items() for secret in secrets if secret in text}
    assert found == set()
    # A session's key is the name of its row, and nowhere else.
    lines = [line for line in places["tables"].splitlines() if not line.startswith("django_session: ")]
    elsewhere = [places["logs"], places["audit"], places["shown"], "\n".join(lines)]
    assert [key for key in sessions if any(key in text for text in elsewhere)] == []
