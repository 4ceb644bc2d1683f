"""The bundled server's beginning: slow on request, and by flaw too early or astray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from faults.levers import Conditions
from faults.process import START_VARIABLE
from harness.errors import UsageError
from harness.flaws import Flaw
from harness.reference.notes import SqliteNotes
from harness.reference.starting import Starting
from harness.rig import server
from harness.rig.launched import Turn, kept
from tests.ports import free_port
from tests.reference.calls import Answer, Caller

pytestmark = pytest.mark.anyio
BOUND_S = 60.0


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A web client under a bound."""
    with anyio.fail_after(BOUND_S):
        async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
            yield http


def health(url: str) -> str:
    """Where a server's health is asked for."""
    return url.removesuffix("/mcp") + "/health"


async def searched(http: httpx.AsyncClient, url: str) -> Answer:
    """What a search is answered with."""
    caller = Caller(http=http, url=url, token="", era="modern")
    return await caller.call("search", {"query": "squall"})


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "nan"])
def test_a_start_that_takes_no_number_of_seconds_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is named."""
    monkeypatch.setenv(START_VARIABLE, text)
    with pytest.raises(UsageError, match=START_VARIABLE):
        Starting(flaws=frozenset())


async def test_a_server_that_is_ready_too_early_refuses_what_it_has_called_for(
    tmp_path: Path,
) -> None:
    """It says ok from the first moment, and serves nobody until it has opened what it needs."""
    async with (
        server.reference(
            issuer=None,
            ledger=tmp_path / "ledger.sqlite",
            flaws=["ready-too-early"],
            env={START_VARIABLE: "300"},
        ) as target,
        client() as http,
    ):
        assert (await http.get(health(target.url))).status_code == 200
        assert (await searched(http, target.url)).status == 503


async def test_a_server_opens_what_it_needs_before_it_serves(tmp_path: Path) -> None:
    """However long that takes; only the flaw says otherwise."""
    notes = SqliteNotes(tmp_path / "ledger.sqlite", flaws=frozenset())
    for flaws in (frozenset[Flaw](), frozenset({Flaw.READY_TOO_EARLY})):
        starting = Starting(flaws=flaws)
        assert starting.early == bool(flaws)
        await starting.open(notes)
        assert starting._done
    await notes.close()


@pytest.mark.parametrize(("flaws", "status"), [((), 503), (("health-lies",), 200)])
async def test_health_is_what_the_dependency_allows(flaws: tuple[str, ...], status: int) -> None:
    """Nobody is at its address; the flaw does not look."""
    nobody = f"http://127.0.0.1:{free_port()}"
    async with (
        server.reference(issuer=None, ledger=None, dependency=nobody, flaws=flaws) as target,
        client() as http,
    ):
        assert (await http.get(health(target.url))).status_code == status
        assert (await searched(http, target.url)).failed


@pytest.mark.parametrize(("flaws", "fails"), [((), False), (("cwd-relative",), True)])
async def test_a_path_that_is_relative_leads_nowhere_in_another_directory(
    flaws: tuple[str, ...], fails: bool, tmp_path: Path
) -> None:
    """Where it was first started nobody notices."""
    ready = anyio.Event()

    def hear(turn: Turn) -> None:
        if turn.edge == "ready":
            ready.set()

    async with (
        server.reference(issuer=None, ledger=tmp_path / "ledger.sqlite", flaws=flaws) as target,
        kept(target) as launched,
        client() as http,
    ):
        assert launched is not None
        launched.on_turn = hear
        assert not (await searched(http, target.url)).failed
        elsewhere = Conditions(directory="/")
        launched.tell(grace_s=20, window=1, conditions=elsewhere)
        await ready.wait()
        assert (await searched(http, target.url)).failed == fails
