"""The bench's data are those of the specification, and wrong ones are noticed."""

from datetime import timedelta
from decimal import Decimal
from hashlib import sha256

import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo

from accounts.models import AuditEvent, User
from apikeys.models import ApiKey, ApiKeySecret, KeyModel
from litellm_sync import measures
from subscriptions.models import Model, Subscription
from teams.models import DEFAULT_TEAM_ID
from teams.services import provision_user
from tests.performance import bare, data, loading, owners
from tests.performance.data import SIZES, Size
from tests.performance.people import headers_of
from tests.performance.questions import questions
from tests.performance.statements import ask
from usage import queries
from usage.models import DailyUsage

SMALL = SIZES["S"]


@pytest.fixture
def small(db: None) -> Size:
    """Size S, loaded, with people who have many keys."""
    loading.load(SMALL)
    owners.give_keys(SMALL)
    return SMALL


def test_the_small_size_adds_up(small: Size) -> None:
    counts = [table.objects.count() for table in (User, Model, Subscription, ApiKey, AuditEvent, DailyUsage)]
    assert counts == [200, 50, 1_200, 600 - 2 * 3 + 100 + 2_000, 20_000, 13_500]
    assert not any(row["pending"] or row["failed"] for row in measures.queue().values())
    admin = User.objects.get(username="user00000")
    question = queries.Question.of(start=data.BASE_DATE - timedelta(days=29), end=data.BASE_DATE)
    found = queries.summary(admin, question)
    assert (found["requests"], found["failed_requests"]) == (276_631, 7_412)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (302_991_124, 111_381_929)
    assert found["spend"] == Decimal("706.0205162")
    assert sum(part["requests"] for part in queries.breakdown(admin, question, by="user")) == 276_631


def test_wrong_data_are_noticed(small: Size) -> None:
    DailyUsage.objects.filter(pk=DailyUsage.objects.earliest("pk").pk).delete()
    with pytest.raises(loading.WrongDataError, match="13499"):
        loading.verify(small)


def test_rows_are_what_the_specification_says(small: Size) -> None:
    key = ApiKey.objects.get(pk="20000000-0000-4000-8000-000000000016")  # slot 1 of user 5
    assert (str(key.user_id), key.status) == ("10000000-0000-4000-8000-000000000005", "active")
    value = "sk-" + sha256(b"key|5|1").hexdigest()[:22]
    assert ApiKeySecret.objects.get(key=key).digest == sha256(value.encode()).hexdigest()
    assert set(KeyModel.objects.filter(key=key).values_list("model", flat=True)) == {
        "model-035",
        "model-048",
        "model-011",
    }
    assert ApiKey.objects.get(pk="20000000-0000-4000-8000-000000000032").status == "revoked"  # slot 2 of user 10
    assert [user.roles for user in User.objects.order_by("username")[:5]] == [
        ["admin"],
        *[["adminReadonly"]] * 3,
        ["user"],
    ]
    assert set(User.objects.filter(is_active=False).values_list("username", flat=True)) == {
        data.username(i) for i in range(19, 200, 20)
    }
    model = Model.objects.get(pk="model-009")
    assert (model.provider, model.restricted, model.context_length) == ("redhatai", True, 8192 * 10)
    assert (model.input_cost_per_token, model.output_cost_per_token) == (Decimal("1E-6"), Decimal("4E-6"))
    newest = AuditEvent.objects.latest("pk")
    assert (newest.at, newest.actor_name) == (AuditEvent.objects.latest("at").at, "user00000")


@pytest.mark.parametrize(("size", "share"), [("XL", 0.05)])
def test_most_keys_of_the_largest_size_are_dead(size: str, share: float) -> None:
    states = [data.key_state(SIZES[size], 7, k) for k in range(SIZES[size].keys_each)]
    assert states.count("active") / len(states) == share


@pytest.mark.django_db(transaction=True)
def test_the_bare_view_looks_a_digest_up(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        name: connection.get_connection_params().get(name) for name in ("host", "port", "user", "password", "dbname")
    }
    monkeypatch.setenv("DATABASE_URL", make_conninfo(**{name: value for name, value in wanted.items() if value}))
    owner = provision_user(None, username="somebody")
    key = ApiKey.objects.create(user=owner, team_id=DEFAULT_TEAM_ID, name="k")
    ApiKeySecret.objects.create(key=key, digest="d" * 64, last4="dddd")
    statuses: list[str] = []
    try:
        for path, body in (("/", bare.BODY), (f"{bare.LOOK_UP}{'d' * 64}", f'{{"key":"{key.pk}"}}'.encode())):
            assert (
                b"".join(bare.application({"PATH_INFO": path}, lambda status, _sent: statuses.append(status))) == body
            )
    finally:
        bare._pool().close()
        bare._pool.cache_clear()
    assert statuses == ["200 OK"] * 2


# The dashboard answers a dozen questions about everything there is.
MOST = {"admin: dashboard": 19}


def test_no_question_takes_more_statements_for_more_rows(small: Size) -> None:
    """And none more than twelve, as promised."""
    compared = 0
    for question in questions(small):
        for face, headers in headers_of(question.who).items():
            many, few = question.addresses(face), question.narrowed(face)
            body = question.body() if question.body else ""
            answers = [ask(address, headers, body) for address in many]
            if not answers:
                continue
            if any(answer.status != 200 for answer in answers):
                assert {answer.status for answer in answers} == {404}, question.name
                continue
            numbers = [len(answer.statements) for answer in answers]
            assert max(numbers) <= MOST.get(question.name, 12), (question.name, face)
            if few:
                assert [len(ask(address, headers).statements) for address in few] == numbers, (question.name, face)
                compared += 1
    assert compared > 20
