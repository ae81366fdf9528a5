"""Signing in through OpenID Connect as somebody sees it: pages, the provider's weather, signing out, renewal."""

import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.db import transaction
from django.test import Client

from accounts import oidc, provider_http
from accounts.models import AuditEvent, ProviderDocument, User
from litemaas.foundation.errors import ProviderUnavailable
from litemaas.foundation.providers import Provider
from tests.identity_providers import OpenIdServer, new_key, running, self_signed
from tests.openid_package import running_package
from tests.sign_in import LEA, Company, assert_refused, failures, is_signed_in

DISCOVERY = "/.well-known/openid-configuration"


# --- The sign-in page ------------------------------------------------------------------------------------------------


def test_sign_in_page_offers_the_providers_and_keeps_the_way(company: Company) -> None:
    company.settings.PASSWORD_SIGN_IN = False
    page = company.client.get("/sign-in", {"next": "/usage?days=7"}).content.decode()
    assert 'href="/sign-in/company?next=%2Fusage%3Fdays%3D7"' in page
    assert "Sign in with Company" in page
    assert 'type="password"' not in page
    assert "switched off" not in page
    assert "/sign-in/company" not in company.server.asked


def test_sign_in_page_offers_passwords_beside_providers_where_they_are_on(company: Company) -> None:
    company.settings.PASSWORD_SIGN_IN = True
    page = company.client.get("/sign-in").content.decode()
    assert "Sign in with Company" in page
    assert 'type="password"' in page


def test_unknown_provider_is_not_found(company: Company) -> None:
    for path in ("/sign-in/nobody", "/sign-in/nobody/callback"):
        assert company.client.get(path).status_code == 404


def test_signed_in_person_is_sent_on(company: Company) -> None:
    company.sign_in()
    assert company.client.get("/sign-in/company", {"next": "/usage"})["Location"] == "/usage"


def test_success_is_audited_with_its_way(company: Company) -> None:
    company.sign_in()
    event = AuditEvent.objects.get(action="sign_in.succeeded")
    assert (event.actor_name, event.details) == ("lea", {"method": "oidc", "provider": "company"})


# --- Failures end on a page ------------------------------------------------------------------------------------------


def test_trap_42_denial_gives_a_page_with_a_way_out(company: Company) -> None:
    state = parse_qs(urlsplit(company.leave(next="/usage")).query)["state"][0]
    response = company.client.get("/sign-in/company/callback", {"error": "access_denied", "state": state})
    assert_refused(company, response, 403, "sign_in_denied")
    page = response.content.decode()
    assert "Company did not let you in." in page
    assert 'href="/sign-in/company?next=%2Fusage"' in page
    assert 'href="/sign-in/company?next=%2Fusage&amp;prompt=login"' in page
    assert f"<code>{response['X-Request-ID']}</code>" in page


def test_trap_42_denial_without_state_is_still_told(company: Company) -> None:
    response = company.client.get("/sign-in/company/callback", {"error": "access_denied"})
    assert_refused(company, response, 403, "sign_in_denied")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("temporarily_unavailable", 503, "provider_unavailable"),
        ("server_error", 503, "provider_unavailable"),
        ("invalid_scope", 503, "provider_refused"),
        ("unauthorized_client", 503, "provider_refused"),
    ],
)
def test_trap_42_errors_of_the_provider_are_told_apart(company: Company, error: str, status: int, code: str) -> None:
    state = parse_qs(urlsplit(company.leave()).query)["state"][0]
    response = company.client.get("/sign-in/company/callback", {"error": error, "state": state})
    assert_refused(company, response, status, code)


@pytest.mark.parametrize(
    ("person", "changes", "answer"),
    [
        ({"email": None}, {}, (403, "email_missing")),
        ({"preferred_username": None, "email": None}, {"require_email": False}, (403, "name_missing")),
        ({}, {"required_group": "maas"}, (403, "group_required")),
        ({"_claim_names": {"groups": "src1"}}, {"roles": {"a": "admin"}}, (403, "groups_missing")),
        ({"preferred_username": "ann"}, {}, (409, "username_taken")),
    ],
)
def test_trap_42_refused_people_are_told_why(
    company: Company, ann: User, person: dict[str, Any], changes: dict[str, Any], answer: tuple[int, str]
) -> None:
    company.server.people["s-1"] |= person
    company.configure(**changes)
    response = company.sign_in()
    assert_refused(company, response, *answer)
    assert "<h1>" in response.content.decode()


