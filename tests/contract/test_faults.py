"""What only the emulator does: bad weather on demand, seen calls, usage of the past, and a state that survives."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from litellm_sync.emulator.server import Emulator
from tests.contract.proxy import Key, Proxy, fresh

MASTER_KEY = "sk-litellm-master-key"
HEADERS = {"Authorization": f"Bearer {MASTER_KEY}"}


def fault(emulated: Proxy, **settings: Any) -> None:
    assert emulated.send("POST", "/emulator/faults", json=settings).status == 200


def is_lost(emulated: Proxy, path: str = "/user/list") -> bool:
    """Ask once, on a connection of its own, and return whether it ended without an answer."""
    try:
        requests.get(emulated.url + path, headers=HEADERS, timeout=5)
    except requests.ConnectionError:
        return True
    return False


class TestModes:
    def test_down_closes_the_connection(self, emulated: Proxy) -> None:
        fault(emulated, mode="down")
        assert is_lost(emulated)
        emulated.send("DELETE", "/emulator/faults")
        assert not is_lost(emulated)

    @pytest.mark.parametrize(("mode", "status"), [("500", 500), ("429", 429)])
    def test_refusals_do_no_work(self, emulated: Proxy, mode: str, status: int) -> None:
        user_id = fresh("user")
        fault(emulated, mode=mode, count=1)
        answer = emulated.post("/user/new", {"user_id": user_id})
        assert answer.status == status
        assert answer.error["message"]
        assert emulated.get("/user/info", user_id=user_id).status == 404

    def test_garbage_is_no_json(self, emulated: Proxy) -> None:
        fault(emulated, mode="garbage", count=1)
        answer = emulated.get("/user/list")
        assert (answer.status, type(answer.body)) == (200, str)

    def test_cut_does_the_work_and_does_not_answer(self, emulated: Proxy) -> None:
        user_id = fresh("user")
        fault(emulated, mode="cut", count=1)
        with pytest.raises(requests.ConnectionError):
            requests.post(f"{emulated.url}/user/new", json={"user_id": user_id}, headers=HEADERS, timeout=5)
        assert emulated.user(user_id)["user_id"] == user_id

    def test_late_closes_the_connection_and_does_the_work_on_demand(self, emulated: Proxy) -> None:
        first, second = fresh("user"), fresh("user")
        fault(emulated, mode="late", seconds=600, count=2)
        for user_id in (first, second):
            with pytest.raises(requests.ConnectionError):
                requests.post(f"{emulated.url}/user/new", json={"user_id": user_id}, headers=HEADERS, timeout=5)
        emulated.send("DELETE", "/emulator/faults")  # fair weather does not bring back what is late
        assert emulated.get("/user/info", user_id=first).status == 404
        assert emulated.send("GET", "/emulator/arrivals").body == {"late": 2}
        assert emulated.send("POST", "/emulator/arrivals").body == {"arrived": 2}
        assert [emulated.user(user_id)["user_id"] for user_id in (first, second)] == [first, second]
        assert emulated.send("GET", "/emulator/arrivals").body == {"late": 0}

    def test_late_does_the_work_by_itself_when_its_seconds_are_over(self, emulated: Proxy) -> None:
        user_id = fresh("user")
        fault(emulated, mode="late", seconds=0.05, count=1)
        with pytest.raises(requests.ConnectionError):
            requests.post(f"{emulated.url}/user/new", json={"user_id": user_id}, headers=HEADERS, timeout=5)
        found = emulated.eventually(
            lambda: emulated.get("/user/info", user_id=user_id).status, lambda code: code == 200
        )
        assert found == 200

    def test_late_work_is_forgotten_with_everything_else(self, emulated: Proxy) -> None:
        fault(emulated, mode="late", seconds=600, count=1)
        assert is_lost(emulated)
        emulated.send("POST", "/emulator/reset")
        assert emulated.send("GET", "/emulator/arrivals").body == {"late": 0}

    def test_lose_drops_every_nth_without_doing_the_work(self, emulated: Proxy) -> None:
        fault(emulated, mode="lose", every=3, paths=["/user/list"])
        assert [is_lost(emulated) for _ in range(6)] == [False, False, True, False, False, True]

    def test_slow_goes_on_at_once_when_the_weather_clears(self, emulated: Proxy, emulator: Emulator) -> None:
        fault(emulated, mode="slow", seconds=60)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(requests.get, f"{emulated.url}/user/list", headers=HEADERS, timeout=30)
            emulated.eventually(lambda: len(emulator.calls), lambda calls: calls == 1)
            assert not waiting.done()
            emulated.send("DELETE", "/emulator/faults")
            assert waiting.result(30).status_code == 200

    def test_slow_ends_when_the_emulator_stops(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            with Emulator(master_key=MASTER_KEY) as emulator:
                emulator.faults.add("slow", seconds=60)
                waiting = pool.submit(requests.get, f"{emulator.url}/user/list", headers=HEADERS, timeout=30)
                deadline = time.monotonic() + 30
                while not emulator.calls and time.monotonic() < deadline:
                    time.sleep(0.01)
            assert waiting.exception(30) is None or isinstance(waiting.exception(30), requests.ConnectionError)


class TestChoice:
    def test_by_path_and_method(self, emulated: Proxy) -> None:
        fault(emulated, mode="500", paths=["/key/"], methods=["POST"])
        assert emulated.post("/key/generate", {}).status == 500
        assert emulated.get("/key/list").status == 200
        assert emulated.get("/user/list").status == 200

    def test_by_count(self, emulated: Proxy) -> None:
        fault(emulated, mode="500", count=2)
        assert [emulated.get("/user/list").status for _ in range(4)] == [500, 500, 200, 200]
        assert emulated.send("GET", "/emulator/faults").body == {"faults": []}

    def test_by_time(self, emulated: Proxy) -> None:
        fault(emulated, mode="500", for_seconds=0.3)
        assert emulated.get("/user/list").status == 500
        last = emulated.eventually(lambda: emulated.get("/user/list").status, lambda status: status == 200)
        assert last == 200

    def test_the_first_that_strikes_counts(self, emulated: Proxy) -> None:
        fault(emulated, mode="500", paths=["/key/"])
        fault(emulated, mode="429")
        assert (emulated.get("/key/list").status, emulated.get("/user/list").status) == (500, 429)

    def test_never_touches_the_emulators_own_routes(self, emulated: Proxy) -> None:
        fault(emulated, mode="down")
        shown = emulated.send("GET", "/emulator/faults").body["faults"]
        assert [(one["mode"], one["hits"]) for one in shown] == [("down", 0)]

    @pytest.mark.parametrize("wrong", [{"mode": "storm"}, {"mode": "500", "every": 0}, {"mode": "500", "often": 1}, {}])
    def test_refuses_what_it_does_not_know(self, emulated: Proxy, wrong: dict[str, Any]) -> None:
        assert emulated.send("POST", "/emulator/faults", json=wrong).status == 422
        assert emulated.get("/user/list").status == 200


class TestCalls:
    def test_are_seen_in_order(self, emulated: Proxy, emulator: Emulator) -> None:
        emulated.get("/user/list")
        emulated.post("/user/new", {})
        assert emulator.calls == [("GET", "/user/list"), ("POST", "/user/new")]
        seen = emulated.send("GET", "/emulator/calls").body
        assert (seen["total"], seen["counts"]) == (2, {"GET /user/list": 1, "POST /user/new": 1})
        assert seen["calls"][0] == {"method": "GET", "path": "/user/list"}

    def test_can_be_forgotten_alone(self, emulated: Proxy, emulator: Emulator) -> None:
        user_id = emulated.new_user()
        emulated.send("DELETE", "/emulator/calls")
        assert emulator.calls == []
        assert emulated.user(user_id)["user_id"] == user_id

    def test_of_routes_it_does_not_have(self, emulated: Proxy) -> None:
        assert emulated.send("GET", "/emulator/nothing").status == 404


class TestReset:
    def test_forgets_everything_but_the_configuration(self, emulated: Proxy, emulator: Emulator) -> None:
        key = emulated.new_key(rpm_limit=1)
        assert emulated.chat(key).status == 200
        emulated.done("/model/new", {"model_name": "extra", "litellm_params": {"model": "openai/extra"}})
        fault(emulated, mode="500")
        emulated.send("POST", "/emulator/reset")
        assert emulator.calls == []
        assert emulated.get("/user/list").body["users"] == []
        assert emulated.read("/key/list")["keys"] == []
        assert emulated.read("/spend/logs") == []
        assert len(emulated.read("/model/info")["data"]) == 9

    def test_forgets_rate_limits(self, emulated: Proxy, emulator: Emulator) -> None:
        secret = f"sk-{fresh('own')}"
        for _ in range(2):
            emulated.done("/key/generate", {"key": secret, "rpm_limit": 1})
            assert [emulated.chat(secret).status for _ in range(2)] == [200, 429]
            emulator.reset()


class TestPastUsage:
    def seed(self, emulated: Proxy, key: Key, **row: Any) -> None:
        rows = [{"date": "2026-01-02", "token": key.token, "model": "gpt-4o"} | row]
        assert emulated.send("POST", "/emulator/activity", json={"rows": rows}).body == {"rows": 1}

    def found(self, emulated: Proxy, key: Key) -> dict[str, Any]:
        days = {"start_date": "2026-01-01", "end_date": "2026-01-31"}
        found: dict[str, Any] = emulated.read("/user/daily/activity", user_id=key.user_id, **days)
        return found

    def test_is_counted_like_calls(self, emulated: Proxy) -> None:
        key = emulated.new_key()
        self.seed(emulated, key, requests=3, failed=1, prompt_tokens=100, completion_tokens=50, spend=0.5)
        self.seed(emulated, key, requests=1, prompt_tokens=10, completion_tokens=5, spend=0.25)
        [day] = self.found(emulated, key)["results"]
        metrics = day["metrics"]
        assert (metrics["successful_requests"], metrics["failed_requests"], metrics["spend"]) == (4, 1, 0.75)
        assert (metrics["prompt_tokens"], metrics["completion_tokens"], metrics["total_tokens"]) == (110, 55, 165)
        assert list(day["breakdown"]["providers"]) == ["openai"]
        assert list(day["breakdown"]["models"]) == ["openai/gpt-4o"]
        assert emulated.key(key.token)["spend"] == 0.0

    def test_costs_what_its_tokens_cost_and_is_charged_on_demand(self, emulated: Proxy) -> None:
        key = emulated.new_key()
        self.seed(emulated, key, prompt_tokens=1000, completion_tokens=100, charge=True)
        assert self.found(emulated, key)["metadata"]["total_spend"] == pytest.approx(0.0035)
        assert emulated.key(key.token)["spend"] == pytest.approx(0.0035)
        assert emulated.user(key.user_id)["spend"] == pytest.approx(0.0035)

    def test_refuses_rows_without_what_they_need(self, emulated: Proxy) -> None:
        answer = emulated.send("POST", "/emulator/activity", json={"rows": [{"date": "2026-01-02"}]})
        assert answer.status == 422


class TestBudgetPeriods:
    def test_a_new_period_begins_with_nothing_spent(self, emulated: Proxy) -> None:
        key = emulated.new_key(max_budget=0.0001, budget_duration="1s")
        assert emulated.chat(key).status == 200
        last = emulated.eventually(lambda: emulated.chat(key).status, lambda status: status == 200)
        assert last == 200
        reset = datetime.fromisoformat(emulated.key(key.token)["budget_reset_at"])
        assert reset > datetime.now(UTC) - timedelta(seconds=2)


class TestSpendDelay:
    def test_budgets_hold_before_the_figures_show_it(self) -> None:
        with Emulator(master_key=MASTER_KEY, spend_delay=60) as emulator:
            proxy = Proxy(emulator.url, MASTER_KEY, "1.109.1")
            key = proxy.new_key(max_budget=0.0001)
            assert [proxy.chat(key).status for _ in range(2)] == [200, 422]
            assert proxy.key(key.token)["spend"] == 0.0
            proxy.close()


class TestLatency:
    def test_makes_every_answer_late(self) -> None:
        with Emulator(master_key=MASTER_KEY, latency=0.05) as emulator:
            began = time.monotonic()
            assert requests.get(f"{emulator.url}/health/readiness", timeout=5).status_code == 200
            assert time.monotonic() - began >= 0.05


class TestConfiguration:
    def test_adds_models(self, tmp_path: Path) -> None:
        config = tmp_path / "models.json"
        entry = {"model_name": "extra", "litellm_params": {"model": "openai/extra", "mock_response": "Hello."}}
        config.write_text(json.dumps({"model_list": [entry]}))
        with Emulator(master_key=MASTER_KEY, config=config) as emulator:
            proxy = Proxy(emulator.url, MASTER_KEY, "1.109.1")
            assert len(proxy.read("/model/info")["data"]) == 10
            assert proxy.chat(proxy.new_key(), "extra").body["choices"][0]["message"]["content"] == "Hello."
            proxy.close()

    def test_refuses_a_version_that_nobody_has_seen(self) -> None:
        with pytest.raises(ValueError, match="unknown LiteLLM version"):
            Emulator(master_key=MASTER_KEY, version="9.9.9")


class TestClients:
    def test_many_at_once(self, emulated: Proxy) -> None:
        key = emulated.new_key()

        def chat(_number: int) -> int:
            return requests.post(
                f"{emulated.url}/chat/completions",
                json={"model": "gpt-4o", "messages": []},
                headers={"Authorization": f"Bearer {key.secret}"},
                timeout=30,
            ).status_code

        with ThreadPoolExecutor(32) as pool:
            assert set(pool.map(chat, range(128))) == {200}
        assert emulated.key(key.token)["spend"] == pytest.approx(128 * 0.000225)

    def test_a_body_may_come_in_chunks(self, emulated: Proxy) -> None:
        user_id = fresh("user")
        pieces = [b'{"user_id": ', f'"{user_id}"'.encode(), b"}"]
        answer = requests.post(f"{emulated.url}/user/new", data=iter(pieces), headers=HEADERS, timeout=5)
        assert answer.status_code == 200
        assert emulated.user(user_id)["user_id"] == user_id

    def test_what_is_no_http_ends_the_connection(self, emulator: Emulator) -> None:
        for nonsense in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x", b"\r\n"):
            with socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection:
                connection.sendall(nonsense)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b""

    def test_a_client_may_end_the_connection(self, emulator: Emulator) -> None:
        answer = requests.get(f"{emulator.url}/health/readiness", headers={"Connection": "close"}, timeout=5)
        assert answer.headers["connection"] == "close"

    def test_one_connection_serves_many_requests(self, emulator: Emulator) -> None:
        with requests.Session() as session:
            for _ in range(3):
                assert session.get(f"{emulator.url}/health/readiness", timeout=5).status_code == 200
            adapter = session.get_adapter(emulator.url)
            pools = adapter.poolmanager.pools  # type: ignore[attr-defined]  # requests types the base class only
            assert sum(pools[name].num_connections for name in pools.keys()) == 1  # noqa: SIM118 -- no mapping


class TestProcess:
    @contextmanager
    def running(self, folder: Path, number: signal.Signals = signal.SIGTERM) -> Iterator[Proxy]:
        """Run the emulator as a process of its own and end it by a signal."""
        command = [sys.executable, "-m", "litellm_sync.emulator", "--master-key", MASTER_KEY]
        command += ["--state", str(folder / "state"), "--port-file", str(folder / "port")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            proxy = Proxy(line.removeprefix("LiteLLM emulator: ").strip(), MASTER_KEY, "1.109.1")
            try:
                assert proxy.url == f"http://127.0.0.1:{(folder / 'port').read_text()}"
                yield proxy
            finally:
                proxy.close()
                process.send_signal(number)
        assert process.returncode == (-number if number is signal.SIGKILL else 0)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_a_restart_knows_everything(self, tmp_path: Path, number: signal.Signals) -> None:
        with self.running(tmp_path, number) as proxy:
            team_id = proxy.new_team(team_alias="Kept")
            user_id = proxy.new_user(teams=[team_id])
            keys = [proxy.new_key(user_id=user_id, team_id=team_id) for _ in range(3)]
            assert proxy.chat(keys[0]).status == 200
            proxy.done("/model/new", {"model_name": "extra", "litellm_params": {"model": "openai/extra"}})
            proxy.done("/key/delete", {"keys": [keys[2].token]})
            if number is signal.SIGKILL:
                # What was answered in the very last moment may be lost.
                time.sleep(0.5)
        with self.running(tmp_path) as proxy:
            self.check_kept(proxy, team_id, user_id, keys)

    def check_kept(self, proxy: Proxy, team_id: str, user_id: str, keys: list[Key]) -> None:
        assert proxy.read("/key/list", user_id=user_id)["keys"] == [keys[1].token, keys[0].token]
        assert proxy.key(keys[0].token)["spend"] == pytest.approx(0.000225)
        assert proxy.key(keys[2].token)["status"] == "deleted"
        assert proxy.user(user_id)["teams"] == [team_id]
        assert proxy.team(team_id)["spend"] == pytest.approx(0.000225)
        assert len(proxy.read("/spend/logs", user_id=user_id)) == 1
        assert "extra" in [model["model_name"] for model in proxy.read("/model/info")["data"]]
        today = str(datetime.now(UTC).date())
        activity = proxy.read("/user/daily/activity", user_id=user_id, start_date=today, end_date=today)
        assert activity["metadata"]["total_api_requests"] == 1
