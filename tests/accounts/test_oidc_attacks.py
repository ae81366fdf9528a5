"""Attacks on signing in through OpenID Connect; each test fails when its check is taken away."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, SignInAttempt, User
from tests.identity_providers import new_key
from tests.sign_in import Company, assert_refused, failures, is_signed_in

OUR_CLIENT = "litemaas"


def assert_not_verified(company: Company, response: Any, cause: str) -> None:
    """Refused as not genuine, for this reason, and nobody came into being."""
    assert_refused(company, response, 400, "sign_in_not_verified")
    assert failures()[-1] == ("sign_in_not_verified", cause)
    assert not User.objects.exists()


def test_genuine_answer_is_accepted(company: Company) -> None:
    response = company.sign_in(next="/usage?days=7")
    assert (response.status_code, response["Location"]) == (302, "/usage?days=7")
    assert is_signed_in(company.client)


# --- State and code --------------------------------------------------------------------------------------------------


def test_trap_11_state_of_another_browser_is_refused(company: Company) -> None:
    """The attacker's answer in the victim's browser would sign the victim in as the attacker."""
    attacker = Client()
    address = company.server.authorize(company.leave(attacker))
    company.leave()  # the victim has a session and a sign-in of its own under way
    assert_refused(company, company.come_back(address), 400, "sign_in_unknown")
    assert company.server.asked.count("/token") == 0
    assert company.come_back(address, attacker).status_code == 302


def test_trap_11_answer_without_state_is_refused(company: Company) -> None:
    address = company.server.authorize(company.leave())
    response = company.client.get(urlsplit(address).path, {"code": "x"})
    assert_refused(company, response, 400, "sign_in_unknown")


def test_same_answer_twice_is_refused(company: Company) -> None:
    address = company.server.authorize(company.leave())
    assert company.come_back(address).status_code == 302
    assert company.come_back(address).status_code == 400
    assert failures() == [("sign_in_unknown", "")]


def test_answer_is_spent_also_when_it_failed(company: Company) -> None:
    address = company.server.authorize(company.leave())
    company.server.instead["/token"] = (503, {})
    assert_refused(company, company.come_back(address), 503, "provider_unavailable")
    company.server.instead = {}
    assert_refused(company, company.come_back(address), 400, "sign_in_unknown")


def test_replayed_code_is_refused(company: Company) -> None:
    """A code that was seen on its way, sent with a fresh state of the thief's own browser."""
    seen = parse_qs(urlsplit(company.server.authorize(company.leave())).query)["code"][0]
    thief = Client()
    state = parse_qs(urlsplit(company.leave(thief)).query)["state"][0]
    response = thief.get("/sign-in/company/callback", {"code": seen, "state": state})
    assert response.status_code == 400
    assert failures()[-1][0] == "sign_in_code_refused"
    assert not is_signed_in(thief)


def test_code_is_tied_to_the_verifier_of_this_browser(company: Company) -> None:
    """PKCE: the challenge is the SHA-256 of a verifier that never leaves the session."""
    first, second = (parse_qs(urlsplit(company.leave()).query) for _ in range(2))
    assert first["code_challenge_method"] == ["S256"]
    assert first["code_challenge"] != second["code_challenge"]
    assert first["state"] != second["state"]
    assert first["nonce"] != second["nonce"]
    assert len(first["code_challenge"][0]) == 43


def test_old_state_is_refused(company: Company) -> None:
    address = company.server.authorize(company.leave())
    SignInAttempt.objects.update(begun_at=timezone.now() - timedelta(minutes=16))
    assert_refused(company, company.come_back(address), 400, "sign_in_expired")


def test_answer_that_names_another_issuer_is_refused(company: Company) -> None:
    """Mix-up (RFC 9207)."""
    response = company.come_back(company.server.authorize(company.leave()), iss="https://evil.example")
    assert_not_verified(company, response, "another_issuer_answered")
    assert "/token" not in company.server.asked


def test_state_of_one_provider_is_unknown_to_another(company: Company, settings: Any) -> None:
    address = company.server.authorize(company.leave())
    settings.SIGN_IN_PROVIDERS = {"company": company.provider, "other": replace(company.provider, name="other")}
    response = company.come_back(address.replace("/company/", "/other/"))
    assert response.status_code == 400
    assert not is_signed_in(company.client)


# --- The ID token ----------------------------------------------------------------------------------------------------

LONG_AGO = 1_600_000_000


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"aud": "another-client"}, "InvalidAudienceError"),
        ({"aud": []}, "MissingRequiredClaimError"),
        ({"aud": None}, "MissingRequiredClaimError"),
        ({"aud": [OUR_CLIENT, "another-client"]}, "azp"),
        ({"aud": [OUR_CLIENT, "another-client"], "azp": "another-client"}, "azp"),
        ({"azp": "another-client"}, "azp"),
        ({"iss": "https://evil.example"}, "InvalidIssuerError"),
        ({"iss": None}, "MissingRequiredClaimError"),
        ({"exp": LONG_AGO}, "ExpiredSignatureError"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"iat": 4_000_000_000}, "ImmatureSignatureError"),
        ({"iat": None}, "MissingRequiredClaimError"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "MissingRequiredClaimError"),
        ({"sub": None}, "MissingRequiredClaimError"),
    ],
)
def test_trap_14_token_with_a_wrong_claim_is_refused(company: Company, claims: dict[str, Any], cause: str) -> None:
    company.server.claims = claims
    assert_not_verified(company, company.sign_in(), cause)


