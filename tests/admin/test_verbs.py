"""What can be done from the admin portal is done by the verbs, once, and refused to those who may not."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

import apikeys.endings
import apikeys.services
import subscriptions.services
from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret, KeyPolicy
from apikeys.rotation import rotate_api_key
from apikeys.services import create_api_key
from litellm_sync import measures, state
from litellm_sync.models import SyncRun
from litellm_sync.state import SyncStatus
from subscriptions.models import Model, Subscription
from subscriptions.services import create_subscription
from teams.models import Membership
from tests.admin.conftest import listing, page, restricted, send

pytestmark = pytest.mark.django_db

Browser = Callable[[User | None], Client]


def messages(answer: Any) -> list[str]:
    """What is said on the page that one is led to."""
    return [str(message) for message in answer.context["messages"]]


@pytest.fixture
def pending(ada: User, eve: User, models: list[Model]) -> list[Subscription]:
    """Ada and Eve wait for a model that needs approval."""
    restricted(models[0])
    return [create_subscription(user, model=models[0].id, justification="please") for user in (ada, eve)]


# --- Keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["failed", "pending", "synced"])
def test_keys_are_listed_by_the_synchronisation_that_they_show(
    key: ApiKey, ann: User, browser: Browser, shown: str
) -> None:
    ApiKeySecret.objects.update(sync_status=shown)
    ApiKeySecret.objects.create(
        key=key, digest="f" * 64, last4="abcd", sync_status="synced" if shown == "synced" else "pending"
    )
    found = [name for name in SyncStatus.values if key.name in _rows(browser(ann), sync=name)]
    assert found == [shown] == [ApiKey.objects.get().sync_status]


def _rows(client: Client, **query: str) -> list[str]:
    shown: Any = client.get(listing(ApiKey), query).context
    return [row.name for row in shown["cl"].result_list]


@pytest.mark.parametrize("verb", ["block", "unblock"])
def test_keys_are_blocked_and_unblocked_with_a_reason(key: ApiKey, ann: User, browser: Browser, verb: str) -> None:
    before, after = ("active", "blocked") if verb == "block" else ("blocked", "active")
    ApiKey.objects.update(status=before)
    asked = browser(ann).get(page(key, verb))
    assert key.name in asked.content.decode()
    assert ApiKey.objects.get().status == before, "asking changes nothing"
    answer = browser(ann).post(page(key, verb), {"reason": "leaked?"}, follow=True)
    assert ApiKey.objects.get().status == after
    recorded = AuditEvent.objects.get(action=f"apikey.{verb}ed").details
    assert recorded == {"old": before, "new": after, "reason": "leaked?"}
    assert key.name in messages(answer)[0]


def test_revoking_calls_the_verb_once(
    key: ApiKey, ann: User, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    verb = apikeys.endings.revoke_api_key

    def heard_verb(*args: Any, **kwargs: Any) -> Any:
        heard.append((args, kwargs))
        return verb(*args, **kwargs)

    monkeypatch.setattr(apikeys.endings, "revoke_api_key", heard_verb)
    browser(ann).post(page(key, "revoke"))
    assert heard == [((ann,), {"key_id": key.pk})]
    assert browser(ann).post(page(key, "revoke")).status_code == 302
    assert len(heard) == 1, "a revoked key is not revoked again"


def test_many_keys_are_named_before_they_are_revoked(key: ApiKey, ada: User, ann: User, browser: Browser) -> None:
    other = create_api_key(ada, name="nightly", models=["gpt-4o"]).key
    spared = create_api_key(ada, name="spared", models=["gpt-4o"]).key
    chosen = {"action": "revoke", "_selected_action": [str(key.pk), str(other.pk)], "index": "0"}
    asked = browser(ann).post(listing(ApiKey), chosen)
    context: Any = asked.context
    assert sorted(context["names"]) == ["nightly", "notebook"]
    assert not ApiKey.objects.filter(status="revoked").exists()
    answer = browser(ann).post(listing(ApiKey), chosen | {"confirmed": "1"}, follow=True)
    assert set(ApiKey.objects.filter(status="revoked").values_list("name", flat=True)) == {"nightly", "notebook"}
    spared.refresh_from_db()
    assert spared.status == "active"
    assert "2 of 2" in messages(answer)[0]


def test_litellm_is_left_to_the_jobs_where_many_are_chosen(
    key: ApiKey, ada: User, ann: User, browser: Browser, django_capture_on_commit_callbacks: Any
) -> None:
    other = create_api_key(ada, name="nightly", models=["gpt-4o"]).key
    client, tries = browser(ann), []
    chosen = {"action": "block", "_selected_action": [str(key.pk), str(other.pk)], "index": "0", "confirmed": "1"}
    for address, sent in ((listing(ApiKey), chosen), (page(key, "revoke"), {})):
        with django_capture_on_commit_callbacks() as after:
            client.post(address, sent)
        tries.append(len([callback for callback in after if getattr(callback, "func", None) is state._try_now]))
    assert tries == [0, 1]
    assert set(ApiKeySecret.objects.values_list("sync_status", flat=True)) == {"pending"}
    assert sorted(ApiKey.objects.values_list("status", flat=True)) == ["blocked", "revoked"]


def test_what_cannot_be_done_to_one_of_many_is_said_and_the_others_are_done(
    key: ApiKey, ada: User, ann: User, browser: Browser
) -> None:
    ended = create_api_key(ada, name="ended", models=["gpt-4o"]).key
    ApiKey.objects.filter(pk=ended.pk).update(status="revoked")
    chosen = {"action": "block", "_selected_action": [str(key.pk), str(ended.pk)], "index": "0", "confirmed": "1"}
    said = " ".join(messages(browser(ann).post(listing(ApiKey), chosen, follow=True)))
    assert "1 of 2" in said
    assert "ended: “ended” is revoked" in said
    key.refresh_from_db()
    assert key.status == "blocked"


def test_forged_posts_of_a_reader_are_refused(key: ApiKey, ro: User, browser: Browser) -> None:
    for verb in ("revoke", "block", "retry"):
        assert browser(ro).post(page(key, verb), {"reason": "x"}).status_code == 403
        chosen = {"action": verb, "_selected_action": [str(key.pk)], "index": "0", "confirmed": "1"}
        assert browser(ro).post(listing(ApiKey), chosen).status_code == 403
    assert browser(ro).post(listing(ApiKey), {"action": "delete_selected"}).status_code == 403
    assert browser(ro).post(page(key)).status_code == 405
    assert ApiKey.objects.get().status == "active"


def test_posts_without_the_token_of_the_form_are_refused(key: ApiKey, ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert client.post(page(key, "revoke")).status_code == 403
    assert ApiKey.objects.get().status == "active"


def test_djangos_delete_action_does_not_exist(key: ApiKey, ann: User, browser: Browser) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [str(key.pk)], "index": "0", "post": "yes"}
    browser(ann).post(listing(ApiKey), chosen)
    assert ApiKey.objects.filter(pk=key.pk).exists()


# --- Subscriptions and models ----------------------------------------------------------------------------------------


def test_requests_are_approved_and_denied_with_a_reason(
    pending: list[Subscription], ann: User, browser: Browser
) -> None:
    browser(ann).post(page(pending[0], "approve"), {"reason": ""})
    refused = browser(ann).post(page(pending[1], "deny"), {"reason": ""})
    assert refused.status_code == 422
    browser(ann).post(page(pending[1], "deny"), {"reason": "too dear"})
    assert [Subscription.objects.get(pk=one.pk).status for one in pending] == ["active", "denied"]
    assert Subscription.objects.get(pk=pending[1].pk).reason == "too dear"


def test_trap_38_who_decides_second_is_told(pending: list[Subscription], ann: User, browser: Browser) -> None:
    subscriptions.services.approve_subscription(ann, subscription_id=pending[0].pk)
    answer = browser(ann).post(page(pending[0], "deny"), {"reason": "no"}, HTTP_REFERER="http://testserver/admin/")
    assert answer.status_code == 302
    assert Subscription.objects.get(pk=pending[0].pk).status == "active"
    chosen = {"action": "deny", "_selected_action": [str(one.pk) for one in pending], "index": "0"}
    said = messages(browser(ann).post(listing(Subscription), chosen | {"confirmed": "1", "reason": "no"}, follow=True))
    assert any("decided meanwhile" in words for words in said)
    assert [Subscription.objects.get(pk=one.pk).status for one in pending] == ["active", "denied"]


def test_models_are_restricted_and_opened(models: list[Model], ann: User, browser: Browser) -> None:
    browser(ann).post(page(models[0], "restrict"))
    assert Model.objects.get(pk=models[0].pk).restricted
    assert browser(ann).get(page(models[0], "restrict")).status_code == 409
    browser(ann).post(page(models[0], "open"))
    assert not Model.objects.get(pk=models[0].pk).restricted


def test_models_with_slashes_have_pages(ann: User, browser: Browser) -> None:
    model = Model.objects.create(id="org/model:7b_x y", provider="openai", mode="chat")
    assert browser(ann).get(page(model)).status_code == 200
    browser(ann).post(page(model, "restrict"))
    assert Model.objects.get(pk=model.pk).restricted


# --- LiteLLM ---------------------------------------------------------------------------------------------------------


def test_failed_rows_are_tried_again_one_by_one(key: ApiKey, ada: User, ann: User, browser: Browser) -> None:
    ApiKeySecret.objects.update(sync_status="failed", sync_error="no")
    Membership.objects.update(sync_status="failed")
    membership = Membership.objects.get(user=ada)
    browser(ann).post(page(key, "retry"))
    browser(ann).post(page(membership, "retry"))
    assert ApiKeySecret.objects.get().sync_status == "pending"
    assert Membership.objects.get(pk=membership.pk).sync_status == "pending"
    assert Membership.objects.filter(sync_status="failed").count() == Membership.objects.count() - 1


def test_all_failed_rows_are_tried_again_from_the_dashboard(key: ApiKey, ann: User, browser: Browser) -> None:
    for table in state.synced_models():
        table._base_manager.update(sync_status="failed")
    browser(ann).post(reverse("admin:retry"))
    assert sum(row["failed"] for row in measures.queue().values()) == 0


def test_synchronisation_starts_once(ann: User, ro: User, browser: Browser) -> None:
    address = reverse("admin:sync", args=["models"])
    answer = browser(ann).post(address)
    run = SyncRun.objects.get()
    assert answer["Location"] == reverse("admin:integration")
    assert run.requested_by == ann.pk
    said = messages(browser(ann).post(address, HTTP_REFERER="http://testserver/admin/", follow=True))
    assert said == ["This is being synchronised already."]
    assert browser(ro).post(address).status_code == 403
    assert browser(ann).post(reverse("admin:sync", args=["nonsense"]), HTTP_REFERER="").status_code in {302, 422}
    assert SyncRun.objects.count() == 1


def test_a_run_that_goes_on_shows_its_progress_and_reads_itself_again(ann: User, browser: Browser) -> None:
    run = SyncRun.objects.create(kind="usage", status="running", done=2, total=5)
    text = browser(ann).get(page(run)).content.decode()
    assert '<progress max="5" value="2">' in text
    assert '<meta http-equiv="refresh"' in text
    SyncRun.objects.update(status="done")
    assert '<meta http-equiv="refresh"' not in browser(ann).get(page(run)).content.decode()


# --- People and the policy -------------------------------------------------------------------------------------------


def test_people_are_added_by_the_verb(ann: User, browser: Browser) -> None:
    address = reverse("admin:accounts_user_add")
    person = {"username": "newcomer", "email": "n@test.example", "full_name": "New Comer", "role": "adminReadonly"}
    browser(ann).post(address, person | {"password": "Correct-Horse-1"})
    added = User.objects.get(username="newcomer")
    assert added.roles == ["adminReadonly"]
    assert added.check_password("Correct-Horse-1")
    assert added.memberships.count() == 1
    assert AuditEvent.objects.filter(action="user.created", actor_id=ann.pk).count() == 1
    again = browser(ann).post(address, person)
    assert again.status_code == 422
    assert "There is somebody with this name already." in again.content.decode()
    browser(ann).post(address, {"username": "silent", "role": "user"})
    assert not User.objects.get(username="silent").has_usable_password()


def policy_form(**changes: Any) -> dict[str, Any]:
    """The form as it is sent when nothing is touched."""
    shipped = {"minimum_budget_duration": "1d", "keys_per_user": "50", "creations_per_hour": "60"}
    graces = {"default_grace_seconds": "86400", "maximum_grace_seconds": "604800"}
    return shipped | graces | changes


def test_the_policy_is_changed_by_the_verb(ann: User, browser: Browser) -> None:
    address = reverse("admin:apikeys_keypolicy_edit", args=["1"])
    send(browser(ann), address, policy_form(maximum_max_budget="100", default_max_budget="10"))
    assert KeyPolicy.objects.get().maximum_max_budget == 100
    refused = send(browser(ann), address, policy_form(maximum_max_budget="5", default_max_budget="10"))
    assert refused.status_code == 422
    assert "The default is above the maximum." in refused.content.decode()
    assert 'value="5"' in refused.content.decode(), "what was typed is kept"
    assert KeyPolicy.objects.get().maximum_max_budget == 100
    send(browser(ann), address, policy_form())
    assert KeyPolicy.objects.get().maximum_max_budget is None


def test_trap_44_the_policy_sent_unchanged_changes_nothing(ann: User, browser: Browser) -> None:
    send(browser(ann), reverse("admin:apikeys_keypolicy_edit", args=["1"]), policy_form())
    assert KeyPolicy.objects.count() == 0
    assert not AuditEvent.objects.filter(action="key_policy.changed").exists()


def test_a_key_is_edited_as_far_as_it_was_touched(key: ApiKey, ann: User, browser: Browser) -> None:
    shown = {"name": key.name, "models": ["claude-sonnet", "gpt-4o"], "max_budget": "10"}
    client = browser(ann)
    assert send(client, page(key, "edit"), shown).status_code == 302
    assert not AuditEvent.objects.filter(action="apikey.updated").exists(), "an unchanged form changes nothing"
    typed = shown | {"models": ["gpt-4o"], "max_budget": "2.5", "expires_at": "2099-12-31 18:00"}
    assert send(client, page(key, "edit"), typed).status_code == 302
    changed = ApiKey.objects.get()
    assert (changed.model_ids, changed.max_budget) == (["gpt-4o"], Decimal("2.5"))
    assert changed.expires_at == datetime(2099, 12, 31, 18, tzinfo=UTC)
    assert set(AuditEvent.objects.get(action="apikey.updated").details["new"]) == {"models", "max_budget", "expires_at"}


@pytest.mark.parametrize("ends", [datetime(2099, 3, 31, 18, 0, 59, 123456, UTC), datetime(2026, 1, 2, 3, 4, 5, 6, UTC)])
def test_trap_44_an_expiry_that_is_finer_than_the_page_is_not_touched(
    key: ApiKey, ann: User, browser: Browser, ends: datetime
) -> None:
    ApiKey.objects.update(expires_at=ends)
    shown = {"name": key.name, "models": ["claude-sonnet", "gpt-4o"], "max_budget": "10"}
    shown["expires_at"] = f"{ends:%Y-%m-%d %H:%M:%S}"
    assert send(browser(ann), page(key, "edit"), shown).status_code == 302
    assert ApiKey.objects.get().expires_at == ends
    assert not AuditEvent.objects.filter(action="apikey.updated").exists()


def test_the_policy_holds_for_administrators_too(key: ApiKey, ann: User, browser: Browser) -> None:
    KeyPolicy.objects.create(maximum_max_budget=Decimal(20))
    typed = {"name": key.name, "models": ["claude-sonnet", "gpt-4o"], "max_budget": "21"}
    assert send(browser(ann), page(key, "edit"), typed).status_code == 422
    assert ApiKey.objects.get().max_budget == 10


def test_nobody_is_offered_what_does_not_fit_a_key(key: ApiKey, ann: User, browser: Browser) -> None:
    shown = browser(ann).get(page(key)).content.decode()
    for verb, is_there in (("edit", True), ("reset-spend", True), ("end-old-secret", False), ("delete", False)):
        assert (page(key, verb) in shown) is is_there, verb
    browser(ann).post(page(key, "delete"))
    assert ApiKey.objects.get().deleted_at is None


def test_an_old_secret_that_alone_works_is_ended_only_by_force(
    key: ApiKey, ada: User, ann: User, browser: Browser
) -> None:
    ApiKeySecret.objects.update(pending_secret=None, sync_status="synced")
    rotate_api_key(ada, key_id=key.pk, grace_seconds=600)
    client, address = browser(ann), page(key, "end-old-secret")
    assert "without the old one nothing works" in client.get(address).content.decode()
    assert client.post(address).status_code == 422
    assert ApiKey.objects.get().old_secret_valid_until is not None
    assert client.post(address, {"force": "on"}).status_code == 302
    assert ApiKey.objects.get().old_secret_valid_until is None
