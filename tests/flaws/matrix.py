"""Runs scenarios on the bundled server, each with one flaw or none, and says which verdict came.

`python -m tests.flaws.matrix --scenarios all --eras both --seeds 1-5 --jobs 2` gives the full
figures. A cell is right if the hardened server comes out clean, and a flawed one fails with the
verdict that the flaw is known by, with calls as evidence, and with nothing unrelated beside it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from harness.reference.flaws import Flaw
from harness.scenario.load import load
from harness.scenario.records import ReferenceTarget
from scenarios import shipped
from tests.command import DISTURBED

ROOT: Final = Path(__file__).parents[2]
RUN_LIMIT_S: Final = 140.0
STOP_LIMIT_S: Final = 20.0
LINES_TOLD: Final = 4  # of a run that came to no verdict
TRIES_MAX: Final = 3  # a generator that was starved can show no flaw
ERAS: Final = ("legacy", "modern")


@dataclass(frozen=True, kw_only=True)
class Trait:
    """How one flaw gives itself away: its verdict, and the scenarios whose faults show it."""

    verdict: str
    scenarios: tuple[str, ...]


TRAITS: Final = {
    Flaw.EMPTY_ON_ERROR: Trait(verdict="silent-empty", scenarios=("oversized_payloads",)),
    Flaw.AUTH_AT_INIT_ONLY: Trait(
        verdict="authn-bypass", scenarios=("token_expires", "token_revoked")
    ),
    Flaw.EXPIRED_IS_403: Trait(verdict="wrong-status", scenarios=("token_expires",)),
    Flaw.SESSION_BOUND_TO_TOKEN: Trait(verdict="no-recovery", scenarios=("token_expires",)),
    Flaw.NO_DEDUP: Trait(verdict="double-exec", scenarios=("lost_reply",)),
    Flaw.UNBOUNDED_REQUEST: Trait(verdict="unbounded-size", scenarios=("oversized_payloads",)),
    Flaw.SYNC_BLOCKS_LOOP: Trait(
        verdict="hol-block", scenarios=("slow_neighbours", "clients_vanish")
    ),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run to make, and what it has to come to; no verdict means that nothing may be found."""

    scenario: str  # a shipped one's name, or a file
    era: str
    seed: int
    flaw: Flaw | None = None
    verdict: str = ""

    def __str__(self) -> str:
        """Name it as its row of the table does."""
        server = self.flaw or "hardened"
        return f"{Path(self.scenario).stem:<20}{server:<24}{self.era:<8}seed {self.seed:<3}"


class _Finding(BaseModel):
    verdict: str
    ruling: str
    fault: str
    why: str
    evidence: tuple[str, ...]
    cause: str


class _Soundness(BaseModel):
    name: str
    ruling: str
    why: str


class _Limit(BaseModel):
    name: str
    ruling: str
    why: str


class _Fault(BaseModel):
    id: str
    ruling: str


class Document(BaseModel):
    """What a cell is judged by, out of `verdict.json`."""

    ruling: str
    exit_code: int
    headline: str
    findings: tuple[_Finding, ...]
    faults: tuple[_Fault, ...]
    limits: tuple[_Limit, ...]
    soundness: tuple[_Soundness, ...]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one cell: it is right when there is nothing against it."""

    cell: Cell
    headline: str
    against: tuple[str, ...]
    seconds: float
    spoilt: bool = False  # the run said itself that something else kept the machine busy

    @property
    def right(self) -> bool:
        """Whether the run came to what it had to come to."""
        return not self.against


def hardened(names: Iterable[str], *, eras: Sequence[str], seeds: Iterable[int]) -> Iterator[Cell]:
    """Give the cells in which nothing may be found, in the eras that each scenario speaks."""
    files = shipped()
    spoken = {name: load(files.get(name, Path(name))).scenario.era for name in names}
    for seed in seeds:
        for name, era in product(spoken, eras):
            if spoken[name] in ("auto", era):
                yield Cell(scenario=name, era=era, seed=seed)


def flawed(flaws: Iterable[Flaw], *, eras: Iterable[str], seeds: Iterable[int]) -> Iterator[Cell]:
    """Give each flaw beside the scenarios that show it, and `steady`, which must not."""
    for flaw in flaws:
        trait = TRAITS[flaw]
        for seed in seeds:
            for era in eras:
                for name in trait.scenarios:
                    yield Cell(scenario=name, era=era, seed=seed, flaw=flaw, verdict=trait.verdict)
                yield Cell(scenario="steady", era=era, seed=seed, flaw=flaw)


def against(cell: Cell, document: Document) -> tuple[str, ...]:
    """List what is wrong with a verdict, given what the server is known to do."""
    wanted = 1 if cell.verdict else 0
    said = [f"exit {document.exit_code}, not {wanted}"] if document.exit_code != wanted else []
    failed = [finding for finding in document.findings if finding.ruling == "fail"]
    said += [
        f"unrelated: {finding.verdict} {finding.fault}: {finding.why}"
        for finding in failed
        if finding.verdict != cell.verdict and not finding.cause
    ]
    if not cell.verdict:
        said += [
            f"{one.name} {one.ruling}: {one.why}"
            for one in document.soundness
            if one.ruling != "pass"
        ]
        said += [
            f"{one.name} {one.ruling}: {one.why}" for one in document.limits if one.ruling != "pass"
        ]
        said += [f"{one.id} {one.ruling}" for one in document.faults if one.ruling != "pass"]
        return tuple(said)
    found = [finding for finding in failed if finding.verdict == cell.verdict]
    if not found:
        said.append(f"{cell.verdict} was not found")
    elif not any(finding.evidence for finding in found):
        said.append(f"{cell.verdict} has no call as evidence")
    return tuple(said)


def run(cell: Cell, *, out: Path, keep: bool = False) -> Result:
    """Judge a run of a cell; one that says itself that the machine spoilt it is made again."""
    for _ in range(TRIES_MAX - 1):
        result = _once(cell, out=out, keep=keep)
        if result.right or not result.spoilt:
            return result
    return _once(cell, out=out, keep=keep)


def _once(cell: Cell, *, out: Path, keep: bool) -> Result:
    """Make one run and judge it; its folder is thrown away when the cell is right."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"{Path(cell.scenario).stem}-", dir=out))
    verdict = folder / "verdict.json"
    command = [sys.executable, "-m", "harness", "run", cell.scenario, "--quiet"]
    command += ["--reference", cell.flaw or "hardened", "--era", cell.era]
    command += ["--seed", str(cell.seed), "--out", str(folder), "--json", str(verdict)]
    with (folder / "output.txt").open("wb") as output:
        code = _bounded(command, output.fileno())
    told = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    headline, spoilt = "", False
    said: tuple[str, ...] = (f"no verdict: exit {code}", *told[-LINES_TOLD:])
    if verdict.is_file():
        document = Document.model_validate_json(verdict.read_bytes())
        headline, said = document.headline, against(cell, document)
        doubted = {one.name for one in document.soundness if one.ruling != "pass"}
        spoilt = bool(doubted & DISTURBED)
        if code != document.exit_code:
            said = (*said, f"the command's exit code is {code}")
    if said:
        said = (*said, f"see {folder}")
    elif not keep:
        shutil.rmtree(folder)
    took_s = time.monotonic() - began
    return Result(cell=cell, headline=headline, against=said, seconds=took_s, spoilt=spoilt)


