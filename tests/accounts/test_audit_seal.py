"""The seal on the audit log: nothing is missed, and whatever is changed, removed, moved or added is found."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from procrastinate.contrib.django import app

from accounts import audit, audit_proof, audit_seal
from accounts.audit import Action
from accounts.audit_proof import verify_audit
from accounts.audit_seal import seal_audit
from accounts.models import AuditEvent, AuditSeal, Role, User
from litellm_sync import tasks
from tests.cast import make_person
from tests.races import at_once, real_transactions

__all__ = ["real_transactions"]

DEADLINE_SECONDS = 120


def note(number: int = 1, *, name: str = "n") -> list[AuditEvent]:
    """Entries, each in a transaction of its own."""
    return [audit.record(None, Action.PROFILE_CHANGED, actor_name=f"{name}{n}", old={"a": n}) for n in range(number)]


def seal_everything() -> None:
    """Seal until nothing waits: other tests on the same server hold transactions open for a while."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while audit_seal.waiting()[0]:
        seal_audit()
        assert time.monotonic() < ends


def wait_for_others() -> None:
    """Until every entry can be sealed: what others hold open would cut a seal short."""
    ends = time.monotonic() + DEADLINE_SECONDS
    open_below = (
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint <= max(transaction) FROM accounts_auditevent"
    )
    with connection.cursor() as cursor:
        while True:
            cursor.execute(open_below)
            if not cursor.fetchone()[0]:
                return
            assert time.monotonic() < ends


@contextmanager
def without_triggers() -> Iterator[Any]:
    """A cursor of somebody who owns the database and means ill."""
    tables = ("accounts_auditevent", "accounts_auditseal")
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def tamper(statement: str, *values: Any) -> None:
    """Carry a statement out that the triggers refuse."""
    with without_triggers() as cursor:
        cursor.execute(statement, values)


def found() -> list[tuple[str, int | None]]:
    """Code and id of what the verification finds; an entry's id, else a seal's number."""
    findings = verify_audit().findings
    return [(one.code, one.entry if one.entry is not None else one.seal) for one in findings]


@pytest.fixture
def sealed(real_transactions: None, monkeypatch: pytest.MonkeyPatch) -> list[AuditEvent]:
    """Ten entries under four seals of three, three, three and one."""
    monkeypatch.setattr(audit_seal, "ENTRIES_A_SEAL", 3)
    entries = note(10)
    wait_for_others()
    seal_everything()
    assert list(AuditSeal.objects.order_by("number").values_list("number", "count")) == [(1, 3), (2, 3), (3, 3), (4, 1)]
    assert verify_audit().holds
    return entries


# --- Sealing ---------------------------------------------------------------------------------------------------------


def test_every_column_goes_into_the_chain() -> None:
    assert set(audit_seal.COLUMNS) == {field.column for field in AuditEvent._meta.fields}


@pytest.mark.django_db
def test_the_bytes_of_an_entry_are_what_the_documentation_says(ada: Any) -> None:
    at = timezone.now().replace(year=2026, month=3, day=1, hour=1, minute=2, second=3, microsecond=4)
    row = (7, at, ada.pk, "ada", "a.b", "a", "user", "x", "ü", '{"b": 1.10, "a": null}', True, "r", "127.0.0.1", "c", 5)
    written = (
        f'[7,"2026-03-01T01:02:03.000004+00:00","{ada.pk}","ada","a.b","a","user","x","ü",'
        '{"a":null,"b":{"figure":"1.10"}},true,"r","127.0.0.1","c",5]'
    )
    assert audit_seal.as_bytes(row) == written.encode()


@pytest.mark.usefixtures("real_transactions")
def test_nothing_to_seal_makes_no_seal() -> None:
    assert seal_audit() == 0
    assert AuditSeal.objects.count() == 0
    proof = verify_audit()
    assert (proof.holds, proof.entries, proof.seals, proof.newest) == (True, 0, 0, "")


