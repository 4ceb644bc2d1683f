"""Serves Toxiproxy's API in a process of its own: `python -m faults.toxiproxy`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable

from faults.toxiproxy import options
from faults.toxiproxy.addresses import ListenError, format_address, open_listener, resolve
from faults.toxiproxy.control import configuration
from faults.toxiproxy.control.api import VERSION, Api, Page
from faults.toxiproxy.control.configuration import ConfigurationError
from faults.toxiproxy.control.front import front
from faults.toxiproxy.control.store import PopulateError, Store
from faults.toxiproxy.ledger import Ledger
from faults.toxiproxy.path.rooms import keep_freed_memory

REFUSED = 2  # what was asked for cannot be: a flag, a file, an address


def main() -> int:
    """Serve until SIGTERM, SIGINT, or the end of standard input when that is the lease."""
    given = options.parse(sys.argv[1:])
    if given.version:
        print(f"toxiproxy-server version {VERSION}")  # noqa: T201 - it was asked for
        return 0
    warning = options.unknown_level(os.environ.get("LOG_LEVEL"))
    if warning is not None:
        _say(warning)
    # The loop warns of writes to a side that has just gone, which is a proxy's daily bread.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(given))
    except KeyboardInterrupt:  # before there was a loop to take it
        return 0
    except (ListenError, ConfigurationError) as error:
        _say(f"error: {error}")
        return REFUSED


def _say(sentence: str) -> None:
    sys.stderr.write(f"{options.PROGRAM}: {sentence}\n")


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


async def _run(given: argparse.Namespace) -> int:
    seed = secrets.randbits(32) if given.seed is None else given.seed
    store = Store(seed, Ledger() if given.proxy_metrics else None)
    try:
        # Before the port is taken: nobody may find proxies missing that are only late.
        if given.config is not None:
            await _configure(store, given.config)
        address = format_address(given.host, given.port)
        listener = open_listener(await resolve(address, store.lookups))
        server = front(Api(store, _metrics(store, runtime=given.runtime_metrics)))

        def stop() -> None:
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        if given.stdin_lease:
            _watch_stdin(loop, stop)
        # What start-up made lives as long as the process: the collector need not look at it again.
        gc.freeze()
        keep_freed_memory()
        # The kernel queues connections from here on: this is true before the first is taken.
        name = listener.getsockname()
        _announce(store, format_address(str(name[0]), int(name[1])))
        await server.serve(sockets=[listener])
    finally:
        store.close()
    return 0


async def _configure(store: Store, path: str) -> None:
    """Begin with the proxies that a file names.

    Raises:
        ConfigurationError: one of them cannot be had.
    """
    content, warnings = configuration.read(path)
    for warning in warnings:
        _say(warning)
    # The loop warns of writes to a side that has just gone, which is a proxy's daily bread.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        await store.populate(content)
    except PopulateError as error:
        raise ConfigurationError(f"{path}: {error.text}") from None


def _metrics(store: Store, *, runtime: bool) -> Page | None:
    if store.ledger is None and not runtime:
        return None
    from faults.toxiproxy.control.metrics import Metrics  # noqa: PLC0415 - a library that few need

    return Metrics(ledger=store.ledger, still_open=store.open_ways, runtime=runtime)


def _announce(store: Store, address: str) -> None:
    lines = [f"listening {address}"]
    for name, proxy in sorted(store.proxies.items()):
        where = proxy.listen if proxy.enabled else f"disabled, {proxy.listen}"
        lines.append(f"proxy {name}: {where} -> {proxy.upstream}")
    print("\n".join(lines), flush=True)  # noqa: T201 - whoever started this waits for it


if __name__ == "__main__":
    sys.exit(main())
