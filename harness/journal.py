"""The record of a run: what happened, on one clock, and no opinion about it.

A run folder holds `journal.jsonl` (faults, sessions, tokens, effects, vitals: one JSON object a
line) and `calls.npy` (one fixed-size record per attempt, `numpy.load` reads it). Both are
append-only and readable after a crash at any moment. Worker processes write segments of their own
(`worker-1.jsonl`, `worker-1.npy`), which `merge` folds in exactly.

Times are integer nanoseconds since the run began; -1 is "never".
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain, islice
from operator import attrgetter, itemgetter
from pathlib import Path
from struct import Struct
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from faults.levers import BehaviourKind
from harness import wal
from harness.errors import JournalError
from harness.redaction import redact

JOURNAL: Final = "journal.jsonl"
CALLS: Final = "calls.npy"
NEVER_NS: Final = -1
ROWS_UNKNOWN: Final = -1

# Codes of the `behaviour` column: what the client did wrong on purpose in this attempt.
BEHAVIOURS: Final = ("", *get_args(BehaviourKind))
BEHAVIOUR_CODES: Final = {name: code for code, name in enumerate(BEHAVIOURS)}

CALL_DTYPE: Final = np.dtype(
    [
        ("due_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("first_ns", "<i8"),
        ("done_ns", "<i8"),
        ("session", "<u4"),
        ("index", "<u4"),
        ("request_bytes", "<u4"),
        ("reply_bytes", "<u4"),
        ("rows", "<i4"),
        ("status", "<u2"),
        ("call", "<u2"),  # index into Plan.calls
        ("attempt", "u1"),  # 1, 2, ...; 0 is a misbehaving attempt that precedes the real call
        ("last", "u1"),  # 1 on the attempt that settled the logical call
        ("treated", "u1"),
        ("behaviour", "u1"),  # index into BEHAVIOURS
        ("window", "u1"),  # the fault window that asked for the behaviour; 0 for none
        ("outcome", "u1"),
        ("reason", "u1"),
        ("effect", "u1"),
        ("auth", "u1"),
        ("ended_by", "u1"),
        ("resumed", "u1"),
        ("worker", "u1"),
    ]
)
BreachKind = Literal["progress:backwards", "progress:late", "stream:broken"]
CALL_STRUCT: Final = Struct("<qqqqIIIIiHH12B")
Calls = NDArray[np.void]


# --- entries --------------------------------------------------------------------------------


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
class VitalsEntry:
    """The target's process tree, sampled; None where the system would not say."""

    at_ns: int
    alive: bool
    rss_bytes: int | None = None
    open_files: int | None = None
    threads: int | None = None
    cpu_s: float | None = None
    children: int | None = None
    type: Literal["vitals"] = "vitals"


@dataclass(frozen=True, kw_only=True)
class HealthEntry:
    """One process of the generator over about one second: was it the bottleneck?"""

    at_ns: int
    worker: int  # 0 is the only process, or the master
    lag_p50_ms: float  # a 10 ms timer's lateness
    lag_p99_ms: float
    slip_p50_ms: float  # sent - due of the steps sent in this second
    slip_p99_ms: float
    cpu_share: float
    run_delay_share: float | None = None  # time runnable but not running
    lag_max_ms: float = 0.0
    stalled_ms: float = 0.0  # how long the timer was later than a stall begins
    throttled_share: float | None = None  # time held back by a limit of the container's
    gc_pause_ms: float = 0.0  # all pauses together
    gc_pause_max_ms: float = 0.0
    open_files: int | None = None
    open_files_max: int | None = None
    sessions: int = 0
    calls: int = 0
    type: Literal["health"] = "health"


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
class HealthProbeEntry:
    """What the target said of its health when it was asked, beside the load and past any proxy."""

    at_ns: int  # asked
    took_ns: int
    status: int = 0  # of HTTP; 0 where no answer came
    text: str = ""  # the beginning of what it said, redacted, or why no answer came
    type: Literal["health_probe"] = "health_probe"


