"""An agent beside the planned sessions, who sends what no good client sends, and writes it down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic_core import to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S, Clock
from harness.journal import Carried, FloodEntry, JournalWriter, ProbeEntry
from harness.outcome import Outcome
from harness.plan import Plan
from harness.redaction import redact
from harness.session.steps import Step
from harness.wire import legacy, modern
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.jsonrpc import decode
from harness.wire.raw import Heard, Mouth

Headers = Mapping[str, str | None]
FloodEdge = Literal["began", "ended", "rested"]
ASK_S: Final = 3.0  # for one answer; who is asked oddly still owes it soon
GREETINGS_MAX: Final = 3
_PATIENCE: Final = (0, 429, 503)  # no answer at all, or one that says: later
OUTSIDER: Final = -1  # the session number of all of them
NONCE_INDEX: Final = 2**30  # their nonces come from a range that no planned step uses
TEXT_MAX: Final = 200
AGENT: Final = "squall-outsider"


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A bearer token, and whose it is; an empty one where the target asks for none."""

    token: str = ""
    holder: str = ""  # told apart, never shown

    @property
    def header(self) -> Headers:
        """The line that presents it."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What outsiders of this process stand on."""

    plan: Plan
    clock: Clock
    writer: JournalWriter
    endpoint: Endpoint  # the treated arm's door
    connect: Callable[[], WireClient]  # a client of our own through it
    own: Callable[[], Awaitable[Pass]]  # the treated arm's credential
    other: Callable[[], Awaitable[Pass]]  # somebody else's; the same one where there is no other
    steps: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What an outsider has opened: the era, the version and the id that it came to."""

    era: str
    version: str
    session_id: str = ""

    @property
    def headers(self) -> Headers:
        """The lines of a request in it."""
        lines: dict[str, str | None] = {}
        if self.session_id:
            lines["mcp-session-id"] = self.session_id
        if self.era == "modern" or self.version >= legacy.HEADER_SINCE:
            lines["mcp-protocol-version"] = self.version
        return lines


class Outsider:
    """One errand: its mouth, its passes, and the entries that it writes."""

    def __init__(self, ground: Ground, behaviour: Behaviour, mouth: Mouth) -> None:
        """`behaviour` is what it was told to do."""
        self.ground = ground
        self.behaviour = behaviour
        self.mouth = mouth
        self.era = ""
        self._nonces = 0

    # --- speaking ---------------------------------------------------------------------------

    async def greet(self, holder: Pass) -> Session | None:
        """Open as a good client does; None where the server does not let it in.

        A server that gives no answer in time, or asks for patience, is asked again.
        """
        clock = self.ground.clock
        for patience in reversed(range(GREETINGS_MAX)):
            client = self.ground.connect()
            if holder.token:
                client.authorization = b"Bearer " + holder.token.encode()
            try:
                reply = await client.open(deadline_ns=clock.now_ns() + round(ASK_S * NS_PER_S))
            finally:
                client.drop_connections()
            if reply.outcome is Outcome.OK:
                self.era = client.era
                return Session(
                    era=client.era, version=client.protocol_version, session_id=client.session_id
                )
            if reply.status not in _PATIENCE or not patience:
                break
            await clock.sleep_until(clock.now_ns() + NS_PER_S)
        return None

    async def ask(
        self,
        session: Session,
        holder: Pass,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Headers | None = None,
        version: str = "",
    ) -> Heard:
        """Send a request that is right for the session's era, save for what `headers` replace.

        `version` is what the body of a modern request says instead.
        """
        lines: dict[str, str | None] = {**session.headers, **holder.header}
        asked = dict(params or {})
        if session.era == "modern":
            named = asked.get("name") or asked.get("uri")
            lines |= {"mcp-method": method, "mcp-name": str(named) if named else None}
            asked["_meta"] = modern.request_meta(AGENT, version or session.version, _DECLARED)
        return await self.mouth.post(
            method, asked, headers={**lines, **(headers or {})}, limit_s=ASK_S
        )

    async def end(self, session: Session, holder: Pass) -> Heard:
        """End a session as a good client does."""
        headers = {**session.headers, **holder.header}
        return await self.mouth.ask("DELETE", headers=headers, limit_s=ASK_S)

    def nonce(self) -> str:
        """Give a nonce of its own."""
        self._nonces += 1
        return self.ground.plan.nonce(self.behaviour.window, NONCE_INDEX + self._nonces)

    # --- writing ----------------------------------------------------------------------------

    def note(
        self,
        variant: str,
        sent: str,
        heard: Heard,
        *,
        carried: Carried = "",
        tool: str = "",
        nonce: str = "",
        reason: str = "",
    ) -> None:
        """Write down one odd request, and what came of it."""
        said = str((heard.error or {}).get("message", "")) or heard.detail
        result = heard.result or {}
        self.ground.writer.append(
            ProbeEntry(
                at_ns=max(heard.done_ns, 0) or self.ground.clock.now_ns(),
                session=OUTSIDER,
                window=self.behaviour.window,
                kind=self.behaviour.kind,
                variant=variant,
                era=self.era,
                tool=tool,
                sent=sent,
                sent_ns=heard.sent_ns,
                status=heard.status,
                outcome=_outcome(heard).name.lower(),
                reason=reason or (heard.reason.name.lower() if heard.reason else ""),
                code=heard.code or None,
                is_error=result.get("isError") is True,
                challenge=redact(heard.challenge)[:TEXT_MAX],
                carried=carried,
                nonce=nonce,
                text=redact(said)[:TEXT_MAX],
            )
        )

    def count(self, flood: int, edge: FloodEdge, counts: Mapping[str, int]) -> None:
        """Write down one edge of a flood."""
        self.ground.writer.append(
            FloodEntry(
                at_ns=self.ground.clock.now_ns(),
                window=self.behaviour.window,
                kind=self.behaviour.kind,
                flood=flood,
                edge=edge,
                sent=counts["sent"],
                accepted=counts["accepted"],
                refused=counts["refused"],
                failed=counts["failed"],
            )
        )


_DECLARED: Final[dict[str, Any]] = {"elicitation": {}, "sampling": {}, "roots": {}}


def _outcome(heard: Heard) -> Outcome:
    """What a client would call it."""
    if not heard.status:
        return Outcome.HANG if heard.reason.name == "HANG" else Outcome.TRANSPORT_ERROR
    if heard.code:
        return Outcome.PROTOCOL_ERROR
    if heard.status >= 300:  # noqa: PLR2004 - a refusal
        return Outcome.HTTP_ERROR
    failed = (heard.result or {}).get("isError") is True
    return Outcome.TOOL_ERROR if failed else Outcome.OK


def put_in(value: Any, nonce: str) -> Any:
    """Give a value with `${nonce}` in its texts replaced."""
    return decode(to_json(value).replace(b"${nonce}", nonce.encode()))
