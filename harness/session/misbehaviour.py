"""What a misbehaving attempt looks like: the request that precedes the real one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_core import to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.outcome import Auth
from harness.session.credential import Credential
from harness.session.steps import Step, inflate

# Preludes draw their nonces from a range that no planned step uses.
PRELUDE_INDEX: Final = 2**31


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