@dataclass(frozen=True, kw_only=True)
class SampleEntry:
    """What one notable call looked like, redacted and cut short: evidence for people."""

    at_ns: int
    session: int
    index: int
    attempt: int
    text: str
    type: Literal["sample"] = "sample"


@dataclass(frozen=True, kw_only=True)
class SaidEntry:
    """What servers asked and said unasked in about one second of one process, in counters.

    Their names: `asked:KIND:HOW`, `heard:WHAT`, `rounds`, `tasks:WHAT`, `cancelled:HOW`,
    `listen:WHAT`, `answers:us` (the time that answers took, in microseconds).
    """

    at_ns: int
    worker: int
    counts: dict[str, int]
    type: Literal["said"] = "said"


@dataclass(frozen=True, kw_only=True)
class BreachEntry:
    """A server broke a rule that shows only between messages; a bounded number is written down."""

    at_ns: int
    session: int
    index: int  # of the call that it belongs to
    kind: BreachKind
    type: Literal["breach"] = "breach"


Carried = Literal["", "own", "foreign", "none"]


@dataclass(frozen=True, kw_only=True)
class ProbeEntry:
    """One request that was wrong on purpose, and what came of it: more than a call record holds."""

    at_ns: int  # when its answer was known
    session: int
    window: int  # the fault window that asked for it
    kind: str  # the behaviour's name
    variant: str = ""  # which of its forms: "future-version", "missing-required"
    era: str = ""
    index: int = -1  # of the logical call whose attempt 0 it is; -1 for none
    tool: str = ""
    sent: str = ""  # what was sent, in words, with nothing secret
    sent_ns: int = NEVER_NS
    status: int = 0  # of HTTP; 0 for none
    outcome: str = ""  # the outcome's name: "ok", "http_error"
    reason: str = ""
    code: int | None = None  # of the JSON-RPC error
    is_error: bool = False  # the result said `isError`
    challenge: str = ""  # of WWW-Authenticate, its scheme, error and scope
    carried: Carried = ""  # whose nonce the answer carried
    nonce: str = ""  # under which an effect of it would stand in the ledger
    text: str = ""  # what the server said, redacted and cut short
    type: Literal["probe"] = "probe"


@dataclass(frozen=True, kw_only=True)
class FloodEntry:
    """One edge of one flood: floods of a window are equal, with a rest after each."""

    at_ns: int
    window: int
    kind: str  # the behaviour's name
    flood: int  # 1, 2, ... within the window
    edge: Literal["began", "ended", "rested"]
    sent: int = 0  # so far in this flood
    accepted: int = 0
    refused: int = 0
    failed: int = 0  # neither: no answer
    type: Literal["flood"] = "flood"

    @property
    def requests(self) -> int:
        """How many this edge adds to those that its window has sent: all, once it has ended."""
        return self.sent if self.edge == "ended" else 0


@dataclass(frozen=True, kw_only=True, slots=True)  # a long run holds millions
class DependencyEntry:
    """One request at the dependency, as its own ledger saw it."""

    at_ns: int  # received
    operation: str  # "rows", "row", "append", "notes", "token", ...
    dependency: str = ""  # its name in the scenario
    key: str = ""  # what tells the logical call: a text that carries its nonce
    subject: str = ""
    credential: Literal["", "none", "own", "caller", "other"] = (
        ""  # caller: an MCP token, passed on
    )
    audience: str = ""
    took_ns: int = 0
    status: int = 0
    executed: bool = False  # its effect took place, or its rows were found
    answered: bool = False  # the whole answer left
    rows: int = ROWS_UNKNOWN
    fault: str = ""  # what was done to it on purpose
    retry_after_s: float = 0.0  # that the answer asked for
    connection: int = 0
    total: int = ROWS_UNKNOWN  # rows that there are for what was asked, whatever was sent
    type: Literal["dependency"] = "dependency"


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """The target's connections to a dependency, as it, its proxy or the system counts them."""

    at_ns: int
    dependency: str
    open: int
    busy: int | None  # None: by a proxy or the system, which cannot tell what is in use
    refused: int = 0  # so far, for want of a free one
    by_system: bool = False  # among the target's own sockets, for its proxy keeps no count
    type: Literal["pool"] = "pool"