def _bounded(command: Sequence[str], output: int) -> int:
    """Run a command in its own group within a time; what it leaves behind is ended with it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    ) as process:
        for end in (signal.SIGINT, signal.SIGKILL):
            try:
                return process.wait(RUN_LIMIT_S if end is signal.SIGINT else STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, end)
        return process.wait(STOP_LIMIT_S)


def run_all(cells: Sequence[Cell], *, out: Path, jobs: int, keep: bool = False) -> list[Result]:
    """Make all runs, `jobs` at a time, in order; each is told as soon as it is done."""
    out.mkdir(parents=True, exist_ok=True)

    def one(cell: Cell) -> Result:
        result = run(cell, out=out, keep=keep)
        print(row(result), flush=True)  # noqa: T201  the table is what the command is for
        return result

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(one, cells))


def row(result: Result) -> str:
    """Give one line of the table, and below it what is against the cell."""
    said = "ok " if result.right else "BAD"
    lines = [f"{said} {result.cell} {result.seconds:4.0f} s  {result.headline}".rstrip()]
    return "\n      ".join([*lines, *result.against])


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, make the runs, print the table; 1 if any cell is not right."""
    parser = argparse.ArgumentParser(prog="python -m tests.flaws.matrix", description=__doc__)
    parser.add_argument("--scenarios", default="all", help="names, all or none")
    parser.add_argument("--flaws", default="none", help="names, all or none")
    parser.add_argument("--eras", default="both", choices=(*ERAS, "both"))
    parser.add_argument("--seeds", default="1", help="as in 1-5 or 1,3")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/matrix"))
    parser.add_argument("--keep", action="store_true", help="keep every run's folder")
    options = parser.parse_args(arguments)
    eras = ERAS if options.eras == "both" else (options.eras,)
    names = scenarios_of(options.scenarios)
    flaws = [Flaw(name) for name in _picked(options.flaws, everything=list(Flaw))]
    seeds = _numbers(options.seeds)
    cells = [*hardened(names, eras=eras, seeds=seeds), *flawed(flaws, eras=eras, seeds=seeds)]
    results = run_all(cells, out=options.out, jobs=options.jobs, keep=options.keep)
    wrong = sum(not result.right for result in results)
    print(f"{len(results) - wrong} of {len(results)} cells are right")  # noqa: T201
    return 1 if wrong else 0


def scenarios_of(given: str) -> list[str]:
    """Read names; `all` are those shipped ones that the bundled server has the tools for."""
    targets = {name: load(file).scenario.target for name, file in sorted(shipped().items())}
    able = [name for name, target in targets.items() if isinstance(target, ReferenceTarget)]
    return _picked(given, everything=able)


def _picked(given: str, *, everything: Sequence[str]) -> list[str]:
    return {"all": list(everything), "none": []}.get(given, given.split(","))


def _numbers(given: str) -> list[int]:
    """Read `1-3,7` as 1, 2, 3 and 7."""
    spans = [part.partition("-") for part in given.split(",")]
    return [n for low, _, high in spans for n in range(int(low), int(high or low) + 1)]


if __name__ == "__main__":
    sys.exit(main())
