from __future__ import annotations

from typing import Any, Literal, get_args, get_type_hints

import pytest

from harness.gameday.hits import Hits
from harness.journal import FaultEntry, FloodEntry, ProbeEntry, ProcessEntry, TokenEntry

TREATED = (1, 3)


def edge(edge: Any, *, lever: Any = "identity", window: int = 1) -> FaultEntry:
    """One edge of a fault."""
    return FaultEntry(at_ns=1, window=window, kind="x", lever=lever, edge=edge)


def token(session: int, edge: Any = "renewed") -> TokenEntry:
    """What became of a session's token."""
    return TokenEntry(at_ns=1, session=session, edge=edge)


def test_tokens_count_while_a_fault_of_identity_is_in_force() -> None:
    """Those of treated sessions that were replaced: not before, not after, and no failures."""
    hits = Hits(TREATED)
    for entry in (
        token(1),
        edge("intended"),
        edge("injected"),
        token(1),
        token(3, "minted"),
        token(3, "failed"),
        token(2),
        edge("healing"),
        token(1),
        edge("healed"),
        token(1),
    ):
        hits.hear(entry)
    assert hits.words(1) == "3 tokens replaced"
    assert hits.words(2) == ""


@pytest.mark.parametrize("last", ["failed", "not_healed"])
def test_a_fault_that_is_over_takes_no_more_tokens(last: str) -> None:
    """However it ended; and one of another lever takes none."""
    hits = Hits(TREATED)
    for entry in (edge("intended"), edge(last), edge("intended", lever="agent", window=2)):
        hits.hear(entry)
    hits.hear(token(1))
    assert (hits.words(1), hits.words(2)) == ("", "")


def test_processes_and_odd_requests_count_for_the_fault_that_named_them() -> None:
    """As in the judgement: what was struck, what was sent."""
    hits = Hits(TREATED)
    for pid in (1, 2):
        hits.hear(ProcessEntry(at_ns=1, pid=pid, session=1, treated=True, edge="killed", window=4))
    hits.hear(ProcessEntry(at_ns=1, pid=3, session=1, treated=True, edge="ended"))
    hits.hear(ProbeEntry(at_ns=1, session=-1, window=5, kind="origin_evil"))
    edges: tuple[Literal["began", "ended", "rested"], ...] = ("began", "ended", "rested")
    for flood in edges:
        sent = 0 if flood == "began" else 1200
        kind = "session_flood"
        hits.hear(FloodEntry(at_ns=1, window=5, kind=kind, flood=1, edge=flood, sent=sent))
    assert hits.words(4) == "2 processes"
    assert hits.words(5) == "1,201 odd requests"


def test_what_counts_is_said_once_for_the_day_and_for_the_judgement() -> None:
    """Both ask the entries themselves, so every edge there is counts for both or for neither."""
    of = {ProcessEntry: "process", TokenEntry: "token replaced"}
    for kind, words in of.items():
        for name in get_args(get_type_hints(kind)["edge"]):
            hits = Hits(TREATED)
            hits.hear(edge("intended"))
            more = {"pid": 1, "treated": True, "window": 1} if kind is ProcessEntry else {}
            entry = kind(at_ns=1, session=1, edge=name, **more)
            hits.hear(entry)
            counted = entry.struck if isinstance(entry, ProcessEntry) else entry.replaced
            assert hits.words(1) == (f"1 {words}" if counted else ""), name
