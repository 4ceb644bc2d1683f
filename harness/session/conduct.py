"""How the treated sessions of this process misbehave right now: the agent lever's near end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from faults.levers import Behaviour, BehaviourKind

# Preludes are attempts of their own before the real call; the rest strikes the real call.
PRELUDES: tuple[BehaviourKind, ...] = (
    "no_token",
    "damaged_token",
    "narrow_token",
    "misdirected_token",
    "unsuited_token",
    "skewed_token",
    "share_token",
    "hop_user",
    "race_refresh",
    "payload_request",
    "payload_response",
    "vanish",
    "cancel_call",
    "repeat_call",
    "collide_ids",
    "spoil_arguments",
    "fuzz_arguments",
    "loop_call",
    "slow_call",
    "read_slowly",
    "rejoin",
    "withdrawn_token",
)


class Conduct:
    """The behaviours in force. Sessions read it before every step; one writer engages them."""

    def __init__(self) -> None:
        """Begin with every session behaving well."""
        self._engaged: dict[BehaviourKind, tuple[Behaviour, int]] = {}
        self.active = False
        # Whoever else has to act when a behaviour comes into force, or goes out of it.
        self.on_engaged: Callable[[Behaviour], None] = lambda _: None
        self.on_disengaged: Callable[[Behaviour], None] = lambda _: None
        self.windows: set[int] = set()  # the fault windows that have asked for any so far
        self.reauthorize_serial = 0  # raised whenever every treated session must get a new token

    def engage(self, behaviour: Behaviour, *, now_ns: int) -> None:
        """Put a behaviour in force from now on."""
        self.windows.add(behaviour.window)
        self.on_engaged(behaviour)
        if behaviour.kind == "reauthorize":
            self.reauthorize_serial += 1
            self.active = True
            return
        self._engaged[behaviour.kind] = (replace(behaviour), now_ns)
        self.active = True

    def disengage(self, behaviour: Behaviour) -> None:
        """Take it back; one that is not in force is no error."""
        self.on_disengaged(behaviour)
        self._engaged.pop(behaviour.kind, None)
        self.active = bool(self._engaged) or self.reauthorize_serial > 0

    @property
    def in_force(self) -> tuple[BehaviourKind, ...]:
        """Name the behaviours in force."""
        return tuple(self._engaged)

    def get(self, kind: BehaviourKind) -> Behaviour | None:
        """Give the behaviour of this kind when it is in force."""
        engaged = self._engaged.get(kind)
        return engaged[0] if engaged else None

    def since_ns(self, kind: BehaviourKind) -> int:
        """When it was engaged, in run nanoseconds; 0 when it is not."""
        engaged = self._engaged.get(kind)
        return engaged[1] if engaged else 0

    def preludes(self) -> tuple[Behaviour, ...]:
        """Give the engaged behaviours that precede the real call, in a fixed order."""
        return tuple(self._engaged[kind][0] for kind in PRELUDES if kind in self._engaged)
