"""Serves Toxiproxy's API in a process of its own: `python -m faults.toxiproxy`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import secrets
import signal
import sys
from collections.abc import Callable

import uvicorn

from faults.toxiproxy.addresses import ListenError, format_address, open_listener, resolve
from faults.toxiproxy.api import Api
from faults.toxiproxy.front import HEADER_BYTES_MAX, Front, Protocol
from faults.toxiproxy.rooms import keep_freed_memory
from faults.toxiproxy.store import Store


def main() -> int:
    """Serve until SIGTERM, SIGINT, or the end of standard input when that is the lease."""
    parser = argparse.ArgumentParser(prog="toxiproxy", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where the API listens")
    parser.add_argument("--port", default=8474, type=int, help="0 takes a free port")
    parser.add_argument("--seed", type=int, help="makes every toxic's draws repeatable")
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    given = parser.parse_args()
    seed = secrets.randbits(32) if given.seed is None else given.seed
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(given.host, given.port, seed, lease=given.stdin_lease))
    except ListenError as error:
        sys.stderr.write(f"toxiproxy: {error}\n")
        return 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it exists, which carries twice the bytes per second of processor time."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call `stop` once standard input has ended."""

    def look() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stop()

    try:
        loop.add_reader(0, look)
    except OSError:  # a file or /dev/null: it has ended already
        stop()


async def _run(host: str, port: int, seed: int, *, lease: bool) -> int:
    store = Store(seed)
    listener = open_listener(await resolve(format_address(host, port)))
    config = uvicorn.Config(
        Api(store),
        loop="none",
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,  # the API writes it, in the original's case
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    front = Front(config)

    def stop() -> None:
        front.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if lease:
        _watch_stdin(loop, stop)
    # What start-up made lives as long as the process: the collector need not look at it again.
    gc.freeze()
    keep_freed_memory()
    name = listener.getsockname()
    # The kernel queues connections from here on, so the line is true before the first is taken.
    print(f"listening {format_address(str(name[0]), int(name[1]))}", flush=True)  # noqa: T201
    await front.serve(sockets=[listener])
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
