"""Requests at a dependency are laid beside the calls whose nonces they carry."""

from __future__ import annotations

import numpy as np

from harness.evidence.downstream import lay
from harness.journal import DependencyEntry
from harness.scenario.marks import Marks

MARKS = Marks.of(7)
SESSION, INDEX = np.array([3, 3], dtype=np.uint32), np.array([0, 1], dtype=np.uint32)


def entry(
    key: str, *, status: int = 200, answered: bool = True, fault: str = ""
) -> DependencyEntry:
    """Make one request."""
    return DependencyEntry(
        at_ns=5,
        took_ns=2,
        operation="rows",
        key=key,
        status=status,
        answered=answered,
        fault=fault,
    )


def test_a_request_belongs_to_the_call_whose_nonce_it_carries() -> None:
    """Strangers and requests without a key belong to none."""
    keys = [MARKS.nonce(3, 1), f"note {MARKS.nonce(3, 0)}!", "", Marks.of(8).nonce(3, 0)]
    made = lay([entry(key) for key in keys], marks=MARKS, session=SESSION, index=INDEX)
    assert made.call.tolist() == [1, 0, -1, -1]
    assert made.of(1).tolist() == [0]
    assert made.done_ns.tolist() == [7] * 4


def test_only_a_whole_answer_that_is_no_refusal_is_good() -> None:
    """Cut short, refused and never begun are not."""
    entries = [
        entry("a"),
        entry("b", status=429),
        entry("c", answered=False),
        entry("d", status=0, answered=False),
        entry("e", fault="slow+partial"),
    ]
    made = lay(entries, marks=MARKS, session=SESSION, index=INDEX)
    assert made.good.tolist() == [True, False, False, False, True]
    assert made.withheld.tolist() == [False] * 4 + [True]
    assert [made.line(at).partition(": ")[2] for at in range(4)] == [
        "200 after 0 ms",
        "429 after 0 ms",
        "200, cut short after 0 ms",
        "no answer after 0 ms",
    ]


def test_a_run_without_a_dependency_has_no_requests() -> None:
    """Nothing to lay is no error."""
    made = lay([], marks=MARKS, session=SESSION, index=INDEX)
    assert len(made) == 0
    assert made.of(0).tolist() == []