def test_seals_hold_and_the_result_is_recorded(sealed: list[AuditEvent]) -> None:
    proof = verify_audit()
    assert (proof.holds, proof.seals, proof.entries) == (True, 4, 10)
    result = audit_proof.last_result()
    assert result
    assert result.success
    assert result.details == {"entries": 10, "found": 0, "seal": str(AuditSeal.objects.get(number=4))}
    note(2)
    seal_everything()
    assert verify_audit().entries > 12  # the results are entries too


@pytest.mark.usefixtures("real_transactions")
def test_an_entry_that_shows_up_late_with_a_lower_id_is_neither_missed_nor_a_break() -> None:
    written, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                note(name="slow")
                written.set()
                assert may_end.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert written.wait(60)
    quick = note(name="quick")[0]
    assert seal_audit() == 0  # the other one still runs, and has the lower id
    may_end.set()
    thread.join(60)
    seal_everything()
    late = AuditEvent.objects.get(actor_name="slow0")
    assert late.pk < quick.pk
    in_order = [entry for seal in AuditSeal.objects.order_by("number") for entry, _ in audit_seal.links_of(seal)]
    assert in_order == [late.pk, quick.pk]
    assert verify_audit().holds


@pytest.mark.usefixtures("real_transactions")
def test_an_id_that_is_given_out_long_before_its_transaction_is_no_break() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('accounts_auditevent', 'id'))")
        (early,) = cursor.fetchone()
    later = note(name="later")[0]
    seal_everything()
    AuditEvent.objects.create(pk=early, actor_name="early", action="x.y", category="x")
    assert early < later.pk
    seal_everything()
    assert verify_audit().holds
    assert AuditSeal.objects.count() == 2


@pytest.mark.usefixtures("real_transactions")
def test_of_sealers_at_the_same_moment_one_seals_each_entry_once() -> None:
    note(40)
    at_once(4, lambda _turn: seal_audit())
    seal_everything()
    ids = [entry for seal in AuditSeal.objects.all() for entry, _link in audit_seal.links_of(seal)]
    assert sorted(ids) == sorted(AuditEvent.objects.values_list("pk", flat=True))
    assert verify_audit().holds


def test_a_dump_restored_into_another_server_goes_on(sealed: list[AuditEvent]) -> None:
    """There transactions count from the beginning again: what came along has higher numbers than what is new."""
    far = 2**40
    tamper("TRUNCATE accounts_auditevent, accounts_auditseal")
    note(4, name="old")
    tamper("UPDATE accounts_auditevent SET transaction = transaction + %s", far)
    # What the old server had sealed before the dump: this one would wait for ever.
    audit_seal._made(
        None, audit_seal._rows(audit_seal.Cursor(), audit_seal.LOWEST, None)[:3], after_id=audit_seal.LOWEST
    )
    note(4, name="new")
    ends = time.monotonic() + DEADLINE_SECONDS
    while sum(AuditSeal.objects.values_list("count", flat=True)) < 8:
        seal_audit()
        assert time.monotonic() < ends
    eras = AuditSeal.objects.order_by("number").values_list("after_id", flat=True)
    assert len(set(eras)) == 2
    assert found() == []
    last = AuditEvent.objects.get(actor_name="old3")
    tamper("UPDATE accounts_auditevent SET actor_name = 'x' WHERE id = %s", last.pk)
    assert found() == [("entry_changed", last.pk)]
    tamper("UPDATE accounts_auditevent SET actor_name = %s WHERE id = %s", last.actor_name, last.pk)
    seal_audit()
    tamper(
        "INSERT INTO accounts_auditevent (id, at, actor_name, action, category, target_type, target_id, target_name,"
        " details, success, request_id, address, transaction)"
        " VALUES (-5, now(), 'x', 'x.y', 'x', '', '', '', '{}', true, '', '', 7)"
    )
    assert found() == [("entry_inserted", -5)]


# --- What is found ---------------------------------------------------------------------------------------------------

