"""Changes what the target offers, over and over: by a tool of its own that does so."""

from __future__ import annotations

from typing import Final

import anyio
from pydantic_core import from_json

from harness.clock import NS_PER_S
from harness.session.mischief.outsider import Outsider, put_in
from harness.wire.raw import Heard

END_S: Final = 1.0


async def drift(outsider: Outsider) -> None:
    """Call the tool as often as was said, until called back."""
    clock, own = outsider.ground.clock, await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    tool = outsider.behaviour.tool
    try:
        while True:
            arguments = put_in(from_json(outsider.behaviour.argument), outsider.nonce())
            call = {"name": tool, "arguments": arguments}
            heard = await outsider.ask(session, own, "tools/call", call)
            outsider.note("moved", f"{tool}, which changes what is offered", heard, tool=tool)
            wait_ns = round(outsider.behaviour.every_s * NS_PER_S)
            await clock.sleep_until(clock.now_ns() + wait_ns)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(END_S):
            if session.session_id:
                await outsider.end(session, own)
