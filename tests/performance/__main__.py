"""``make bench``: loads the data of one size, asks every question, prints tables and writes them as JSON."""

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django

from litemaas.management.supervisor import StopRequested
from tests.performance import load, stage
from tests.performance.data import SIZES, Size
from tests.performance.stage import BARE, PRODUCT, SERVERS, Stage


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description="Measure LiteMaaS.")
    parser.add_argument("--size", default="S", choices=list(SIZES))
    parser.add_argument("--connections", default="1 8 32", help="how many at once (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="for each question and number of connections")
    parser.add_argument("--server", default=stage.DELIVERED, choices=list(SERVERS), help="how to serve")
    parser.add_argument("--only", default="", help="questions whose name contains one of these, separated by |")
    parser.add_argument("--faces", default="token session personal page", help="how to ask (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder in which the loaded data stay for the next run")
    parser.add_argument("--output", type=Path, default=Path(".data/bench"), help="folder for the figures as JSON")
    return parser.parse_args()


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, flush=True)  # noqa: T201 -- a command's output


def main() -> int:
    """Measure one size; 1 when the product does not keep what it promises."""
    options = _options()
    try:
        load.require_generator()
        with stage.open_stage(say, options.keep, options.size) as open_stage:
            return _measure(options, SIZES[options.size], open_stage)
    except StopRequested:
        say("Stopped.")
    except load.LoadError as error:
        say(str(error))
    return 2


def _measure(options: argparse.Namespace, size: Size, on: Stage) -> int:
    os.environ.update(on.supervisor.environment | {"LOG_LEVEL": "WARNING"})
    django.setup()
    from tests.performance import loading, measure, report  # noqa: PLC0415 -- models can be imported from here on only

    seconds = _prepare(on, size, options.server, loading)
    connections = [int(number) for number in options.connections.split()]
    run = measure.Run(on, connections, options.seconds, options.faces.split())
    bare = run.bare()
    rows = [run.bare_look_up()]
    idle = on.memory("web")
    on.litellm_calls()
    only = options.only.split("|")
    for question in measure.questions(size):
        if any(words in question.name for words in only):
            say(f"  {question.name} ...")
            rows += run.reading(question)
    asked = on.litellm_calls()
    memory = {"idle": idle, "after reads": on.memory("web")}
    if size.name == "S" and any(words in "callback create revoke" for words in only):
        on.mark.unlink()  # the data are not those that were loaded any more
        rows += run.writing(size)
    facts = _facts(options, size, seconds, {"litellm_calls_in_reads": asked, "memory": memory})
    _tell(rows, bare, facts, report)
    _keep(options.output / f"bench-{size.name}.json", {**facts, "rows": report.as_json([bare, *rows])})
    return int(bool(asked or any(row.faults for row in rows)))


def _prepare(on: Stage, size: Size, server: str, loading: Any) -> dict[str, float]:
    """Schema, data, static files and web servers; returns how long each took."""
    from django.core.management import call_command  # noqa: PLC0415 -- as above

    from tests.performance import owners  # noqa: PLC0415 -- as above

    seconds = {}
    say(f"Size {size.name}: loading {size.users:,} people, {size.audit_rows:,} audit rows, {size.days} days of usage")
    started = time.monotonic()
    call_command("migrate", "--no-input", verbosity=0)
    if not on.holds(size.name):
        loading.load(size, say)
        owners.give_keys(size)
        loading.settle()
        on.mark.write_text(size.name)
    seconds["load"] = time.monotonic() - started
    call_command("collectstatic", "--no-input", verbosity=0)
    started = time.monotonic()
    on.start_web("web", server, PRODUCT)
    seconds["start"] = time.monotonic() - started
    on.start_web("bare", server, BARE)
    return seconds


def _facts(options: argparse.Namespace, size: Size, seconds: dict[str, float], more: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size.name,
        "server": options.server,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average": os.getloadavg(),
        "seconds": seconds,
        **more,
    }


def _tell(rows: list[Any], bare: Any, facts: dict[str, Any], report: Any) -> None:
    say("")
    say(f"{facts['at']}, {facts['machine']}, {facts['server']}; load average {facts['load_average'][0]:.1f}")
    for line in (*report.lines([bare, *rows], bare), "", *report.behind(rows), "", *report.pages(rows), ""):
        say(line)
    megabytes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in facts["memory"].items())
    say(
        f"Loaded in {facts['seconds']['load']:.0f} s, started in {facts['seconds']['start']:.1f} s; memory: {megabytes}"
    )
    asked = facts["litellm_calls_in_reads"]
    say(f"!! LiteLLM was asked while something was read: {asked}" if asked else "No read asked LiteLLM anything.")


def _keep(path: Path, facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1, default=str))
    say(f"The figures are in {path}.")


if __name__ == "__main__":
    sys.exit(main())