@dataclass(frozen=True, kw_only=True)
class ContentEntry:
    """What a few answers to one kind of call held, in about one second of one process and arm.

    Of each field by its path (`result[].title`): the answers that had it, its values, and how many
    of those were null. Only answers with rows are looked into, and not every one of them.
    """

    at_ns: int  # of the last look
    from_ns: int  # of the first
    worker: int
    call: int  # index into Plan.calls
    treated: bool
    answers: int
    fields: dict[str, tuple[int, int, int]]
    examples: tuple[str, ...] = ()  # ids of the calls, those with most nulls first
    type: Literal["content"] = "content"


@dataclass(frozen=True, kw_only=True)
class ListEntry:
    """A list of tools that a session was given, where it was not the one that it had been before.

    The first of an arm in a process is told too, and the first of a session that differs from it.
    Names come with the first entry of each list.
    """

    at_ns: int
    session: int
    index: int  # of the step that was answered with it, or with its first page
    treated: bool
    era: str
    digest: str  # of names and schemas, in order
    content: str  # of the same, in any order
    count: int
    names: tuple[str, ...] = ()
    was: str = ""  # the digest of the list before it in this session; "" for none
    was_content: str = ""
    was_ns: int = NEVER_NS  # when that one came
    ttl_ms: int = -1  # how long that one was good for; -1 where nothing was said
    hears: bool = False  # the session would have been told of a change since
    declares: bool | None = None  # the server says that it tells; None: it said nothing of itself
    told_ns: int = NEVER_NS  # when it last told this session
    type: Literal["list"] = "list"


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """How many effects the target counted when it was asked, by a session beside the load."""

    at_ns: int  # asked
    answered_ns: int
    edge: Literal["before", "baseline", "recovery", "after"]  # what had just ended
    window: int = 0  # whose recovery it was
    count: int | None = None  # None: it could not be asked, or said no number
    why: str = ""
    type: Literal["audit"] = "audit"


@dataclass(frozen=True, kw_only=True)
class TraceEntry:
    """What the target's own spans said of the calls to one tool, counted by the receiver.

    Those of tool "" named none, or belong to no trace of this run.
    """

    at_ns: int
    tool: str
    calls: int  # distinct ones whose trace a span of the target joined
    spans: int
    named: int = 0  # of them, those that name the tool
    timed: int = 0  # say how long it took
    sized: int = 0  # say how large the result was
    failed: int = 0
    downstream: int = 0  # requests to others, within these calls
    exposed: int = 0  # spans that hold what looks like a credential
    type: Literal["trace"] = "trace"


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
class OrderEntry:
    """A fault that a person ordered on a game day; on disk before anything is touched.

    What a window of a scenario says beforehand, and what its people expect of it.
    """

    at_ns: int
    window: int
    who: str
    kind: str
    parameters: dict[str, Any]  # as a scenario would write them; what is left out has its default
    for_s: float  # how long it is wanted
    expected: str  # what they think will happen
    breaks: str  # the limit they think will be missed; "" for none
    stop_when: str  # when they will end it, in words
    stop_errors: str = ""  # the treated arm's errors that end it by themselves, "> 50% for 10s"
    type: Literal["order"] = "order"


@dataclass(frozen=True, kw_only=True)
class DeedEntry:
    """What somebody did on a game day, beside ordering faults."""

    at_ns: int
    who: str
    deed: Literal["came", "left", "stopped", "extended", "resumed", "ended"]
    window: int = 0
    words: str = ""
    type: Literal["deed"] = "deed"


@dataclass(frozen=True, kw_only=True)
class LeaseEntry:
    """One edge of the lease on a fault that was ordered by hand; each renewal is not written."""

    at_ns: int
    window: int
    edge: Literal["granted", "cut", "restored", "ended"]
    until_ns: int  # as it stands, should nobody renew it
    why: str = ""
    type: Literal["lease"] = "lease"


@dataclass(frozen=True, kw_only=True)
class HaltEntry:
    """Everything was to be undone at once: who said so, and whether it is proven."""

    at_ns: int
    who: str
    edge: Literal["asked", "proven", "not_proven"]
    words: str = ""
    type: Literal["halt"] = "halt"


