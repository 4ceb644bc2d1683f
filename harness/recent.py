"""What live views and stop conditions need of the last seconds, mergeable over workers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.journal import Calls
from harness.outcome import Auth, Outcome

ARMS = ("control", "treated")
BUCKETS_PER_DOUBLING = 16
_EXCUSED = (Outcome.ABANDONED,)


@dataclass
class ArmTally:
    """Settled calls of one arm in one interval; latencies from due, in logarithmic buckets."""

    calls: int = 0
    errors: int = 0
    buckets: dict[int, int] = field(default_factory=dict)
    behaved: dict[int, int] = field(default_factory=dict)  # fault window -> attempts it made bad
    outcomes: dict[int, int] = field(default_factory=dict)  # `Outcome` -> calls
    took_us: int = 0  # the latencies in `buckets`, added up

    def add(self, other: ArmTally) -> None:
        """Take another tally in."""
        self.calls += other.calls
        self.errors += other.errors
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        for window, count in other.behaved.items():
            self.behaved[window] = self.behaved.get(window, 0) + count
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.took_us += other.took_us

    def quantile_ms(self, share: float) -> float | None:
        """Milliseconds below which this share of the calls ended; None without calls."""
        total = sum(self.buckets.values())
        if not total:
            return None
        left = share * total
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return float(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING) / 1000)
        return None


def tally(batch: Calls) -> dict[str, ArmTally]:
    """Sum a batch of attempts up by arm; only settled calls count as calls."""
    last = batch[batch["last"] == 1]
    refused = (last["status"] == 401) & (last["auth"] > Auth.VALID)  # noqa: PLR2004  rightly
    sums: dict[str, ArmTally] = {}
    for code, arm in enumerate(ARMS):
        mine = last[(last["treated"] == code) & ~refused]
        bad = ~np.isin(mine["outcome"], (Outcome.OK, *_EXCUSED))
        done = mine[mine["done_ns"] >= 0]
        micros = np.maximum(1, (done["done_ns"] - done["due_ns"]) // 1000)
        buckets, counts = np.unique(
            np.floor(np.log2(micros) * BUCKETS_PER_DOUBLING).astype(int), return_counts=True
        )
        asked = batch["window"][(batch["treated"] == code) & (batch["window"] > 0)]
        windows, hits = np.unique(asked, return_counts=True)
        ends, ended = np.unique(mine["outcome"], return_counts=True)
        sums[arm] = ArmTally(
            calls=len(mine),
            errors=int(np.count_nonzero(bad)),
            buckets=dict(zip(buckets.tolist(), counts.tolist(), strict=True)),
            behaved=dict(zip(windows.tolist(), hits.tolist(), strict=True)),
            outcomes=dict(zip(ends.tolist(), ended.tolist(), strict=True)),
            took_us=int(micros.sum()),
        )
    return sums


class Recent:
    """The last seconds per arm, and the totals since the start, of all processes together."""

    def __init__(self, intervals: int = 5) -> None:
        """Remember this many one-second intervals of each process."""
        self._intervals = intervals
        self._last: dict[int, deque[dict[str, ArmTally]]] = {}
        self.total: dict[str, ArmTally] = {arm: ArmTally() for arm in ARMS}

    def add(self, sums: dict[str, ArmTally], worker: int = 0) -> None:
        """Close one interval of a process."""
        self._last.setdefault(worker, deque(maxlen=self._intervals)).append(sums)
        for arm in ARMS:
            self.total[arm].add(sums.get(arm, ArmTally()))

    def hear(self, batch: Calls) -> None:
        """Close an interval of this process with the attempts that ended in it."""
        self.add(tally(batch))

    def forget(self, worker: int) -> None:
        """Let go of a process that says no more: what it last said is not now."""
        self._last.pop(worker, None)

    def window(self, arm: str, intervals: int) -> ArmTally:
        """Sum up the last intervals of one arm."""
        joined = ArmTally()
        for mine in list(self._last.values()):
            for part in list(mine)[-intervals:]:
                joined.add(part.get(arm, ArmTally()))
        return joined


def dump(sums: dict[str, ArmTally]) -> dict[str, Any]:
    """Make a tally fit for a message between processes."""
    return {
        arm: [
            part.calls,
            part.errors,
            part.took_us,
            part.buckets,
            part.behaved,
            part.outcomes,
        ]
        for arm, part in sums.items()
    }


def restore(data: dict[str, Any]) -> dict[str, ArmTally]:
    """Read what `dump` made."""
    return {
        arm: ArmTally(
            calls=part[0],
            errors=part[1],
            took_us=part[2],
            buckets={int(key): n for key, n in part[3].items()},
            behaved={int(key): n for key, n in part[4].items()},
            outcomes={int(key): n for key, n in part[5].items()},
        )
        for arm, part in data.items()
    }
