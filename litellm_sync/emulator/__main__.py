"""The only place that runs the emulated proxy from the command line: `python -m litellm_sync.emulator`."""

import argparse
import signal
import threading
from pathlib import Path

from litellm_sync.emulator.server import Emulator
from litellm_sync.emulator.versions import NEWEST


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m litellm_sync.emulator", description="An emulated LiteLLM proxy.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--port-file", type=Path, help="file that gets the port's number once the emulator listens")
    parser.add_argument("--state", type=Path, help="folder that keeps users, keys and usage (default: only in memory)")
    parser.add_argument("--master-key", required=True, help="the key that may do everything")
    parser.add_argument("--config", type=Path, help='JSON file with more models: {"model_list": [...]}')
    parser.add_argument("--version", default=NEWEST, help="LiteLLM release to behave like (default %(default)s)")
    parser.add_argument("--spend-delay", type=float, default=0.0, help="seconds until spend and activity show a call")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="milliseconds by which every answer is late")
    return parser.parse_args()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    options = _options()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    emulator = Emulator(
        master_key=options.master_key,
        state=options.state,
        host=options.host,
        port=options.port,
        config=options.config,
        version=options.version,
        spend_delay=options.spend_delay,
        latency=options.latency_ms / 1000,
    )
    with emulator:
        if options.port_file:
            options.port_file.write_text(str(emulator.port))
        print(f"LiteLLM emulator: {emulator.url}", flush=True)  # noqa: T201 -- the line that scripts wait for
        stopping.wait()


if __name__ == "__main__":
    main()