@dataclass(frozen=True, kw_only=True)
class RemarkEntry:
    """What a person wrote down on a game day, and what it is about."""

    at_ns: int
    who: str
    kind: Literal["note", "observation", "action"]
    text: str
    window: int = 0  # the fault it is about; 0 for the day as a whole
    as_expected: Literal["", "yes", "partly", "no"] = ""  # of an observation
    type: Literal["remark"] = "remark"


@dataclass(frozen=True, kw_only=True)
class NoteEntry:
    """Something the reader of the report should know."""

    at_ns: int
    text: str
    type: Literal["note"] = "note"


Entry = Annotated[
    RunEntry
    | FaultEntry
    | SessionEntry
    | TokenEntry
    | EffectEntry
    | VitalsEntry
    | HealthEntry
    | WorkerEntry
    | ProcessEntry
    | TargetEntry
    | HealthProbeEntry
    | SampleEntry
    | SaidEntry
    | BreachEntry
    | StepEntry
    | ProbeEntry
    | FloodEntry
    | DependencyEntry
    | PoolEntry
    | ContentEntry
    | ListEntry
    | TraceEntry
    | AuditEntry
    | OrderEntry
    | DeedEntry
    | LeaseEntry
    | HaltEntry
    | RemarkEntry
    | NoteEntry,
    Field(discriminator="type"),
]
EntryT = TypeVar("EntryT")
_WORDLESS: Final = (
    HealthEntry,
    VitalsEntry,
    EffectEntry,
    SaidEntry,
    BreachEntry,
    FloodEntry,
    PoolEntry,
    TargetEntry,
    LeaseEntry,
)  # nothing in them quotes anybody
_ENTRY: Final[TypeAdapter[Any]] = TypeAdapter(Entry)
_ENTRIES: Final[TypeAdapter[list[Any]]] = TypeAdapter(list[Entry])
_LINES_AT_ONCE: Final = 2000


# --- reading --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Journal:
    """A whole run as it was recorded; `calls` is sorted by (session, index, attempt)."""

    entries: tuple[Any, ...]
    calls: Calls
    damaged_lines: int = 0  # a line cut short by a crash
    whole_by: str = ""  # who proved that everything the run broke is undone; "" for nobody

    def of(self, kind: type[EntryT]) -> tuple[EntryT, ...]:
        """Give the entries of one type in time order."""
        entries: tuple[EntryT, ...] = self._by_type.get(kind, ())
        return entries

    @cached_property
    def _by_type(self) -> dict[type[Any], tuple[Any, ...]]:
        """Sort the entries once: a long run has a line an effect, and many ask for a few others."""
        found: dict[type[Any], list[Any]] = {}
        for entry in self.entries:
            found.setdefault(type(entry), []).append(entry)
        return {kind: tuple(entries) for kind, entries in found.items()}


def call_id(call: np.void) -> str:
    """Name one attempt the way reports and evidence do, as in `s12.34.1`."""
    return f"s{call['session']}.{call['index']}.{call['attempt']}"


def empty_calls(count: int = 0) -> Calls:
    """Make an array of zeroed call records."""
    return np.zeros(count, dtype=CALL_DTYPE)


def read(folder: Path) -> Journal:
    """Read a run folder, whole or as far as it got.

    Raises:
        JournalError: when there is no journal in it.
    """
    _finish_merge(folder)
    entries: list[Any] = []
    damaged = 0
    for found, _, bad in _all_blocks(folder):
        entries += found
        damaged += bad
    entries.sort(key=attrgetter("at_ns"))  # stable: equal stamps keep their file's order
    return Journal(
        entries=tuple(entries),
        calls=_all_calls(folder),
        damaged_lines=damaged,
        whole_by=_whole_by(folder),
    )


def _all_blocks(folder: Path) -> Iterator[tuple[list[Any], list[bytes], int]]:
    main = folder / JOURNAL
    if not main.exists():
        raise JournalError(f"{folder} holds no {JOURNAL}; name a folder that `squall run` wrote")
    return chain.from_iterable(map(_blocks, (main, *sorted(folder.glob("worker-*.jsonl")))))


