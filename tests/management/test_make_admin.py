"""manage.py make_admin: the first administrator, whether there is somebody already or not."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent, Identity, User
from litemaas.foundation.providers import Provider
from teams.models import DEFAULT_TEAM_ID

pytestmark = pytest.mark.django_db


def make(*words: str) -> str:
    """What the command says."""
    said = StringIO()
    call_command("make_admin", *words, stdout=said)
    return said.getvalue()


def test_new_person_is_made_with_a_team() -> None:
    assert make("lea", "--email", "lea@company.test") == "lea was made and is an administrator.\n"
    lea = User.objects.get()
    assert (lea.roles, lea.hand_roles, lea.email_verified) == (["admin"], ["admin"], True)
    assert not lea.has_usable_password()
    assert lea.memberships.get().team_id == DEFAULT_TEAM_ID


def test_somebody_is_promoted_once_and_audited(ada: User) -> None:
    for _ in range(2):
        assert make("ADA") == "ada is an administrator.\n"
    assert User.objects.get().roles == ["admin", "user"]
    event = AuditEvent.objects.get(action="user.roles_changed")
    assert (event.actor_name, event.details["old"], event.details["new"]) == ("system", ["user"], ["admin", "user"])


def test_password_comes_from_the_input_and_changes_no_old_one(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lea", "ada"):
        monkeypatch.setattr("sys.stdin", StringIO("a long password\n"))
        said = make(name, "--password")
    assert "left as it was" in said
    assert User.objects.get(username="lea").check_password("a long password")
    assert User.objects.get(username="ada").check_password("ada")


def test_person_can_be_linked_before_the_first_sign_in(settings: Any) -> None:
    settings.SIGN_IN_PROVIDERS = {"company": Provider("company", issuer="https://idp.test")}
    make("lea", "--provider", "company", "--subject", "s-1")
    identity = Identity.objects.get()
    assert (identity.user.username, identity.issuer, identity.subject) == ("lea", "https://idp.test", "s-1")
    with pytest.raises(CommandError, match="identity_taken"):
        make("leo", "--provider", "company", "--subject", "s-1")
    assert not User.objects.filter(username="leo").exists()


def test_what_cannot_be_is_refused(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="deactivated"):
        make("ada")
    with pytest.raises(CommandError, match="go together"):
        make("lea", "--provider", "company")
    with pytest.raises(CommandError, match="not_found"):
        make("lea", "--provider", "nobody", "--subject", "s-1")
    monkeypatch.setattr("sys.stdin", StringIO("\n"))
    with pytest.raises(CommandError, match="password is needed"):
        make("lea", "--password")
    assert User.objects.count() == 1
