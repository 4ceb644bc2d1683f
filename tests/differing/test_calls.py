"""Calls, their ids and their ends: what stacks do otherwise there, and how it is read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.checks.families import link
from harness.outcome import Outcome, Reason
from harness.plan import Plan
from harness.session.mischief import calls, collisions
from tests.checks.test_families import finding
from tests.differing.playing import NOTE, SEARCH, play, window
from tests.differing.stacks import Stack, nonce, text
from tests.differing.table import row
from tests.wire.scripted import Peer, Request, error, http, response, serving

pytestmark = pytest.mark.anyio

SLOW_S = 0.4  # longer than a call is given before it is called off
ORPHAN_S = 1.4  # what ends so late has gone on for more than a second since
QUICK_S = 0.35  # so that no session is still at a call of the baseline when the fault is over
CANCEL: dict[str, Any] = {"after": "50ms", "share": "100%"}
LONG: dict[str, Any] = {"warmup": "0s", "baseline": "300ms", "recovery": "1500ms"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for what may never come."""
    monkeypatch.setattr(calls, "WATCHED_S", 0.1)
    monkeypatch.setattr(collisions, "PATIENCE_S", 0.3)


class Answering(Stack):
    """Answers a call that is called off, at once."""

    takes_s = SLOW_S

    def __init__(self, make: Any) -> None:
        """`make` makes the answer of an id."""
        super().__init__()
        self.make = make

    async def called_off(self, peer: Peer, request: Request) -> None:
        """Say so."""
        await peer.send(http(self.make(request.message["id"])))


class Silent(Stack):
    """Leaves the stream of a call that is called off open, and says nothing on it."""

    takes_s = SLOW_S


def _context_canceled(call_id: Any) -> bytes:
    return response(call_id, text("context canceled", isError=True))


def _cancelled(call_id: Any) -> bytes:
    return error(call_id, -32800, "Request cancelled")


@row("cancel, legacy")
@row("a cancelled call answered -32800")
@pytest.mark.parametrize(
    "stack",
    [Silent, lambda: Answering(_context_canceled), lambda: Answering(_cancelled)],
    ids=["typescript", "go", "python"],
)
@pytest.mark.usefixtures("impatient")
async def test_a_cancelled_call_is_answered_or_not(tmp_path: Path, stack: Any) -> None:
    """Never, with a tool's error, with -32800: none is a hang, for the client called it off."""
    made = stack()
    async with serving(made.serve) as server:
        played = await play(
            tmp_path, server.url, NOTE, faults=[window("call-cancel", **CANCEL)],
            effects=made.effects,
        )  # fmt: skip
    assert "abandoned" in {probe.outcome for probe in played.probes}
    assert played.failed == set()


class Deaf(Stack):
    """Works on whatever is said, or whoever leaves; quickly until the fault is near."""

    takes_s = ORPHAN_S
    began_s = 0.0

    def told(self, _: Request) -> bytes:
        """Take it, and do nothing."""
        return http(status="202 Accepted")

    async def call(self, peer: Peer, request: Request) -> None:
        """Do it to the end, and then try to say so."""
        now_s = asyncio.get_running_loop().time()
        self.began_s = self.began_s or now_s
        await asyncio.sleep(self.takes_s if now_s > self.began_s + QUICK_S else 0)
        self.effect(request)
        await self.reply(peer, request)


class DeafStateless(Deaf):
    """Has no session in which somebody could mean a call."""

    def greet(self, request: Request) -> bytes:
        """Open one without a name."""
        return super().greet(request).replace(b"Mcp-Session-Id: ", b"X-Nothing: ")

    def session_of(self, _: Request) -> str:
        """The only one there is."""
        return next(iter(self.sessions), "")


