"""Flaws are found on stacks that are not ours, and their sound servers are spared.

Nothing in these servers was written for squall: no ledger, no hints, other frameworks' manners.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests import command
from tests.flaws.foreign.parts import FASTMCP, HERE, Stack, lacking, lay_out

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(600)]

TRIES_MAX: Final = 3  # a generator that was starved can show no flaw
JOBS: Final = 2  # most of a run is waiting


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """One server, the flaw that it can have, and what that is called."""

    name: str
    stack: Stack
    flaw: str
    verdict: str
    fault: str  # that it is blamed on; "" where it shows with nothing broken


SERVERS: Final = (
    Foreign(
        name="orders",
        stack="node",
        flaw="forgets-request",
        verdict="double-exec",
        fault="1:response-lost",
    ),
    Foreign(name="reports", stack="node", flaw="sync", verdict="hol-block", fault=""),
    Foreign(name="desk", stack="fastmcp", flaw="ambient", verdict="crosstalk", fault=""),
    Foreign(
        name="library",
        stack="fastmcp",
        flaw="nothing-found",
        verdict="silent-empty",
        fault="1:dep-down",
    ),
)
NAMED: Final = pytest.mark.parametrize("server", SERVERS, ids=lambda one: one.name)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    code: int
    said: str
    verdict: Mapping[str, Any]

    @property
    def failed(self) -> tuple[dict[str, Any], ...]:
        """The findings that failed and follow from no other."""
        return tuple(
            one for one in self.verdict["findings"] if one["ruling"] == "fail" and not one["cause"]
        )

    @property
    def disturbed(self) -> bool:
        """Whether the run says itself that a busy machine spoilt it."""
        doubts = {one["name"] for one in self.verdict["soundness"] if one["ruling"] != "pass"}
        return bool(doubts & command.DISTURBED)


@contextmanager
def catalogue() -> Iterator[str]:
    """The address of the library's other service, until the block ends."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "catalogue.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def run(server: Foreign, folder: Path, *, flaw: str, at: str) -> Outcome:
    """Run its scenario on it, with its flaw or without."""
    lay_out(folder)
    text = (HERE / f"{server.name}.yaml").read_text(encoding="utf-8")
    text = text.replace("PYTHON,", f"{FASTMCP},").replace("CATALOGUE}", f'"{at}"}}')
    text = text.replace(": CATALOGUE,", f': "{at}",').replace("//CATALOGUE", f"//{at}")
    assert text.count('FLAW: ""') == 1
    text = text.replace('FLAW: ""', f'FLAW: "{flaw}"')
    (folder / f"{server.name}.yaml").write_text(text, encoding="utf-8")
    made: list[Outcome] = []
    while not made or (made[-1].disturbed and made[-1].code == 3 and len(made) < TRIES_MAX):
        out = folder / f"runs-{len(made)}"
        words = ("run", f"{server.name}.yaml", "--quiet", "--out", str(out))
        done = command.squall(*words, cwd=folder)
        assert out.is_dir(), done.all
        verdict = command.verdict_of(command.folder_of(out))
        made.append(Outcome(code=done.code, said=done.all, verdict=verdict))
    return made[-1]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Outcome]]:
    """Every server's run with its flaw and without, by name and flaw."""
    there = [server for server in SERVERS if not lacking(server.stack)]
    wanted = [(server, flaw) for server in there for flaw in ("", server.flaw)]
    out = tmp_path_factory.mktemp("foreign")
    with catalogue() as at, ThreadPoolExecutor(max_workers=JOBS) as pool:
        made = pool.map(
            lambda one: run(one[0], out / f"{one[0].name}-{one[1]}", flaw=one[1], at=at), wanted
        )
        yield {
            f"{server.name} {flaw}": each for (server, flaw), each in zip(wanted, made, strict=True)
        }


def need(server: Foreign) -> None:
    """Skip loudly where its stack is not installed."""
    lacks = lacking(server.stack)
    if lacks:
        pytest.skip(lacks)


@NAMED
def test_a_foreign_server_without_its_flaw_is_clean(
    outcomes: Mapping[str, Outcome], server: Foreign
) -> None:
    """Exit 0, and nothing is said against it."""
    need(server)
    found = outcomes[f"{server.name} "]
    assert found.failed == ()
    command.assert_passed(found.code, dict(found.verdict))


@NAMED
def test_a_foreign_servers_flaw_is_found_by_its_name_and_nothing_else_is(
    outcomes: Mapping[str, Outcome], server: Foreign
) -> None:
    """Exit 1, its own verdict, blamed on the fault that brought it to light if there is one."""
    need(server)
    found = outcomes[f"{server.name} {server.flaw}"]
    assert found.code == 1, found.said
    assert {one["verdict"] for one in found.failed} == {server.verdict}
    assert server.fault in {one["fault"] for one in found.failed}
    assert all(one["evidence"] for one in found.failed)
