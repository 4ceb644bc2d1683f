"""Scenario files: a path in, a checked scenario out, or every mistake at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ScenarioError
from harness.scenario import sense, values
from harness.scenario.decode import decode
from harness.scenario.document import SIZE_MAX_BYTES, read
from harness.scenario.mistakes import Mistakes, Spot, Trail, likely
from harness.scenario.records import Scenario, Target
from scenarios import shipped


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """Where everything in a file stands, for findings that point back into it."""

    file: str
    _mistakes: Mistakes

    def spot(self, *trail: str | int) -> Spot:
        """Give line and column of a value, as in `spot("limits", "answered")`.

        What the file leaves out is found at the nearest thing around it.
        """
        way: Trail = trail
        return self._mistakes.spot(way)

    def at(self, *trail: str | int) -> str:
        """Give `file:line:column` of a value."""
        line, column = self.spot(*trail)
        return f"{self.file}:{line}:{column}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A scenario, and the file it came from."""

    scenario: Scenario
    text: str
    name: str  # the file's stem: the scenario's name in reports
    lines: Lines


def load(path: Path, *, target: Target | None = None, by_hand: bool = False) -> Loaded:
    """Read and check a scenario file; a given `target` takes the place of the file's own.

    With `by_hand` its faults are people's matter: it needs none, and two arms all the same.

    Raises:
        ScenarioError: with every mistake in the file, each with its place and its mend.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(
            file, "UTF-8 text", f"other bytes at {error.start}", "save the file as UTF-8"
        ) from None
    except OSError as error:
        raise _refusal(file, "a readable file", error.strerror or "none", _meant(path)) from None
    return load_text(text, file, target=target, by_hand=by_hand)


def _meant(path: Path) -> str:
    """Word a mend for a path that gives no file: the one that was probably meant."""
    if path.is_dir():
        return f"name the files in it, as in {path / '*.yaml'}"
    beside = {str(path.with_name(file.name)) for file in path.parent.glob("*.y*ml")}
    if meant := likely(path, beside | set(shipped())):
        return f"did you mean {meant}?"
    return "see squall scenarios for names"


def load_text(
    text: str, file: str, *, target: Target | None = None, by_hand: bool = False
) -> Loaded:
    """Check a scenario that is already in memory; `file` names it in messages.

    Raises:
        ScenarioError: with every mistake in the text, each with its place and its mend.
    """
    document = read(text, file)
    mistakes = document.mistakes
    scenario = decode(document.value, mistakes, target=target)
    values.examine(scenario, mistakes)
    sense.examine(scenario, mistakes, by_hand=by_hand)
    found = mistakes.in_order()
    if found:
        raise ScenarioError(found)
    lines = Lines(file=file, _mistakes=mistakes)
    return Loaded(scenario=scenario, text=text, name=Path(file).stem, lines=lines)


def _refusal(file: str, expected: str, came: str, mend: str) -> ScenarioError:
    mistakes = Mistakes(file)
    mistakes.add((), expected, came, mend)
    return ScenarioError(mistakes.in_order())
