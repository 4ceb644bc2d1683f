"""Calls that need nothing of a dependency do not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from faults.dependency import DepPool
from harness.checks import starving
from harness.evidence.phases import Evidence
from harness.journal import Calls, DependencyEntry, Journal
from harness.outcome import Outcome, Reason
from tests.checks import cases, ledgers
from tests.journals import MS, end, took

FREE = {"call": "recall", "with": {"key": "k", "session": "${session}"}}
STEPS = ({"call": "search", "with": {"query": "${nonce}"}}, FREE)


def held(took_ms: float, count: int = 1000, *, fail: bool = False) -> Callable[[Calls], None]:
    """Let calls of the tool that needs no dependency take so long under the fault."""

    def spoil(made: Calls) -> None:
        chosen = cases.kind(made, 1, (12.1, 22.1), treated=None).nonzero()[0][:count]
        took(made, chosen, took_ms)
        if fail:
            end(made, chosen, Outcome.TOOL_ERROR, Reason.TOOL_ERROR, status=200)

    return spoil


def run(spoil: Callable[[Calls], None] | None) -> Evidence:
    """Make a run with a slow dependency, which only searches ask."""
    return cases.run(DepPool(), steps=STEPS, spoil=spoil, ledger=ledgers.asked())


@pytest.mark.parametrize("spoil", [held(2500.0), held(20.0, fail=True)], ids=["late", "failed"])
def test_a_tool_that_waits_for_a_dependency_it_does_not_need_is_blocked(
    spoil: Callable[[Calls], None],
) -> None:
    """Most of its calls are late, or fail along."""
    of = run(spoil)
    found = cases.one(starving.starving(of))
    assert (found.verdict, found.ruling, found.tool) == ("hol-block", "fail", "recall")
    assert found.fault == "1:dep-pool"
    assert len(found.evidence) == 10
    assert cases.failed(of) == {("hol-block", "1:dep-pool")}


@pytest.mark.parametrize(
    "spoil", [None, held(800.0), held(2500.0, 10)], ids=["quick", "slower", "a-few"]
)
def test_a_tool_that_is_hardly_slower_is_not_blocked(
    spoil: Callable[[Calls], None] | None,
) -> None:
    """A busy machine makes calls slower; a second more for most of them is another thing."""
    of = run(spoil)
    assert cases.one(starving.starving(of)).ruling == "pass"
    assert cases.failed(of) == set()


def test_a_tool_that_fails_by_itself_is_not_judged() -> None:
    """Where it never worked, no dependency is to blame."""

    def broken(made: Calls) -> None:
        chosen = cases.kind(made, 1, (0.0, 40.0), treated=None)
        end(made, chosen, Outcome.TOOL_ERROR, Reason.TOOL_ERROR, status=200)

    assert starving.starving(run(broken)) == ()


def test_it_is_unknown_where_such_a_tool_was_not_called_meanwhile() -> None:
    """And no question where there is no ledger to know such tools by."""

    def silent(made: Calls) -> None:
        end(made, cases.kind(made, 1, (12.0, 23.0), treated=None), Outcome.UNSENT)
        made["sent_ns"][made["outcome"] == Outcome.UNSENT] = -1

    assert cases.one(starving.starving(run(silent))).ruling == "unknown"
    assert starving.starving(cases.run(DepPool(), steps=STEPS)) == ()


def test_a_tool_whose_requests_do_not_say_whose_they_are_is_not_judged() -> None:
    """A request without a name came during each of its calls: it may well ask."""

    def nameless(made: Journal) -> Journal:
        whole: Journal = ledgers.asked()(made)
        mine = made.calls[made.calls["call"] == 1]
        extra = [
            DependencyEntry(
                at_ns=int(row["sent_ns"]) + MS, operation="row", status=200, answered=True
            )
            for row in mine
        ]
        entries = sorted([*whole.entries, *extra], key=lambda entry: entry.at_ns)
        return replace(whole, entries=tuple(entries))

    of = cases.run(DepPool(), steps=STEPS, spoil=held(2500.0), ledger=nameless)
    assert starving.starving(of) == ()
