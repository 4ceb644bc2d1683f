"""The questions that stand in a result, answered by the client's rules: one round of input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from harness.clock import Clock
from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.inbox import Inbox
from harness.wire.reply import Reply

INPUTS_MAX: Final = 100  # questions in one round
WORDS_MAX: Final = 200


def ended(reply: Reply, outcome: Outcome, reason: Reason, words: str) -> Reply:
    """What a reply that is not the last word comes to, when there is no other."""
    return replace(reply, outcome=outcome, reason=reason, detail=words[:WORDS_MAX], result=None)


async def fulfil(
    inbox: Inbox, clock: Clock, asked: Reply, requests: object
) -> dict[str, Any] | Reply:
    """Answer each question; a reply when one of them ends the call that `asked` belongs to."""
    if not isinstance(requests, dict) or not 0 < len(requests) <= INPUTS_MAX:
        words = f"expected between 1 and {INPUTS_MAX} input requests"
        return ended(asked, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED, words)
    began_ns = clock.now_ns()
    responses: dict[str, Any] = {}
    for key, request in requests.items():
        if not isinstance(request, dict):
            words = "an input request that is no object"
            return ended(asked, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED, words)
        answered = inbox.fulfil(request)
        if answered.how == "undeclared":
            words = f"the server asked for {answered.kind}, which this client had not declared"
            return ended(asked, Outcome.PROTOCOL_ERROR, Reason.UNDECLARED, words)
        if answered.result is None:
            words = f"the client refused {answered.kind}, as its rule says"
            refused = ended(asked, Outcome.ABANDONED, Reason.INPUT_REFUSED, words)
            refused.ended_by = EndedBy.CLIENT
            return refused
        responses[key] = answered.result
    await clock.sleep_until(clock.now_ns() + inbox.rules.after_ns)
    inbox.note_sent(clock.now_ns() - began_ns, well=True)
    return responses