CHANGES = {
    "at": "at + interval '1 microsecond'",
    "actor_id": "'00000000-0000-4000-8000-000000000001'",
    "actor_name": "'eve'",
    "action": "'user.created'",
    "category": "'user'",
    "target_type": "'team'",
    "target_id": "'x'",
    "target_name": "'x'",
    "details": """'{"old": {"a": 4.0}}'""",
    "success": "NOT success",
    "request_id": "'x'",
    "address": "'10.0.0.1'",
    "credential": "'session/x'",
    "transaction": "transaction + 1000000",
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_entry_is_found_whatever_was_changed(sealed: list[AuditEvent], column: str) -> None:
    entry = sealed[4]
    tamper(f"UPDATE accounts_auditevent SET {column} = {CHANGES[column]} WHERE id = %s", entry.pk)  # noqa: S608 -- from above
    expected = [("entry_changed", entry.pk)]
    if column == "transaction":  # it also stands behind the seals now, where this server has not come yet
        expected.append(("entry_ahead", entry.pk))
    assert found() == expected
    result = audit_proof.last_result()
    assert result
    assert not result.success
    assert result.details["found"] == len(expected)


def test_every_column_but_the_id_is_changed_above() -> None:
    assert {*CHANGES, "id"} == set(audit_seal.COLUMNS)


@pytest.mark.parametrize("place", [0, 2, 3, 9])
def test_a_removed_entry_is_found_wherever_it_stood(sealed: list[AuditEvent], place: int) -> None:
    tamper("DELETE FROM accounts_auditevent WHERE id = %s", sealed[place].pk)
    assert found() == [("entry_removed", sealed[place].pk)]


def test_entries_that_changed_places_are_found(sealed: list[AuditEvent]) -> None:
    first, second = sealed[3].pk, sealed[4].pk
    tamper("UPDATE accounts_auditevent SET id = -1 WHERE id = %s", first)
    tamper("UPDATE accounts_auditevent SET id = %s WHERE id = %s", first, second)
    tamper("UPDATE accounts_auditevent SET id = %s WHERE id = -1", second)
    assert found() == [("entry_changed", first), ("entry_changed", second)]


def _copy(entry: AuditEvent, *, number: int, transaction_id: int) -> None:
    columns = ", ".join(set(audit_seal.COLUMNS) - {"id", "actor_name", "transaction"})
    tamper(
        f"INSERT INTO accounts_auditevent (id, actor_name, transaction, {columns})"  # noqa: S608 -- our own columns
        f" SELECT %s, 'eve', %s, {columns} FROM accounts_auditevent WHERE id = %s",
        *(number, transaction_id, entry.pk),
    )


@pytest.mark.parametrize("number", [-7, 10**12])
@pytest.mark.parametrize("like", ["the same", "below all", "none"])
def test_an_inserted_entry_is_found(sealed: list[AuditEvent], number: int, like: str) -> None:
    transactions = {"the same": sealed[1].transaction, "below all": -5, "none": 0}
    _copy(sealed[1], number=number, transaction_id=transactions[like])
    seal_audit()
    assert found() == [("entry_inserted", number)]


def test_an_entry_that_is_dated_back_is_found(sealed: list[AuditEvent]) -> None:
    past = timezone.now() - timedelta(hours=2)
    entry = AuditEvent.objects.create(actor_name="eve", action="x.y", category="x", at=past)
    seal_everything()
    assert found() == [("entry_backdated", entry.pk)]


def test_a_time_without_a_sealer_is_no_finding(sealed: list[AuditEvent]) -> None:
    """Then there are seals that are much younger than their entries, one after the other."""
    past = timezone.now() + timedelta(days=1)
    for hour in range(8):
        AuditEvent.objects.create(actor_name="x", action="x.y", category="x", at=past + timedelta(hours=hour))
    tamper("UPDATE accounts_auditevent SET at = at - interval '30 days'")
    tamper("TRUNCATE accounts_auditseal")
    tamper("DELETE FROM accounts_auditevent WHERE action = 'audit.verified'")
    seal_everything()
    assert AuditSeal.objects.count() > 3
    assert found() == []


def _forge(at: str, number: int | None = None) -> int:
    """An entry that somebody who may write the table has added with one statement; returns its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditevent (at, actor_name, action, category, target_type, target_id, target_name,"  # noqa: S608 -- our own words
            " details, success, request_id, address, transaction)"
            f" VALUES ({at}, 'ann', 'user.deactivated', 'user', '', '', '', '{{}}', true, '', '', coalesce(%s, 1))"
            " RETURNING id",
            [number],
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("number", [2**62, -5, 0, None])
def test_an_entry_cannot_choose_its_transaction(sealed: list[AuditEvent], number: int | None) -> None:
    forged = _forge("now() - interval '400 days'", number)
    assert found() == [("entry_backdated", forged)]  # before it is sealed
    seal_everything()
    assert found() == [("entry_backdated", forged)]
    assert AuditEvent.objects.get(pk=forged).transaction > sealed[-1].transaction


def test_an_entry_that_can_never_be_sealed_is_found(sealed: list[AuditEvent]) -> None:
    with without_triggers():
        forged = _forge("now()", 2**62)
    seal_everything()  # it does not wait: nobody will ever seal it
    assert found() == [("entry_ahead", forged)]
    assert not audit_proof.standing().stands_still


def test_an_entry_that_nobody_seals_is_found(sealed: list[AuditEvent]) -> None:
    late = _forge("now() - interval '16 minutes'")
    ends = time.monotonic() + DEADLINE_SECONDS
    while found() != [("entry_late", late)]:  # other tests on the same server hold transactions open for a while
        assert time.monotonic() < ends
    seal_everything()
    assert found() == []


def test_one_s_own_transaction_is_not_ahead(sealed: list[AuditEvent]) -> None:
    with transaction.atomic():
        note(2)
        assert found() == []


def test_the_first_seals_hold_although_entries_have_more_columns_now(
    real_transactions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_seal, "VERSION", 1)
    old = note(3)
    seal_everything()
    monkeypatch.undo()
    note(2)
    seal_everything()
    versions = AuditSeal.objects.order_by("number").values_list("version", flat=True)
    assert sorted(set(versions)) == [1, audit_seal.VERSION]
    assert found() == []
    tamper("UPDATE accounts_auditevent SET credential = 'session/x' WHERE id = %s", old[1].pk)
    assert found() == [("entry_changed", old[1].pk)]


@pytest.mark.parametrize(
    "change",
    [
        "sealed_at = sealed_at - interval '1 day'",
        "after_id = 0",
        "last_transaction = last_transaction + 1",
        "last_id = last_id + 1",
        "highest_id = 0",
        "count = count + 1",
        "version = 1",
        "version = 7",
        "seal = decode(repeat('00', 32), 'hex')",
        "links = substring(links for 40)",
    ],
)
def test_a_changed_seal_is_found(sealed: list[AuditEvent], change: str) -> None:
    tamper(f"UPDATE accounts_auditseal SET {change} WHERE number = 2")  # noqa: S608 -- from above
    codes = {code for code, _about in found()}
    assert "seal_changed" in codes


def test_a_changed_link_is_found_once_and_does_not_blame_what_follows(sealed: list[AuditEvent]) -> None:
    seal = AuditSeal.objects.get(number=2)
    links = bytearray(seal.links)
    links[12] ^= 1
    tamper("UPDATE accounts_auditseal SET links = %s WHERE number = 2", bytes(links))
    assert found() == [("entry_changed", sealed[3].pk)]


def test_a_renumbered_seal_is_found(sealed: list[AuditEvent]) -> None:
    tamper("UPDATE accounts_auditseal SET number = 20 WHERE number = 4")
    assert {("seal_missing", 4), ("seal_changed", 20)} <= set(found())


def test_a_removed_seal_is_found(sealed: list[AuditEvent]) -> None:
    tamper("DELETE FROM accounts_auditseal WHERE number = 2")
    assert ("seal_missing", 2) in found()


def test_cut_off_seals_are_found_also_when_they_are_made_anew(sealed: list[AuditEvent]) -> None:
    tamper("DELETE FROM accounts_auditseal WHERE number > 2")
    assert found() == [("seal_missing", 4)]
    tamper("UPDATE accounts_auditevent SET actor_name = 'eve' WHERE id = %s", sealed[9].pk)
    seal_everything()
    assert found() == [("seal_replaced", 4)]


def test_a_result_with_findings_is_a_witness_too(sealed: list[AuditEvent]) -> None:
    tamper("UPDATE accounts_auditevent SET actor_name = 'eve' WHERE id = %s", sealed[0].pk)
    seal_everything()  # with the result of the fixture
    about = [("entry_changed", sealed[0].pk)]
    assert found() == about
    newest = AuditSeal.objects.order_by("-number").defer("links")[0]
    tamper("DELETE FROM accounts_auditseal WHERE number = %s", newest.number)
    assert found() == [*about, ("seal_missing", newest.number)]


def test_a_result_is_no_witness_of_a_seal_with_which_something_is_wrong(sealed: list[AuditEvent]) -> None:
    genuine = bytes(AuditSeal.objects.get(number=4).seal)
    tamper("UPDATE accounts_auditseal SET seal = %s WHERE number = 4", bytes(32))
    assert found() == [("seal_changed", 4), ("seal_replaced", 4)]
    tamper("UPDATE accounts_auditseal SET seal = %s WHERE number = 4", genuine)
    assert found() == []


def test_a_witness_cannot_be_written_over(sealed: list[AuditEvent]) -> None:
    tamper("UPDATE accounts_auditseal SET seal = %s WHERE number = 4", bytes(32))
    audit.record(None, Action.AUDIT_VERIFIED, entries=10, found=0, seal=f"4:{bytes(32).hex()}")
    assert ("seal_replaced", 4) in found()


EVENTS, SEALS = "accounts_auditevent", "accounts_auditseal"
HARMLESS = "CREATE OR REPLACE FUNCTION {0}_{1}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN {2}; END $$"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (f"ALTER TABLE {EVENTS} DISABLE TRIGGER {EVENTS}_append_only", ["trigger_missing"]),
        (f"ALTER TABLE {EVENTS} DISABLE TRIGGER {EVENTS}_no_truncate", ["trigger_missing"]),
        (f"ALTER TABLE {EVENTS} ENABLE REPLICA TRIGGER {EVENTS}_stamp", ["trigger_missing"]),
        (f"ALTER TABLE {SEALS} DISABLE TRIGGER ALL", ["trigger_missing"] * 2),
        (f"DROP TRIGGER {SEALS}_append_only ON {SEALS}", ["trigger_missing"]),
        (f"DROP TRIGGER {SEALS}_no_truncate ON {SEALS}", ["trigger_missing"]),
        (HARMLESS.format(EVENTS, "append_only", "OLD"), ["trigger_changed"] * 4),
        (HARMLESS.format(EVENTS, "stamp", "NEW"), ["trigger_changed"]),
        (
            (
                f"CREATE OR REPLACE TRIGGER {EVENTS}_append_only BEFORE DELETE ON {EVENTS}"
                f" FOR EACH ROW EXECUTE FUNCTION {EVENTS}_append_only()"
            ),
            ["trigger_changed"],
        ),
        (
            (
                f"CREATE OR REPLACE TRIGGER {EVENTS}_append_only BEFORE UPDATE OR DELETE ON {EVENTS}"
                f" FOR EACH ROW WHEN (OLD.id < 0) EXECUTE FUNCTION {EVENTS}_append_only()"
            ),
            ["trigger_missing"],
        ),
        (
            f"CREATE TRIGGER zz BEFORE INSERT ON {EVENTS} FOR EACH ROW EXECUTE FUNCTION {EVENTS}_stamp()",
            ["trigger_added"],
        ),
        (f"CREATE RULE deaf AS ON DELETE TO {SEALS} DO INSTEAD NOTHING", ["trigger_added"]),
    ],
)
def test_triggers_that_are_not_what_they_were_are_found(
    sealed: list[AuditEvent], statement: str, expected: list[str]
) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        assert [code for code, _about in found()] == expected
        transaction.set_rollback(True)
    assert found() == []


# --- What keeps the tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditseal SET count = 0",
        "DELETE FROM accounts_auditseal",
        "TRUNCATE accounts_auditseal",
        "TRUNCATE accounts_auditevent",
    ],
)
def test_the_database_refuses_to_change_seals_and_to_empty_the_log(sealed: list[AuditEvent], statement: str) -> None:
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match="append-only"):
        cursor.execute(statement)


# --- The jobs and the page -------------------------------------------------------------------------------------------


def test_the_jobs_seal_and_verify(real_transactions: None) -> None:
    note(3)
    ends = time.monotonic() + DEADLINE_SECONDS
    while not AuditSeal.objects.exists():
        tasks.seal_audit(timestamp=0)
        assert time.monotonic() < ends
    tasks.verify_audit(timestamp=0)
    result = audit_proof.last_result()
    assert result
    assert result.success
    schedule = {one.task.name: one.cron for one in app.periodic_registry.periodic_tasks.values()}
    assert (schedule["accounts.seal_audit"], schedule["accounts.verify_audit"]) == ("* * * * *", "23 3 * * *")


def _page(reader: User) -> str:
    client = Client()
    client.force_login(reader)
    return client.get(reverse("admin:accounts_auditevent_changelist")).content.decode()


def test_the_page_says_whether_the_log_can_be_trusted(sealed: list[AuditEvent]) -> None:
    ann = make_person("ann", Role.ADMIN)
    shown = _page(ann)
    assert "Sealed</span>" in shown
    assert "Last verified:" in shown
    tamper("UPDATE accounts_auditevent SET success = false WHERE id = %s", sealed[5].pk)
    verify_audit()
    shown = _page(ann)
    result = audit_proof.last_result()
    assert result
    assert "Not what was sealed" in shown
    assert reverse("admin:accounts_auditevent_change", args=[result.pk]) in shown


def test_the_page_says_when_nobody_seals(real_transactions: None) -> None:
    ann = make_person("ann", Role.ADMIN)
    assert "Not sealed yet" in _page(ann)
    past = timezone.now() - timedelta(minutes=16)
    AuditEvent.objects.create(actor_name="x", action="x.y", category="x", at=past)
    assert "Sealing stands still" in _page(ann)


# --- The command -----------------------------------------------------------------------------------------------------


def _command(*arguments: str) -> str:
    out = StringIO()
    call_command("verify_audit", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_says_how_far_the_seals_reach_and_prints_the_newest(sealed: list[AuditEvent]) -> None:
    newest = str(AuditSeal.objects.order_by("number").last())
    said = _command()
    assert newest in said
    assert "10 entries" in said
    assert newest in _command("--expect", newest)


def test_the_command_fails_and_names_what_was_changed(sealed: list[AuditEvent]) -> None:
    tamper("UPDATE accounts_auditevent SET success = false WHERE id = %s", sealed[5].pk)
    with pytest.raises(CommandError, match=f"Entry {sealed[5].pk} ") as caught:
        _command()
    assert caught.value.returncode == 1


@pytest.mark.parametrize("expected", ["2:" + "0" * 64, "9:" + "0" * 64])
def test_a_seal_that_was_kept_elsewhere_is_a_witness(sealed: list[AuditEvent], expected: str) -> None:
    with pytest.raises(CommandError, match=f"Seal {expected[0]} "):
        _command("--expect", expected)


@pytest.mark.parametrize("expected", ["x", "1", "1:zz", ":" + "0" * 64, "-1:" + "0" * 64])
def test_an_expectation_that_is_no_seal_is_refused(db: None, expected: str) -> None:
    with pytest.raises(CommandError, match="NUMBER:HASH"):
        _command(f"--expect={expected}")
