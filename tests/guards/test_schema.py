"""The schema: valid, without a warning, and about every address and method that there is."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from accounts.models import User
from subscriptions.models import Model
from subscriptions.services import create_subscription
from tests.guards.routes import routes

# What describes itself needs no description of its own.
NOT_DESCRIBED = {"/api/v1/docs", "/api/v1/schema"}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
PLAUSIBLE = st.sampled_from(
    ["gpt-4o", ["gpt-4o"], {"gpt-4o": {"rpm_limit": 1}}, "1", "0", "-1", "1e99", "30d", "2099-01-01", 2**63, 0, -1]
)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema as data."""
    generator: Any = SchemaGenerator
    return dict(generator().get_schema(public=True))


def described(path: str) -> str:
    """An address of the URL map as OpenAPI writes it."""
    return re.sub(r"<\w+:(\w+)>", r"{\1}", path)


def test_the_schema_is_valid_and_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())
    assert "Warning" not in capsys.readouterr().err


def test_every_method_of_every_address_is_described_and_nothing_else_is(schema: dict[str, Any]) -> None:
    found = {(m.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, item in schema["paths"].items() for m in item}
    offered = {
        (method, re.sub(r"\{\w+\}", "{}", described(route.path)))
        for route in routes()
        for method in route.handlers
        if route.path not in NOT_DESCRIBED
    }
    assert found == offered


def test_operations_have_names_of_their_own_and_say_what_they_do(schema: dict[str, Any]) -> None:
    operations = [operation for item in schema["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []


def test_the_schema_says_how_to_be_known(schema: dict[str, Any]) -> None:
    assert schema["components"]["securitySchemes"]["accessToken"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert schema["components"]["securitySchemes"]["personalToken"]["bearerFormat"] == "lmp_…"
    ways: list[dict[str, list[str]]] = [{"personalToken": []}, {"accessToken": []}, {"cookieAuth": []}]
    assert schema["paths"]["/api/v1/me"]["get"]["security"] == ways


def _bodies(schema: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """Method and address -> the names of the fields that it takes."""
    found = {}
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if reference := content.get("schema", {}).get("$ref"):
                component = schema["components"]["schemas"][reference.rpartition("/")[2]]
                found[method.upper(), path] = sorted(component["properties"])
    return found


@pytest.mark.django_db
def test_no_body_breaks_anything(ann: User, models: list[Model], schema: dict[str, Any]) -> None:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(ann)
    create_subscription(ann, model="gpt-4o")
    bodies = _bodies(schema)
    assert len(bodies) == 29
    for (method, path), fields in bodies.items():
        body = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, PLAUSIBLE | ANY_JSON))

        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(sent=body | ANY_JSON)
        def attack(method: str, path: str, sent: Any) -> None:
            response = getattr(client, method.lower())(path, sent)
            assert response.status_code < 500, (method, path, sent)

        attack(method, path)
