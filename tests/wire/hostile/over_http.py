"""Streamable HTTP: a server that plays scripts, our client on its other end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json, to_json

from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.wire.hostile.messages import right
from tests.wire.hostile.replies import Script, script
from tests.wire.hostile.stage import (
    GOOD,
    LIMITS,
    PATIENT_S,
    PLAYS_MAX,
    STALL_S,
    HttpStage,
    Server,
    check,
    check_good,
    plain,
)
from tests.wire.hostile.tape import Tape
from tests.wire.scripted import CLOCK, within

Era = Literal["legacy", "modern"]


@dataclass(eq=False)
class Play:
    """One case under way: the tape that its replies are read from."""

    tape: Tape
    plays: int = 0


class StreamableStage(HttpStage):
    """Every request is answered by the tape of its case, on the connection that it came on."""

    def __init__(self) -> None:
        super().__init__()
        self._plays: dict[str, Play] = {}

    def reply(self, server: Server, head: bytes, body: bytes) -> Script:
        """What to answer to one request: by the tape of its case, or well."""
        del server
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
        said: Any = from_json(body) if body else {}
        play = self._plays.get(path.decode())
        call_id, asked = said.get("id"), str(said.get("method", ""))
        nonce = str((said.get("params") or {}).get("arguments", {}).get("text", ""))
        spoils = play is not None and play.plays < PLAYS_MAX and not nonce.startswith(GOOD)
        if play is not None and spoils:
            play.plays += 1
            return script(play.tape, call_id=call_id, method=asked, nonce=nonce)
        if method != b"POST":
            return plain(b"405 Method Not Allowed")
        if "id" not in said or not asked:
            return plain(b"202 Accepted")
        sound = right(call_id, asked, nonce)
        head_ = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return Script(segments=(head_ % len(sound) + sound,))

    async def perform(self, number: str, tape: Tape, told: Counter[str]) -> None:
        """Provoke a server that spoils its replies, then ask a good one."""
        path = f"/{number}"
        play = self._plays[path] = Play(tape=tape)
        era: Era = tape.one(("legacy", "modern"))
        client = WireClient(
            Endpoint.from_url(f"http://127.0.0.1:{self.port}{path}"),
            era=era,
            now_ns=CLOCK.now_ns,
            limits=LIMITS,
            schemas=SchemaBook(),
            listen=tape.below(8) == 1,
        )
        try:
            await self._provoke(client, tape, told)
            play.plays = PLAYS_MAX
            await self._serve_on(client, era, number)
        finally:
            client.forget_session()
            client.drop_connections()
            del self._plays[path]

    async def _provoke(self, client: WireClient, tape: Tape, told: Counter[str]) -> None:
        way = tape.below(8)
        # A server that says nothing is waited for as long as the case says: briefly.
        patience_s = STALL_S if tape.below(2) else 2 * STALL_S
        if way == 7:
            check(told, await client.open(deadline_ns=within(patience_s)))
            return
        era: Era = client.era if client.era != "auto" else "legacy"
        version = "2026-07-28" if era == "modern" else tape.one(("2025-11-25", "2025-03-26"))
        client.adopt(era, version=version, session_id="s" if era == "legacy" else "")
        if way == 6:
            reply = await client.notify("notifications/x", b"{}", deadline_ns=within(patience_s))
            check(told, reply)
            return
        for number in range(1 + tape.below(2)):
            params = to_json({"name": "echo", "arguments": {"text": f"bad-{number}"}})
            reply = await client.request(
                "tools/call", params, name="echo", deadline_ns=within(patience_s),
                lose_reply=tape.seldom(12), vanish_after_ns=2_000_000 if tape.seldom(12) else None,
            )  # fmt: skip
            check(told, reply)

    async def _serve_on(self, client: WireClient, era: Era, number: str) -> None:
        """Whatever came before: a good server's reply is read as what it is."""
        version = "2026-07-28" if era == "modern" else "2025-11-25"
        client.forget_session()
        client.drop_connections()
        client.adopt(era, version=version)
        nonce = f"{GOOD}-{number}"
        params = to_json({"name": "echo", "arguments": {"text": nonce}})
        reply = await client.request(
            "tools/call", params, name="echo", deadline_ns=within(PATIENT_S)
        )
        check_good(reply, nonce)
