"""Every error squall raises on purpose, and the exit code that each one ends in.

    SquallError
    ├── UsageError       the command line asks for something that does not exist
    ├── ScenarioError    a scenario file does not mean anything; carries every mistake at once
    ├── TargetError      the server under test cannot be reached, or is not an MCP server
    ├── RigError         something squall builds around the target would not start
    ├── JournalError     a run folder cannot be read as a journal
    ├── BaselineError    a file cannot be read, or written, as a baseline
    ├── BrokenOffError   the run's record cannot be written any more; faults are undone
    ├── InterruptedRunError  a signal came before any load was offered
    └── NotHealedError   a fault could not be proven undone; outranks everything

A message says what was expected, what came, where, and the mend.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final


class Exit(IntEnum):
    """The process's exit codes; a pipeline decides on these and nothing else."""

    PASS = 0  # every limit held and the evidence is sound
    FAIL = 1  # a limit was missed or a hard rule broken
    NOT_RUN = 2  # usage, scenario, target or rig: no load was offered
    UNKNOWN = 3  # the evidence does not support a ruling
    ABORTED = 4  # a stop condition ended the run
    NOT_HEALED = 5  # a fault is not proven undone
    BUG = 70  # a defect of squall itself
    INTERRUPTED = 130  # Ctrl-C, and everything is undone


# Of several runs the first of these that one of them ended in: what is left broken, what makes
# the rest incomplete, what was shown, what was not; a run that was not to be hides no other.
WORST_FIRST: Final = (
    Exit.NOT_HEALED,
    Exit.BUG,
    Exit.INTERRUPTED,
    Exit.ABORTED,
    Exit.FAIL,
    Exit.UNKNOWN,
    Exit.NOT_RUN,
    Exit.PASS,
)


def worst_exit(codes: Iterable[Exit]) -> Exit:
    """Give the code that several runs end in together; without any, nothing was run."""
    given = set(codes)
    return next((code for code in WORST_FIRST if code in given), Exit.NOT_RUN)


class SquallError(Exception):
    """A failure with a sentence for the user; never a traceback."""

    exit_code: ClassVar[Exit] = Exit.NOT_RUN


class UsageError(SquallError):
    """The command line asks for something that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One thing wrong with a scenario file, in the words its author needs."""

    file: str
    line: int  # 1-based
    column: int  # 1-based
    path: str  # dotted place in the document, such as "faults.0.tcp-latency.delay"
    expected: str
    came: str
    mend: str

    def __str__(self) -> str:
        """Give the one-line form that editors can jump to."""
        where = f"{self.file}:{self.line}:{self.column}"
        place = f"{self.path}: " if self.path else ""
        return f"{where}: {place}expected {self.expected}, got {self.came}; {self.mend}"


class ScenarioError(SquallError):
    """A scenario file is wrong in at least one place; every mistake found is listed."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        """Keep the mistakes in file order; the message is one line for each."""
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class TargetError(SquallError):
    """The server under test cannot be reached, or does not speak MCP."""


class RigError(SquallError):
    """Something squall builds around the target would not start or answer."""


class JournalError(SquallError):
    """A run folder is missing, or does not hold a readable journal."""


class BaselineError(SquallError):
    """A file cannot be read as a baseline, or what it should hold does not fit."""


class BrokenOffError(SquallError):
    """The run could not go on, for its record could not be written; faults are undone."""

    exit_code: ClassVar[Exit] = Exit.UNKNOWN


class InterruptedRunError(SquallError):
    """A signal ended the set-up; no load was offered and nothing was left behind."""

    exit_code: ClassVar[Exit] = Exit.INTERRUPTED


class NotHealedError(SquallError):
    """A fault could not be proven undone."""

    exit_code: ClassVar[Exit] = Exit.NOT_HEALED


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def full_disk(error: BaseException) -> OSError | None:
    """Give the error that says that the disk takes no more, if that is why something failed."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(full_disk, error.exceptions)), None)
    return error if isinstance(error, OSError) and error.errno in _FULL else None


def leaves(error: BaseException) -> list[BaseException]:
    """The errors that a group of groups is made of; one that is no group is its own."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]
