"""Every misbehaviour that precedes a call, by its kind, and the one place that does them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from faults.levers import Behaviour, BehaviourKind
from harness.session.mischief import credentials
from harness.session.mischief.calls import cancel, repeat
from harness.session.mischief.collisions import collide
from harness.session.mischief.neighbours import neighbour
from harness.session.mischief.preludes import precede
from harness.session.mischief.returns import rejoin
from harness.session.mischief.scene import Scene
from harness.session.mischief.slowness import read_slowly
from harness.session.mischief.validation import fuzzed, loop, spoilt

Act = Callable[[Scene, Behaviour], Awaitable[None]]

# Their keys are `conduct.PRELUDES`, which says in which order they come.
ACTS: Final[dict[BehaviourKind, Act]] = {
    "no_token": precede,
    "damaged_token": precede,
    "narrow_token": credentials.narrow,
    "misdirected_token": credentials.misdirect,
    "unsuited_token": credentials.unsuit,
    "skewed_token": credentials.skew,
    "share_token": credentials.share,
    "hop_user": credentials.hop,
    "race_refresh": credentials.race,
    "payload_request": precede,
    "payload_response": precede,
    "vanish": precede,
    "cancel_call": cancel,
    "repeat_call": repeat,
    "collide_ids": collide,
    "spoil_arguments": spoilt,
    "fuzz_arguments": fuzzed,
    "loop_call": loop,
    "slow_call": neighbour,
    "read_slowly": read_slowly,
    "rejoin": rejoin,
    "withdrawn_token": credentials.outlive,
}


# Of these a share of the sessions is drawn, by the act itself, and not of the calls.
BY_SESSION: Final[frozenset[BehaviourKind]] = frozenset({"slow_call", "read_slowly", "rejoin"})


async def before(scene: Scene) -> Behaviour | None:
    """Do what precedes the real call; give the behaviour that is to throw its reply away."""
    conduct = scene.stage.conduct
    for behaviour in conduct.preludes():
        if behaviour.kind in BY_SESSION or scene.drawn(behaviour):
            await ACTS[behaviour.kind](scene, behaviour)
    losing = conduct.get("lose_reply")
    return losing if losing is not None and scene.drawn(losing) else None
