"""The toxics there are: their attributes, what makes those impossible, and the stage that acts."""

from __future__ import annotations

from faults.toxiproxy.cuts import LimitData, ResetPeer, SlowClose, Timeout
from faults.toxiproxy.delays import Bandwidth, Latency, Slicer
from faults.toxiproxy.stage import Stage

# Attribute names in the order in which the API shows them.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "bandwidth": ("rate",),
    "latency": ("latency", "jitter"),
    "limit_data": ("bytes",),
    "noop": (),
    "reset_peer": ("timeout",),
    "slicer": ("average_size", "size_variation", "delay"),
    "slow_close": ("delay",),
    "timeout": ("timeout",),
}


def objection(kind: str, attributes: dict[str, int]) -> str | None:
    """Why these attributes cannot work, in words; None when they can."""
    if kind == "bandwidth" and attributes["rate"] < 0:
        return f"rate must not be negative, got {attributes['rate']}"
    if kind == "slicer":
        average, variation = attributes["average_size"], attributes["size_variation"]
        if average < 1:
            return f"average_size must be at least 1, got {average}"
        if not 0 <= variation < average:
            return f"size_variation must be in 0..{average - 1}, got {variation}"
    return None


STAGES: dict[str, type[Stage]] = {
    "bandwidth": Bandwidth,
    "latency": Latency,
    "limit_data": LimitData,
    "noop": Stage,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "slow_close": SlowClose,
    "timeout": Timeout,
}
