from __future__ import annotations

import pytest

from tests.faults.toxiproxy import streams
from tests.faults.toxiproxy.conftest import Server


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_random_streams_lose_no_byte_whatever_changes(ours: Server, seed: int) -> None:
    """Random pieces, pauses, ends and slow readers under toxics that come, change and go."""
    outcome = streams.run(ours, seconds=2, seed=seed, clients=16, changers=2)
    assert outcome.defects == []
    assert ours.process.poll() is None
    # Few on a machine that is busy with other things, but never none.
    assert outcome.streams.total() > 5
    assert outcome.changes.total() > 2


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_a_lost_byte_is_seen(ours: Server, stream: str) -> None:
    """A toxic that cuts streams short must be found out, in either direction."""
    cut = {"type": "limit_data", "stream": stream, "attributes": {"bytes": 1000}}
    outcome = streams.run(ours, seconds=0.5, seed=3, clients=10, changers=0, first=cut)
    assert outcome.defects != []