def test_trap_14_token_for_several_audiences_with_us_as_party_is_accepted(company: Company) -> None:
    company.server.claims = {"aud": [OUR_CLIENT, "another-client"], "azp": OUR_CLIENT}
    assert company.sign_in().status_code == 302


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "kid": "first"}, claims)
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts), ""])


def test_trap_14_unsigned_token_is_refused(company: Company) -> None:
    company.server.sign = _unsigned
    assert_not_verified(company, company.sign_in(), "algorithm")


def test_trap_14_token_signed_with_the_public_key_as_a_secret_is_refused(company: Company) -> None:
    """HS256 with what everybody can read."""
    public = company.server.key.as_pem(private=False)

    def sign(claims: dict[str, Any]) -> str:
        header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').rstrip(b"=")
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
        text = header + b"." + body
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signed = signature.sign(text, public)
        return (text + b"." + base64.urlsafe_b64encode(signed).rstrip(b"=")).decode()

    company.server.sign = sign
    assert_not_verified(company, company.sign_in(), "algorithm")


def test_trap_14_token_signed_with_the_client_secret_is_refused(company: Company) -> None:
    secret = company.provider.client_secret.encode().ljust(32, b".")
    company.server.sign = lambda claims: jwt.encode(claims, secret, "HS256", {"kid": "first"})
    assert_not_verified(company, company.sign_in(), "algorithm")


def test_trap_14_token_of_a_swapped_key_is_refused(company: Company) -> None:
    """Another key under the name of the published one."""
    company.server.sign = company.server.signed_with(new_key("first"))
    assert_not_verified(company, company.sign_in(), "InvalidSignatureError")


def test_trap_14_token_of_a_key_that_nobody_published_is_refused(company: Company) -> None:
    company.server.sign = company.server.signed_with(new_key("stranger"))
    assert_not_verified(company, company.sign_in(), "unknown_key")


def test_trap_14_token_that_was_changed_is_refused(company: Company) -> None:
    usual = company.server.signed_with(company.server.key)

    def change(claims: dict[str, Any]) -> str:
        head, _body, signature = usual(claims).split(".")
        body = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "s-2"}).encode()).rstrip(b"=").decode()
        return f"{head}.{body}.{signature}"

    company.server.sign = change
    assert_not_verified(company, company.sign_in(), "InvalidSignatureError")


def test_garbage_instead_of_a_token_is_refused(company: Company) -> None:
    company.server.sign = lambda _claims: "no.token.atall"
    assert_not_verified(company, company.sign_in(), "DecodeError")


def test_user_info_about_somebody_else_is_refused(company: Company) -> None:
    """OIDC Core 5.3.2: else a stolen access token decides who somebody is."""
    company.server.instead["/userinfo"] = (200, {"sub": "s-2", "preferred_username": "boss"})
    assert_not_verified(company, company.sign_in(), "userinfo_about_another")


def test_key_for_encryption_does_not_verify_signatures(company: Company) -> None:
    published = company.server.key.as_dict(private=False) | {"use": "enc"}
    company.server.published = [published]
    assert_not_verified(company, company.sign_in(), "unknown_key")


# --- Where it leads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:///evil.example"],
)
def test_trap_11_sign_in_through_a_provider_never_leads_elsewhere(company: Company, elsewhere: str) -> None:
    assert company.sign_in(next=elsewhere)["Location"] == "/"


def test_failure_page_keeps_the_way_only_if_it_is_ours(company: Company) -> None:
    company.server.claims = {"aud": "another-client"}
    page = company.sign_in(next="https://evil.example/").content.decode()
    assert "evil.example" not in page


def test_session_gets_a_new_key_at_sign_in(company: Company) -> None:
    """Whoever knew the key before the sign-in does not know it afterwards."""
    company.leave()
    before = company.client.session.session_key or ""
    company.sign_in()
    assert company.client.session.session_key not in {None, "", before}
    assert not company.client.session.exists(before)


def test_description_of_another_issuer_is_refused(company: Company) -> None:
    company.server.described = {"issuer": "https://evil.example"}
    assert company.client.get("/sign-in/company").status_code == 503


def test_words_of_the_answer_are_not_shown(company: Company) -> None:
    """error_description could say anything to anybody: an address can be made by everyone."""
    state = parse_qs(urlsplit(company.leave()).query)["state"][0]
    query = {"error": "invalid_scope", "error_description": "Call 555-0100 now", "state": state}
    page = company.client.get("/sign-in/company/callback", query)
    assert page.status_code == 503
    assert "555-0100" not in page.content.decode()


def test_answer_with_an_error_of_nobody_ends_no_session(company: Company) -> None:
    company.sign_in()
    company.client.get("/sign-in/company/callback", {"error": "access_denied", "state": "made-up"})
    assert is_signed_in(company.client)


def test_trap_18_no_token_or_code_in_session_or_audit_log(company: Company) -> None:
    tokens: list[str] = []
    usual = company.server.signed_with(company.server.key)

    def sign(claims: dict[str, Any]) -> str:
        tokens.append(usual(claims))
        return tokens[-1]

    company.server.sign = sign
    address = company.server.authorize(company.leave())
    company.come_back(address)
    kept = json.dumps(dict(company.client.session))
    code = parse_qs(urlsplit(address).query)["code"][0]
    assert tokens
    assert tokens[0] not in kept
    assert code not in kept
    events = json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))
    assert tokens[0] not in events
    assert code not in events
