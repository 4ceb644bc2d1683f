"""A stage for sessions in virtual time: a target and an issuer that are a few lines each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import numpy as np
from pydantic_core import from_json

from harness import journal
from harness.errors import TargetError
from harness.journal import Calls, Journal, JournalWriter
from harness.outcome import EndedBy, Outcome, Reason
from harness.plan import Plan, PlannedSession, make
from harness.scenario.records import Scenario
from harness.session.conduct import Conduct
from harness.session.life import Session
from harness.session.lists import Lists
from harness.session.misfits import Misfit
from harness.session.record import Recorder
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.wire.inbox import Inbox
from harness.wire.listen import Listening
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker
from harness.wire.stats import WireStats
from tests.virtual import NS_PER_S, VirtualClock

TOOK_S = 0.02
CLOCK = VirtualClock()
SEARCH: dict[str, Any] = {"call": "search", "with": {"query": "${nonce}"}}


def scenario(*steps: dict[str, Any], **changes: Any) -> Scenario:
    """Make a scenario of sessions that take a step a second for twenty seconds."""
    document: dict[str, Any] = {
        "question": "Does a session do what it should?",
        "agents": [{"name": "worker", "pace": "1/s", "steps": list(steps or (SEARCH,))}],
        "load": {"sessions": 2, "ramp": "0s"},
        "phases": {"warmup": "0s", "baseline": "20s"},
    }
    return Scenario.model_validate(document | changes)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it reached the target."""

    at_ns: int
    session: int
    method: str
    name: str
    params: dict[str, Any]
    authorization: bytes
    session_id: str
    lose_reply: bool
    vanish_after_ns: int | None

    @property
    def nonce(self) -> str:
        """The nonce in its arguments."""
        return str(self.params["arguments"]["query"]).split()[0]


def fine(**result: Any) -> Reply:
    """A good answer."""
    return Reply(outcome=Outcome.OK, status=200, result={"content": [], **result})


def refused(status: int, detail: str = "", challenge: str = "") -> Reply:
    """An HTTP error."""
    return Reply(
        outcome=Outcome.HTTP_ERROR, reason=Reason.HTTP_STATUS, status=status, detail=detail,
        challenge=challenge,
    )  # fmt: skip


def broken() -> Reply:
    """A connection that was reset before the reply."""
    return Reply(outcome=Outcome.TRANSPORT_ERROR, reason=Reason.RESET, ended_by=EndedBy.CLOSED)


Answer = Callable[[Asked], Reply]


@dataclass
class Target:
    """Answers what it is told to answer, after a while, and remembers what it was asked."""

    answer: Answer = lambda _: fine()
    opens: Callable[[int], Reply] = lambda _: fine()  # by how many were tried so far
    took_s: float = TOOK_S
    asked: list[Asked] = field(default_factory=list)
    opened: list[tuple[int, int]] = field(default_factory=list)  # (at_ns, session)


