"""What a case of the self-test is: one server, one stage, and what has to be found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from harness.flaws import Flaw

Era = Literal["legacy", "modern"]
ERAS: Final[tuple[Era, ...]] = ("legacy", "modern")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A flaw of the bundled server, the faults that expose it, and the verdict it is known by."""

    flaw: Flaw
    stage: str  # whose agents and faults: a file in `stages/`
    faults: tuple[str, ...]  # kinds, of the stage's windows; none: it shows with nothing broken
    verdict: str
    eras: tuple[Era, ...] = ERAS
    also: tuple[str, ...] = ()  # verdicts that are as true of this flaw and need no cause


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run to make; without a verdict nothing at all may be found."""

    server: str  # what `--reference` is given: hardened, or a flaw
    stage: str
    era: Era
    seed: int
    faults: tuple[str, ...] | None = None  # the windows that are kept; None: all of them
    verdict: str = ""
    also: tuple[str, ...] = ()
    manner: str = ""  # of a sound server that is not like others

    def __str__(self) -> str:
        """Name it as its row of the table does."""
        server = f"{self.server}, {self.manner}" if self.manner else self.server
        under = "+".join(self.faults or ())
        return f"{self.stage:<12} {server:<26} {self.era:<7} seed {self.seed:<3} {under}".rstrip()
