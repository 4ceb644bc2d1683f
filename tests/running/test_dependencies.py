"""What a target depends on, behind real proxies: stood up, told to the target, struck, healed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest

from faults.dependency import Dep429, DepDown, DepLatency, DepReset, LinkFault
from faults.levers import FaultError, Levers, Programme
from harness.errors import UsageError
from harness.journal import DependencyEntry, PoolEntry
from harness.rig import ledger
from harness.rig.dependency import control
from harness.rig.toxiproxy.serving import serve
from harness.running import dependencies
from harness.running.dependencies import Dependencies, Standing
from harness.scenario.load import load_text
from harness.scenario.records import Scenario

pytestmark = pytest.mark.anyio
BOUND_S: Final = 30.0
TARGET: Final = "{launch: [server], url: 'http://127.0.0.1:${port}/mcp', environment: {DB: '%s'}}"


def scenario(depends_on: str, *, given: str = "") -> Scenario:
    """A launched target that depends on something; its own environment says where that is."""
    text = (
        "question: Does the server say so when its dependency fails?\n"
        f"target: {TARGET % given}\n"
        f"dependencies: {depends_on}\n"
        "agents: [{name: reader, steps: [list_tools]}]\n"
    )
    return load_text(text, "x.yaml").scenario


@asynccontextmanager
async def stood(
    wanted: Scenario, folder: Path, *, which: str = "embedded"
) -> AsyncIterator[tuple[Standing, ...]]:
    """Everything that a scenario depends on."""
    async with (
        serve(prefer_binary=which == "original", log_dir=folder) as proxies,
        AsyncExitStack() as stack,
    ):
        yield await dependencies.stand(stack, wanted, proxies, run_id="r4nd", folder=folder)


async def test_each_fault_strikes_the_dependency_and_is_gone_after_it(
    which: str, tmp_path: Path
) -> None:
    """By the lever that a run has, through either Toxiproxy: late, cut after the work, closed."""
    wanted = scenario("{store: {embedded: {}, variable: STORE}}")
    async with stood(wanted, tmp_path, which=which) as standing:
        levers = Levers(dependency=Dependencies(standing))
        url = standing[0].value

        async def asked(text: str) -> int:
            """Write a note; the status, or 0 where the connection was lost."""
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=BOUND_S) as http:
                try:
                    return (await http.post("/notes", json={"key": "k", "text": text})).status_code
                except httpx.TransportError:
                    return 0

        async def strike(fault: LinkFault | DepDown | Dep429, text: str) -> tuple[int, int]:
            """What a note met under a fault, and what the injector counted."""
            async with fault.inject(levers, f"squall-r4nd-{text}") as injection:
                met = await asked(text)
                exposure = await injection.exposure()
            assert await asked(f"after-{text}") == 201
            return met, exposure.count

        began = anyio.current_time()
        late = await strike(DepLatency.model_validate({"delay": "300ms"}), "late")
        took = anyio.current_time() - began
        reset = await strike(DepReset(), "reset")
        down = await strike(DepDown(), "down")
        busy = await strike(Dep429(), "busy")
    assert (late[0], reset[0], down[0], busy[0]) == (201, 0, 0, 429)
    assert took >= 0.3
    assert busy[1] == 1
    if which == "embedded":  # Shopify's keeps no count of what it hits
        assert late[1] == reset[1] == 1
    done = [one.key for one in ledger.read(tmp_path / "store.sqlite")]
    assert done == ["late", "after-late", "reset", "after-reset", "after-down", "after-busy"]


async def test_a_dependency_that_runs_already_is_reached_through_its_proxy(tmp_path: Path) -> None:
    """The target's variable keeps everything but host and port; faults of the connection work."""
    async with (
        control.serve(ledger=tmp_path / "own.sqlite", log=None) as running,
        httpx.AsyncClient(trust_env=False, timeout=BOUND_S) as http,
    ):
        given = f"http://me:secret@{running.upstream}/base?x=1"
        wanted = scenario(f"{{db: {{upstream: '{running.upstream}', variable: DB}}}}", given=given)
        async with stood(wanted, tmp_path) as (standing,):
            told = dependencies.environment((standing,))["DB"]
            assert told == f"http://me:secret@{standing.address}/base?x=1"
            assert standing.address != running.upstream
            lever = Dependencies((standing,))
            assert (await http.get(f"http://{standing.address}/health")).status_code == 200
            async with DepDown().inject(Levers(dependency=lever), "squall-r4nd-1"):
                with pytest.raises(httpx.TransportError):
                    await http.get(f"http://{standing.address}/health")
            assert (await http.get(f"http://{standing.address}/health")).status_code == 200
            with pytest.raises(FaultError, match="not squall's own"):
                await lever.engage("db", "squall-r4nd-2", Programme(kind="refuse"))
            with pytest.raises(FaultError, match="no dependency 'other'"):
                lever.network("other")


