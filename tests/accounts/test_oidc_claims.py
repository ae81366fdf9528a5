"""What is taken from the claims of a provider, and what is made of odd ones."""

from dataclasses import replace
from typing import Any

import pytest

from accounts import claims
from litemaas.foundation.errors import PermissionDenied
from litemaas.foundation.providers import Provider, mapping

COMPANY = Provider("company", label="Company", issuer="https://idp.test", client_id="litemaas")
LEA: dict[str, Any] = {"sub": "s-1", "preferred_username": "lea", "email": "lea@company.test", "email_verified": True}


@pytest.mark.parametrize(
    ("path", "facts", "expected"),
    [
        ("groups", {"groups": ["a", "b"]}, {"a", "b"}),
        ("groups", {"groups": "a"}, {"a"}),
        ("realm_access.roles", {"realm_access": {"roles": ["a"]}}, {"a"}),
        ("resource_access.litemaas.roles", {"resource_access": {"litemaas": {"roles": ["a"]}}}, {"a"}),
        ("https://x.test/groups", {"https://x.test/groups": ["a"]}, {"a"}),
        ("realm_access.roles", {"realm_access": ["a"]}, set()),
        ("groups", {"groups": [1, None, "", {"name": "a"}, "b"]}, {"b"}),
        ("groups", {"groups": {"a": True}}, set()),
        ("groups", {}, set()),
    ],
)
def test_groups_are_found_under_a_dotted_path(path: str, facts: dict[str, Any], expected: set[str]) -> None:
    assert claims.from_openid(replace(COMPANY, groups_claim=path), LEA | facts).groups == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"email_verified": True}, True),
        ({"email_verified": "true"}, True),
        ({"email_verified": "false"}, False),
        ({"email_verified": False}, False),
        ({"email_verified": None}, False),
        ({"email_verified": 2}, False),
        ({"email_verified": True, "email": ""}, False),
        ({"email_verified": True, "email": "no address"}, False),
    ],
)
def test_address_is_verified_only_when_the_provider_says_so(facts: dict[str, Any], expected: object) -> None:
    assert claims.from_openid(COMPANY, LEA | facts).email_verified is expected


@pytest.mark.parametrize("name", ["", " ", None, 7, "a\x00b", "x" * 151, ["lea"]])
def test_user_name_that_is_none_is_the_address(name: Any) -> None:
    assert claims.from_openid(COMPANY, LEA | {"preferred_username": name}).username == "lea@company.test"


@pytest.mark.parametrize(
    ("provider", "facts", "code"),
    [
        (COMPANY, {"email": None}, "email_missing"),
        (replace(COMPANY, require_email=False), {"email": "", "preferred_username": ""}, "name_missing"),
        (COMPANY, {"sub": "x" * 256}, "subject_missing"),
    ],
)
def test_what_is_missing_is_said(provider: Provider, facts: dict[str, Any], code: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        claims.complete(provider, claims.from_openid(provider, LEA | facts))
    assert refused.value.code == code


def test_groups_that_were_left_out_are_not_taken_for_none() -> None:
    """Entra, for people in more than 200 groups: they would silently lose every role."""
    overage = LEA | {"_claim_names": {"groups": "src1"}}
    with pytest.raises(PermissionDenied) as refused:
        claims.from_openid(replace(COMPANY, roles={"a": "admin"}), overage)
    assert refused.value.code == "groups_missing"
    assert claims.from_openid(COMPANY, overage).groups == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=admin, b = user", {"a": "admin", "b": "user"}),
        ("cn=a=admin", {"cn=a": "admin"}),
        ('{"cn=a,ou=b": "admin"}', {"cn=a,ou=b": "admin"}),
        ("a", {"a": ""}),
        ("{broken", {"{broken": ""}),
    ],
)
def test_maps_are_read_from_the_environment(text: str, expected: dict[str, str]) -> None:
    assert mapping(text) == expected
