"""The stop conditions, which are always on: when errors end the faults without anybody's hand.

Pure. One is the day's own, on the control arm, which no fault is meant to reach; a fault may have
another on the treated arm, as its hypothesis says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from faults.fault import Fault
from harness.brake import Brake
from harness.clock import NS_PER_S
from harness.recent import ArmTally
from harness.scenario.conditions import Condition, parse_abort

USUAL: Final = "> 20% for 5s"
# What strikes the target itself strikes the control arm: it may last a while, and not for ever.
STRUCK: Final = "> 20% for 30s"


@dataclass(kw_only=True)
class Brakes:
    """Those of the fault in force; none while there is none."""

    of: tuple[Brake, ...] = ()
    heard_ns: int = 0

    def set_for(self, fault: Fault, own: str | None, its: Condition | None) -> None:
        """Begin to watch for a fault: the day's `own` condition, else the usual one, and its."""
        usual = STRUCK if fault.strikes() == "both" else USUAL
        control = Brake(arm="control", condition=parse_abort(own or usual))
        treated = () if its is None else (Brake(arm="treated", condition=its),)
        self.of = (control, *treated)

    def release(self) -> None:
        """Watch no longer."""
        self.of = ()

    def pull(self, sums: dict[str, ArmTally], *, now_ns: int) -> str:
        """Take in what came since the last time; why everything is to end, or ""."""
        took_s = (now_ns - self.heard_ns) / NS_PER_S if self.heard_ns else 1.0
        self.heard_ns = now_ns
        said = [brake.pull(sums, took_s) for brake in self.of]
        return next(filter(None, said), "")
