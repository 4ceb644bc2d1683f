"""The stop conditions, which are always on: when errors end the faults without anybody's hand.

Pure. One is the day's own, on the control arm, which no fault is meant to reach; a fault may have
another on the treated arm, as its hypothesis says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.recent import ArmTally
from harness.scenario.conditions import Condition, parse_abort

USUAL: Final = "> 20% for 5s"
# What strikes the target itself strikes the control arm: it may last a while, and not for ever.
STRUCK: Final = "> 20% for 30s"


@dataclass(kw_only=True)
class Brake:
    """One condition on one arm's share of errors, and for how long it has held."""

    arm: str
    condition: Condition
    held_s: float = 0.0

    def pull(self, sums: dict[str, ArmTally], took_s: float) -> str:
        """Take another stretch in; why everything is to end, or "" while it may go on.

        A stretch without an answer says nothing, and interrupts nothing.
        """
        last = sums[self.arm]
        if not last.calls:
            return ""
        share = last.errors / last.calls
        self.held_s = self.held_s + took_s if self.condition.holds(share) else 0.0
        if self.held_s and self.held_s >= self.condition.for_s:
            return f"{self.arm} arm: {share:.0%} errors, {self.condition.text} was the limit"
        return ""


def own(control_errors: str | None, *, both_struck: bool) -> Brake:
    """Give the day's own: the scenario's, else the usual one."""
    usual = STRUCK if both_struck else USUAL
    return Brake(arm="control", condition=parse_abort(control_errors or usual))
