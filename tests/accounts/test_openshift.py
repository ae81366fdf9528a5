"""Signing in through OpenShift's OAuth, against a look-alike built from its documented answers."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from accounts.models import Identity, User
from tests.sign_in import Company, assert_refused, is_signed_in

ME = "/apis/user.openshift.io/v1/users/~"


def test_user_of_the_cluster_is_signed_in(cluster: Company) -> None:
    response = cluster.sign_in("u-1", next="/usage")
    assert (response.status_code, response["Location"]) == (302, "/usage")
    lea = User.objects.get()
    assert (lea.username, lea.full_name, lea.email, lea.roles) == ("lea", "Lea Lang", "", ["user"])
    identity = Identity.objects.get()
    assert (identity.issuer, identity.subject) == (cluster.server.url, "u-1")


def test_request_names_scope_challenge_and_state_and_no_nonce(cluster: Company) -> None:
    query = parse_qs(urlsplit(cluster.leave()).query)
    assert query["scope"] == ["user:info"]
    assert query["code_challenge_method"] == ["S256"]
    assert "nonce" not in query
    assert len(query["state"][0]) > 40


def test_groups_of_the_cluster_give_roles_and_leaving_takes_them(cluster: Company, ann: User) -> None:
    cluster.configure(
        roles={"data": "adminReadonly", "system:authenticated": "user"}, required_group="system:authenticated"
    )
    cluster.sign_in("u-1")
    assert User.objects.get(username="lea").roles == ["adminReadonly", "user"]
    cluster.server.users["u-1"]["groups"] = []
    cluster.sign_in("u-1", Client())
    assert User.objects.get(username="lea").roles == ["user"]


def test_trap_14_namesake_who_came_later_is_somebody_else(cluster: Company) -> None:
    """The name was given to somebody else: the id is new."""
    cluster.sign_in("u-1")
    cluster.server.users["u-2"] = {"name": "lea"}
    response = cluster.sign_in("u-2", (other := Client()))
    assert response.status_code == 409
    assert not is_signed_in(other)


@pytest.mark.parametrize(
    ("path", "reply", "status", "code"),
    [
        ("/oauth/token", (400, {"error": "invalid_grant"}), 400, "sign_in_code_refused"),
        ("/oauth/token", (401, {"error": "unauthorized_client"}), 503, "provider_refused"),
        ("/oauth/token", (200, {"token_type": "Bearer"}), 503, "provider_refused"),
        (ME, (401, {"kind": "Status"}), 503, "provider_unavailable"),
        (ME, (200, {"kind": "User", "metadata": {"name": "lea"}}), 403, "subject_missing"),
        (ME, (200, {"kind": "User", "metadata": {"uid": "u-1"}}), 403, "name_missing"),
        (ME, (200, {"kind": "User", "metadata": "odd"}), 403, "subject_missing"),
    ],
)
def test_answers_that_say_nobody_are_refused(
    cluster: Company, path: str, reply: tuple[int, dict[str, Any]], status: int, code: str
) -> None:
    address = cluster.server.authorize(cluster.leave(), "u-1")
    cluster.server.instead[path] = reply
    assert_refused(cluster, cluster.come_back(address), status, code)
    assert not User.objects.exists()


def test_trap_11_state_of_another_browser_is_refused(cluster: Company) -> None:
    address = cluster.server.authorize(cluster.leave(Client()), "u-1")
    assert_refused(cluster, cluster.come_back(address), 400, "sign_in_unknown")


def test_denial_gives_a_page(cluster: Company) -> None:
    state = parse_qs(urlsplit(cluster.leave()).query)["state"][0]
    response = cluster.client.get("/sign-in/company/callback", {"error": "access_denied", "state": state})
    assert_refused(cluster, response, 403, "sign_in_denied")
    assert "prompt=login" not in response.content.decode()  # OpenShift's OAuth does not know it


def test_cluster_that_is_away_gives_a_page(cluster: Company) -> None:
    cluster.configure(issuer="http://127.0.0.1:1")
    assert_refused(cluster, cluster.client.get("/sign-in/company"), 503, "provider_unavailable")


def test_nothing_is_renewed_or_ended_there(cluster: Company) -> None:
    """OpenShift's OAuth has neither prompt=none nor an end of sessions."""
    cluster.sign_in("u-1")
    assert cluster.client.session["provider"]["renew_at"] is None
    assert cluster.client.post("/sign-out")["Location"] == "/sign-in"
