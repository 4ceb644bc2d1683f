from __future__ import annotations

import anyio
import pytest

from tests.faults.toxiproxy import soak

MIB = 2**20


@pytest.mark.anyio
async def test_a_short_soak_loses_nothing() -> None:
    """Hot changes under live connections: every message comes back as it was, no call refused."""
    with anyio.fail_after(60):
        seen = await soak.run(seconds=4, connections=20, seed=5)
    assert seen.messages > 100
    assert seen.changes > 10
    assert (seen.wrong, seen.refused) == (0, [])


def test_memory_that_grows_is_seen() -> None:
    """The warm-up is left out; each later part is compared with the first of them."""
    flat = [(float(at), 50 * MIB if at > 20 else 30 * MIB) for at in range(101)]
    assert soak.growth(flat) == ([50.0] * soak.PARTS, 1.0)
    growing = [(float(at), (50 + at) * MIB) for at in range(101)]
    assert soak.growth(growing)[1] > soak.FLAT_RATIO
