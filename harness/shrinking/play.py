"""Plays a candidate as a user would, by the command, and looks for the failure in its verdict."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from harness import wal
from harness.errors import Exit, ScenarioError
from harness.invocations import Invocations
from harness.shrinking.candidate import Candidate
from harness.shrinking.failure import Document, Failure, doubts, lasts, shows
from harness.shrinking.tries import Outcome
from harness.shrinking.writing import Original, write

_SET_UP_S: Final = 120.0  # before and after the load, on a machine that has other things to do
_LINES_TOLD: Final = 3
_STOPS: Final = {
    Exit.NOT_HEALED: "a try is not proven healed; squall recover undoes what is left",
    Exit.BUG: "a try ended in a defect of squall itself",
    Exit.INTERRUPTED: "a try was interrupted",
}


class Player:
    """Makes the runs of a search; their folders are thrown away unless they are kept."""

    def __init__(
        self,
        original: Original,
        failure: Failure,
        *,
        flags: tuple[str, ...],
        out: Path,
        keep: bool = False,
    ) -> None:
        """Put run folders into `out`; every run is given `flags` as the one that failed was."""
        self._original, self._failure = original, failure
        self._flags, self._out, self._keep = flags, out, keep
        self._runs = Invocations()

    def play(self, candidate: Candidate) -> Outcome:
        """Make a candidate's run; one that makes no sense as a scenario reproduces nothing."""
        try:
            text = write(self._original, candidate)
        except ScenarioError as error:
            return Outcome(reproduced=False, senseless=str(error))
        self._out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="try-", dir=self._out))
        scenario, verdict = folder / Path(self._original.file).name, folder / "verdict.json"
        scenario.write_text(text, encoding="utf-8")
        words = ["run", str(scenario), *self._flags, "--quiet"]
        words += ["--out", str(folder), "--json", str(verdict)]
        try:
            with (folder / "output.txt").open("wb") as output:
                limit_s = 2 * candidate.length_s + _SET_UP_S
                code = self._runs.run(words, output.fileno(), limit_s=limit_s)
            outcome = self._outcome(candidate, folder, verdict, code)
        except BaseException:
            self._clear(folder)
            raise
        if outcome.stop is Exit.PASS:
            self._clear(folder)
        return outcome

    def _clear(self, folder: Path) -> None:
        """Throw a try's folder away, unless it is kept or tells what is still to be undone."""
        runs = [file.parent for file in folder.glob(f"*/{wal.FILE}")]
        if self._keep or not all(wal.read(run).closed_by for run in runs):
            return
        shutil.rmtree(folder)
        with suppress(OSError):
            self._out.rmdir()  # unless somebody keeps something in it

    def _outcome(self, candidate: Candidate, folder: Path, verdict: Path, code: int) -> Outcome:
        if code in _STOPS:
            why = f"{_STOPS[Exit(code)]}: see {folder}"
            return Outcome(reproduced=False, stop=Exit(code), why=why)
        if not verdict.is_file():
            lines = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
            said = " ".join(lines.splitlines()[-_LINES_TOLD:])
            return Outcome(reproduced=False, refused=said or f"a try ended in exit code {code}")
        document = Document.model_validate_json(verdict.read_bytes())
        return Outcome(
            reproduced=shows(document, self._failure, candidate.windows),
            doubt=doubts(document),
            lasting=lasts(document),
        )
