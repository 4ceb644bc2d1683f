"""Plays one trial as a user would, by the command, and holds its verdict against what must come."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from harness.invocations import Invocations
from harness.selftest.cases import Trial
from harness.selftest.stage import cut

RUN_LIMIT_S: Final = 180.0
LINES_TOLD: Final = 4  # of a run that came to no verdict
TRIES_MAX: Final = 3  # a generator that was starved can show no flaw
# What a busy machine does to a run's evidence; anything else in doubt is a defect.
DISTURBED: Final = frozenset({"generator", "baseline-steady", "arms-agree", "samples"})


class FindingRow(BaseModel):
    """What a trial looks at in one finding of `verdict.json`."""

    verdict: str
    ruling: str
    fault: str
    why: str
    evidence: tuple[str, ...]
    cause: str


class NamedRow(BaseModel):
    """What it looks at in one line on soundness, or one limit."""

    name: str
    ruling: str
    why: str


class FaultRow(BaseModel):
    """What it looks at in one fault."""

    id: str
    ruling: str


class GeneratorRow(BaseModel):
    """What it looks at of how the generator kept up."""

    verdict: str


class Document(BaseModel):
    """What a trial is judged by, out of `verdict.json`."""

    ruling: str
    exit_code: int
    headline: str
    findings: tuple[FindingRow, ...]
    faults: tuple[FaultRow, ...]
    limits: tuple[NamedRow, ...]
    soundness: tuple[NamedRow, ...]
    generator: GeneratorRow


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one trial: it is right when there is nothing against it."""

    trial: Trial
    headline: str
    against: tuple[str, ...]
    seconds: float
    spoilt: bool = False  # the run said itself that something else kept the machine busy
    undecided: bool = False  # it accused nobody, and acquitted nobody
    missed: bool = False  # the flaw's verdict was not found
    false_alarms: int = 0  # findings that are not so

    @property
    def right(self) -> bool:
        """Whether the run came to what it had to come to."""
        return not self.against


def against(trial: Trial, document: Document) -> tuple[str, ...]:
    """List what is wrong with a verdict, given what the server is known to do."""
    wanted = 1 if trial.verdict else 0
    said = [f"exit {document.exit_code}, not {wanted}"] if document.exit_code != wanted else []
    said += [f"unrelated: {one.verdict} {one.fault}: {one.why}" for one in alarms(trial, document)]
    if not trial.verdict:
        said += [
            f"{one.name} {one.ruling}: {one.why}"
            for one in (*document.soundness, *document.limits)
            if one.ruling != "pass"
        ]
        said += [f"{one.id} {one.ruling}" for one in document.faults if one.ruling != "pass"]
        return tuple(said)
    found = [one for one in _failed(document) if one.verdict == trial.verdict]
    if not found:
        said.append(f"{trial.verdict} was not found")
    elif not any(one.evidence for one in found):
        said.append(f"{trial.verdict} has no evidence")
    return tuple(said)


def alarms(trial: Trial, document: Document) -> tuple[FindingRow, ...]:
    """Give the findings that accuse the server of what it does not do."""
    true = {trial.verdict, *trial.also} - {""}
    return tuple(one for one in _failed(document) if one.verdict not in true and not one.cause)


def spoilt(document: Document, *, missed: bool) -> bool:
    """Whether the run says that something else kept the machine busy.

    A generator that is merely suspect excuses a flaw that was missed, and no accusation.
    """
    doubted = {one.name for one in document.soundness if one.ruling != "pass"}
    return bool(doubted & DISTURBED) or (missed and document.generator.verdict != "ok")


def _failed(document: Document) -> list[FindingRow]:
    return [one for one in document.findings if one.ruling == "fail"]


class Players:
    """Makes runs side by side; leaving the block early ends those that are under way."""

    def __init__(self, *, out: Path, jobs: int, keep: bool = False) -> None:
        """Put run folders into `out`; those of right runs are thrown away unless they are kept."""
        self._out, self._jobs, self._keep = out, jobs, keep
        self._runs = Invocations()

    def play_all(self, trials: Sequence[Trial], *, tell: Callable[[Result], None]) -> list[Result]:
        """Make all runs, in order; each is told as soon as it is done.

        Ctrl-C ends the runs that are under way, as it would end one at a terminal, and is raised.
        """
        self._out.mkdir(parents=True, exist_ok=True)

        def one(trial: Trial) -> Result:
            result = self.play(trial)
            if not self._runs.stopped:
                tell(result)
            return result

        with ThreadPoolExecutor(max_workers=self._jobs) as pool:
            coming = [pool.submit(one, trial) for trial in trials]
            try:
                return [each.result() for each in coming]
            finally:
                self._runs.stop()
                pool.shutdown(cancel_futures=True)

    def play(self, trial: Trial) -> Result:
        """Make a trial's run and judge it.

        One that the machine spoilt, as it says, or that came to no ruling is repeated.
        """
        for _ in range(TRIES_MAX - 1):
            result = self._once(trial)
            again = result.spoilt or result.undecided
            if result.right or not again or self._runs.stopped:
                return result
        return self._once(trial)

    def _once(self, trial: Trial) -> Result:
        """Make one run and judge it; its folder is thrown away when it is right."""
        began = time.monotonic()
        self._out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{trial.stage}-", dir=self._out))
        scenario, verdict = folder / f"{trial.stage}.yaml", folder / "verdict.json"
        scenario.write_text(cut(trial.stage, trial.faults, manner=trial.manner), encoding="utf-8")
        command = ["run", str(scenario), "--quiet"]
        command += ["--reference", trial.server, "--era", trial.era]
        command += ["--seed", str(trial.seed), "--out", str(folder), "--json", str(verdict)]
        with (folder / "output.txt").open("wb") as output:
            code = self._runs.run(command, output.fileno(), limit_s=RUN_LIMIT_S)
        told = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        took_s = time.monotonic() - began
        if not verdict.is_file():
            said = (f"no verdict: exit {code}", *told[-LINES_TOLD:], f"see {folder}")
            return Result(trial=trial, headline="", against=said, seconds=took_s, missed=True)
        document = Document.model_validate_json(verdict.read_bytes())
        said = against(trial, document)
        if code != document.exit_code:
            said = (*said, f"the command's exit code is {code}")
        if said:
            said = (*said, f"see {folder}")
        elif not self._keep:
            shutil.rmtree(folder)
        missed = bool(trial.verdict) and all(
            one.verdict != trial.verdict for one in _failed(document)
        )
        return Result(
            trial=trial,
            headline=document.headline,
            against=said,
            seconds=took_s,
            spoilt=spoilt(document, missed=missed),
            undecided=document.ruling == "unknown",
            missed=missed,
            false_alarms=len(alarms(trial, document)),
        )