@row("cancel on a stateless server")
@pytest.mark.parametrize(("stack", "failed"), [(Deaf, {"orphan-work"}), (DeafStateless, set())])
@pytest.mark.usefixtures("impatient")
async def test_a_cancel_without_effect_is_judged_in_a_session_alone(
    tmp_path: Path, stack: type[Stack], failed: set[str]
) -> None:
    """A stateless server cannot know whom it is for."""
    made = stack()
    async with serving(made.serve) as server:
        played = await play(
            tmp_path, server.url, NOTE, phases=LONG, faults=[window("call-cancel", **CANCEL)],
            effects=made.effects,
        )  # fmt: skip
    assert "abandoned" in {probe.outcome for probe in played.probes}
    assert played.failed == failed


class Falsy(Silent):
    """Does not know a call by an id that is false to its language."""

    def told(self, request: Request) -> bytes:
        """Look whether there is an id at all."""
        message = request.message
        if not message.get("params", {}).get("requestId"):
            return http(status="202 Accepted")
        return super().told(request)


@row("cancel of the id 0")
@pytest.mark.usefixtures("impatient")
async def test_no_call_of_the_id_0_is_called_off_unasked(tmp_path: Path) -> None:
    """A released SDK ignores it; a scenario that wants to know says `odd_ids`."""
    made = Falsy()
    async with serving(made.serve) as server:
        played = await play(
            tmp_path, server.url, NOTE, faults=[window("call-cancel", **CANCEL)],
            effects=made.effects,
        )  # fmt: skip
    assert {probe.variant for probe in played.probes} == {"id"}
    assert played.failed == set()


@row("client gone")
@pytest.mark.parametrize(
    ("stack", "era", "failed"),
    [(Deaf, "modern", {"orphan-work"}), (Silent, "modern", set()), (Deaf, "legacy", set())],
    ids=["go", "typescript", "legacy"],
)
async def test_work_for_a_client_that_has_gone_is_an_orphan_in_the_modern_era(
    tmp_path: Path, stack: type[Stack], era: str, failed: set[str]
) -> None:
    """There to leave is to cancel. In the legacy era it is not, and the work may go on."""
    made = stack()
    async with serving(made.serve) as server:
        played = await play(
            tmp_path, server.url, NOTE, era=era, phases=LONG, effects=made.effects,
            faults=[window("client-vanish", after="50ms", share="100%")],
        )  # fmt: skip
    assert Reason.VANISHED in played.calls["reason"]
    assert played.failed == failed


class Overwriting(Stack):
    """Knows a call by its id alone: the last one takes the place of those before."""

    takes_s = 0.05

    async def call(self, peer: Peer, request: Request) -> None:
        """Answer nobody who was overwritten."""
        named = (self.session_of(request), request.message["id"])
        mine = self.calls[named] = asyncio.Event()
        await asyncio.sleep(self.takes_s)
        if self.calls.get(named) is not mine:
            await asyncio.Event().wait()
        await self.reply(peer, request)


class Refusing(Stack):
    """Refuses an id that is under way."""

    takes_s = 0.05

    async def call(self, peer: Peer, request: Request) -> None:
        """Look first."""
        call_id = request.message["id"]
        if (self.session_of(request), call_id) in self.calls:
            said = error(call_id, -32600, "duplicate request id")
            await peer.send(http(said, status="400 Bad Request"))
        else:
            await super().call(peer, request)


class Crossed(Stack):
    """Sends each answer where the last call under its id came from."""

    def __init__(self) -> None:
        """Begin with no call."""
        super().__init__()
        self.last: dict[tuple[str, Any], str] = {}

    async def call(self, peer: Peer, request: Request) -> None:
        """Give it the nonce of whoever came last."""
        named = (self.session_of(request), request.message["id"])
        self.last[named] = nonce(request)
        await asyncio.sleep(0.05)
        await peer.send(http(response(request.message["id"], text(self.last[named]))))