def test_trap_42_deactivated_person_is_told_and_audited_by_name(company: Company) -> None:
    company.sign_in()
    company.client.logout()
    User.objects.update(is_active=False)
    assert_refused(company, company.sign_in(), 403, "account_deactivated")
    event = AuditEvent.objects.filter(action="sign_in.failed").latest("id")
    assert (event.actor_name, event.details["subject"]) == ("lea", "s-1")


@pytest.mark.parametrize(
    ("path", "reply", "code", "cause"),
    [
        ("/token", (503, {}), "provider_unavailable", "http_503"),
        ("/token", (401, {"error": "invalid_client"}), "provider_refused", "invalid_client"),
        ("/token", (200, {"access_token": "x"}), "provider_refused", "no_id_token"),
        ("/userinfo", (500, {}), "provider_unavailable", "http_500"),
        ("/userinfo", (302, {}), "provider_unavailable", "http_302"),
        ("/jwks", (200, {"keys": []}), "provider_unavailable", "no_keys"),
        ("/jwks", (200, {}), "provider_unavailable", "garbage"),
    ],
)
def test_trap_42_provider_that_breaks_on_the_way(
    company: Company, path: str, reply: tuple[int, dict[str, Any]], code: str, cause: str
) -> None:
    address = company.server.authorize(company.leave())
    company.server.instead[path] = reply
    assert_refused(company, company.come_back(address), 503, code)
    assert failures()[-1] == (code, cause)
    assert not User.objects.exists()


# --- What the provider publishes -------------------------------------------------------------------------------------


def age(**by: float) -> None:
    """Make what is kept older."""
    for row in ProviderDocument.objects.all():
        ProviderDocument.objects.filter(pk=row.pk).update(
            fetched_at=row.fetched_at - timedelta(**by), tried_at=row.tried_at - timedelta(**by)
        )


def test_description_is_fetched_once_and_again_when_it_is_old(company: Company) -> None:
    for _ in range(3):
        company.leave()
    assert company.server.asked == [DISCOVERY]
    age(hours=2)
    company.leave()
    assert company.server.asked == [DISCOVERY, DISCOVERY]


def test_provider_that_is_away_for_a_while_is_remembered(company: Company) -> None:
    company.leave()
    age(hours=2)
    company.server.instead[DISCOVERY] = (503, {})
    address = company.server.authorize(company.leave())
    assert company.come_back(address).status_code == 302
    asked = company.server.asked.count(DISCOVERY)
    company.leave(Client())
    assert company.server.asked.count(DISCOVERY) == asked  # not by every sign-in: each would wait for it
    age(days=7)
    response = Client().get("/sign-in/company")
    assert response.status_code == 503
    assert "Company cannot be reached at the moment." in response.content.decode()


def test_bad_description_does_not_replace_a_good_one(company: Company) -> None:
    company.leave()
    age(hours=2)
    company.server.described = {"issuer": "https://evil.example", "token_endpoint": "https://evil.example/token"}
    assert company.sign_in().status_code == 302


def test_provider_that_never_answered_gives_a_page(company: Company) -> None:
    company.configure(issuer="http://127.0.0.1:1")
    response = company.client.get("/sign-in/company", {"next": "/usage"})
    assert_refused(company, response, 503, "provider_unavailable")


