"""Shapes of the load: how many sessions each adds, and when they open."""

from __future__ import annotations

import pytest

from faults.load import LoadShape, Ramp, Soak, Spike
from tests.faults.fakes import World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("shape", "added", "opening_s"),
    [
        (Ramp(to=100), 80, 9.0),
        (Ramp(to=10), 0, 9.0),
        (Spike(times=10), 180, 1.0),
        (Spike.model_validate({"times": 3, "within": "30s"}), 40, 10.0),
        (Soak(), 0, 0.0),
    ],
)
def test_a_shape_says_how_many_sessions_there_are_beside_the_usual_ones(
    shape: LoadShape, added: int, opening_s: float
) -> None:
    """Out of twenty, over a window of ten seconds."""
    assert shape.added(20) == added
    assert shape.opening_s(10.0) == pytest.approx(opening_s)


@pytest.mark.parametrize("shape", [Ramp(), Spike(), Soak()])
async def test_a_shape_strikes_everybody_and_pulls_no_lever(shape: LoadShape) -> None:
    """Load is on the server, and the plan holds it; whoever wants a count asks the journal."""
    world = World()
    async with shape.inject(world.levers, "squall-r4nd-1") as injection:
        assert (await injection.exposure()).source == "journal"
    assert world.hand.pulls == []
    assert shape.strikes() == "both"
