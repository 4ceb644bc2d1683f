"""A game day as it was played: from its journal, the windows that its people had chosen by hand.

A game day's faults and its end are not known before it. Once it is over they are, and from here on
it is a run like any other: the same opinions, the same verdict, the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from faults.catalogue import CATALOGUE
from harness.errors import JournalError
from harness.journal import (
    AuditEntry,
    DeedEntry,
    FaultEntry,
    HaltEntry,
    Journal,
    LeaseEntry,
    OrderEntry,
    RemarkEntry,
    RunEntry,
)
from harness.plan import NS_PER_S, Plan, PlannedWindow
from harness.plan import make as make_plan
from harness.scenario.records import Scenario
from harness.scenario.window import Window

GAME_DAY: Final = "game_day"  # the fact that a run was one, and how long it might have lasted


@dataclass(frozen=True, kw_only=True)
class Course:
    """What of a game day is known before it: how long it may last."""

    longest_s: float


_ADAPTER: Final[TypeAdapter[Course]] = TypeAdapter(Course)


def restore(data: object) -> Course:
    """Read what the facts of a run say of its game day.

    Raises:
        JournalError: when they say nothing that this squall understands.
    """
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise JournalError(
            f"the game day was held with another version of squall: {error}"
        ) from error


def plan_for(scenario: Scenario, course: Course) -> Plan:
    """Plan steady load for as long as the day may last; no fault has a time of its own."""
    made = make_plan(scenario.model_copy(update={"faults": ()}))
    return ending_at(made, max(round(course.longest_s * NS_PER_S), made.baseline_end_ns))


def ending_at(plan: Plan, end_ns: int) -> Plan:
    """Give the same plan with another end: no step is due at or after it."""
    return replace(
        plan,
        end_ns=end_ns,
        sessions=tuple(replace(each, end_ns=end_ns) for each in plan.sessions),
        witnesses=tuple(replace(each, end_ns=end_ns) for each in plan.witnesses),
    )


def settle(scenario: Scenario, course: Course, journal: Journal) -> tuple[Scenario, Plan]:
    """Give scenario and plan as if somebody had known beforehand what was done.

    Raises:
        JournalError: when a fault was ordered that this squall does not know.
    """
    plan = plan_for(scenario, course)
    ended = [entry.at_ns for entry in journal.of(RunEntry) if entry.edge == "ended"]
    if ended:
        plan = ending_at(plan, min(plan.end_ns, ended[-1]))
    last_ns = plan.end_ns if ended else max((entry.at_ns for entry in journal.entries), default=0)
    orders = orders_of(journal)
    recovery_ns = round(scenario.phases.recovery_s * NS_PER_S)
    windows, planned = [], []
    for number, order in enumerate(orders, start=1):
        start_ns, end_ns = _bounds(order, journal, last_ns)
        windows.append(_window(order, (end_ns - start_ns) / NS_PER_S))
        planned.append(
            PlannedWindow(
                window=number,
                start_ns=start_ns,
                end_ns=end_ns,
                recovery_end_ns=end_ns + recovery_ns,
            )
        )
    played = scenario.model_copy(update={"faults": tuple(windows)})
    return played, replace(plan, windows=tuple(planned))


def orders_of(journal: Journal) -> tuple[OrderEntry, ...]:
    """Give what was ordered, window by window.

    Raises:
        JournalError: when one is missing in between: the record was tampered with, or damaged.
    """
    orders = tuple(sorted(journal.of(OrderEntry), key=lambda order: order.window))
    if [order.window for order in orders] != list(range(1, len(orders) + 1)):
        raise JournalError("the journal lacks a fault that was ordered; it was damaged")
    return orders


def _bounds(order: OrderEntry, journal: Journal, last_ns: int) -> tuple[int, int]:
    """Give when a window began and ended, as far as that was written down."""
    edges = [entry for entry in journal.of(FaultEntry) if entry.window == order.window]
    begun = [entry.at_ns for entry in edges if entry.edge in {"intended", "injected"}]
    over = [entry.at_ns for entry in edges if entry.edge in {"healing", "failed"}]
    start_ns = begun[-1] if begun else order.at_ns
    return start_ns, max(start_ns, min([*over, max(start_ns, last_ns)]))


def _window(order: OrderEntry, length_s: float) -> Window:
    try:
        fault = CATALOGUE[order.kind].model_validate(order.parameters)
    except (KeyError, ValidationError) as error:
        raise JournalError(
            f"window {order.window}, {order.kind}, was ordered with another version of squall"
        ) from error
    return Window.model_validate({"fault": fault, "for": f"{length_s:.9f}s"})


# --- who did what ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One line of the day's timeline."""

    at_ns: int
    who: str  # "" for squall itself
    words: str
    window: int = 0  # which fault it is about; 0 for none