class Client:
    """The face of the wire's client that a session sees."""

    def __init__(self, target: Target, session: int) -> None:
        self._target = target
        self._session = session
        self.authorization = b""
        self.session_id = ""
        self.era = "legacy"
        self.protocol_version = ""
        self.inbox = Inbox()
        self.next_id = 1
        self.cancels_by_close = False
        self.dropped = False

    @property
    def stats(self) -> WireStats:
        """It listens, and has carried nothing."""
        return WireStats(
            connections_opened=0, bytes_in=0, bytes_out=0, foreign_messages=0,
            duplicate_replies=0, server_requests=0, streams_left_open=0,
            listening=Listening.OPEN, listen_messages=0, listen_reconnects=0,
        )  # fmt: skip

    async def listen(self, uris: frozenset[str], *, deadline_ns: int) -> Reply:
        """Listen to nothing, at once."""
        del uris, deadline_ns
        return fine()

    async def open(self, *, deadline_ns: int) -> Reply:
        """Give a new session id, unless the target says no."""
        del deadline_ns
        target = self._target
        reply = target.opens(len(target.opened))
        target.opened.append((CLOCK.now_ns(), self._session))
        await anyio.sleep(target.took_s)
        if reply.outcome is Outcome.OK:
            self.session_id = f"id-{self._session}-{len(target.opened)}"
            self.protocol_version = "2025-06-18"
        return reply

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """Say goodbye."""
        del deadline_ns
        await anyio.sleep(self._target.took_s)
        self.session_id = ""
        return None

    def forget_session(self) -> None:
        """Know no session any more."""
        self.session_id = ""

    def drop_connections(self) -> None:
        """Note it."""
        self.dropped = True

    async def request(
        self,
        method: str,
        params: bytes,
        *,
        name: str = "",
        deadline_ns: int,
        authorization: bytes | None = None,
        lose_reply: bool = False,
        vanish_after_ns: int | None = None,
        headers: bytes = b"",
    ) -> Reply:
        """Ask the target, and stamp what came of it."""
        del headers, deadline_ns
        sent_ns = CLOCK.now_ns()
        asked = Asked(
            at_ns=sent_ns,
            session=self._session,
            method=method,
            name=name,
            params=from_json(params),
            authorization=self.authorization if authorization is None else authorization,
            session_id=self.session_id,
            lose_reply=lose_reply,
            vanish_after_ns=vanish_after_ns,
        )
        self._target.asked.append(asked)
        reply = self._target.answer(asked)
        if vanish_after_ns is not None:
            await anyio.sleep(vanish_after_ns / NS_PER_S)
            reply = Reply(
                outcome=Outcome.ABANDONED, reason=Reason.VANISHED, ended_by=EndedBy.CLIENT
            )
        else:
            await anyio.sleep(self._target.took_s)
        if lose_reply:
            reply = Reply(
                outcome=Outcome.TRANSPORT_ERROR, reason=Reason.REPLY_LOST, ended_by=EndedBy.CLIENT
            )
        reply.sent_ns, reply.first_ns = sent_ns, CLOCK.now_ns()
        reply.done_ns = reply.first_ns
        return reply


@dataclass
class Credential:
    """Tokens out of nothing: `opaque-<session>-<serial>-...`, good for `ttl_s`."""

    session: int
    ttl_s: float | None = None
    refresh: str = "on-401"
    renewable: bool = True
    refuses: bool = False
    token: str = ""
    expires_ns: int = -1
    minted_ns: int = 0
    serial: int = 0
    at_ns: list[int] = field(default_factory=list)  # when each token was had
    refusals: list[str] = field(default_factory=list)  # the challenges that came with a 401
    wider: list[str] = field(default_factory=list)  # those that asked for more

    def renews_on_refusal(self) -> bool:
        """Unless the policy never renews."""
        return self.refresh != "never"

    def due(self, now_ns: int) -> bool:
        """A third of the lifetime early, when proactive."""
        if self.refresh != "proactive" or self.expires_ns < 0:
            return False
        return now_ns >= self.expires_ns - (self.expires_ns - self.minted_ns) // 3

    def damaged(self) -> str:
        """Another token."""
        return f"damaged-{self.session}"

    def note_refusal(self, challenge: str) -> None:
        """Remember it."""
        self.refusals.append(challenge)

    def lacks(self, challenge: str) -> bool:
        """As long as a challenge names something new."""
        return challenge not in ("", *self.wider)

    def widen(self, challenge: str) -> None:
        """Remember that too."""
        self.wider.append(challenge)

    async def race(self, count: int) -> None:
        """As many as asked for, one after the other."""
        for _ in range(count):
            await self.renew()

    async def misfit(self, wanted: Misfit) -> str:
        """One for each kind, named after it; none where the issuer refuses."""
        await anyio.sleep(TOOK_S)
        name = "-".join(filter(None, (wanted.scope, wanted.resource, wanted.oddity)))
        return "" if self.refuses else f"misfit-{wanted.window}-{name}"

    @property
    def shown(self) -> tuple[str, ...]:
        """None that the journal has to be kept from."""
        return ()

    async def obtain(self) -> None:
        """Get the first."""
        await self.renew()

    async def renew(self) -> None:
        """Get the next, after a while."""
        await anyio.sleep(TOOK_S)
        if self.refuses:
            raise TargetError("the issuer refuses")
        self.serial += 1
        self.token = f"opaque-{self.session}-{self.serial}-{'s3cr3t' * 4}"
        self.minted_ns = CLOCK.now_ns()
        self.at_ns.append(self.minted_ns)
        if self.ttl_s is not None:
            self.expires_ns = self.minted_ns + round(self.ttl_s * NS_PER_S)


