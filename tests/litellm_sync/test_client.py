"""The client's own manners: odd answers, limits, the circuit. What LiteLLM says is the contract tests' business."""

import time
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses
from django.db import connection, transaction

from litellm_sync.client import LiteLLM
from litellm_sync.client.answers import Deployment, KeyInfo, activity_of_day
from litellm_sync.client.transport import CIRCUIT_FAILURES, Transport
from litellm_sync.emulator.server import Emulator
from litemaas.foundation.errors import UpstreamRejected, UpstreamUnavailable
from tests.cast import MASTER_KEY

URL = "http://litellm.test"


@pytest.fixture
def litellm() -> LiteLLM:
    """A client of a LiteLLM whose answers a test writes."""
    return LiteLLM(5.0, Transport(URL, "sk-master"))


def reason(litellm: LiteLLM) -> str:
    """Why asking for a key failed."""
    with pytest.raises(UpstreamUnavailable) as caught:
        litellm.get_key_info("token")
    return str(caught.value.details["reason"])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": 500, "body": "Internal Server Error"}, "http_500"),
        ({"status": 503, "json": {"error": {"message": "x"}}}, "http_503"),
        ({"status": 429, "json": {"error": {"message": "slow down"}}}, "http_429"),
        ({"status": 200, "body": "<html>not LiteLLM</html>"}, "garbage"),
        ({"status": 200, "body": ""}, "garbage"),
        ({"status": 200, "json": ["a", "list"]}, "garbage"),
        ({"status": 200, "json": {}}, "garbage"),
        ({"status": 200, "json": {"ok": True}}, "garbage"),
        ({"status": 200, "json": {"info": None}}, "garbage"),
        ({"status": 200, "json": {"info": {"models": 5}}}, "garbage"),
        ({"status": 200, "json": {"info": {"spend": "a lot"}}}, "garbage"),
        ({"status": 404, "json": {"detail": "Not Found"}}, "not_litellm"),
        ({"status": 401, "json": {"error": {"type": "auth_error", "message": "no"}}}, "unauthorized"),
        ({"status": 302, "headers": {"Location": "http://elsewhere.test"}, "body": "{}"}, "redirected"),
        ({"body": requests.ConnectionError("refused")}, "unreachable"),
        ({"body": requests.ReadTimeout("slow")}, "timeout"),
    ],
)
@responses.activate
def test_what_may_work_later_is_unavailable(litellm: LiteLLM, answer: dict[str, Any], expected: str) -> None:
    responses.get(f"{URL}/key/info", **answer)
    assert reason(litellm) == expected


@responses.activate
def test_trap_48_the_three_shapes_of_refusals_keep_type_and_text(litellm: LiteLLM) -> None:
    shapes = [
        ({"error": {"message": "bad alias", "type": "bad_request_error"}}, "bad_request_error", "bad alias"),
        ({"detail": {"error": "no such team"}}, "", "no such team"),
        (
            {"detail": [{"type": "missing", "msg": "Field required"}]},
            "",
            "[{'type': 'missing', 'msg': 'Field required'}]",
        ),
    ]
    for body, kind, text in shapes:
        responses.add("POST", f"{URL}/key/update", json=body, status=400)
        with pytest.raises(UpstreamRejected) as caught:
            litellm.update_key("token", {})
        assert (caught.value.details["type"], caught.value.text) == (kind, text)
        # It is compared and logged, and shown to nobody.
        assert text not in str(caught.value.details)
        # People are told in our words; LiteLLM's stay in the log.
        assert text not in str(caught.value.message)
        responses.reset()


@responses.activate
def test_absent_is_none_and_deleted_is_absent(litellm: LiteLLM) -> None:
    responses.get(f"{URL}/key/info", status=404, json={"error": {"type": "not_found_error", "message": "no"}})
    assert litellm.get_key_info("token") is None
    responses.reset()
    info = {"models": ["a"], "spend": 1.5, "status": "deleted"}
    responses.get(f"{URL}/key/info", json={"key": "token", "info": info})
    assert litellm.get_key_info("token") is None
    responses.reset()
    responses.get(f"{URL}/key/info", json={"key": "token", "info": info | {"status": "active"}})
    found = litellm.get_key_info("token")
    assert found is not None
    assert (found.models, found.spend) == (("a",), Decimal("1.5"))


@responses.activate
def test_trap_41_only_get_is_repeated_and_only_after_a_cut(litellm: LiteLLM) -> None:
    responses.get(f"{URL}/key/info", body=requests.ConnectionError("cut"))
    responses.post(f"{URL}/key/update", body=requests.ConnectionError("cut"))
    assert reason(litellm) == "unreachable"
    with pytest.raises(UpstreamUnavailable):
        litellm.update_key("token", {})
    asked = [(call.request.method, call.request.path_url) for call in responses.calls]
    assert asked == [("GET", "/key/info?key=token"), ("GET", "/key/info?key=token"), ("POST", "/key/update")]


@responses.activate
def test_trap_41_the_circuit_counts_failures_of_the_other_side_only() -> None:
    transport = Transport(URL, "sk-master")
    litellm = LiteLLM(5.0, transport)
    for status in (404, 400, 409, 429, 401):
        responses.get(f"{URL}/key/info", status=status, json={"error": {"message": "x"}})
        for _ in range(CIRCUIT_FAILURES * 2):
            try:
                litellm.get_key_info("token")
            except (UpstreamUnavailable, UpstreamRejected):
                continue
        responses.reset()
    assert transport.circuit.state == "closed"

    responses.get(f"{URL}/key/info", status=500, body="broken")
    assert [reason(litellm) for _ in range(CIRCUIT_FAILURES + 1)] == ["http_500"] * CIRCUIT_FAILURES + ["circuit_open"]
    asked = len(responses.calls)
    # The probe goes around the open circuit, and its answer closes it.
    responses.get(f"{URL}/key/list", json={"keys": []})
    litellm.test_connection()
    assert len(responses.calls) == asked + 1
    assert transport.circuit.state == "closed"


