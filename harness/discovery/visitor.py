"""One session of ours with the server that is got to know: opened, asked, opened anew when lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

import anyio
from pydantic_core import to_json

from harness.clock import NS_PER_S, RunClock
from harness.errors import TargetError
from harness.outcome import Outcome
from harness.redaction import redact
from harness.running.assembly import Rig
from harness.running.preflight import last_words, token_of, words
from harness.scenario.records import Scenario
from harness.session.connecting import connector
from harness.session.processes import Processes
from harness.session.talking import Conversation
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker

OPEN_S: Final = 60.0  # a server's process may have to start first
CLOSE_S: Final = 2.0
REOPENED_MAX: Final = 5  # times that a lost session is opened anew
_LOST: Final = frozenset({Outcome.TRANSPORT_ERROR, Outcome.HANG, Outcome.HTTP_ERROR})


class Visitor:
    """A client of the server's; an async context manager, whose way out ends its session."""

    def __init__(
        self,
        scenario: Scenario,
        rig: Rig,
        clock: RunClock,
        processes: Processes | None,
        *,
        secrets: Iterable[str] = (),
    ) -> None:
        """Prepare; nothing is connected. `secrets` are kept out of every word that is passed on."""
        self._scenario, self._rig, self._clock, self._processes = scenario, rig, clock, processes
        self._secrets = (*secrets, *rig.access.secrets)
        self._token = ""  # the newest; each one that was had is among the secrets
        self._client: Speaker | None = None
        self._reopened = 0
        self._nameless = False  # whether it shows no token, though there are some
        self.schemas = SchemaBook()
        self.opened: dict[str, Any] = {}  # what the server has said of itself
        self.opening_ms = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()  # whoever could not come in has no way out of its own
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    @property
    def client(self) -> Speaker:
        """The client, while there is a session."""
        assert self._client is not None
        return self._client

    def another(self) -> Visitor:
        """A second one like this, for a session beside it."""
        return Visitor(
            self._scenario, self._rig, self._clock, self._processes, secrets=self._secrets
        )

    async def ask(
        self, method: str, params: dict[str, Any], *, name: str = "", deadline_s: float
    ) -> Reply:
        """Ask once, to the very end; a session that is lost by it is opened anew for the next.

        Raises:
            TargetError: it cannot be opened any more.
        """
        reply = await self._ask(method, params, name, deadline_s)
        if reply.status == _UNAUTHORIZED and self._renews:  # its token has come to its end
            await self._close()
            await self._open()
            reply = await self._ask(method, params, name, deadline_s)
        if reply.outcome in _LOST and self._reopened < REOPENED_MAX:
            self._reopened += 1
            await self._close()
            await self._open()
        return reply

    async def lets_anybody_in(self) -> bool:
        """Whether a session can be opened without any token."""
        if self._processes is not None or not self._token:
            return True
        stranger = Visitor(self._scenario, self._rig, self._clock, None, secrets=self._secrets)
        stranger._nameless = True
        try:
            async with stranger:
                return True
        except TargetError:
            return False

    async def _ask(
        self, method: str, params: dict[str, Any], name: str, deadline_s: float
    ) -> Reply:
        conversation = Conversation(
            client=self.client,
            clock=self._clock,
            method=method,
            params=to_json(params),
            name=name,
            deadline_ns=self._in(deadline_s),
        )
        return await conversation.hold()

    @property
    def _renews(self) -> bool:
        return bool(self._token) and self._rig.access.authority is not None

    def say(self, reply: Reply) -> str:
        """Put into words what came of a request, without anything that is secret."""
        said = ""
        if reply.outcome is Outcome.TOOL_ERROR and isinstance(reply.result, dict):
            said = _told(reply.result)
        elif reply.error is not None:
            said = str(reply.error.get("message") or "")
        return redact(said or words(reply), self._secrets)

    async def _open(self) -> None:
        rig = self._rig
        connect = connector(
            self._scenario, rig.doors, self.schemas, self._clock.now_ns, self._processes
        )
        if self._processes is None and not self._nameless:
            self._token = await token_of(rig.access, "control", rig.doors, self._clock)
            self._secrets = (*self._secrets, self._token)
        self._client = client = connect("control")
        if self._token:
            client.authorization = b"Bearer " + self._token.encode()
        began_ns = self._clock.now_ns()
        opened = await client.open(deadline_ns=self._in(OPEN_S))
        self.opening_ms = (self._clock.now_ns() - began_ns) / 1e6
        if opened.outcome is not Outcome.OK:
            last = await last_words(self._processes) if self._processes is not None else ""
            raise TargetError(self._refusal(opened, redact(last, self._secrets)))
        if isinstance(opened.result, dict):
            self.opened = opened.result

    def _refusal(self, opened: Reply, last_words: str) -> str:
        said = self.say(opened)
        if opened.status == _UNAUTHORIZED and not self._token:
            return (
                f"{self._rig.doors.url} asks for a token ({said}); say --auth bearer with the "
                "token in SQUALL_TOKEN, or --auth client_credentials with SQUALL_CLIENT_ID and "
                "SQUALL_CLIENT_SECRET"
            )
        if opened.status == _UNAUTHORIZED:
            variable = self._rig.access.bearer_variable
            which = f"the token in {variable}" if variable else "a token of its own issuer's"
            mend = f"; put one into {variable} that is for it, and still good" if variable else ""
            return f"{self._rig.doors.url} refuses {which} ({said}){mend}"
        return (
            f"expected a session with {self._rig.doors.url}, got: {said}{last_words}; it has to be "
            "an MCP server that answers there"
        )

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S):
            await client.close(deadline_ns=self._in(CLOSE_S))
        client.drop_connections()

    def _in(self, seconds: float) -> int:
        return self._clock.now_ns() + round(seconds * NS_PER_S)


_UNAUTHORIZED: Final = 401


def _told(result: dict[str, Any]) -> str:
    """The first text of a tool's error."""
    content = result.get("content")
    for block in content if isinstance(content, list) else ():
        text = block.get("text") if isinstance(block, dict) else None
        if isinstance(text, str) and text.strip():
            return text
    return ""


Say = Callable[[str], None]
