"""What the last hours looked like, second by second and arm by arm: the page's time axis.

Pure and bounded: the oldest seconds go when there are too many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from harness.journal import Calls
from harness.recent import ARMS, ArmTally, tally

POINTS_MAX: Final = 7200
QUANTILE_S: Final = 5  # a second alone holds too few calls for a 99th percentile
_NS_PER_S: Final = 1_000_000_000


class Series:
    """Points of about a second; latencies are over the last few of them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.points: deque[dict[str, Any]] = deque(maxlen=POINTS_MAX)
        self._last: dict[str, deque[ArmTally]] = {arm: deque(maxlen=QUANTILE_S) for arm in ARMS}
        self._at_ns = 0
        self.behaved: dict[int, int] = {}  # fault window -> attempts that it made bad

    def add(self, batch: Calls, alive: Mapping[str, int], *, at_ns: int) -> dict[str, ArmTally]:
        """Close a second; give what it held."""
        sums = tally(batch)
        took_s = max(0.2, (at_ns - self._at_ns) / _NS_PER_S)
        self._at_ns = at_ns
        point: dict[str, Any] = {"t": round(at_ns / _NS_PER_S, 1)}
        for arm in ARMS:
            self._last[arm].append(sums[arm])
            point[arm] = self._point(arm, sums[arm], took_s, alive.get(arm, 0))
            for window, count in sums[arm].behaved.items():
                self.behaved[window] = self.behaved.get(window, 0) + count
        self.points.append(point)
        return sums

    def cut(self) -> None:
        """Let no latency from before this moment into those that come: something has changed."""
        for last in self._last.values():
            last.clear()

    def _point(self, arm: str, sums: ArmTally, took_s: float, alive: int) -> dict[str, Any]:
        joined = ArmTally()
        for part in self._last[arm]:
            joined.add(part)
        return {
            "rate": round(sums.calls / took_s, 1),
            "errors": _rounded(sums.errors / sums.calls if sums.calls else None, 4),
            "p50_ms": _rounded(joined.quantile_ms(0.5), 2),
            "p99_ms": _rounded(joined.quantile_ms(0.99), 2),
            "alive": alive,
        }

    def between(self, start_s: float, end_s: float) -> dict[str, dict[str, float | None]]:
        """Sum up a stretch for each arm: the mean rate, all errors, and the worst p50 and p99."""
        found = [point for point in self.points if start_s <= point["t"] <= end_s]
        return {arm: _summed([point[arm] for point in found]) for arm in ARMS}


def _summed(points: list[dict[str, Any]]) -> dict[str, float | None]:
    calls = sum(point["rate"] for point in points)
    bad = sum(point["rate"] * (point["errors"] or 0.0) for point in points)
    return {
        "rate": round(calls / len(points), 1) if points else None,
        "errors": _rounded(bad / calls if calls else None, 4),
        "p50_ms": max((p["p50_ms"] for p in points if p["p50_ms"] is not None), default=None),
        "p99_ms": max((p["p99_ms"] for p in points if p["p99_ms"] is not None), default=None),
        "alive_least": min((point["alive"] for point in points), default=None),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