def test_provider_that_hangs_is_given_up(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, given_up = company.server.answer, threading.Event()

    def hang(*asked: Any) -> Any:
        given_up.wait(10)
        return usual(*asked)

    monkeypatch.setattr(provider_http, "OVERALL_SECONDS", 0.2)
    monkeypatch.setattr(company.server, "answer", hang)
    assert_refused(company, company.client.get("/sign-in/company"), 503, "provider_unavailable")
    assert failures()[-1][1] == "ReadTimeout"
    given_up.set()


def test_keys_may_be_rotated(company: Company) -> None:
    assert company.sign_in().status_code == 302
    company.server.key = new_key("second")
    assert company.sign_in(client=Client()).status_code == 302
    assert company.server.asked.count("/jwks") == 2
    assert company.sign_in(client=Client()).status_code == 302
    assert company.server.asked.count("/jwks") == 2


def test_endpoints_of_a_secure_provider_are_secure() -> None:
    provider = Provider("company", label="Company", issuer="https://idp.test")
    described = {name: f"https://idp.test/{name}" for name in oidc.ENDPOINTS} | {"issuer": "https://idp.test/"}
    oidc._check_metadata(provider, described)
    for name in oidc.ENDPOINTS:
        with pytest.raises(ProviderUnavailable):
            oidc._check_metadata(provider, described | {name: "http://idp.test/"})


def test_certificates_are_checked_against_the_bundle_of_the_provider(company: Company, tmp_path: Path) -> None:
    own, foreign = self_signed(tmp_path / "own.pem"), self_signed(tmp_path / "foreign.pem")
    with running(OpenIdServer(people=company.server.people), own) as company.server:
        for bundle in ("", str(foreign)):
            company.configure(issuer=company.server.url, ca_bundle=bundle)
            assert_refused(company, company.client.get("/sign-in/company"), 503, "provider_unavailable")
            assert failures()[-1][1] == "SSLError"
        company.configure(ca_bundle=str(own))
        assert company.sign_in().status_code == 302


def test_trap_51_provider_is_not_asked_inside_a_transaction(company: Company) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        oidc.metadata(company.provider)
    assert company.server.asked == []


# --- Signing out -----------------------------------------------------------------------------------------------------


def test_signing_out_offers_to_end_the_session_of_the_provider(company: Company) -> None:
    company.sign_in()
    response = company.client.post("/sign-out")
    assert (response.status_code, response["Location"]) == (302, "/signed-out")
    assert not is_signed_in(company.client)
    page = company.client.get("/signed-out")
    link = page.context["there"]["url"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    assert link.startswith(f"{company.server.url}/logout?")
    assert query["post_logout_redirect_uri"] == "http://testserver/sign-in"
    assert query["id_token_hint"].count(".") == 2
    assert query["id_token_hint"] not in str(dict(company.client.session))
    assert "Sign out of Company too" in page.content.decode()


def test_signing_out_works_while_the_provider_is_away_or_gone(company: Company) -> None:
    company.sign_in()
    age(days=30)
    company.server.instead[DISCOVERY] = (503, {})
    assert company.client.post("/sign-out")["Location"] == "/signed-out"
    company.server.instead = {}
    company.sign_in(client=(other := Client()))
    company.settings.SIGN_IN_PROVIDERS = {}
    assert other.post("/sign-out")["Location"] == "/sign-in"


def test_provider_without_an_end_of_sessions_offers_none(company: Company) -> None:
    company.server.described = {"end_session_endpoint": "http://unused.test/"}
    usual = company.server.metadata
    company.server.metadata = lambda: {k: v for k, v in usual().items() if k != "end_session_endpoint"}
    company.sign_in()
    assert company.client.post("/sign-out")["Location"] == "/sign-in"
    assert company.client.get("/signed-out")["Location"] == "/sign-in"


# --- Renewal ---------------------------------------------------------------------------------------------------------


def make_due(client: Client) -> None:
    """The provider has to confirm its session now."""
    session = client.session
    session["provider"] = session["provider"] | {"renew_at": time.time() - 1}
    session.save()


def test_session_is_confirmed_by_the_provider_without_a_new_key(company: Company) -> None:
    company.sign_in()
    assert company.client.get("/usage").status_code == 200
    before = company.client.session.session_key
    make_due(company.client)
    away = company.client.get("/usage?days=7")
    assert away["Location"] == "/sign-in/company?next=%2Fusage%3Fdays%3D7&prompt=none"
    there = company.client.get(away["Location"])["Location"]
    assert parse_qs(urlsplit(there).query)["prompt"] == ["none"]
    back = company.come_back(company.server.authorize(there))
    assert back["Location"] == "/usage?days=7"
    assert company.client.get("/usage").status_code == 200
    assert company.client.session.session_key == before


def test_confirmation_is_no_sign_in_but_what_it_changes_is_recorded(company: Company) -> None:
    company.sign_in()
    noted = AuditEvent.objects.count()
    for _ in range(3):
        make_due(company.client)
        assert company.sign_in(prompt="none", next="/usage")["Location"] == "/usage"
    assert AuditEvent.objects.count() == noted
    make_due(company.client)
    company.server.people["s-1"]["email"] = "new@example.com"
    company.sign_in(prompt="none")
    assert [event.action for event in AuditEvent.objects.all()[: AuditEvent.objects.count() - noted]] == [
        "user.email_changed"
    ]
    company.client.logout()
    company.sign_in()
    assert AuditEvent.objects.filter(action="sign_in.succeeded").count() == 2


def test_end_of_the_session_there_is_its_end_here(company: Company) -> None:
    company.sign_in()
    make_due(company.client)
    there = company.client.get(company.client.get("/usage")["Location"])["Location"]
    state = parse_qs(urlsplit(there).query)["state"][0]
    answer = company.client.get("/sign-in/company/callback", {"error": "login_required", "state": state})
    assert answer["Location"] == "/sign-in?next=%2Fusage"
    assert not is_signed_in(company.client)
    assert "Your session at Company has ended" in company.client.get(answer["Location"]).content.decode()


def test_provider_that_is_away_ends_no_session(company: Company) -> None:
    company.sign_in()
    make_due(company.client)
    age(days=8)
    company.server.instead[DISCOVERY] = (503, {})
    address = company.client.get("/usage")["Location"]
    assert company.client.get(address)["Location"] == "/usage"
    assert company.client.get("/usage").status_code == 200


def test_person_who_was_refused_at_the_renewal_is_signed_out(company: Company) -> None:
    company.sign_in()
    make_due(company.client)
    company.configure(required_group="maas")
    there = company.client.get(company.client.get("/usage")["Location"])["Location"]
    assert_refused(company, company.come_back(company.server.authorize(there)), 403, "group_required")


def test_forms_programs_and_fragments_are_not_sent_away(company: Company) -> None:
    company.sign_in()
    make_due(company.client)
    assert company.client.get("/api/v1/me").status_code == 200
    assert company.client.post("/theme", {"theme": "dark"})["Location"].startswith("/sign-in") is False
    fragment = company.client.get("/usage", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/usage"})
    assert fragment["HX-Redirect"] == "/sign-in/company?next=http%3A%2F%2Ftestserver%2Fusage&prompt=none"


def test_renewal_can_be_switched_off(company: Company) -> None:
    company.configure(renew_minutes=0)
    company.sign_in()
    assert company.client.session["provider"]["renew_at"] is None
    assert company.client.get("/usage").status_code == 200


# --- Against another's implementation --------------------------------------------------------------------------------


def test_provider_of_another_maker(db: None, settings: Any) -> None:
    """The package oidc-provider-mock: its own discovery, keys, code, token and claims."""
    claims = {"preferred_username": "lea", "email": "lea@company.test", "email_verified": True, "groups": ["admins"]}
    with running_package({"sub": "s-1"} | claims) as issuer:
        provider = Provider("mock", label="Mock", issuer=issuer, client_id="x", client_secret="y")
        settings.SIGN_IN_PROVIDERS = {"mock": replace(provider, roles={"admins": "admin"})}
        client = Client()
        there = client.get("/sign-in/mock", {"next": "/usage"})["Location"]
        back = urlsplit(posted(there, sub="s-1"))
        assert client.get(f"{back.path}?{back.query}")["Location"] == "/usage"
        lea = User.objects.get(username="lea")
        assert (lea.email, lea.email_verified, lea.roles) == ("lea@company.test", True, ["admin"])
        client.logout()
        assert client.get(f"{back.path}?{back.query}").status_code == 400
        denied = urlsplit(posted(client.get("/sign-in/mock")["Location"], action="deny"))
        assert client.get(f"{denied.path}?{denied.query}").status_code == 403


def posted(address: str, **form: str) -> str:
    """Where the provider sends the browser after its form."""
    return requests.post(address, data=form, allow_redirects=False, timeout=30).headers["Location"]


def test_nobody_elses_link_asks_the_provider_silently(company: Company, ada: User) -> None:
    """A session that was not begun there, or is not due, is neither ended nor swapped by such an address."""
    company.client.force_login(ada)
    assert company.leave(prompt="none") == "/"
    assert is_signed_in(company.client)
    company.client.logout()
    company.sign_in()
    assert company.leave(prompt="none") == "/"


def test_nobody_becomes_somebody_else_at_the_renewal(company: Company) -> None:
    company.server.people["s-2"] = {**LEA, "preferred_username": "mia", "email": "mia@example.com"}
    company.sign_in()
    make_due(company.client)
    there = company.client.get(company.client.get("/usage")["Location"])["Location"]
    back = company.come_back(company.server.authorize(there, "s-2"))
    assert back["Location"] == "/sign-in?next=%2Fusage"
    assert not is_signed_in(company.client)


def test_the_next_person_is_shown_no_link_with_the_token_of_the_one_before(company: Company, ada: User) -> None:
    company.settings.PASSWORD_SIGN_IN = True
    company.sign_in()
    company.client.post("/sign-out")
    assert "provider_sign_out" in company.client.session
    company.client.post("/sign-in", {"username": "ada", "password": "ada"})
    assert is_signed_in(company.client)
    assert "provider_sign_out" not in company.client.session
