from __future__ import annotations

import pytest

from faults.network import TcpLatency
from harness.evidence import contents
from harness.journal import ContentEntry
from tests.checks import cases
from tests.journals import S


def entry(from_s: float, to_s: float, *, treated: bool = True, nulls: int = 0) -> ContentEntry:
    """Make a look into ten answers with one field."""
    return ContentEntry(
        at_ns=round(to_s * S),
        from_ns=round(from_s * S),
        worker=0,
        call=0,
        treated=treated,
        answers=10,
        fields={"id": (10, 10, nulls)},
        examples=("s1.1.1",),
    )


def test_looks_are_summed_up_by_phase_and_arm() -> None:
    """Two seconds of the fault are one look, each arm's by itself."""
    extra = [entry(14, 15), entry(15, 16, nulls=5), entry(15, 16, treated=False), entry(24, 25)]
    found = contents.looks(cases.run(TcpLatency(), extra=extra))
    assert {place: look.answers for place, look in found.items()} == {
        (0, 1, 1): 20,
        (0, 1, 0): 10,
        (0, 2, 1): 10,
    }
    look = found[0, 1, 1]
    assert (look.held_share("id"), look.null_share("id"), look.null_share()) == (1.0, 0.25, 0.25)
    assert (look.held_share("title"), look.null_share("title")) == (0.0, 0.0)
    assert contents.null_shares(found)[0, 1, 1] == 0.25
    both = contents.together(found, 0, 1)
    assert (both.answers, both.held_share("id")) == (30, 1.0)


@pytest.mark.parametrize("span", [(11.5, 12.5), (21.5, 22.5), (0.5, 1.0)])
def test_a_look_across_the_edge_of_a_phase_belongs_to_none(span: tuple[float, float]) -> None:
    """Nobody can say on which side its answers were."""
    assert contents.looks(cases.run(TcpLatency(), extra=[entry(*span)])) == {}
