"""A stop condition: an arm's share of errors that ends everything once it has held for long enough.

Pure. A second in which no call ended says nothing and interrupts nothing: calls that hang are
errors only once they have ended, and a target that hangs is no reason to begin counting anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.recent import ArmTally
from harness.scenario.conditions import Condition


@dataclass(kw_only=True)
class Brake:
    """One condition on one arm's share of errors, and for how long it has held."""

    arm: str
    condition: Condition
    held_s: float = 0.0

    def pull(self, sums: Mapping[str, ArmTally], took_s: float) -> str:
        """Take another stretch in; why everything is to end, or "" while it may go on."""
        last = sums[self.arm]
        if not last.calls:
            return ""
        share = last.errors / last.calls
        self.held_s = self.held_s + took_s if self.condition.holds(share) else 0.0
        if self.held_s and self.held_s >= self.condition.for_s:
            return f"{self.arm} arm: {share:.0%} errors, {self.condition.text} was the limit"
        return ""
