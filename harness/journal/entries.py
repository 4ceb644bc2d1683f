"""What happened to the run and its parts: faults, sessions, tokens, effects, processes, steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.journal.calls import NEVER_NS


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """The run began or ended; `how` says why it ended."""

    at_ns: int
    edge: Literal["started", "ended"]
    how: Literal["", "completed", "aborted", "interrupted", "failed"] = ""
    why: str = ""
    unix_ns: int = NEVER_NS  # the same moment in Unix time, where it began
    type: Literal["run"] = "run"


@dataclass(frozen=True, kw_only=True)
class FaultEntry:
    """One edge of one fault window. `intended` is on disk before anything is touched."""

    at_ns: int
    window: int
    kind: str
    lever: str
    edge: Literal["intended", "injected", "healing", "healed", "failed", "not_healed"]
    exposure_count: int = 0
    exposure_unit: str = ""
    exposure_source: str = ""
    error: str = ""
    type: Literal["fault"] = "fault"


SessionEdge = Literal["opened", "lost", "reopened", "closed", "failed"]


@dataclass(frozen=True, kw_only=True)
class SessionEntry:
    """A session's life: opened, lost (why), reopened, closed, or failed to open at all."""

    at_ns: int
    session: int
    edge: SessionEdge
    era: str = ""
    protocol: str = ""
    why: str = ""
    took_ns: int = 0
    type: Literal["session"] = "session"


@dataclass(frozen=True, kw_only=True)
class TokenEntry:
    """A session got a token, renewed it, or could not. The token itself is never here."""

    at_ns: int
    session: int
    edge: Literal["minted", "renewed", "failed"]
    expires_ns: int = NEVER_NS
    serial: int = 0
    why: str = ""
    type: Literal["token"] = "token"

    @property
    def replaced(self) -> bool:
        """Whether the session has another token since."""
        return self.edge in ("minted", "renewed")


@dataclass(frozen=True, kw_only=True, slots=True)  # a long run holds millions
class EffectEntry:
    """One execution, as the ledger at the dependency saw it."""

    at_ns: int
    key: str
    tool: str = ""
    subject: str = ""
    type: Literal["effect"] = "effect"


@dataclass(frozen=True, kw_only=True)
class WorkerEntry:
    """A worker process joined, finished (with how many call records), or was lost."""

    at_ns: int
    worker: int
    edge: Literal["joined", "done", "lost"]
    calls: int = 0
    why: str = ""
    type: Literal["worker"] = "worker"


@dataclass(frozen=True, kw_only=True)
class ProcessEntry:
    """One edge in the life of a server that is spoken to over pipes; counts stand at its end."""

    at_ns: int
    pid: int
    session: int  # -1 where its whole arm shares it
    treated: bool
    edge: Literal["started", "killed", "stopped", "resumed", "slowed", "ended"]
    window: int = 0  # the fault window that struck it; 0 for none
    how: str = ""  # how it ended
    asked: bool = False  # whether it was told to end
    messages: int = 0  # that it wrote
    noise_lines: int = 0  # on its standard output, which are no message
    duplicate_replies: int = 0
    unknown_ids: int = 0  # responses to what nobody had asked
    noise: str = ""  # the first of those lines, cut short
    type: Literal["process"] = "process"

    @property
    def struck(self) -> bool:
        """Whether this is what a fault did to it, and not its life without one."""
        return bool(self.window) and self.edge in ("killed", "stopped", "slowed")


TargetEdge = Literal["started", "ready", "told", "killed", "stopped", "resumed", "ended"]


@dataclass(frozen=True, kw_only=True)
class TargetEntry:
    """One edge in the life of a target that squall launched, and that listens at an address."""

    at_ns: int
    pid: int
    edge: TargetEdge
    window: int = 0  # the fault window that did it; 0 for none
    how: str = ""  # how it ended
    asked: bool = False  # whether it was told to end, or killed
    status: int = 0  # its exit status, negative for a signal
    took_s: float = -1.0  # from being told to its end
    type: Literal["target"] = "target"


@dataclass(frozen=True, kw_only=True)
class StepEntry:
    """One edge of one step of a climb: which calls were due, and why it ended early, if it did."""

    at_ns: int
    step: int  # 1, 2, ... over the whole climb
    curve: int  # 0 is bare; else the number of the fault window in force
    edge: Literal["began", "ended"]
    rate_per_s: float
    start_ns: int  # calls are due from here
    end_ns: int  # to here; on the second edge where it really ended
    calls: int  # due in it, as planned
    sessions: int
    why: str = ""
    proxy_cpu_share: float | None = None  # of squall's own proxy, over the step
    type: Literal["step"] = "step"


@dataclass(frozen=True, kw_only=True)
class NoteEntry:
    """Something the reader of the report should know."""

    at_ns: int
    text: str
    type: Literal["note"] = "note"
