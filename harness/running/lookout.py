"""What becomes of a target while a storm lasts: its process, its costs, its health, its ties."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx

from harness.clock import RunClock
from harness.errors import RigError
from harness.journal import HealthProbeEntry, JournalWriter, PoolEntry, TargetEntry, VitalsEntry
from harness.rig import vitals
from harness.rig.launched import Launched, Turn
from harness.rig.reaching import http_client
from harness.rig.toxiproxy.proxy import Proxy
from harness.scenario.records import LaunchTarget, ReferenceTarget, Target, UrlTarget
from harness.session.access import Doors
from harness.wire.pipe import describe_end

VITALS_S: Final = 1.0
ASKED_EVERY_S: Final = 1.0
COUNTED_EVERY_S: Final = 1.0
COUNTING_SHARE_MAX: Final = 0.05  # of a processor, in a thread beside the load
ANSWER_S: Final = 2.0  # what has not said by then that it is well is not
TEXT_MAX: Final = 120
BUNDLED_HEALTH: Final = "/health"


async def watch(launched: Launched | None, clock: RunClock, writer: JournalWriter) -> None:
    """Write down what befalls the target's process, and sample its tree once a second.

    Only a target that squall launched has one; for any other this returns at once.
    """
    if launched is None:
        return

    def write(turn: Turn) -> None:
        how = describe_end(turn.status) if turn.edge == "ended" else ""
        writer.append(TargetEntry(at_ns=clock.now_ns(), how=how, **asdict(turn)))

    launched.on_turn = write
    while True:
        # Of the moment when the look began: a relaunch meanwhile is of another process.
        asked_ns = clock.now_ns()
        seen = await vitals.sample(launched.pid)
        writer.append(
            VitalsEntry(
                at_ns=asked_ns,
                alive=seen.rss_bytes is not None or seen.threads is not None,
                rss_bytes=seen.rss_bytes,
                open_files=seen.open_files,
                threads=seen.threads,
                cpu_s=seen.cpu_s,
                children=seen.children,
            )
        )
        await anyio.sleep(VITALS_S)


def health_url(target: Target, doors: Doors) -> str:
    """Where a target's health can be asked for; "" where nobody has said."""
    if doors.command is not None:
        return ""
    named = target.health if isinstance(target, UrlTarget | LaunchTarget) else ""
    if isinstance(target, ReferenceTarget):
        named = BUNDLED_HEALTH
    if not named:
        return ""
    asked, called = urlsplit(named), urlsplit(doors.url)  # the same origin, as was checked
    return called._replace(path=asked.path, query=asked.query, fragment="").geturl()


async def ask_health(target: Target, doors: Doors, clock: RunClock, writer: JournalWriter) -> None:
    """Ask the target about once a second how it is, and write down what it says.

    Straight, past the proxies of either arm, as an orchestrator does, and each time on a
    connection of its own; redirects are not followed. Returns at once where nobody has said where.
    """
    url = health_url(target, doors)
    if not url:
        return
    async with http_client(
        url, trust=doors.trust, unix_socket=doors.unix_socket, timeout_s=ANSWER_S
    ) as http:
        while True:
            at_ns = clock.now_ns()
            status, text = await _asked(http, url)
            took_ns = clock.now_ns() - at_ns
            writer.append(HealthProbeEntry(at_ns=at_ns, took_ns=took_ns, status=status, text=text))
            await anyio.sleep(max(0.0, ASKED_EVERY_S - took_ns / 1e9))


async def count_connections(
    name: str, proxy: Proxy, launched: Launched | None, clock: RunClock, writer: JournalWriter
) -> None:
    """Write down once a second how many connections to a dependency pass through its proxy.

    By the proxy's own count; or, where it keeps none as Shopify's does, by the sockets that the
    processes of the target hold to it. These are asked for less often where that takes long.
    """
    while True:
        at_ns = clock.now_ns()
        cost_s = 0.0
        with suppress(RigError):  # whoever watches the proxies ends a run that has lost them
            seen = await proxy.exposure(None)
            by_system = seen.source != "injector"
            count: int | None = None if by_system else seen.open
            if by_system and launched is not None:
                pid, host, port = launched.pid, proxy.host, proxy.port
                held = await vitals.connections_to(pid, host=host, port=port)
                count, cost_s = held.count, held.cost_s
            if count is not None:
                writer.append(
                    PoolEntry(
                        at_ns=at_ns, dependency=name, open=count, busy=None, by_system=by_system
                    )
                )
        took_s = (clock.now_ns() - at_ns) / 1e9
        await anyio.sleep(max(0.0, COUNTED_EVERY_S - took_s, cost_s / COUNTING_SHARE_MAX))


async def _asked(http: httpx.AsyncClient, url: str) -> tuple[int, str]:
    """The status and the first words of an answer; 0 and the reason where none came in time."""
    try:
        with anyio.fail_after(ANSWER_S):
            async with http.stream("GET", url, headers={"connection": "close"}) as answer:
                async for piece in answer.aiter_bytes(TEXT_MAX):
                    said = piece[:TEXT_MAX].decode("utf-8", "replace")
                    return answer.status_code, " ".join(said.split())
                return answer.status_code, ""
    except TimeoutError:
        return 0, f"no answer within {ANSWER_S:g} s"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return 0, type(error).__name__
