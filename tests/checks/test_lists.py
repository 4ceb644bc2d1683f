"""Is a list that changed behind agents' backs told from one that changed as it may?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from faults.agent_sessions import ListDrift
from faults.fault import Fault
from faults.network import TcpDown
from harness.checks import lists
from harness.evidence.phases import Evidence
from harness.journal import ListEntry
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import S

NAMES = ("search", "fetch", "publish")
USUAL = ListEntry(
    at_ns=2 * S, session=0, index=0, treated=False, era="legacy", digest="a", content="a",
    count=3, names=NAMES,
)  # fmt: skip
# The third list of session 1, which was due about 5 s into the run: a tool more than before.
GROWN = replace(
    USUAL, at_ns=5 * S, session=1, index=8, digest="b", content="b", names=(*NAMES, "bulletin"),
    count=4, was="a", was_content="a", was_ns=4 * S, hears=True, declares=True,
)  # fmt: skip
TURNED = replace(GROWN, digest="c", content="a", names=NAMES[::-1], count=3)


def judged(*entries: Any, faults: Iterable[Fault] = (), **options: Any) -> Finding:
    """Judge a run in which sessions list and search, and were given these lists."""
    return cases.one(lists.stale_list(listing(*entries, faults=faults, **options)))


def listing(*entries: Any, faults: Iterable[Fault] = (), **options: Any) -> Evidence:
    """Make such a run."""
    steps = (cases.LIST, cases.ROWS)
    return cases.run(*faults, steps=steps, extra=entries, **options)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_list_in_another_order_is_stale_in_either_era(era: str) -> None:
    """Word of it, or a TTL, would not excuse that: nothing has changed but the order."""
    turned = replace(TURNED, era=era, ttl_ms=0, told_ns=4 * S)
    finding = judged(USUAL, turned, era=era)
    assert (finding.verdict, finding.ruling, finding.fault) == ("stale-list", "fail", "")
    assert finding.evidence == ("s1.8.1",)
    assert "1 in another order" in finding.why


def test_the_order_of_what_is_still_there_counts_beside_a_change() -> None:
    """A tool came, which was told of; the others changed places, which nothing explains."""
    mixed = replace(GROWN, names=("fetch", "search", "bulletin", "publish"), told_ns=5 * S)
    assert judged(USUAL, mixed).ruling == "fail"


def test_two_sessions_that_are_given_different_orders_show_it_too() -> None:
    """The second has listed once only."""
    other = replace(TURNED, was="", was_content="", was_ns=-1)
    assert judged(USUAL, other).ruling == "fail"


@pytest.mark.parametrize(
    "grown",
    [
        GROWN,
        replace(GROWN, hears=False, declares=False),
        replace(GROWN, era="modern", ttl_ms=60_000),
        replace(GROWN, told_ns=1 * S),
    ],
    ids=["heard nothing", "never tells", "promised a minute", "told long before"],
)
def test_a_list_that_changed_with_nobody_told_is_stale(grown: ListEntry) -> None:
    """By the call that brought it, and the tool that is new."""
    finding = judged(USUAL, grown)
    assert finding.ruling == "fail"
    assert "bulletin" in finding.why
    assert finding.evidence == ("s1.8.1",)


@pytest.mark.parametrize(
    "grown",
    [
        replace(GROWN, told_ns=round(4.5 * S)),
        replace(GROWN, told_ns=round(5.4 * S)),
        replace(GROWN, era="modern", ttl_ms=0),
        replace(GROWN, era="modern", ttl_ms=1000),
        replace(GROWN, hears=False),
        replace(GROWN, hears=False, declares=None),
        replace(GROWN, was="", was_content="", was_ns=-1),
    ],
    ids=["told", "told late", "no ttl", "ttl over", "deaf", "deaf, unsaid", "another session's"],
)
def test_a_list_may_change_for_whoever_was_told_or_may_have_been(grown: ListEntry) -> None:
    """Or whose list had run out, or who had none before."""
    finding = judged(USUAL, grown)
    assert (finding.ruling, finding.evidence) == ("pass", ())


def test_a_legacy_list_does_not_run_out() -> None:
    """`ttlMs` is no word of that era."""
    assert judged(USUAL, replace(GROWN, ttl_ms=0)).ruling == "fail"


def test_lists_that_are_equal_are_right() -> None:
    """Nothing but the first was ever written down."""
    finding = judged(USUAL)
    assert finding.ruling == "pass"
    assert finding.why.startswith("none of ")


def test_a_change_under_list_drift_is_blamed_on_it() -> None:
    """Whichever arm's session was given it: it strikes both."""
    grown = replace(GROWN, at_ns=14 * S, index=50, was_ns=13 * S)
    finding = judged(USUAL, grown, faults=[ListDrift()])
    assert (finding.ruling, finding.fault) == ("fail", "1:list-drift")


def test_word_that_the_network_may_have_lost_is_not_missed() -> None:
    """On the arm whose streams it has cut."""
    grown = replace(GROWN, at_ns=14 * S, index=50, was_ns=13 * S, treated=True)
    assert judged(USUAL, grown, faults=[TcpDown()]).ruling == "pass"


def test_lists_that_nobody_looked_at_leave_the_question_open() -> None:
    """And where none was asked for there is no question."""
    assert judged().ruling == "unknown"
    assert lists.stale_list(cases.run()) == ()
