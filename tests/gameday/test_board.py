from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.gameday import board
from harness.gameday.leases import Lease
from harness.gameday.windows import Struck
from tests import virtual
from tests.gameday.days import staged, wanted

pytestmark = pytest.mark.anyio
S = virtual.NS_PER_S


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """A clock that only a test moves."""
    return virtual.backend()


def _point(at_s: int, errors: float) -> dict[str, Any]:
    arm = {"rate": 10.0, "errors": errors, "p50_ms": 20.0, "p99_ms": 30.0, "alive": 6}
    return {"t": at_s, "control": arm | {"errors": 0.0}, "treated": arm}


async def test_what_the_next_fault_does_is_not_seen_after_the_one_before(tmp_path: Path) -> None:
    """A recovery that the next fault cuts short ends where that one begins."""
    day, writer = staged(tmp_path)
    with writer:
        for number, (start_s, end_s) in enumerate([(20, 30), (33, 40)], start=1):
            struck = Struck(
                number=number,
                wish=wanted(day.game.scenario),
                who="Ana",
                ordered_ns=start_s * S,
                lease=Lease(window=number, wanted_ns=end_s * S, until_ns=end_s * S),
                state="healed",
                start_ns=start_s * S,
                end_ns=end_s * S,
            )
            day.game.faults.append(struck)
        day.game.series.points.extend(_point(at_s, float(34 <= at_s <= 40)) for at_s in range(60))
        first, second = board.state(day.game)["faults"]
    assert first["observed"]["after"]["treated"]["errors"] == 0
    assert second["observed"]["during"]["treated"]["errors"] > 0.8
    assert second["observed"]["after"]["treated"]["errors"] == 0