def happenings(journal: Journal) -> tuple[Happening, ...]:
    """Give everything that was done or happened on the day, in the order of time."""
    found = [said for entry in journal.entries if (said := _happening(entry)) is not None]
    return tuple(sorted(found, key=lambda one: one.at_ns))


_EDGES: Final = {
    "injected": "in force",
    "healed": "undone",
    "failed": "could not be applied",
    "not_healed": "NOT PROVEN UNDONE",
}
_DEEDS: Final = {
    "came": "opened the page",
    "left": "closed the page",
    "stopped": "stopped the fault",
    "extended": "gave the fault more time",
    "resumed": "let faults be started again after the halt",
    "ended": "ended the game day",
}
_LEASES: Final = {
    "cut": "no operator's page is connected: the lease was cut short",
    "restored": "an operator's page is back: the lease is renewed again",
    "ended": "the fault was ended",
}
_HALTS: Final = {
    "asked": "HALT",
    "proven": "all faults are undone, proven",
    "not_proven": "not everything is proven undone",
}
_AUDITS: Final = {
    "before": "asked before the load",
    "baseline": "asked at the end of the baseline",
    "recovery": "asked at the end of the fault's recovery",
    "after": "asked after the load",
}


def _happening(entry: object) -> Happening | None:  # noqa: PLR0911  a table of returns
    match entry:
        case OrderEntry():
            words = f"ordered {entry.kind} for {entry.for_s:g} s"
            return _told(entry.at_ns, entry.who, words, entry.window)
        case DeedEntry():
            words = "" if entry.words == entry.who else entry.words  # of a page without a name
            return _told(entry.at_ns, entry.who, _with(_DEEDS[entry.deed], words), entry.window)
        case FaultEntry() if entry.edge in _EDGES:
            words = _with(f"{entry.kind}: {_EDGES[entry.edge]}", entry.error)
            return _told(entry.at_ns, "", words, entry.window)
        case LeaseEntry() if entry.edge in _LEASES:
            return _told(entry.at_ns, "", _with(_LEASES[entry.edge], entry.why), entry.window)
        case HaltEntry():
            who = entry.who if entry.edge == "asked" else ""
            return _told(entry.at_ns, who, _with(_HALTS[entry.edge], entry.words), 0)
        case RemarkEntry():
            return _told(entry.at_ns, entry.who, f"{entry.kind}: {entry.text}", entry.window)
        case AuditEntry():
            told = f"the target counts {entry.count:,} effects" if entry.count is not None else ""
            words = told or f"the target gives no count of effects: {entry.why}"
            return _told(entry.at_ns, "", f"{words}; {_AUDITS[entry.edge]}", entry.window)
        case RunEntry():
            words = "the storm began" if entry.edge == "started" else f"the storm {entry.how}"
            return _told(entry.at_ns, "", _with(words, entry.why), 0)
    return None


def _told(at_ns: int, who: str, words: str, window: int) -> Happening:
    return Happening(at_ns=at_ns, who=who, words=words, window=window)


def _with(words: str, more: str) -> str:
    return f"{words}: {more}" if more else words
