"""Misbehaviours of a single request: what it looks like, and sending it ahead of the real one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_core import to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Auth, Outcome
from harness.scenario.results import texts
from harness.session.credential import Credential
from harness.session.mischief.scene import Scene
from harness.session.steps import Step, inflate, measure
from harness.wire.reply import Reply

MARKED: Final = "marked"
EDGE: Final = 400  # characters at either end of a text, where a mark would stand
_MARK: Final = re.compile(
    r"truncat|cut (?:off|short)|omitted|next_?(?:cursor|page|token)|has_?more|more (?:results|data)"
    r"|offset|partial|\[\.\.\.\]",
    re.IGNORECASE,
)


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
    if behaviour.kind == "payload_response" and _is_cut_in_words(reply, behaviour.size_bytes):
        scene.tell(behaviour, reply, variant=MARKED, sent=f"{behaviour.size_bytes} bytes asked for")


def _is_cut_in_words(reply: Reply, asked_bytes: int) -> bool:
    """Whether a result that is shorter than was asked for says so, or how to get the rest."""
    if reply.outcome is not Outcome.OK or reply.reply_bytes >= asked_bytes:
        return False
    if not isinstance(reply.result, dict):
        return False
    structured = reply.result.get("structuredContent")
    names = structured.keys() if isinstance(structured, dict) else ()
    if any(_MARK.search(str(name)) for name in (*names, *reply.result.keys())):
        return True
    return any(
        _MARK.search(text[:EDGE]) or _MARK.search(text[-EDGE:]) for text in texts(reply.result)
    )