@row("the same id twice in one session")
@pytest.mark.parametrize(
    ("stack", "failed"), [(Overwriting, set()), (Refusing, set()), (Crossed, {"crosstalk"})],
    ids=["typescript", "go", "python"],
)  # fmt: skip
@pytest.mark.usefixtures("impatient")
async def test_equal_ids_in_one_session_may_cost_an_answer_and_mix_up_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: type[Stack], failed: set[str]
) -> None:
    """The client broke its own MUST: lost and refused are no verdict, another's data is."""
    monkeypatch.setattr(Plan, "draw", lambda *_: 0.0)  # all within one session
    async with serving(stack().serve) as server:
        played = await play(
            tmp_path, server.url, faults=[window("id-collide", share="100%", count=4)]
        )
    assert {probe.variant for probe in played.probes} == {"within"}
    assert played.failed == failed


@row("ids outside the protocol")
@pytest.mark.usefixtures("impatient")
async def test_no_request_has_a_null_or_a_fractional_id(tmp_path: Path) -> None:
    """Whatever came back would be no verdict, so nobody asks, however badly agents behave."""
    made = Silent()
    faults = [
        window("call-cancel", **CANCEL, odd_ids=True),
        window("id-collide", "300ms", share="100%"),
        window("args-invalid", "300ms", share="100%"),
        window("version-skew", "300ms"),
        window("reject-flood", "300ms", requests=10),
    ]
    phases = {"warmup": "0s", "baseline": "200ms", "recovery": "50ms"}
    async with serving(made.serve) as server:
        await play(tmp_path, server.url, phases=phases, faults=faults)
    sent = [one.message for one in server.requests if one.body.endswith(b"}")]
    ids = [message["id"] for message in sent if "id" in message]
    assert 0 in ids
    assert {type(call_id) for call_id in ids} <= {int, str}


@row("consequences of one flaw")
def test_what_follows_from_one_flaw_stands_under_it() -> None:
    """A blocked loop sees nobody leave, a storm of retries keeps others waiting."""
    for cause, consequence in (
        ("hol-block", "orphan-work"),
        ("hol-block", "hang"),
        ("retry-amplification", "hang"),
        ("authn-bypass", "scope-bypass"),
        ("authn-bypass", "audience-bypass"),
    ):
        linked = link([finding(consequence, "1:dep-latency"), finding(cause)])
        assert [one.cause for one in linked] == [cause, ""], (cause, consequence)


@row("unknown method, wrong Accept, unknown tool")
@row("ugly refusals")
@row("arguments that are not validated strictly")
async def test_refusals_come_in_many_forms(tmp_path: Path) -> None:
    """Under 200, 400, 406; as an error, as a tool's, as text, as a page: each is an error."""

    class Motley(Stack):
        turn = 0

        async def reply(self, peer: Peer, request: Request) -> None:
            """Refuse in the next way."""
            call_id = request.message["id"]
            ways = (
                http(error(call_id, -32601, "Method not found")),
                http(error(call_id, -32602, "Unknown tool: search")),
                http(response(call_id, text("Unknown tool: 'search'", isError=True))),
                http(error(None, -32000, "Not Acceptable"), status="406 Not Acceptable"),
                http(b"JSON RPC not handled", status="400 Bad Request", kind="text/plain"),
                http(b"<!DOCTYPE html><pre>Bad</pre>", status="400 Bad Request", kind="text/html"),
                http(error(None, -32603, "too large"), status="413 Too Large"),
                http(response(call_id, text(nonce(request)))),
            )
            self.turn += 1
            await peer.send(ways[self.turn % len(ways)])

    async with serving(Motley().serve) as server:
        played = await play(tmp_path, server.url, SEARCH)
    wanted = {Outcome.OK, Outcome.PROTOCOL_ERROR, Outcome.TOOL_ERROR, Outcome.HTTP_ERROR}
    assert Outcome.OK in played.settled["outcome"]
    assert set(played.settled["outcome"]) <= wanted
    assert played.failed == set()
