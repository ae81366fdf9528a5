"""People in the admin portal: what their pages say, and the verbs behind the buttons."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import audit, identities, people
from accounts.models import AuditEvent, BrowserSession, Identity, RefreshFamily, User
from accounts.personal_tokens import create_personal_token
from accounts.tokens import generate_token_pair
from apikeys.models import ApiKey, ApiKeySecret
from litemaas.administration.people import in_words
from litemaas.foundation.providers import Provider
from litemaas.people.offboarding import Steps, offboard_user
from tests.admin.conftest import listing, page, send
from tests.cast import make_person

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]


def messages(answer: Any) -> list[str]:
    """What is said on the page that one is led to."""
    return [str(message) for message in answer.context["messages"]]


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def chosen(verb: str, *rows: User, **typed: Any) -> dict[str, Any]:
    """A verb for many rows, asked for in the list and confirmed."""
    return {"action": verb, "_selected_action": [str(row.pk) for row in rows], "index": "0", "confirmed": "1", **typed}


# --- Pages -----------------------------------------------------------------------------------------------------------


def test_the_page_says_who_somebody_is_and_by_what(filled: ApiKey, ada: User, ro: User, browser: Browser) -> None:
    User.objects.filter(pk=ada.pk).update(
        roles=["admin", "adminReadonly", "user"], hand_roles=["admin", "user"], provider_roles=["adminReadonly"]
    )
    Identity.objects.create(user=ada, provider="company", issuer="https://idp.test", subject="s-77")
    text = browser(ro).get(page(ada)).content.decode()
    for words in (
        "Administrator (by hand)",
        "Administrator, read only (by the sign-in service)",
        "s-77",
        "https://idp.test",
        "What this person did",
        "notebook",
        "Default Team",
    ):
        assert words in text, words


def test_people_are_found_by_words_and_by_id(ada: User, eve: User, ann: User, browser: Browser) -> None:
    User.objects.filter(pk=eve.pk).update(full_name="Eve Lang")

    def found(text: str) -> set[str]:
        context: Any = browser(ann).get(listing(User), {"q": text}).context
        return {str(row) for row in context["cl"].result_list}

    assert found("lang EV") == {"eve"}
    assert found(str(ada.pk)) == {"ada"}
    assert found("nobody") == found("'--") == set()
    assert found(" ") == {"ada", "eve", "ann"}


# --- Verbs -----------------------------------------------------------------------------------------------------------


def test_roles_are_ticked_and_changed(ada: User, ann: User, browser: Browser) -> None:
    asked: Any = browser(ann).get(page(ada, "roles"))
    assert asked.context["form"].initial == {"roles": ["user"]}
    send(browser(ann), page(ada, "roles"), {"roles": ["user", "adminReadonly"]})
    assert fresh(ada).roles == ["adminReadonly", "user"]
    User.objects.filter(pk=ada.pk).update(provider_roles=["adminReadonly"], hand_roles=[], roles=["adminReadonly"])
    assert "The sign-in service gives" in browser(ann).get(page(ada, "roles")).content.decode()
    refused = send(browser(ann), page(ada, "roles"), {"roles": []})
    assert refused.status_code == 422
    assert "Take the person out of the group there." in refused.content.decode()


def test_trap_38_roles_that_somebody_has_changed_meanwhile_are_not_given_back(
    ada: User, ann: User, browser: Browser
) -> None:
    identities.set_roles(ann, user_id=ada.pk, roles=["admin", "user"])
    opened: Any = browser(ann).get(page(ada, "roles"))
    identities.set_roles(ann, user_id=ada.pk, roles=["user"])
    typed = {"as_shown": opened.context["as_shown"], "roles": ["admin", "adminReadonly", "user"]}
    client, origin = browser(ann), "http://testserver" + page(ada, "roles")
    told: Any = client.post(page(ada, "roles"), typed, HTTP_REFERER=origin, follow=True)
    assert "Somebody has changed this meanwhile, and nothing was done: Roles." in messages(told)[0]
    assert told.context["form"].initial == {"roles": ["user"]}
    assert fresh(ada).roles == ["user"]
    assert browser(ann).post(page(ada, "roles"), {"roles": ["admin"]}, HTTP_REFERER="").status_code in {302, 409}
    assert fresh(ada).roles == ["user"]
    unread = {"as_shown": opened.context["as_shown"], "roles": ["user", "admin"]}
    browser(ann).post(page(ada, "roles"), unread)
    assert fresh(ada).roles == ["user"], "what was not touched is not sent"


def test_trap_38_limits_that_somebody_has_set_meanwhile_stay(ada: User, ann: User, eve: User, browser: Browser) -> None:
    opened: Any = browser(ann).get(page(ada, "limits")).context
    shown = opened["as_shown"]
    people.set_limits(ann, user_id=ada.pk, max_budget=Decimal(5))
    browser(ann).post(page(ada, "limits"), {"as_shown": shown, "tpm_limit": "1000"})
    assert (fresh(ada).max_budget, fresh(ada).tpm_limit) == (Decimal(5), 1000)
    refused = browser(ann).post(page(ada, "limits"), {"as_shown": shown, "max_budget": "9"}, HTTP_REFERER="")
    assert refused.status_code in {302, 409}
    assert fresh(ada).max_budget == Decimal(5)
    browser(ann).post(page(eve, "limits"), {"as_shown": shown, "max_budget": "9"})
    assert fresh(eve).max_budget is None, "the form of somebody else"


def test_an_offboarding_of_an_older_version_is_shown(ada: User, ann: User, ro: User, browser: Browser) -> None:
    """Entries of the audit log stay as they were written, whatever comes to be recorded later."""
    audit.record(ann, audit.Action.USER_OFFBOARDED, ada, keys=2, key_names=["one", "two"])
    answer = browser(ro).get(page(ada))
    assert answer.status_code == 200
    assert "one, two" in answer.content.decode()


def test_trap_12_the_last_administrator_stays_one(ann: User, browser: Browser) -> None:
    refused = send(browser(ann), page(ann, "roles"), {"roles": ["user"]})
    assert refused.status_code == 422
    assert "This is the last administrator." in refused.content.decode()
    make_person("other")
    own = browser(ann).post(page(ann, "deactivate"), {})
    assert own.status_code == 422
    assert "This is your own account." in own.content.decode()
    assert (fresh(ann).roles, fresh(ann).is_active) == (["admin"], True)


def test_trap_44_limits_that_are_sent_unchanged_change_nothing(ada: User, ann: User, browser: Browser) -> None:
    people.set_limits(ann, user_id=ada.pk, max_budget=Decimal("12.5"), budget_duration="14d", rpm_limit=5)
    form: Any = browser(ann).get(page(ada, "limits")).context
    shown = {bound.name: bound.value() or "" for bound in form["form"]}
    assert shown == {"max_budget": "12.5", "budget_duration": "14d", "tpm_limit": "", "rpm_limit": 5}
    before = AuditEvent.objects.count()
    send(browser(ann), page(ada, "limits"), shown)
    assert AuditEvent.objects.count() == before
    send(browser(ann), page(ada, "limits"), {"tpm_limit": "100"})
    now = fresh(ada)
    assert (now.max_budget, now.budget_duration, now.tpm_limit, now.rpm_limit) == (None, "", 100, None)
    assert send(browser(ann), page(ada, "limits"), {"budget_duration": "weekly"}).status_code == 422


def test_limits_of_many_leave_alone_what_is_left_empty(ada: User, eve: User, ann: User, browser: Browser) -> None:
    people.set_limits(ann, user_id=ada.pk, max_budget=Decimal(5), rpm_limit=7)
    people.set_limits(ann, user_id=eve.pk, tpm_limit=9, rpm_limit=8)
    asked = browser(ann).post(listing(User), chosen("limits", ada, eve) | {"confirmed": ""})
    assert "What you leave empty stays" in asked.content.decode() or asked.status_code == 422
    said = messages(
        browser(ann).post(listing(User), chosen("limits", ada, eve, tpm_limit="100", clear=["rpm_limit"]), follow=True)
    )
    assert "2 of 2" in said[0]
    one, other = fresh(ada), fresh(eve)
    assert (one.max_budget, one.tpm_limit, one.rpm_limit) == (Decimal(5), 100, None)
    assert (other.max_budget, other.tpm_limit, other.rpm_limit) == (None, 100, None)
    nothing = browser(ann).post(listing(User), chosen("limits", ada, eve))
    assert nothing.status_code == 422
    assert "Say which limits are to change." in nothing.content.decode()


def test_deactivation_says_before_what_it_means_and_reactivation_undoes_it(
    filled: ApiKey, ada: User, ann: User, browser: Browser
) -> None:
    asked = browser(ann).get(page(ada, "deactivate")).content.decode()
    assert "1 key is blocked." in asked
    assert "2 sign-ins end." in asked
    browser(ann).post(page(ada, "deactivate"), {"reason": "away"})
    assert not fresh(ada).is_active
    shown: Any = browser(ann).get(page(ada)).context
    assert [button["verb"].name for button in shown["buttons"]][:4] == ["roles", "limits", "link", "reactivate"]
    assert shown["refreshes"], "LiteLLM has not heard of it"
    ApiKeySecret.objects.update(sync_status="synced")
    context: Any = browser(ann).get(page(ada)).context
    assert not context["refreshes"]
    browser(ann).post(page(ada, "reactivate"), {})
    assert fresh(ada).is_active


def test_many_are_deactivated_and_who_cannot_be_is_named(ada: User, eve: User, ann: User, browser: Browser) -> None:
    said = " ".join(messages(browser(ann).post(listing(User), chosen("deactivate", ada, eve, ann), follow=True)))
    assert "2 of 3" in said
    assert "ann: This is your own account." in said
    assert [fresh(one).is_active for one in (ada, eve, ann)] == [False, False, True]


def test_off_boarding_lists_what_it_will_do_and_then_what_it_has_done(
    filled: ApiKey, ada: User, ann: User, ro: User, browser: Browser
) -> None:
    asked = browser(ann).get(page(ada, "offboard")).content.decode()
    for words in ("Keys revoked for ever: notebook", "Subscriptions cancelled: claude-sonnet", "Sign-ins ended: 2"):
        assert words in asked, words
    assert fresh(ada).is_active, "asking changes nothing"
    browser(ann).post(page(ada, "offboard"), {"reason": "left"})
    assert ApiKey.objects.get().status == "revoked"
    for reader in (ann, ro):
        text = browser(reader).get(page(ada)).content.decode()
        for words in ("Keys revoked for ever", "notebook", "1 key, the person&#x27;s limits", "left", "ann"):
            assert words in text, words
    assert "There is nothing left to do." in browser(ann).get(page(ada, "offboard")).content.decode()
    ApiKeySecret.objects.update(sync_status="synced")
    User.objects.update(sync_status="synced")
    assert "LiteLLM agrees with everything" in browser(ann).get(page(ada)).content.decode()


def test_off_boarding_oneself_is_refused_with_a_page(ann: User, browser: Browser) -> None:
    make_person("other")
    answer = browser(ann).get(page(ann, "offboard"))
    assert answer.status_code == 409
    assert "This is your own account." in answer.content.decode()


def test_the_names_of_many_keys_are_cut_and_counted(filled: ApiKey, ada: User, ann: User, browser: Browser) -> None:
    ApiKey.objects.bulk_create(ApiKey(user=ada, team=filled.team, name=f"key {n}") for n in range(60))
    offboard_user(ann, user_id=ada.pk)
    assert "and 11 more" in browser(ann).get(page(ada)).content.decode()


def test_trap_09_who_only_reads_changes_nothing_by_forged_posts(ada: User, ro: User, browser: Browser) -> None:
    before = User.objects.filter(pk=ada.pk).values().get()
    for verb in ("deactivate", "limits", "offboard", "reactivate", "roles"):
        assert browser(ro).get(page(ada, verb)).status_code == 403
        assert browser(ro).post(page(ada, verb), {"roles": ["admin"], "max_budget": "1"}).status_code == 403
        assert browser(ro).post(listing(User), chosen(verb, ada)).status_code == 403
    assert User.objects.filter(pk=ada.pk).values().get() == before


def test_people_are_linked_to_a_sign_in_service_and_unlinked(
    ada: User, ann: User, browser: Browser, settings: Any
) -> None:
    assert "No sign-in service is set up" in browser(ann).get(page(ada, "link")).content.decode()
    company = Provider("company", label="Company", issuer="https://idp.test", client_id="litemaas")
    settings.SIGN_IN_PROVIDERS = {"company": company}
    assert "Company" in browser(ann).get(page(ada, "link")).content.decode()
    assert browser(ann).post(page(ada, "link"), {"provider": "company", "subject": " "}).status_code == 422
    linked = browser(ann).post(page(ada, "link"), {"provider": "company", "subject": "s-77"}, follow=True)
    assert messages(linked) == ["“ada” can sign in through the service."]
    assert "s-77" in linked.content.decode()
    mine = Identity.objects.get(user=ada)
    other = Identity.objects.create(user=ann, provider="company", issuer="https://idp.test", subject="s-1")
    assert send(browser(ann), page(ada, "unlink"), {"identity": other.pk}).status_code == 422
    assert messages(send(browser(ann), page(ada, "unlink"), {"identity": mine.pk}, follow=True)) == [
        "“ada” is unlinked from the service."
    ]
    assert list(Identity.objects.all()) == [other]


def test_the_page_shows_where_somebody_is_signed_in_and_with_which_tokens(
    ada: User, eve: User, ro: User, browser: Browser
) -> None:
    empty = browser(ro).get(page(ada)).content.decode()
    assert "Signed in nowhere." in empty
    assert "No access tokens." in empty
    place: Any = {"agent": "curl/8.5.0", "address": "192.0.2.55"}
    generate_token_pair(ada, place)
    session = browser(ada)
    session.get("/usage")
    create_personal_token(ada, name="nightly report", scope="read")
    create_personal_token(eve, name="not mine", scope="read")
    text = browser(ro).get(page(ada)).content.decode()
    family, row = RefreshFamily.objects.get(), BrowserSession.objects.get(user=ada)
    for words in (
        "192.0.2.55",
        "Program",
        "nightly report",
        reverse("admin:accounts_refreshfamily_change", args=[family.pk]),
        reverse("admin:accounts_browsersession_change", args=[row.pk]),
    ):
        assert words in text, words
    assert "not mine" not in text


def test_off_boarding_names_the_tokens_it_ends(ada: User, ann: User, browser: Browser) -> None:
    create_personal_token(ada, name="nightly report", scope="read")
    assert "Access tokens revoked: nightly report" in browser(ann).get(page(ada, "offboard")).content.decode()
    offboard_user(ann, user_id=ada.pk)
    assert "nightly report" in browser(ann).get(page(ada)).content.decode()


def test_an_entry_that_names_no_tokens_is_shown_all_the_same() -> None:
    recorded = Steps.recorded({"tokens": 3, "keys": 2, "key_names": ["a", "b"]})
    shown = {str(words): value for words, value in in_words(recorded)}
    assert shown == {"Access tokens revoked": "3", "Keys revoked for ever": "a, b"}
