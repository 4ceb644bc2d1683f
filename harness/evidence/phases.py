"""A journal beside its plan, cut into the phases as they really were: what every opinion reads.

The numpy views are made once and shared. "Settled" names the last attempts: one row a logical
call. A call belongs to the phase in which it was due; one that was due before a fault and still in
flight when the fault came belongs to the fault, which could touch it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.fault import Fault, Struck
from harness.evidence.attempts import UNFIT, Attempts, ready_again_ns, tried_until_ns
from harness.journal import NEVER_NS, Calls, FaultEntry, Journal, RunEntry
from harness.outcome import Outcome, Reason
from harness.plan import Plan, PlannedWindow
from harness.scenario.records import Scenario
from harness.scenario.transports import is_piped
from harness.wal import BY_THE_RUN

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Times = NDArray[np.int64]
Codes = NDArray[np.int16]

DROPPED: Final = -1
BASELINE: Final = 0
UNAUTHORIZED: Final = 401
# A connection that breaks leaves no stamp on its call; by then the call had waited so long at most.
_UNSTAMPED_NS: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of the run, in nanoseconds since it began; the end is outside."""

    start_ns: int
    end_ns: int

    @property
    def length_s(self) -> float:
        """Seconds from start to end; never negative."""
        return max(0, self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, kw_only=True)
class WindowSpan:
    """One fault window as it really was; planned times stand in where an edge never came."""

    window: int  # 1, 2, ...
    id: str  # "1:tcp-latency"
    fault: Fault
    start_ns: int  # the injected edge
    end_ns: int  # the healing edge
    healed_ns: int  # recovery is counted from here
    recovery_end_ns: int
    injected: bool
    healed: bool  # proven undone, or never begun
    error: str = ""
    exposure_count: int = 0
    exposure_unit: str = ""
    exposure_source: str = ""
    piped: bool = False  # each arm, or each session, has server processes of its own

    @property
    def arm(self) -> Struck:
        """Which sessions it struck, as verdicts name it."""
        alone = self.piped and self.fault.lever == "process"
        return "treated" if alone else self.fault.strikes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Meetings:
    """For each attempt, the first injected window that it overlapped, and one past the last."""

    start: Codes
    end: Codes


@dataclass(frozen=True, kw_only=True)
class Phases:
    """The run's phases; `end_ns` is where the run really ended, or its plan's end if earlier."""

    baseline: Span
    windows: tuple[WindowSpan, ...]
    end_ns: int


def fault_code(window: int) -> int:
    """Give the phase code of a fault window."""
    return 2 * window - 1


