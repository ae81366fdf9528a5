"""Signing in over the API: passwords, guessing, and tokens that rotate, are reused, end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings as product
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import audit
from accounts.models import AuditEvent, FailedSignIn, RefreshFamily, User
from accounts.tokens import generate_token_pair
from litemaas.foundation import rate_limits
from tests.answers import problem_of, send, wrong_fields
from tests.races import at_once

pytestmark = pytest.mark.django_db

Ask = Callable[..., Any]
ME, REFRESH, REVOKE = "/api/v1/me", "/api/v1/auth/token/refresh", "/api/v1/auth/token/revoke"


def me(access: str) -> Any:
    """What the holder of an access token gets."""
    return APIClient(raise_request_exception=False).get(ME, HTTP_AUTHORIZATION=f"Bearer {access}")


def refresh(token: Any) -> Any:
    """Exchange a refresh token."""
    return send(APIClient(raise_request_exception=False), "POST", REFRESH, {"refresh": token})


def revoke(token: Any) -> Any:
    """End a family."""
    return send(APIClient(raise_request_exception=False), "POST", REVOKE, {"refresh": token})


# --- Passwords -------------------------------------------------------------------------------------------------------


def test_right_password_gives_a_pair_that_works(sign_in: Ask, ada: User) -> None:
    response = sign_in("ada")
    assert response.status_code == 200
    pair = response.json()
    assert set(pair) == {"access", "refresh", "expires_in"}
    assert pair["expires_in"] >= 15 * 60
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == pair["expires_in"]
    assert me(pair["access"]).json()["username"] == "ada"
    noted = AuditEvent.objects.get(action="sign_in.succeeded")
    assert (noted.actor_id, noted.success, noted.request_id) == (ada.pk, True, response["X-Request-ID"])


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_wrong_password_does_not_tell_whether_the_name_exists(name: str, sign_in: Ask, ada: User) -> None:
    response = sign_in(name, "guess")
    problem = problem_of(response, 401, "wrong_credentials")
    assert problem["detail"] == "This name and password do not belong together."
    assert response["WWW-Authenticate"].startswith("Bearer")
    noted = AuditEvent.objects.get(action="sign_in.failed")
    assert (noted.actor_id, noted.success) == (None, False)
    assert (noted.actor_name == "ada") is (name == "ada")
    assert "guess" not in str(vars(noted))


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_sixth_try_has_to_wait_even_with_the_right_password(name: str, sign_in: Ask, ada: User) -> None:
    assert [sign_in(name, "guess").status_code for _ in range(5)] == [401] * 5
    refused = sign_in(name, "ada")
    wait = problem_of(refused, 429, "rate_limited")["details"]["retry_after"]
    assert 840 < wait <= 900  # it runs from the first of the five
    assert refused["Retry-After"] == str(wait)
    assert FailedSignIn.objects.count() == 5  # what is refused does not prolong the wait
    FailedSignIn.objects.update(at=timezone.now() - timedelta(minutes=14))
    assert sign_in(name, "ada").status_code == 429
    FailedSignIn.objects.update(at=timezone.now() - timedelta(minutes=16))
    assert sign_in(name, "ada").status_code == (200 if name == "ada" else 401)


def test_password_in_the_wrong_field_is_written_nowhere(sign_in: Ask, ada: User, settings: Any) -> None:
    for typed in ("My$ecret Pass1", "MY$ECRET PASS1 "):
        assert sign_in(typed, "x").status_code == 401
    kept = [str(vars(row)).lower() for row in (*AuditEvent.objects.all(), *FailedSignIn.objects.all())]
    assert not [row for row in kept if "ecret" in row]
    # The same one is found again, but not by whoever has the database alone.
    names = set(FailedSignIn.objects.values_list("account", flat=True))
    assert names == set(AuditEvent.objects.filter(action="sign_in.failed").values_list("actor_name", flat=True))
    assert len(names) == 1
    settings.SECRET_KEY = "another secret that is long enough for everybody"
    sign_in("My$ecret Pass1", "x")
    assert FailedSignIn.objects.values("account").distinct().count() == 2


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_guessing_that_goes_on_is_recorded_once_a_period(name: str, sign_in: Ask, ada: User) -> None:
    assert [sign_in(name, "guess").status_code for _ in range(12)] == [401] * 5 + [429] * 7
    noted = AuditEvent.objects.filter(action="sign_in.failed").order_by("id")
    assert [row.details["reason"] for row in noted] == ["wrong_password"] * 5 + ["rate_limited"]
    assert len({row.actor_name for row in noted}) == 1


def test_guesses_from_an_address_at_many_accounts_are_recorded_once_a_period(sign_in: Ask, ada: User) -> None:
    FailedSignIn.objects.bulk_create(FailedSignIn(account=f"a{n}", address="198.51.100.7") for n in range(100))
    assert {sign_in(f"b{n}", REMOTE_ADDR="198.51.100.7").status_code for n in range(9)} == {429}
    noted = AuditEvent.objects.get(action="sign_in.failed")
    assert (noted.details["reason"], noted.address) == ("rate_limited", "198.51.100.7")


def test_tries_are_counted_across_cases_and_spaces(sign_in: Ask, ada: User) -> None:
    for name in ("ada", "ADA", "Ada", " ada", "aDa "):
        assert sign_in(name, "guess").status_code == 401
    assert sign_in("ada").status_code == 429


def test_tries_are_counted_for_each_account_alone(sign_in: Ask, ada: User, eve: User) -> None:
    for _ in range(5):
        sign_in("ada", "guess")
    assert sign_in("eve").status_code == 200


def test_success_forgets_earlier_slips(sign_in: Ask, ada: User) -> None:
    for _ in range(3):
        assert [sign_in("ada", "guess").status_code for _ in range(4)] == [401] * 4
        assert sign_in("ada").status_code == 200


def test_an_address_has_a_hundred_tries_over_all_accounts(sign_in: Ask, ada: User) -> None:
    FailedSignIn.objects.bulk_create(FailedSignIn(account=f"a{n}", address="198.51.100.7") for n in range(100))
    assert sign_in("ada", REMOTE_ADDR="198.51.100.7").status_code == 429
    assert sign_in("ada", REMOTE_ADDR="198.51.100.8").status_code == 200


def test_trap_16_a_header_that_anybody_can_send_is_not_the_address(sign_in: Ask, ada: User, settings: Any) -> None:
    FailedSignIn.objects.bulk_create(FailedSignIn(account=f"a{n}", address="198.51.100.7") for n in range(100))
    spoofed = {"REMOTE_ADDR": "198.51.100.7", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}
    assert sign_in("ada", **spoofed).status_code == 429
    settings.TRUSTED_PROXY_COUNT = 1
    assert sign_in("ada", **spoofed).status_code == 200
    spoofed["HTTP_X_FORWARDED_FOR"] = "203.0.113.9, 198.51.100.7"
    assert sign_in("ada", **spoofed).status_code == 429
    spoofed["HTTP_X_FORWARDED_FOR"] = "x" * 500
    assert sign_in("ada", "guess", **spoofed).status_code == 401
    assert FailedSignIn.objects.latest("at").address == "x" * 64


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_guesses_at_the_same_moment_count_too(sign_in: Ask, ada: User) -> None:
    statuses = at_once(12, lambda _turn: sign_in("ada", "guess").status_code)
    assert set(statuses) <= {401, 429}
    assert statuses.count(401) == FailedSignIn.objects.count() == 5
    assert sign_in("ada").status_code == 429


@pytest.mark.usefixtures("real_transactions")
def test_trap_50_guesses_at_many_accounts_at_the_same_moment_count_for_the_address(sign_in: Ask, settings: Any) -> None:
    settings.RATE_LIMITS = rate_limits.read(["password_address=3/15m"])
    statuses = at_once(12, lambda turn: sign_in(f"somebody{turn}", "guess").status_code)
    assert sorted(statuses) == [401] * 3 + [429] * 9
    assert FailedSignIn.objects.count() == 3


@pytest.mark.usefixtures("real_transactions")
def test_right_passwords_at_the_same_moment_are_all_welcome(sign_in: Ask, ada: User) -> None:
    assert at_once(8, lambda _turn: sign_in("ada").status_code) == [200] * 8


def test_people_without_password_stay_out(sign_in: Ask, eve: User) -> None:
    User.objects.filter(pk=eve.pk).update(password="!unusable")
    problem_of(sign_in("eve"), 401, "wrong_credentials")


def test_deactivated_people_are_told_so_by_their_own_password_alone(sign_in: Ask, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    problem_of(sign_in("ada", "guess"), 401, "wrong_credentials")
    for _ in range(7):
        problem_of(sign_in("ada"), 403, "account_deactivated")
    page = Client().post("/sign-in", {"username": "ada", "password": "ada"})
    assert page.status_code == 403
    assert "Your account in this portal is deactivated." in page.content.decode()
    assert "ask an administrator of this portal to reactivate it" in page.content.decode()
    assert FailedSignIn.objects.count() == 1  # it is no guess
    noted = AuditEvent.objects.filter(action="sign_in.failed").order_by("id")
    assert [row.details["reason"] for row in noted] == ["wrong_password", "account_deactivated"]
    assert [sign_in("ada", "guess").status_code for _ in range(5)] == [401] * 4 + [429]
    assert sign_in("ada").status_code == 429


def test_passwords_that_are_switched_off_are_refused(sign_in: Ask, ada: User, settings: Any) -> None:
    settings.PASSWORD_SIGN_IN = False
    for password in ("ada", "guess"):
        problem_of(sign_in("ada", password), 403, "password_sign_in_disabled")
    assert FailedSignIn.objects.count() == 0


def test_what_is_shipped_has_no_passwords_outside_of_debug() -> None:
    assert (product.DEBUG, product.PASSWORD_SIGN_IN) == (False, False)


@pytest.mark.usefixtures("passwords")
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["username", "password"]),
        ({"username": "ada"}, ["password"]),
        ({"username": "", "password": ""}, ["username", "password"]),
        ({"username": None, "password": "x"}, ["username"]),
        ({"username": ["ada"], "password": {"a": 1}}, ["username", "password"]),
        ({"username": "a" * 151, "password": "x" * 1025}, ["username", "password"]),
        ({"username": "a\x00", "password": "\x00"}, ["username", "password"]),
    ],
)
def test_sign_in_names_what_is_wrong_with_its_body(body: dict[str, Any], fields: list[str], db: None) -> None:
    assert wrong_fields(send(APIClient(), "POST", "/api/v1/auth/token", body)) == fields


# --- Tokens ----------------------------------------------------------------------------------------------------------


def test_refresh_gives_a_new_pair_and_spends_the_old_one(ada: User) -> None:
    first = generate_token_pair(ada)
    response = refresh(first.refresh)
    assert response.status_code == 200
    second = response.json()
    assert set(second) == {"access", "refresh", "expires_in"}
    assert second["refresh"] != first.refresh
    assert me(second["access"]).status_code == 200
    assert refresh(second["refresh"]).status_code == 200
    assert RefreshFamily.objects.count() == 1


def test_a_token_used_twice_ends_the_newer_one_too(ada: User) -> None:
    first = generate_token_pair(ada)
    second = refresh(first.refresh).json()
    assert problem_of(refresh(first.refresh), 401)["code"] == "token_reused"
    assert problem_of(refresh(second["refresh"]), 401)["code"] == "token_revoked"
    problem_of(me(second["access"]), 401, "token_revoked")
    assert problem_of(refresh(first.refresh), 401)["code"] == "token_revoked"
    assert [event.action for event in AuditEvent.objects.filter(actor_id=ada.pk)] == ["token.refused"]


def test_what_the_log_cannot_say_is_not_done(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    first = generate_token_pair(ada)
    refresh(first.refresh)

    def broken(*_what: Any, **_details: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as without_a_log:
        without_a_log.setattr(audit, "record", broken)
        for ask in (refresh, revoke):
            assert ask(first.refresh).status_code == 500
            assert RefreshFamily.objects.get().revoked_at is None
    problem_of(refresh(first.refresh), 401, "token_reused")
    assert RefreshFamily.objects.get().revoked_at is not None


def test_an_access_token_ends_with_its_family(ada: User) -> None:
    pair = generate_token_pair(ada)
    RefreshFamily.objects.update(expires_at=timezone.now())
    problem_of(me(pair.access), 401, "token_revoked")


def test_families_end_one_by_one_and_access_tokens_with_them(ada: User) -> None:
    phone, laptop = generate_token_pair(ada), generate_token_pair(ada)
    newer = refresh(phone.refresh).json()
    assert [me(access).status_code for access in (phone.access, newer["access"])] == [200, 200]
    revoke(newer["refresh"])
    for access in (phone.access, newer["access"]):
        problem_of(me(access), 401, "token_revoked")
    assert refresh(newer["refresh"]).status_code == 401
    assert me(laptop.access).status_code == 200
    assert refresh(laptop.refresh).status_code == 200


@pytest.mark.usefixtures("real_transactions")
def test_of_refreshes_at_the_same_moment_at_most_one_wins(ada: User) -> None:
    first = generate_token_pair(ada)
    answers = at_once(8, lambda _turn: refresh(first.refresh))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(401)) == (1, 7)
    # It was used more than once, so nobody knows who won: the winner is cut off too.
    winner = next(answer for answer in answers if answer.status_code == 200).json()
    assert refresh(winner["refresh"]).status_code == 401


def test_revoking_is_idempotent(ada: User) -> None:
    pair = generate_token_pair(ada)
    for _ in range(2):
        response = revoke(pair.refresh)
        assert (response.status_code, response.content) == (204, b"")
    assert problem_of(refresh(pair.refresh), 401)["code"] == "token_revoked"
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1


def test_a_spent_token_still_revokes_its_family(ada: User) -> None:
    first = generate_token_pair(ada)
    second = refresh(first.refresh).json()
    assert revoke(first.refresh).status_code == 204
    assert refresh(second["refresh"]).status_code == 401


def test_deactivation_stops_both_tokens_at_once(ada: User) -> None:
    pair = generate_token_pair(ada)
    assert me(pair.access).status_code == 200
    User.objects.filter(pk=ada.pk).update(is_active=False)
    problem_of(me(pair.access), 401, "user_deactivated")
    problem_of(refresh(pair.refresh), 401, "token_revoked")


def test_the_token_of_somebody_who_is_gone_is_refused(ada: User) -> None:
    pair = generate_token_pair(ada)
    User.objects.filter(pk=ada.pk).delete()
    problem_of(me(pair.access), 401)
    problem_of(refresh(pair.refresh), 401, "token_revoked")
    assert revoke(pair.refresh).status_code == 204


def test_each_kind_of_token_is_refused_as_the_other(ada: User) -> None:
    pair = generate_token_pair(ada)
    problem_of(me(pair.refresh), 401)
    problem_of(refresh(pair.access), 401, "token_not_valid")
    problem_of(revoke(pair.access), 401, "token_not_valid")
    assert me(pair.access).status_code == 200


def test_expired_families_and_tokens_are_refused(ada: User, settings: Any) -> None:
    pair = generate_token_pair(ada)
    RefreshFamily.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    problem_of(refresh(pair.refresh), 401, "token_revoked")
    late = {"exp": 1, **{k: v for k, v in _claims(pair.access).items() if k != "exp"}}
    problem_of(me(_signed(late)), 401)
    late = {"exp": 1, **{k: v for k, v in _claims(pair.refresh).items() if k != "exp"}}
    problem_of(refresh(_signed(late)), 401, "token_expired")


def _claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def _signed(claims: dict[str, Any], key: str = "", algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key or product.SECRET_KEY, algorithm=algorithm)


def test_forged_tokens_are_refused(ada: User, eve: User) -> None:
    pair = generate_token_pair(ada)
    access, renewing = _claims(pair.access), _claims(pair.refresh)
    assert me(_signed(access)).status_code == 200  # so what follows is refused for its own reason
    other_key = "another-key-that-is-as-long-as-it-has-to-be-for-the-algorithm"
    for forged in (
        _signed(access, other_key),
        jwt.encode(access, "", algorithm="none"),
        _signed(access | {"iss": "somebody-else"}),
        _signed({name: value for name, value in access.items() if name != "sub"}),
        _signed({name: value for name, value in access.items() if name != "family"}),
        _signed(access | {"sub": str(eve.pk)}),
        pair.access[:-4] + "AAAA",
    ):
        problem_of(me(forged), 401)
    family_gone = {name: value for name, value in renewing.items() if name != "family"}
    for forged in (_signed(renewing, other_key), _signed(family_gone), pair.refresh[:-4] + "AAAA"):
        problem_of(refresh(forged), 401, "token_not_valid")


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer é", "Bearer eyJ.x.y", "Basic YTpi"])
def test_odd_authorization_headers_are_401(header: str, db: None) -> None:
    client = APIClient(raise_request_exception=False)
    problem_of(client.get(ME, HTTP_AUTHORIZATION=header.encode().decode("latin-1")), 401)


@pytest.mark.parametrize("ask", [refresh, revoke])
@pytest.mark.parametrize("token", ["", None, [], {}, "x" * 4097, "\x00"])
def test_a_refresh_token_that_is_none_is_422(ask: Ask, token: Any, db: None) -> None:
    assert wrong_fields(ask(token)) == ["refresh"]


@pytest.mark.parametrize("ask", [refresh, revoke])
@pytest.mark.parametrize("token", ["x", "a.b.c", "é", 7, True])
def test_a_text_that_is_no_token_is_401_or_422(ask: Ask, token: Any, db: None) -> None:
    problem_of(ask(token), 422 if token is True else 401)


def test_a_session_cookie_works_for_reading_and_needs_csrf_for_writing(ada: User) -> None:
    client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(ada)
    assert client.get(ME).json()["username"] == "ada"
    problem_of(client.patch(ME, {"full_name": "Ada L."}), 403)
    ada.refresh_from_db()
    assert ada.full_name == ""
