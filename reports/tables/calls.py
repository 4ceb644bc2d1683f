"""The table of calls: a row for each attempt, as the journal holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.phases import DROPPED
from harness.journal import BEHAVIOURS
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from reports.tables.table import (
    Cells,
    Column,
    Run,
    Table,
    moments,
    named,
    plain,
    spans,
    worded,
)


def _of(name: str) -> Callable[[Run], NDArray[Any]]:
    return lambda run: np.asarray(run.evidence.calls[name])


def _as_is(name: str, meaning: str) -> Column:
    return Column(name=name, meaning=meaning, cells=lambda run: plain(_of(name)(run)))


def _yes_no(name: str, meaning: str) -> Column:
    return Column(name=name, meaning=meaning, cells=lambda run: plain(_of(name)(run) == 1))


def _at(name: str, meaning: str) -> Column:
    return Column(
        name=f"{name}_s", meaning=meaning, cells=lambda run: moments(_of(f"{name}_ns")(run))
    )


def _took(name: str, since: str, meaning: str) -> Column:
    return Column(
        name=name,
        meaning=meaning,
        cells=lambda run: spans(_of(since)(run), _of("done_ns")(run)),
    )


def _phases(run: Run) -> Cells:
    evidence = run.evidence
    codes = (DROPPED, *evidence.codes)
    names = [evidence.phase_name(code) for code in codes]
    return worded(evidence.attempt_phase - DROPPED, names)


def _faults(run: Run) -> Cells:
    ids = [window.id for window in run.evidence.phases.windows]
    return worded(run.evidence.in_force, ["", *ids])


def _rows(run: Run) -> Cells:
    found = _of("rows")(run)
    return Cells(values=found, missing=np.asarray(found < 0))


def _status(run: Run) -> Cells:
    status = _of("status")(run)
    return Cells(values=status, missing=np.asarray(status == 0))


TABLE: Final = Table(
    name="calls",
    row="one attempt at a call; the attempt that settled a call has `last`",
    columns=(
        _as_is("session", "the session's number"),
        _as_is("index", "which call of the session it is; with `session` it names the call"),
        _as_is("attempt", "1, 2, …; 0 is a misbehaviour on purpose before the real call"),
        _yes_no("last", "whether this attempt settled the call"),
        Column(
            name="arm",
            meaning="control or treated",
            cells=lambda run: worded(_of("treated")(run), ["control", "treated"]),
        ),
        Column(
            name="call",
            meaning="the tool, or the method",
            cells=lambda run: worded(_of("call")(run), run.evidence.plan.calls),
        ),
        Column(
            name="phase",
            meaning="warm-up, baseline, a fault's id or its recovery; by when it was due",
            cells=_phases,
        ),
        Column(name="fault", meaning="the fault it stood under; empty for none", cells=_faults),
        _at("due", "when it was due, in seconds since the run began"),
        _at("sent", "when it left; missing if it never did"),
        _at("first", "when the first byte of the reply came; missing if none did"),
        _at("done", "when it ended; missing if nobody saw that"),
        _took("from_due_ms", "due_ns", "from due to done, in milliseconds"),
        _took("from_sent_ms", "sent_ns", "from sent to done, in milliseconds"),
        Column(
            name="outcome",
            meaning="ok, tool_error, timeout, …",
            cells=lambda run: named(_of("outcome")(run), Outcome),
        ),
        Column(
            name="reason",
            meaning="the finer cause; none where the outcome says it all",
            cells=lambda run: named(_of("reason")(run), Reason),
        ),
        Column(name="status", meaning="of HTTP; missing for none", cells=_status),
        Column(
            name="effect",
            meaning="none, happened, absent or unknown",
            cells=lambda run: named(_of("effect")(run), Effect),
        ),
        Column(
            name="auth",
            meaning="the credential it showed: valid, expired, …",
            cells=lambda run: named(_of("auth")(run), Auth),
        ),
        Column(
            name="ended_by",
            meaning="what ended the wait: reply, deadline, …",
            cells=lambda run: named(_of("ended_by")(run), EndedBy),
        ),
        _as_is("request_bytes", "size of the request"),
        _as_is("reply_bytes", "size of the reply"),
        Column(name="rows", meaning="in the result; missing where none can be told", cells=_rows),
        Column(
            name="behaviour",
            meaning="what the client did wrong on purpose; empty for nothing",
            cells=lambda run: worded(_of("behaviour")(run), BEHAVIOURS),
        ),
        _as_is("window", "number of the fault that asked for that; 0 for none"),
        _yes_no("resumed", "whether its stream was resumed"),
        _as_is("worker", "which process made it; 0 is the only one, or the master"),
    ),
)