def _all_calls(folder: Path) -> Calls:
    files = (folder / CALLS, *sorted(folder.glob("worker-*.npy")))
    parts = [_read_calls(file) for file in files]
    return in_order(np.concatenate(parts) if len(parts) > 1 else parts[0])


def _blocks(file: Path) -> Iterator[tuple[list[Any], list[bytes], int]]:
    """Give a file's entries and the lines they stand on, thousands at a time, and the damaged."""
    with file.open("rb") as stream:
        # Only a line feed ends a line: texts of servers hold other separators, and a crash may cut
        # a character in half.
        while block := list(islice(stream, _LINES_AT_ONCE)):
            lines = [line for line in block if line != b"\n"]
            try:
                entries = _ENTRIES.validate_json(b"[%b]" % b",".join(lines))
            except ValidationError:
                entries = []
            if len(entries) == len(lines):
                yield entries, lines, 0
            else:
                yield _one_by_one(lines)


def _one_by_one(lines: list[bytes]) -> tuple[list[Any], list[bytes], int]:
    entries: list[Any] = []
    whole: list[bytes] = []
    for line in lines:
        try:
            entries.append(_ENTRY.validate_json(line))
        except ValidationError:
            continue
        whole.append(line)
    return entries, whole, len(lines) - len(whole)


def in_order(calls: Calls) -> Calls:
    """Sort records by (session, index, attempt), those of one attempt as they came."""
    if not len(calls):
        return calls
    # One number for all three: a single sort, and none where they are in order already.
    key = calls["session"].astype(np.uint64) << np.uint64(40)
    key |= calls["index"].astype(np.uint64) << np.uint64(8)
    key |= calls["attempt"]
    if (key[1:] >= key[:-1]).all():
        return calls
    return calls[np.argsort(key, kind="stable")]


def _whole_by(folder: Path) -> str:
    try:
        by = wal.read(folder).closed_by
    except OSError:
        return ""
    return "" if by == wal.FORGOTTEN else by


def _read_calls(file: Path) -> Calls:
    if not file.exists() or file.stat().st_size == 0:
        return empty_calls()
    try:
        calls: Calls = np.load(file)
    except (ValueError, EOFError) as error:
        raise JournalError(f"{file} is not a squall call file: {error}") from error
    if calls.dtype != CALL_DTYPE:
        raise JournalError(f"{file} was written by another version of squall")
    return calls


def merge(folder: Path) -> None:
    """Fold the workers' segments into the main files, and remove them once that is on disk.

    A crash at any moment leaves either the segments, or all that finishing the merge needs.
    """
    if not _segments(folder):
        return
    _finish_merge(folder)
    stamped = [
        (entry.at_ns, line if line.endswith(b"\n") else line + b"\n")
        for entries, lines, _ in _all_blocks(folder)
        for entry, line in zip(entries, lines, strict=True)
    ]
    stamped.sort(key=itemgetter(0))
    calls = _all_calls(folder)
    for name, parts in (
        (JOURNAL, (line for _, line in stamped)),
        (CALLS, iter((_header(len(calls)), calls.view(np.uint8).data))),
    ):
        with (folder / f"{name}{_FRESH}").open("wb") as fresh:
            fresh.writelines(parts)
            fresh.flush()
            os.fsync(fresh.fileno())
    (folder / _MERGED).touch()
    _finish_merge(folder)


_FRESH: Final = ".new"
_MERGED: Final = "merged"  # the fresh files are whole, and the segments are in them


def _segments(folder: Path) -> tuple[Path, ...]:
    return (*folder.glob("worker-*.jsonl"), *folder.glob("worker-*.npy"))


def _finish_merge(folder: Path) -> None:
    """Put merged files in their places; nothing where no merge was under way."""
    if not (folder / _MERGED).exists():
        return
    for name in (JOURNAL, CALLS):
        fresh = folder / f"{name}{_FRESH}"
        if fresh.exists():
            fresh.replace(folder / name)
    for segment in _segments(folder):
        segment.unlink()
    (folder / _MERGED).unlink()


