"""Whether LiteLLM knows the fields that it is sent: it passes over names that it does not know, without a word.

`bodies.json` holds which fields the real proxies say that they take, and of which kinds. A new release that changes
them fails here first; take over its fields then.
"""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from litellm_sync import client
from litellm_sync.client import LiteLLM, bodies
from tests.contract.proxy import NEWEST, OLDEST, Proxy

Kinds = dict[str, list[str]]
RECORDED: dict[str, dict[str, Kinds]] = json.loads((Path(__file__).parent / "bodies.json").read_text())
# A path, and after it the field that is an object of its own.
BODIES: dict[str, Any] = {
    "/key/block": bodies.NamedKey,
    "/key/delete": bodies.FormerKeys,
    "/key/generate": bodies.NewKey,
    "/key/unblock": bodies.NamedKey,
    "/key/update": bodies.KeyUpdate,
    "/team/member_add": bodies.NewMember,
    "/team/member_add member": bodies.Member,
    "/team/member_delete": bodies.FormerMember,
    "/team/new": bodies.NewTeam,
    "/team/update": bodies.TeamUpdate,
    "/user/new": bodies.UserCreation,
    "/user/update": bodies.UserUpdate,
}
OF_JSON = {bool: "boolean", float: "number", int: "integer", list: "array", str: "string", NoneType: "null"}


# --- What we send ----------------------------------------------------------------------------------------------------


def kinds_of(hint: Any) -> set[str]:
    """The kinds of JSON that a type allows; a text that is written down stands behind a sign of its own."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return {kind for part in parts for kind in kinds_of(part)}
    if origin is Literal:
        return {f"={part}" if isinstance(part, str) else OF_JSON[type(part)] for part in parts}
    if is_typeddict(hint) or origin is Mapping:
        return {"object"}
    return {OF_JSON[origin or hint]}


def is_taken(kind: str, known: list[str]) -> bool:
    """Whether what is sent is among what is taken: a whole number is a number, and a certain text a text."""
    wider = {"integer": "number"}.get(kind, "string" if kind.startswith("=") else kind)
    return kind in known or wider in known


# --- What LiteLLM takes ----------------------------------------------------------------------------------------------


@cache
def described(litellm: Proxy) -> Any:
    """The proxy's own description of itself."""
    return litellm.read("/openapi.json")


def choices(document: Any, schema: Any) -> Iterator[Any]:
    """The simple schemas that a schema leaves the choice of, with references followed."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    parts = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if parts is None:
        yield schema
    for part in parts or ():
        yield from choices(document, part)


def taken(document: Any, name: str) -> Kinds:
    """The fields of one of `BODIES`, each with the kinds of JSON that LiteLLM takes."""
    path, _, part = name.partition(" ")
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    [found] = [choice for choice in choices(document, schema) if "properties" in choice]
    if part:
        parts = choices(document, found["properties"][part])
        [found] = [choice for choice in parts if "properties" in choice]
    return {field: sorted(_kinds(document, schema)) for field, schema in sorted(found["properties"].items())}


def _kinds(document: Any, schema: Any) -> set[str]:
    kinds = set()
    for choice in choices(document, schema):
        texts = choice.get("enum") or [choice[name] for name in ("const",) if name in choice]
        kinds |= {f"={text}" for text in texts} or {choice.get("type", "anything")}
    return kinds


@pytest.mark.parametrize("name", BODIES)
def test_every_field_is_known(litellm: Proxy, request: pytest.FixtureRequest, name: str) -> None:
    known = RECORDED[litellm.either(NEWEST, OLDEST)][name]
    if "emulator" not in request.node.callspec.id:
        assert taken(described(litellm), name) == known
    sent = {field: kinds_of(hint) for field, hint in get_type_hints(BODIES[name]).items()}
    taken_of_it = {
        field: {kind for kind in kinds if is_taken(kind, known.get(field, []))} for field, kinds in sent.items()
    }
    assert sent
    assert taken_of_it == sent


def test_every_body_that_is_sent_is_among_them() -> None:
    source = Path(client.__file__).read_text()
    calls = re.findall(r'self\._post\("(\w+)", "([^"]+)", (\w+)', source)
    assert len(calls) == source.count("self._post(")
    sent = {
        path: get_type_hints(getattr(LiteLLM, operation))["body"] if what == "body" else getattr(bodies, what)
        for operation, path, what in calls
    }
    assert sent == {name: body for name, body in BODIES.items() if " " not in name}


if TYPE_CHECKING:  # mypy tells of an ignore that hides nothing: each of these is an error to it
    misspelt: bodies.KeyChanges = {"max_budgt": 1.0}  # type: ignore[typeddict-unknown-key]  # no such field
    text: bodies.KeyChanges = {"max_budget": "1.0"}  # type: ignore[typeddict-item]  # money is a number
    exact: bodies.KeyChanges = {"max_budget": Decimal(1)}  # type: ignore[typeddict-item]  # JSON has floats only
    cleared: bodies.KeyChanges = {"models": None}  # type: ignore[typeddict-item]  # LiteLLM refuses this null
    blocked: bodies.KeyChanges = {"blocked": True}  # type: ignore[typeddict-unknown-key]  # it has calls of its own
    every_model: bodies.NewTeam = {"team_id": "", "team_alias": ""}  # type: ignore[typeddict-item]  # no models
    manager: bodies.Member = {"role": "admin", "user_id": ""}  # type: ignore[typeddict-item]  # needs a licence