@pytest.mark.parametrize(
    ("given", "upstream", "told"),
    [
        ("", "db:5432", "127.0.0.1:9"),
        ("db:5432", "db:5432", "127.0.0.1:9"),
        ("postgres://u:p@db:5432/x", "db:5432", "postgres://u:p@127.0.0.1:9/x"),
        ("postgres://u:p%40@DB/x?a=b", "db:5432", "postgres://u:p%40@127.0.0.1:9/x?a=b"),
        ("redis://[::1]:6379/0", "[::1]:6379", "redis://127.0.0.1:9/0"),
        ("host=db:5432 user=u", "db:5432", "host=127.0.0.1:9 user=u"),
    ],
)
def test_only_host_and_port_of_a_variable_become_the_proxys(
    given: str, upstream: str, told: str
) -> None:
    """As a URL, as words, or as the address alone."""
    assert dependencies.moved(given, "DB", upstream, to="127.0.0.1:9") == told


@pytest.mark.parametrize("given", ["postgres://u:hunter2@elsewhere:5432/x", "hunter2", "//:x"])
def test_a_variable_that_says_something_else_is_refused_and_not_quoted(given: str) -> None:
    """A password may be in it."""
    with pytest.raises(UsageError, match="expected the variable DB to hold") as caught:
        dependencies.moved(given, "DB", "db:5432", to="127.0.0.1:9")
    assert "hunter2" not in str(caught.value)


async def test_a_launch_may_name_addresses(tmp_path: Path) -> None:
    """Without the secret, which everybody could read in an argument."""
    wanted = scenario("{a: {embedded: {}, variable: A}, b: {embedded: {}, variable: B}}")
    async with stood(wanted, tmp_path) as standing:
        first, second = standing
        assert first.own is not None
        secret = first.own.client.partition(":")[2]
        words = dependencies.told("${dependency.a} ${dependency.b} ${dependency.c}", standing)
        assert words == f"{first.address} {second.address} ${{dependency.c}}"
        assert dependencies.told("--at=${dependency}", (second,)) == f"--at={second.address}"
        assert secret not in words
        assert secret in dependencies.environment(standing)["A"]


async def test_a_secret_that_a_target_says_does_not_stay_in_its_log(tmp_path: Path) -> None:
    """Its own credential, and the password of a dependency of the user's."""
    given = "postgres://me:hunter2-hunter2@127.0.0.1:5432/x"
    wanted = scenario(
        "{s: {embedded: {}, variable: S}, db: {upstream: '127.0.0.1:5432', variable: DB}}",
        given=given,
    )
    log = tmp_path / "logs" / "target.log"
    async with stood(wanted, tmp_path) as standing:
        values = dependencies.environment(standing)
        log.write_text(f"connecting to {values['S']} and {values['DB']}\n", encoding="utf-8")
    assert standing[0].own is not None
    said = log.read_text(encoding="utf-8")
    assert said.count("[redacted]") == 2
    assert "hunter2" not in said
    assert standing[0].own.client.partition(":")[2] not in said


async def test_what_a_dependency_saw_is_told_on_the_runs_clock(tmp_path: Path) -> None:
    """One entry a request and one a second for its connections, with nothing secret in them."""
    async with (
        control.serve(ledger=tmp_path / "s.sqlite", log=None) as own,
        httpx.AsyncClient(base_url=own.url, trust_env=False, timeout=BOUND_S) as http,
    ):
        await own.engage("w", Programme(kind="refuse", retry_after_s=5, operations="writes"))
        bearer = {"authorization": "Bearer top-secret-token"}
        await http.get("/rows", params={"match": "n0123456789abcdef"}, headers=bearer)
        await http.post("/notes", json={"key": "k", "text": "t"})
        await own.hits("w")
    first = next(dependencies.seen(own.ledger, "s", origin_ns=0))
    rest = list(dependencies.seen(own.ledger, "s", origin_ns=first.at_ns))
    requests = [one for one in rest if isinstance(one, DependencyEntry)]
    pools = [one for one in rest if isinstance(one, PoolEntry)]
    read, refused = requests
    assert (read.at_ns, read.dependency, read.operation, read.status) == (0, "s", "rows", 200)
    assert (read.key, read.credential, read.executed) == ("n0123456789abcdef", "other", True)
    assert read.total >= read.rows > 0
    assert (refused.fault, refused.retry_after_s, refused.executed) == ("refuse", 5.0, False)
    assert pools
    assert all(one.dependency == "s" for one in pools)
    assert "top-secret" not in repr(rest)


async def test_what_a_dependency_was_told_stands_until_it_says_otherwise(tmp_path: Path) -> None:
    """Asked of its own process, whatever whoever told it believes."""
    async with stood(scenario("{s: {embedded: {}, variable: S}}"), tmp_path) as standing:
        lever = dependencies.Dependencies(standing)
        await lever.engage("s", "squall-r-1", Programme(kind="empty"))
        still = await lever.look()
        assert still.stands == ("the dependency s still does what squall-r-1 told it",)
        await lever.disengage("s", "squall-r-1")
        assert (await lever.look()).seen == ("the dependency s says that it does nothing odd",)
        assert (await lever.look()).stands == ()
