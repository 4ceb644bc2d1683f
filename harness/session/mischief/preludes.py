"""Misbehaviours of a single request: what it looks like, and sending it ahead of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Auth
from harness.session.credential import Credential
from harness.session.mischief.scene import Scene
from harness.session.steps import Step, inflate, measure


@dataclass(frozen=True, kw_only=True)
class Prelude:
    """One misbehaving request."""

    method: str
    name: str
    params: bytes
    authorization: bytes | None = None  # None: the session's own
    vanish_after_ns: int | None = None
    auth: Auth | None = None  # None: whatever the session's credential is worth
    measured: bool = False  # its reply is held against the step's expectations


def prelude(
    behaviour: Behaviour,
    step: Step,
    values: Mapping[str, Any],
    credential: Credential | None,
) -> Prelude | None:
    """Give the request that a behaviour sends ahead of a step; None when it has nothing to send."""
    params = step.params.render_json(values)
    name = step.name if step.named is None else step.named.render_text(values)
    plain = Prelude(method=step.method, name=name, params=params)
    made: Prelude | None = None
    match behaviour.kind:
        case "no_token" if credential is not None:
            made = replace(plain, authorization=b"", auth=Auth.ABSENT)
        case "damaged_token" if credential is not None:
            spoiled = b"Bearer " + credential.damaged().encode()
            made = replace(plain, authorization=spoiled, auth=Auth.DAMAGED)
        case "payload_request":
            grown = inflate(params, str(values["nonce"]), behaviour.size_bytes)
            made = None if grown is None else replace(plain, params=grown, measured=True)
        case "payload_response":
            arguments = {behaviour.argument: behaviour.size_bytes}
            asked = to_json({"name": behaviour.tool, "arguments": arguments})
            made = Prelude(method="tools/call", name=behaviour.tool, params=asked)
        case "vanish":
            made = replace(plain, vanish_after_ns=round(behaviour.after_s * NS_PER_S))
    return made


async def precede(scene: Scene, behaviour: Behaviour) -> None:
    """Misbehave once, as attempt 0 of the call, under a nonce of its own."""
    values = scene.own_values()
    wrong = prelude(behaviour, scene.step, values, scene.identity.credential)
    if wrong is None:
        return
    auth = scene.identity.standing().auth if wrong.auth is None else wrong.auth
    reply = await scene.client.request(
        wrong.method,
        wrong.params,
        name=wrong.name,
        deadline_ns=scene.deadline_ns(),
        authorization=wrong.authorization,
        vanish_after_ns=wrong.vanish_after_ns,
    )
    measured = wrong.measured and isinstance(reply.result, dict)
    rows = measure(reply, scene.step, values) if measured else ROWS_UNKNOWN
    scene.record(behaviour, reply, auth=auth, rows=rows)