@responses.activate
def test_one_success_forgets_earlier_failures() -> None:
    transport = Transport(URL, "sk-master")
    litellm = LiteLLM(5.0, transport)
    for _ in range(3):
        responses.get(f"{URL}/key/info", status=500)
        for _ in range(CIRCUIT_FAILURES - 1):
            assert reason(litellm) == "http_500"
        responses.reset()
        responses.get(f"{URL}/key/info", status=404, json={"error": {"message": "no"}})
        assert litellm.get_key_info("token") is None
        responses.reset()
    assert transport.circuit.state == "closed"


def test_trap_51_every_wait_has_an_overall_limit(running_emulator: Emulator) -> None:
    running_emulator.reset()
    running_emulator.faults.add("slow", seconds=30)
    litellm = LiteLLM(0.3, Transport(running_emulator.url, MASTER_KEY))
    started = time.monotonic()
    try:
        assert reason(litellm) == "timeout"
        assert reason(litellm) == "deadline"
    finally:
        running_emulator.faults.clear()
    assert time.monotonic() - started < 15


@pytest.mark.django_db(transaction=True)
def test_trap_51_no_call_inside_a_transaction_and_no_connection_kept(running_emulator: Emulator) -> None:
    running_emulator.reset()
    litellm = LiteLLM(5.0, Transport(running_emulator.url, MASTER_KEY))
    connection.ensure_connection()
    assert litellm.get_key_info("token") is None
    assert connection.connection is None
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        litellm.get_key_info("token")


def test_no_litellm_is_configured() -> None:
    with pytest.raises(UpstreamUnavailable) as caught:
        LiteLLM(1.0)
    assert caught.value.details == {"reason": "not_configured"}


def test_sentinels_are_no_limits() -> None:
    sentinel = 2147483647
    found = KeyInfo.parse("t", {"max_budget": sentinel, "tpm_limit": sentinel, "rpm_limit": None, "spend": None})
    assert (found.max_budget, found.tpm_limit, found.rpm_limit, found.spend) == (None, None, None, Decimal(0))


def test_prices_stand_in_either_place_and_a_missing_one_is_not_zero() -> None:
    params = {"model": "mistral/x", "input_cost_per_token": 0.0}
    entry = {"model_name": "m", "litellm_params": params, "model_info": {"output_cost_per_token": 3e-07}}
    found = Deployment.parse(entry)
    assert (found.input_cost_per_token, found.output_cost_per_token) == (Decimal("0.0"), Decimal("3E-7"))
    assert (found.provider, found.mode, found.capabilities) == ("mistral", "chat", ())
    assert Deployment.parse({"model_name": "m"}).input_cost_per_token is None


def figures(requests_: int, spend: float = 0.0) -> dict[str, Any]:
    """The metrics of an entry of activity."""
    return {"metrics": {"api_requests": requests_, "successful_requests": requests_, "spend": spend}}


def test_trap_31_what_belongs_to_no_model_or_no_key_is_counted_too() -> None:
    day = {
        "date": "2026-11-23",
        **figures(10, 0.3),
        "breakdown": {
            "api_keys": {"k1": figures(6, 0.3), "k2": figures(2)},
            "model_groups": {"gpt": {"api_key_breakdown": {"k1": figures(5, 0.3)}}},
        },
    }
    rows = [(row.date, row.token, row.model, row.requests, row.spend) for row in activity_of_day(day)]
    zero, on = Decimal("0E-10"), date(2026, 11, 23)
    assert rows == [
        (on, "k1", "gpt", 5, Decimal("0.3000000000")),
        (on, "", "unknown-model", 2, zero),
        (on, "k1", "unknown-model", 1, zero),
        (on, "k2", "unknown-model", 2, zero),
    ]


@responses.activate
def test_trap_31_every_page_of_activity_is_read(litellm: LiteLLM) -> None:
    def page(number: int, *, more: bool) -> dict[str, Any]:
        breakdown = {
            "api_keys": {"k": figures(1, 0.1)},
            "model_groups": {"gpt": {"api_key_breakdown": {"k": figures(1, 0.1)}}},
        }
        day = {"date": "2026-11-23", **figures(1, 0.1), "breakdown": breakdown}
        return {"results": [day], "metadata": {"page": number, "has_more": more, "total_api_requests": 1}}

    for number in (1, 2, 3):
        params = {"page": number, "page_size": 1000, "start_date": "2026-11-23", "end_date": "2026-11-23"}
        matcher = [responses.matchers.query_param_matcher(params)]
        responses.get(f"{URL}/user/daily/activity", json=page(number, more=number < 3), match=matcher)
    rows = litellm.get_daily_activity(date(2026, 11, 23), date(2026, 11, 23))
    assert [row.requests for row in rows] == [1, 1, 1]


@responses.activate
def test_activity_in_another_shape_is_garbage_not_zero(litellm: LiteLLM) -> None:
    for body in ({}, {"results": [{"date": "soon"}]}, {"results": [{"date": "2026-11-23", "breakdown": {}}]}):
        responses.get(f"{URL}/user/daily/activity", json=body)
        with pytest.raises(UpstreamUnavailable):
            litellm.get_daily_activity(date(2026, 11, 23), date(2026, 11, 23))
        responses.reset()
