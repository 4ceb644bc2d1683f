"""Toxics that lose data: packet_loss."""

from __future__ import annotations

import random

from faults.toxiproxy.path.stage import Stage


class PacketLoss(Stage):
    """Drops whole pieces with a chance of `loss_rate`, raised by `correlation` after a drop.

    What is lost on a TCP stream is not sent again, so the stream that arrives has holes in it.
    """

    __slots__ = ("_dropped", "_random")

    def begin(self) -> None:
        """Start as after a piece that arrived; the state outlives changes."""
        self._dropped = False
        self._random: random.Random | None = None

    def feed(self, piece: bytes, at_s: float) -> None:
        """Drop the piece or pass it."""
        fractions = self.toxic.fractions
        chance = _clamped(fractions["loss_rate"])
        if self._dropped:
            chance = min(1.0, chance + _clamped(fractions["correlation"]))
        if self._random is None:
            self._random = self.rng()
        self._dropped = self._random.random() < chance
        if self._dropped:
            self._touch(len(piece))
        else:
            self.after.feed(piece, at_s)


def _clamped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
