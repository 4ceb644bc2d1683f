"""A target is asked how it is, beside the load and past the proxies; what it says is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from anyio.abc import SocketStream

from faults.process import Sigterm
from harness.checks import lifecycle
from harness.clock import RunClock
from harness.journal import HealthProbeEntry, JournalWriter, VitalsEntry
from harness.rig import server, vitals
from harness.rig.launched import Launched, Turn
from harness.running import lookout
from harness.scenario.records import LaunchTarget, ReferenceTarget, Target, UrlTarget
from harness.session.access import Command, Doors
from tests.checks import cases
from tests.ports import free_port

pytestmark = pytest.mark.anyio
BOUND_S = 60.0
BUNDLED = ReferenceTarget(reference="hardened")


class Heard(JournalWriter):
    """A journal that tells when something is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.entries: list[Any] = []
        self.written = anyio.Event()

    def append(self, entry: Any, *, sync: bool = False) -> None:
        """Write it down, and say so."""
        super().append(entry, sync=sync)
        self.entries.append(entry)
        self.written.set()


async def first_word(target: Target, url: str, folder: Path) -> HealthProbeEntry:
    """Ask until one answer has been written down."""
    with anyio.fail_after(BOUND_S), Heard(folder) as writer:
        async with anyio.create_task_group() as group:
            group.start_soon(lookout.ask_health, target, Doors(url=url), RunClock(), writer)
            await writer.written.wait()
            group.cancel_scope.cancel()
    (entry,) = writer.entries
    assert isinstance(entry, HealthProbeEntry)
    return entry


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """A web server that answers everything with these bytes; its URL."""
    port = free_port()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{port}/mcp"
        group.cancel_scope.cancel()


async def test_a_look_bears_the_moment_at_which_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that began before a relaunch does not find the process that came of it dead."""
    asked, answer = anyio.Event(), anyio.Event()

    async def gone(_: int) -> vitals.Vitals:
        asked.set()
        await answer.wait()
        return vitals.Vitals()

    monkeypatch.setattr(vitals, "sample", gone)
    target = SimpleNamespace(pid=7, on_turn=None)
    with anyio.fail_after(BOUND_S), Heard(tmp_path) as writer:
        async with anyio.create_task_group() as group:
            group.start_soon(lookout.watch, cast("Launched", target), RunClock(), writer)
            await asked.wait()
            target.on_turn(Turn(pid=7, edge="told", window=1))
            target.on_turn(Turn(pid=7, edge="ended", asked=True, window=1))
            target.on_turn(Turn(pid=8, edge="started", window=1))
            writer.written = anyio.Event()
            answer.set()
            await writer.written.wait()
            group.cancel_scope.cancel()
    *turns, look = writer.entries
    assert [turn.edge for turn in turns] == ["told", "ended", "started"]
    assert isinstance(look, VitalsEntry)
    assert not look.alive
    assert look.at_ns < turns[0].at_ns


def test_a_look_at_a_process_that_a_fault_has_ended_is_no_crash() -> None:
    """Whenever its answer comes: between its end and the next one's start it was asked for."""
    life = cases.target_life(("told", 13.0, 7), ("ended", 14.0, 7), ("started", 15.0, 8))
    for asked_s, verdict in ((14.5, "pass"), (15.5, "fail")):
        look = (*cases.vitals((5.0, 60.0)), *cases.vitals((asked_s, None), alive=False))
        finding = cases.one(lifecycle.crash(cases.run(Sigterm(), extra=(*life, *look))))
        assert finding.ruling == verdict


async def test_the_bundled_server_is_asked_at_its_own_health_check(tmp_path: Path) -> None:
    """It says that it is ready."""
    async with server.reference(issuer=None, ledger=tmp_path / "ledger.sqlite") as target:
        entry = await first_word(BUNDLED, target.url, tmp_path)
    assert (entry.status, entry.text) == (200, "ready")
    assert entry.took_ns > 0


async def test_what_an_unwell_target_says_is_kept_in_few_words(tmp_path: Path) -> None:
    """However much it says."""
    body = b"the store\n does not answer; " * 100
    head = f"HTTP/1.1 503 No\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with saying(head + body) as url:
        entry = await first_word(UrlTarget(url=url, health="/healthz"), url, tmp_path)
    assert entry.status == 503
    assert entry.text.startswith("the store does not answer; the store")
    assert len(entry.text) <= lookout.TEXT_MAX


async def test_a_redirect_is_an_answer_of_its_own(tmp_path: Path) -> None:
    """It may lead to a page for people, which is always there."""
    async with saying(
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
    ) as url:
        entry = await first_word(UrlTarget(url=url, health="/healthz"), url, tmp_path)
    assert (entry.status, entry.text) == (302, "")


async def test_nobody_at_the_address_is_no_answer(tmp_path: Path) -> None:
    """And says why."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    entry = await first_word(UrlTarget(url=url, health="/healthz"), url, tmp_path)
    assert (entry.status, entry.text) == (0, "ConnectError")


def _launched(health: str) -> Callable[[str], Target]:
    return lambda url: LaunchTarget(launch=("server",), url=url, health=health)


@pytest.mark.parametrize(
    ("target", "called", "asked"),
    [
        (lambda _: BUNDLED, "http://127.0.0.1:9/sse", "http://127.0.0.1:9/health"),
        (_launched("/a?b=c"), "https://[::1]:9/mcp?x", "https://[::1]:9/a?b=c"),
        (_launched("http://127.0.0.1:${port}/up"), "http://127.0.0.1:9/", "http://127.0.0.1:9/up"),
        (lambda url: UrlTarget(url=url), "http://127.0.0.1:9/mcp", ""),
    ],
)
def test_a_health_check_is_where_the_scenario_says_beside_the_endpoint(
    target: Callable[[str], Target], called: str, asked: str
) -> None:
    """A free port is known only once the target runs."""
    assert lookout.health_url(target(called), Doors(url=called)) == asked


async def test_a_target_over_pipes_is_not_asked(tmp_path: Path) -> None:
    """It has no address."""
    command = Command(
        argv=("python",), environment={}, shared=False, run_id="", folder=str(tmp_path)
    )
    doors = Doors(url="stdio:python", command=command)
    with anyio.fail_after(BOUND_S), Heard(tmp_path) as writer:
        await lookout.ask_health(BUNDLED, doors, RunClock(), writer)
    assert writer.entries == []
