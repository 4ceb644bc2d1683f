"""The `requestState` of the modern era: brought back changed, and brought back by another user."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from pydantic_core import from_json, to_json

from harness.session.mischief.outsider import Outsider, Pass, Session, put_in
from harness.wire.raw import Heard

_ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "elicitation/create": {"action": "accept", "content": {}},
    "roots/list": {"roots": []},
    "sampling/createMessage": {
        "role": "assistant",
        "content": {"type": "text", "text": "as you say"},
        "model": "squall",
    },
}


async def tamper(outsider: Outsider) -> None:
    """Bring back a state that was changed, then one that was given to another user, then ours."""
    own, other = await outsider.ground.own(), await outsider.ground.other()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    tool = outsider.behaviour.tool
    call = {
        "name": tool,
        "arguments": put_in(from_json(outsider.behaviour.argument), outsider.nonce()),
    }
    if session.era != "modern":
        heard = await outsider.ask(session, own, "tools/list", {"requestState": "squall"})
        outsider.note("no-state", "tools/list with a requestState, in an era without", heard)
        await outsider.end(session, own)
        return
    first = await outsider.ask(session, own, "tools/call", call)
    result = first.result or {}
    state, wanted = result.get("requestState"), result.get("inputRequests")
    if not isinstance(state, str) or not state or not isinstance(wanted, dict):
        outsider.note("not-asked", f"{tool}, which gave no requestState", first, tool=tool)
        return
    answers = {key: _answer(request) for key, request in wanted.items()}
    retry = {**call, "inputResponses": answers}
    await _bring(outsider, session, own, "altered", {**retry, "requestState": forged(state)})
    if own.holder != other.holder:
        await _bring(outsider, session, other, "foreign", {**retry, "requestState": state})
    await _bring(outsider, session, own, "own", {**retry, "requestState": state})


async def _bring(
    outsider: Outsider, session: Session, holder: Pass, variant: str, call: dict[str, Any]
) -> None:
    heard = await outsider.ask(session, holder, "tools/call", call)
    again = (heard.result or {}).get("resultType") == "input_required"
    words = {
        "altered": "a call that goes on from a requestState which was changed",
        "foreign": "a call that goes on from another user's requestState",
        "own": "a call that goes on from its own requestState",
    }
    outsider.note(
        variant,
        words[variant],
        heard,
        tool=str(call["name"]),
        reason="result_type" if again else "",  # it asked once more: nothing was honoured
    )


def _answer(request: Any) -> dict[str, Any]:
    method = request.get("method") if isinstance(request, dict) else None
    return _ANSWERS.get(str(method), {})


def forged(state: str) -> str:
    """Give another state that a server which trusts it would read as well as its own.

    JSON, plain or in base64, gets one more member; of anything else one bit is turned over.
    """
    plain = _with_a_member(state.encode())
    if plain is not None:
        return plain.decode()
    for decode, encode in (
        (base64.urlsafe_b64decode, base64.urlsafe_b64encode),
        (base64.b64decode, base64.b64encode),
    ):
        try:
            inner = _with_a_member(decode(state + "=" * (-len(state) % 4)))
        except (binascii.Error, ValueError):
            continue
        if inner is not None:
            return encode(inner).decode().rstrip("=" if not state.endswith("=") else "")
    middle = len(state) // 2
    other = "A" if state[middle] != "A" else "B"
    return state[:middle] + other + state[middle + 1 :]


def _with_a_member(text: bytes) -> bytes | None:
    try:
        value = from_json(text)
    except ValueError:
        return None
    return to_json({**value, "squall": True}) if isinstance(value, dict) else None