# --- writing --------------------------------------------------------------------------------


def _line(entry: Any) -> str:
    return json.dumps(asdict(entry), separators=(",", ":"), ensure_ascii=False) + "\n"


_HEADER_BYTES: Final = 1024


def _header(count: int) -> bytes:
    """Render the .npy header for `count` records, always of the same length.

    Only the count ever changes, so a growing file stays loadable by patching its first bytes.
    """
    description = repr(
        {"descr": np.lib.format.dtype_to_descr(CALL_DTYPE), "fortran_order": False, "shape": ()}
    ).replace("'shape': ()", f"'shape': ({count},)")
    text = description.encode("latin1")
    preamble = np.lib.format.magic(1, 0) + (_HEADER_BYTES - 10).to_bytes(2, "little")
    return preamble + text.ljust(_HEADER_BYTES - 10 - 1) + b"\n"


@dataclass(eq=False)
class JournalWriter:
    """Appends to one segment of a run folder; the run's own files when `worker` is 0.

    Used as a context manager: leaving it flushes and closes both files. No credential passes: what
    looks like one is hidden, and so is what `secrets_of` gives for an entry's session.

    With `on_failure`, a full disk is told to it once, and what comes later is dropped: whoever
    writes has more urgent things to do than to write, such as healing.
    """

    folder: Path
    worker: int = 0
    calls_written: int = 0
    secrets_of: Callable[[int], Iterable[str]] | None = None
    on_entry: Callable[[Any], None] | None = None  # hears of each, besides
    on_failure: Callable[[OSError], None] | None = None
    failure: OSError | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _lines: io.TextIOWrapper | None = None
    _records: io.BufferedRandom | None = None

    def __enter__(self) -> Self:
        stem = f"worker-{self.worker}" if self.worker else ""
        lines = self.folder / (f"{stem}.jsonl" if stem else JOURNAL)
        records = self.folder / (f"{stem}.npy" if stem else CALLS)
        # What is no character, as in a file name of the system's, must not end a run.
        self._lines = lines.open("a", encoding="utf-8", errors="replace")
        self._records = records.open("w+b")
        self._records.write(_header(0))
        self._records.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        assert self._lines is not None
        assert self._records is not None
        for file in (self._lines, self._records):
            try:
                file.close()  # what could not be written before is tried once more
            except OSError as error:
                self._fail(error)

    @property
    def buffer(self) -> bytearray:
        """Where the hot path packs finished calls with `CALL_STRUCT`; drained by `flush`."""
        return self._buffer

    def append(self, entry: Any, *, sync: bool = False) -> None:
        """Write one entry; with `sync` it is on disk when this returns."""
        assert self._lines is not None
        if self.on_entry is not None:
            self.on_entry(entry)
        if self.failure is not None:
            return
        line = _line(entry)
        if not isinstance(entry, _WORDLESS):
            session = getattr(entry, "session", NEVER_NS)
            line = redact(line, self.secrets_of(session) if self.secrets_of else ())
        try:
            self._lines.write(line)
            if sync:
                self._lines.flush()
                os.fsync(self._lines.fileno())
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        """Hand everything to the system; called about once a second and at the end."""
        if self.failure is not None:
            self._buffer.clear()
            return
        try:
            self._flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.on_failure is None:
            raise error
        if self.failure is None:
            self.failure = error
            self.on_failure(error)

    def _flush(self) -> None:
        assert self._lines is not None
        assert self._records is not None
        self._lines.flush()
        if self._buffer:
            # Not at the end of the file: a full disk may have left part of a record there.
            self._records.seek(_HEADER_BYTES + self.calls_written * CALL_STRUCT.size)
            self._records.write(self._buffer)
            self.calls_written += len(self._buffer) // CALL_STRUCT.size
            self._buffer.clear()
            self._records.seek(0)
            self._records.write(_header(self.calls_written))
            self._records.flush()


def append_all(writer: JournalWriter, entries: Iterable[Any]) -> None:
    """Write several entries."""
    for entry in entries:
        writer.append(entry)
