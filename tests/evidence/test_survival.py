"""Sessions that lived through a fault, and what it cost them."""

from __future__ import annotations

import numpy as np
import pytest

from faults.network import TcpLatency
from harness.evidence import survival
from harness.evidence.phases import Evidence, evidence
from harness.journal import SessionEntry
from tests import journals
from tests.journals import S


def _lives(*edges: SessionEntry, quiet: tuple[int, ...] = ()) -> Evidence:
    """Make a healthy run, add edges, and let some sessions fail all their calls after the fault."""
    of = journals.scenario(journals.window(TcpLatency()))
    by = journals.plan(of)

    def silence(made: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        dead = np.isin(made["session"], quiet) & (made["due_ns"] >= by.windows[0].start_ns)
        journals.unsend(made, dead)

    return evidence(of, by, journals.healthy(of, by, spoil=silence, extra=edges))


@pytest.mark.parametrize(
    ("edges", "credit"),
    [
        ((), 1.0),
        ((("lost", 15.0), ("reopened", 15.5)), 0.5),
        ((("lost", 15.0),), 0.0),
        ((("lost", 15.0), ("failed", 16.0)), 0.0),
    ],
)
def test_a_session_is_kept_reopened_or_dead(
    edges: tuple[tuple[str, float], ...], credit: float
) -> None:
    """Its last edge in the window and the recovery decides."""
    found = _lives(*journals.session(3, *edges))
    lived = survival.through_window(found, found.phases.windows[0])
    assert lived.alive.all()
    assert lived.credit[3] == credit
    assert np.all(np.delete(lived.credit, 3) == 1.0)
    assert lived.kept(found.session_treated) == (10 if credit == 1.0 else 9)


def test_a_session_that_hangs_is_dead_though_nobody_said_so() -> None:
    """Asked in the recovery and never answered."""
    found = _lives(quiet=(5,))
    lived = survival.through_window(found, found.phases.windows[0])
    assert lived.alive[5]
    assert lived.credit[5] == 0.0


def test_a_session_lost_before_the_fault_is_not_the_fault_s() -> None:
    """Only those alive at its start are followed."""
    found = _lives(*journals.session(5, ("lost", 6.0)))
    lived = survival.through_window(found, found.phases.windows[0])
    assert not lived.alive[5]
    assert survival.through_baseline(found).credit[5] == 0.0


def test_where_no_session_is_ever_opened_calls_tell_who_lives() -> None:
    """Without edges an answered call before shows life, and one after shows survival."""
    found = _lives(quiet=(5,))
    entries = tuple(e for e in found.journal.entries if not isinstance(e, SessionEntry))
    bare = evidence(found.scenario, found.plan, journals.journal(entries, found.calls))
    lived = survival.through_window(bare, bare.phases.windows[0])
    assert lived.alive.all()
    assert lived.credit[5] == 0.0
    assert lived.credit.sum() == 19.0
    assert bare.run_end_ns >= 32 * S
