"""The toxics there are: their attributes, what makes those impossible, and the stage that acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from faults.toxiproxy.path.arrivals import SLOW_ACCEPT
from faults.toxiproxy.path.cuts import Cut, Idle, LimitData, ResetPeer, SlowClose, Timeout
from faults.toxiproxy.path.delays import Bandwidth, Latency
from faults.toxiproxy.path.losses import PacketLoss
from faults.toxiproxy.path.slices import Slicer
from faults.toxiproxy.path.stage import Stage

Number = Literal["int", "float64"]

# Attribute names in the order in which the API shows them; a float may be written as an integer.
ATTRIBUTES: Final[Mapping[str, Mapping[str, Number]]] = {
    "bandwidth": {"rate": "int"},
    "cut": {"after": "int", "reset": "int"},
    "idle": {"after": "int"},
    "latency": {"latency": "int", "jitter": "int"},
    "limit_data": {"bytes": "int"},
    "noop": {},
    "packet_loss": {"loss_rate": "float64", "correlation": "float64"},
    "reset_peer": {"timeout": "int"},
    "slicer": {"average_size": "int", "size_variation": "int", "delay": "int"},
    SLOW_ACCEPT: {"delay": "int"},
    "slow_close": {"delay": "int"},
    "timeout": {"timeout": "int"},
}

# Types that Toxiproxy does not have: its own routes answer for them as it would.
ADDITIONS: Final = frozenset({"cut", "idle", SLOW_ACCEPT})


def objection(kind: str, attributes: Mapping[str, int]) -> str | None:
    """Why these attributes cannot work, in words; None when they can.

    Only what would wedge or kill the original is refused, and what a type of ours cannot mean: a
    negative time, for one, is as good as none there and here.
    """
    if kind == "bandwidth" and attributes["rate"] < 0:
        return f"rate must not be negative, got {attributes['rate']}"
    if kind == "slicer":
        return _objection_to_slices(attributes["average_size"], attributes["size_variation"])
    if kind == "cut" and attributes["reset"] not in {0, 1}:
        return f"reset must be 0 or 1, got {attributes['reset']}"
    if kind in {"cut", "idle"} and attributes["after"] < (least := int(kind == "idle")):
        wanted = "be at least 1" if least else "not be negative"
        return f"after must {wanted}, got {attributes['after']}"
    if kind == SLOW_ACCEPT and attributes["delay"] < 0:
        return f"delay must not be negative, got {attributes['delay']}"
    return None


def _objection_to_slices(average: int, variation: int) -> str | None:
    """Halving must come to an end, and must cut within the piece."""
    if average + variation < 1:
        if variation == 0:
            return f"average_size must be at least 1, got {average}"
        return f"average_size and size_variation must come to 1 at least, got {average + variation}"
    if variation > average + 1:
        return f"size_variation must be at most {average + 1}, got {variation}"
    return None


STAGES: Final[Mapping[str, type[Stage]]] = {
    "bandwidth": Bandwidth,
    "cut": Cut,
    "idle": Idle,
    "latency": Latency,
    "limit_data": LimitData,
    "noop": Stage,
    "packet_loss": PacketLoss,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    SLOW_ACCEPT: Stage,  # it has done its work before there is anything to carry
    "slow_close": SlowClose,
    "timeout": Timeout,
}