def recovery_code(window: int) -> int:
    """Give the phase code of the recovery after a fault window."""
    return 2 * window


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence(Attempts):
    """All that a judge may look at. Masks and columns are aligned with `settled`, unless said."""

    phases: Phases
    run_end_ns: int  # the last thing that happened
    witnessed: Evidence | None = None  # what the official client's sessions saw

    @cached_property
    def phase(self) -> Codes:
        """The phase code of each settled call."""
        return self.phase_of(self.settled)

    @cached_property
    def attempt_phase(self) -> Codes:
        """The phase code of each attempt in `calls`."""
        return self.phase_of(self.calls)

    def phase_of(self, calls: Calls) -> Codes:
        """Give phase codes: -1 dropped, 0 baseline, 2k-1 window k, 2k the recovery after it."""
        edges_ns, codes = self._edges
        due_ns = calls["due_ns"]
        phase = codes[np.searchsorted(edges_ns, due_ns, side="right")]
        struck = [window for window in self.phases.windows if window.injected]
        if struck:
            # A call in flight when the next fault came was exposed to it.
            starts_ns = np.array([*(window.start_ns for window in struck), 2**62])
            into = np.array([*(fault_code(window.window) for window in struck), 0], dtype=np.int16)
            following = np.searchsorted(starts_ns, due_ns, side="right")
            ended_ns = tried_until_ns(calls, self._ended_ns(calls))
            exposed = (phase != DROPPED) & (ended_ns > starts_ns[following])
            phase = np.where(exposed, into[following], phase)
        return phase.astype(np.int16, copy=False)

    def _ended_ns(self, calls: Calls) -> NDArray[np.int64]:
        """Give when each call ended; without a reply's stamp, how long it may have been waiting."""
        waited = np.isin(calls["outcome"], (Outcome.TIMEOUT, Outcome.HANG))
        wait_ns = np.where(waited, int(self.scenario.client.deadline_s * 1e9), _UNSTAMPED_NS)
        return np.where(calls["done_ns"] >= 0, calls["done_ns"], calls["sent_ns"] + wait_ns)

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int64], Codes]:
        """Cut the run at every edge; codes[i] is the phase from edge i-1 on."""
        phases = self.phases
        spans = [(phases.baseline.start_ns, phases.baseline.end_ns, BASELINE)]
        # Faults come last, so that an overlapping recovery never hides a fault.
        spans += [(w.healed_ns, w.recovery_end_ns, recovery_code(w.window)) for w in phases.windows]
        spans += [(w.start_ns, w.healed_ns, fault_code(w.window)) for w in phases.windows]
        edges = sorted({edge for start, end, _ in spans for edge in (start, end)})
        codes = [DROPPED]
        for edge in edges:
            inside = [code for start, end, code in spans if start <= edge < end]
            codes.append(inside[-1] if inside else DROPPED)
        return np.array(edges, dtype=np.int64), np.array(codes, dtype=np.int16)

    def phase_name(self, code: int) -> str:
        """Name a phase as reports do: `baseline`, `1:tcp-latency`, `1:recovery`."""
        if code <= BASELINE:
            return "baseline" if code == BASELINE else "warm-up"
        window = (code + 1) // 2
        return f"{window}:recovery" if code % 2 == 0 else self.window(window).id

    @property
    def codes(self) -> tuple[int, ...]:
        """Every phase code of this run, in the order of time."""
        return (
            BASELINE,
            *(c for w in self.phases.windows for c in (2 * w.window - 1, 2 * w.window)),
        )

    def window(self, number: int) -> WindowSpan:
        """Give a window by its number."""
        return next(window for window in self.phases.windows if window.window == number)

    # --- what others have found out: each looks through all calls ---------------------------

    @cached_property
    def held_ns(self) -> dict[int, NDArray[np.int64]]:
        """What `recovery.held_until_ns` has given, by window number."""
        return {}

    @cached_property
    def recoveries(self) -> dict[int, tuple[float | None, str]]:
        """What `recovery.recovery_s` and `recovery.doubt` have given, by window number."""
        return {}

    @cached_property
    def charged(self) -> dict[str, Mask]:
        """What `checks.claims` has given, by the name of the claim."""
        return {}

    # --- masks over the attempts ------------------------------------------------------------

    @cached_property
    def injected(self) -> tuple[WindowSpan, ...]:
        """The windows whose fault was in force."""
        return tuple(window for window in self.phases.windows if window.injected)

    @cached_property
    def met(self) -> Meetings | None:
        """Which of the injected windows each attempt overlapped; None where they have no order."""
        starts_ns = np.array([window.start_ns for window in self.injected], dtype=np.int64)
        healed_ns = np.array([window.healed_ns for window in self.injected], dtype=np.int64)
        if (np.diff(starts_ns) < 0).any() or (np.diff(healed_ns) < 0).any():
            return None
        start = np.searchsorted(healed_ns, self.began_ns, side="right").astype(np.int16)
        end = np.searchsorted(starts_ns, self.ended_ns, side="right").astype(np.int16)
        return Meetings(start=start, end=np.maximum(start, end))

    @cached_property
    def in_force(self) -> Codes:
        """The window that each attempt stood under; 0 for none.

        A misbehaviour names its window itself; otherwise it is the latest one that the attempt
        overlapped on an arm which it struck.
        """
        calls, met = self.calls, self.met
        asked = calls["window"].astype(np.int16)
        under = np.zeros(len(calls), dtype=np.int16)
        treated = self.attempted & (calls["treated"] == 1)
        if met is None or any(window.arm == "both" for window in self.injected):
            for window in self.injected:
                mine = treated if window.arm == "treated" else self.attempted
                mine = mine & (self.began_ns < window.healed_ns)
                under[mine & (self.ended_ns >= window.start_ns)] = window.window
        else:
            numbers = np.array([0, *(window.window for window in self.injected)], dtype=np.int16)
            under = np.where(treated & (met.end > met.start), numbers[met.end], under)
        return np.where(asked > 0, asked, under)

    # --- masks over the settled calls -------------------------------------------------------

    @cached_property
    def treated(self) -> Mask:
        """Calls of the sessions that the faults strike."""
        return np.asarray(self.settled["treated"] == 1)

    @cached_property
    def control(self) -> Mask:
        """Calls of the untouched sessions."""
        return ~self.treated

    def struck_by(self, window: WindowSpan) -> Mask:
        """Calls of the sessions that a window's fault strikes."""
        if window.arm == "treated":
            return self.treated
        return np.ones(len(self.settled), dtype=np.bool_)

    @cached_property
    def ok(self) -> Mask:
        """Calls that were answered, and truly."""
        return np.asarray(self.settled["outcome"] == Outcome.OK)

    @cached_property
    def rightly_refused(self) -> Mask:
        """Calls that presented a credential no server should accept, and got the 401 due."""
        unfit = np.isin(self.settled["auth"], UNFIT)
        return np.asarray(unfit & (self.settled["status"] == UNAUTHORIZED))

    @cached_property
    def excused(self) -> Mask:
        """Calls whose end says nothing about the server: the client itself left or looked away."""
        return np.asarray(
            (self.settled["outcome"] == Outcome.ABANDONED)
            | np.isin(self.settled["reason"], (Reason.REPLY_LOST, Reason.VANISHED))
        )

    @cached_property
    def counted(self) -> Mask:
        """Calls of a phase that a server answers for: neither dropped, excused nor refused."""
        return np.asarray((self.phase != DROPPED) & ~self.excused & ~self.rightly_refused)

    @cached_property
    def has_prelude(self) -> Mask:
        """Calls that a misbehaving attempt preceded."""
        return self._settling(self.calls["attempt"] == 0)

    @cached_property
    def self_delayed(self) -> Mask:
        """Calls whose time from due is partly our own doing: some attempt misbehaved on purpose."""
        return self._settling((self.calls["attempt"] == 0) | (self.calls["behaviour"] > 0))

    @cached_property
    def from_due_ns(self) -> NDArray[np.int64]:
        """How long each settled call took since it was due; a failure no less than its deadline.

        A step that never started took what was left of the run, and no less than its deadline.
        One that a timer of whole milliseconds let go too early is counted from when it left.
        """
        due_ns, sent_ns = self.settled["due_ns"], self.settled["sent_ns"]
        return self._taken_ns(np.where(sent_ns < 0, due_ns, np.minimum(due_ns, sent_ns)))

    @cached_property
    def from_sent_ns(self) -> NDArray[np.int64]:
        """The same since its last attempt was sent; since it was due where it never was."""
        sent_ns = self.settled["sent_ns"]
        return self._taken_ns(np.where(sent_ns < 0, self.settled["due_ns"], sent_ns))

    def _taken_ns(self, began_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        unsent = self.settled["outcome"] == Outcome.UNSENT
        took_ns = np.where(unsent, self.run_end_ns, self.settled["done_ns"]) - began_ns
        return np.where(self.ok, took_ns, np.maximum(took_ns, self.deadline_ns))


def evidence(scenario: Scenario, plan: Plan, journal: Journal) -> Evidence:
    """Lay a journal beside its plan; a run cut short has its phases cut at its end."""
    last_ns = max((entry.at_ns for entry in journal.entries), default=0)
    if len(journal.calls):
        last_ns = max(last_ns, int(journal.calls["done_ns"].max()))
    ended = [entry.at_ns for entry in journal.of(RunEntry) if entry.edge == "ended"]
    run_end_ns = ended[-1] if ended else last_ns
    end_ns = min(plan.end_ns, run_end_ns)
    edges: dict[int, list[FaultEntry]] = {}
    for entry in journal.of(FaultEntry):
        edges.setdefault(entry.window, []).append(entry)
    begun = {
        window: min(entry.at_ns for entry in entries if entry.edge in ("intended", "injected"))
        for window, entries in edges.items()
        if any(entry.edge in ("intended", "injected") for entry in entries)
    }
    first_fault_ns = min((*begun.values(), end_ns))
    calm_ns = min(plan.baseline_start_ns, end_ns)
    until_ns = min(plan.baseline_end_ns, first_fault_ns, end_ns)
    baseline = Span(start_ns=calm_ns, end_ns=max(calm_ns, until_ns))
    windows = tuple(
        _window(planned, scenario.faults[planned.window - 1].fault, edges, begun, end_ns)
        for planned in plan.windows
    )
    # How long a program takes to start says more of the machine than of the server.
    ready_ns = ready_again_ns(journal)
    windows = tuple(
        replace(
            w,
            healed_ns=min(max(w.healed_ns, ready_ns.get(w.window, NEVER_NS)), w.recovery_end_ns),
            piped=is_piped(scenario.target),
        )
        for w in windows
    )
    if journal.whole_by:
        # A death or a full disk may have kept the journal from saying so. What the run itself
        # could not heal in its time stays so, unless somebody else has healed it since.
        late = journal.whole_by != BY_THE_RUN
        told = {e.window for e in journal.of(FaultEntry) if e.edge == "not_healed"}
        windows = tuple(
            replace(window, healed=window.healed or late or window.window not in told)
            for window in windows
        )
    return Evidence(
        scenario=scenario,
        plan=plan,
        journal=journal,
        phases=Phases(baseline=baseline, windows=windows, end_ns=end_ns),
        run_end_ns=max(run_end_ns, end_ns),
    )


def _window(
    planned: PlannedWindow,
    fault: Fault,
    edges: dict[int, list[FaultEntry]],
    begun: dict[int, int],
    end_ns: int,
) -> WindowSpan:
    """Read one window's edges; where one is missing the plan, cut at the run's end, stands in."""
    entries = edges.get(planned.window, [])
    at = {entry.edge: entry.at_ns for entry in entries}
    injected = "injected" in at
    start_ns = at.get("injected", min(planned.start_ns, end_ns))
    heal_ns = at.get("healing", at.get("failed", NEVER_NS) if not injected else NEVER_NS)
    stop_ns = heal_ns if heal_ns >= 0 else max(start_ns, min(planned.end_ns, end_ns))
    stop_ns = max(stop_ns, start_ns)
    healed_ns = max(stop_ns, at.get("healed", stop_ns))
    later = [at_ns for window, at_ns in begun.items() if window != planned.window]
    next_ns = min((at_ns for at_ns in later if at_ns >= healed_ns), default=end_ns)
    watched_ns = planned.recovery_end_ns - planned.end_ns + max(stop_ns, planned.end_ns)
    shown = [entry for entry in entries if entry.exposure_source]
    # Leaving the fault's context undoes what a failed injection had begun.
    known = ("healed", "not_healed") if injected else ("healed", "not_healed", "failed")
    ends = [entry.edge for entry in entries if entry.edge in known]
    return WindowSpan(
        window=planned.window,
        id=f"{planned.window}:{fault.kind}",
        fault=fault,
        start_ns=start_ns,
        end_ns=stop_ns,
        healed_ns=healed_ns,
        recovery_end_ns=max(healed_ns, min(watched_ns, next_ns, end_ns)),
        injected=injected,
        healed=ends[-1] != "not_healed" if ends else not entries,
        error="; ".join(entry.error for entry in entries if entry.error),
        exposure_count=shown[-1].exposure_count if shown else 0,
        exposure_unit=shown[-1].exposure_unit if shown else "",
        exposure_source=shown[-1].exposure_source if shown else "",
    )