class Play:
    """A scenario's sessions on their stage; `run` plays it, the journal tells it."""

    def __init__(
        self,
        folder: Path,
        made: Scenario,
        *,
        target: Target | None = None,
        credential: Callable[[int], Credential] | None = None,
    ) -> None:
        self.folder = folder
        self.scenario = made
        self.plan: Plan = make(made)
        self.target = target or Target()
        self.conduct = Conduct()
        self.writer = JournalWriter(folder)
        self.credentials: dict[int, Credential] = {}
        self.clients: list[Client] = []
        self.lists = Lists(CLOCK.now_ns)
        self._credential = credential

    def _stage(self) -> Stage:
        agents = range(len(self.scenario.agents))
        return Stage(
            scenario=self.scenario,
            plan=self.plan,
            clock=CLOCK,
            conduct=self.conduct,
            recorder=Recorder(self.writer),
            writer=self.writer,
            steps=tuple(compile_agent(self.scenario, self.plan, number) for number in agents),
            connect=self._connect,
            credential=self._make_credential,
            lists=self.lists,
        )

    def _connect(self, planned: PlannedSession) -> Speaker:
        self.clients.append(Client(self.target, planned.session))
        return cast("Speaker", self.clients[-1])

    def _make_credential(self, planned: PlannedSession) -> Credential | None:
        if self._credential is None:
            return None
        return self.credentials.setdefault(planned.session, self._credential(planned.session))

    async def run(
        self,
        *,
        until_s: float = float("inf"),
        scenes: Sequence[tuple[float, Callable[[], object]]] = (),
    ) -> None:
        """Play to the end, or cut everything short; `scenes` happen at their seconds."""
        with self.writer:
            stage = self._stage()
            with anyio.move_on_after(until_s):
                async with anyio.create_task_group() as together:
                    for at_s, scene in scenes:
                        together.start_soon(_later, at_s, scene)
                    for planned in self.plan.sessions:
                        together.start_soon(Session(stage=stage, planned=planned).run)

    @property
    def journal(self) -> Journal:
        """What was written."""
        return journal.read(self.folder)

    @property
    def calls(self) -> Calls:
        """Every attempt."""
        return self.journal.calls

    @property
    def last(self) -> Calls:
        """Every settled call."""
        calls = self.calls
        return np.asarray(calls[calls["last"] == 1])

    def one(self, session: int, index: int) -> Calls:
        """The attempts of one logical call, preludes first."""
        calls = self.calls
        return np.asarray(calls[(calls["session"] == session) & (calls["index"] == index)])

    def arm(self, arm: str) -> int:
        """The number of the first session of an arm."""
        return next(planned.session for planned in self.plan.sessions if planned.arm == arm)

    def balance(self) -> None:
        """Hold the journal to the conservation law, and every attempt to its own name."""
        planned = {
            (step.session, step.index): step.due_ns
            for session in self.plan.sessions
            for step in self.plan.steps(session.session)
        }
        last, calls = self.last, self.calls
        names = list(zip(last["session"].tolist(), last["index"].tolist(), strict=True))
        assert len(names) == len(set(names)), "a step has two last entries"
        assert set(names) == set(planned), "a step has none"
        assert dict(zip(names, last["due_ns"].tolist(), strict=True)) == planned
        attempts = calls[["session", "index", "attempt", "behaviour"]]
        assert len(np.unique(attempts)) == len(attempts), "two attempts bear the same name"
        assert not calls["last"][calls["attempt"] == 0].any(), "a prelude settled a call"


async def _later(at_s: float, scene: Callable[[], object]) -> None:
    await anyio.sleep_until(at_s)
    made = scene()
    if isinstance(made, Awaitable):
        await made
