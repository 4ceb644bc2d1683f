"""Sessions and eras: what stacks do otherwise there, and how it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.outcome import Outcome, Reason
from harness.running import host
from harness.session.access import Access
from harness.session.mischief import floods
from harness.session.mischief.outsider import Ground, Pass
from harness.session.mischief.passes import outsiders
from tests.differing.playing import play, window
from tests.differing.stacks import DISCOVERED, Stack, is_modern, nonce, stream, text
from tests.differing.table import row
from tests.wire.scripted import (
    INITIALIZE_RESULT,
    Peer,
    Request,
    error,
    event,
    http,
    response,
    serving,
)

pytestmark = pytest.mark.anyio

TOKEN_VARIABLE = "SQUALL_TOKEN"
BEARER: dict[str, Any] = {"issuer": "target", "grant": "bearer"}


class Forgetful(Stack):
    """Forgets all sessions after so many calls, and says so in one way or another."""

    def __init__(self, refusal: bytes) -> None:
        """`refusal` is what a forgotten session is told."""
        super().__init__()
        self.refusal = refusal
        self.left = 6

    async def call(self, peer: Peer, request: Request) -> None:
        """Forget, once."""
        await super().call(peer, request)
        self.left -= 1
        if not self.left:
            self.sessions.clear()

    def unknown_session(self, _: Request) -> bytes:
        """Say it."""
        return self.refusal


_404_TEXT = http(b"session not found\n", status="404 Not Found", kind="text/plain")
_404_CODE = http(error(None, -32001, "Session not found"), status="404 Not Found")
_400_NAIVE = http(error(None, -32000, "Bad Request: Server not initialized"), status="400 Bad")
_400_NAMED = http(error(None, -32000, "Bad Request: No valid session ID"), status="400 Bad")


@row("unknown or dead session")
@pytest.mark.parametrize(
    ("refusal", "policy", "failed", "reopened"),
    [
        (_404_TEXT, ["404"], set(), True),
        (_404_CODE, ["404"], set(), True),
        (_400_NAIVE, ["404"], {"wrong-status"}, False),
        (_400_NAIVE, ["404", "400"], {"wrong-status"}, True),
        (_400_NAMED, ["404", "400"], {"wrong-status"}, True),
    ],
)
async def test_404_is_the_rule_for_a_dead_session_and_400_is_named(
    tmp_path: Path, refusal: bytes, policy: list[str], failed: set[str], reopened: bool
) -> None:
    """In text or as JSON-RPC. After a 400 the client begins anew only where its policy says so."""
    stack = Forgetful(refusal)
    client = {"deadline": "3s", "reinitialize_on": policy}
    async with serving(stack.serve) as server:
        played = await play(
            tmp_path, server.url, client=client, phases={"warmup": "0s", "baseline": "900ms"}
        )
    assert played.failed == failed
    assert ("reopened" in {entry.edge for entry in played.sessions}) is reopened


class Unnamed(Stack):
    """Gives no session a name, and answers calls without one in Go's way."""

    def greet(self, request: Request) -> bytes:
        """Open nothing."""
        return http(response(request.message["id"], INITIALIZE_RESULT))

    def unknown_session(self, request: Request) -> bytes:
        """Refuse with a code that no table has."""
        return http(error(request.message["id"], 0, "method is invalid during initialization"))


@row("no session id")
async def test_an_error_of_code_0_is_a_protocol_error(tmp_path: Path) -> None:
    """A code outside the table is no crash of ours, and no malformed reply."""
    async with serving(Unnamed().serve) as server:
        played = await play(tmp_path, server.url)
    assert set(played.settled["outcome"]) == {Outcome.PROTOCOL_ERROR}
    assert set(played.settled["reason"]) == {Reason.JSONRPC_ERROR}
    assert played.failed == set()


class LegacyOnly(Stack):
    """Refuses what it does not know in one way, and speaks the handshake's era."""

    def __init__(self, refusal: Any, *, discovers: bool = False) -> None:
        """`refusal` makes an error of an id; `discovers` answers discovery all the same."""
        super().__init__()
        self.refusal = refusal
        self.discovers = discovers

    async def answer(self, peer: Peer, request: Request) -> None:
        """Know no modern request."""
        if not is_modern(request):
            await super().answer(peer, request)
        elif self.discovers and request.message["method"] == "server/discover":
            await peer.send(stream(event(response(request.message["id"], DISCOVERED))))
        else:
            await peer.send(http(self.refusal(request.message["id"]), status="400 Bad Request"))

    async def reply(self, peer: Peer, request: Request) -> None:
        """Answer in a stream."""
        await peer.send(stream(event(response(request.message["id"], text(nonce(request))))))


def _plain(_: Any) -> bytes:
    return error(None, -32000, "Bad Request: Server not initialized")


def _unsupported(call_id: Any) -> bytes:
    return error(call_id, -32022, "unsupported", data={"supported": ["2025-11-25"]})


@row("modern request to a legacy-only server")
@pytest.mark.parametrize(
    ("stack", "era"),
    [
        (lambda: LegacyOnly(_plain), "legacy"),
        (lambda: LegacyOnly(_unsupported, discovers=True), "legacy"),
        (Stack, "modern"),
    ],
    ids=["typescript-1", "go", "both"],
)
async def test_auto_finds_the_era_of_each_stack(tmp_path: Path, stack: Any, era: str) -> None:
    """Refused with a plain 400, refused though discovery was answered, or served in both eras."""
    async with serving(stack().serve) as server:
        played = await play(tmp_path, server.url, era="auto")
    assert {entry.era for entry in played.sessions if entry.edge == "opened"} == {era}
    assert set(played.settled["outcome"]) == {Outcome.OK}
    assert played.failed == set()


class Guarded(Stack):
    """Wants a bearer token, and lets each session be used by its own user alone."""

    def __init__(self) -> None:
        """Begin with no session of anybody's."""
        super().__init__()
        self.owners: dict[str, str] = {}

    async def answer(self, peer: Peer, request: Request) -> None:
        """Ask who it is."""
        holder = request.headers.get("authorization", "")
        owner = self.owners.get(self.session_of(request), holder)
        if not holder:
            challenge = 'WWW-Authenticate: Bearer resource_metadata="http://127.0.0.1/.well-known"'
            await peer.send(http(status="401 Unauthorized", headers=(challenge,)))
        elif owner != holder:
            await peer.send(
                http(b"session user mismatch", status="403 Forbidden", kind="text/plain")
            )
        else:
            known = set(self.sessions)
            await super().answer(peer, request)
            self.owners |= dict.fromkeys(self.sessions - known, holder)


@row("401")
async def test_a_first_401_need_not_call_the_token_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was none. The challenge names the metadata, which is what a client needs."""
    monkeypatch.setenv(TOKEN_VARIABLE, "good")
    async with serving(Guarded().serve) as server:
        played = await play(
            tmp_path,
            server.url,
            access=Access(bearer_variable=TOKEN_VARIABLE),
            auth=BEARER,
            faults=[window("no-token", share="100%")],
        )
    assert played.failed == set()
    assert played.of("wrong-status") == played.of("authn-bypass") == ["pass"]


@row("401")
async def test_another_users_session_may_be_answered_403(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As well as 404: whatever does not serve it is a good guard."""

    async def own() -> Pass:
        return Pass(token="good", holder="owner")

    async def other() -> Pass:
        return Pass(token="bad", holder="thief")

    def manned(*given: Any) -> Ground:
        return replace(outsiders(*given), own=own, other=other)

    monkeypatch.setattr(host, "outsiders", manned)
    monkeypatch.setenv(TOKEN_VARIABLE, "good")
    async with serving(Guarded().serve) as server:
        played = await play(
            tmp_path,
            server.url,
            access=Access(bearer_variable=TOKEN_VARIABLE),
            auth=BEARER,
            faults=[window("session-hijack", every="100ms")],
        )
    assert {probe.status for probe in played.probes if probe.variant == "foreign-token"} == {403}
    assert played.failed == set()


class Stateless(Stack):
    """Knows no sessions, whatever it is asked in, and whatever it says when one is ended."""

    def __init__(self, *, named: bool) -> None:
        """`named`: it gives out ids all the same."""
        super().__init__()
        self.named = named

    def greet(self, request: Request) -> bytes:
        """Give a name, or none."""
        if self.named or request.message["method"] == "server/discover":
            return super().greet(request)
        return http(response(request.message["id"], INITIALIZE_RESULT))

    def unknown_session(self, request: Request) -> bytes:
        """Never say it."""
        if request.message["method"] == "tools/list":
            return http(response(request.message["id"], {"tools": []}))
        return http(response(request.message["id"], text(nonce(request))))


@row("stateless")
@pytest.mark.parametrize("named", [True, False])
async def test_a_stateless_server_may_answer_any_session_id(tmp_path: Path, named: bool) -> None:
    """One that never was, one that idled, one that was ended, an old one at the handshake."""
    odd: dict[str, dict[str, str]] = {"session-idle": {"idle": "50ms"}, "init-with-stale-id": {}}
    async with serving(Stateless(named=named).serve) as server:
        played = await play(
            tmp_path,
            server.url,
            faults=[window(kind, "500ms", **how) for kind, how in odd.items()],
        )
    assert {probe.outcome for probe in played.probes} == {"ok"}
    assert len(played.probes) >= 2
    assert played.failed == set()


@row("stateless")
async def test_a_flood_of_sessions_that_are_none_leaves_none_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Served after their end is what sessions are that never began."""
    monkeypatch.setattr(floods, "SETTLE_S", 0.1)
    async with serving(Stateless(named=True).serve) as server:
        flood = window("session-flood", "2s", sessions=10, rate="100/s", rest="1s")
        played = await play(tmp_path, server.url, faults=[flood])
    served = {probe.variant for probe in played.probes if probe.outcome == "ok"}
    assert {"ended", "unknown"} <= served
    assert played.failed == set()


@row("a foreign Host")
@pytest.mark.parametrize("status", ["403 Forbidden", "421 Misdirected Request"])
async def test_a_foreign_host_may_be_refused(tmp_path: Path, status: str) -> None:
    """By the name it is to be reached by it is served."""

    class Choosy(Stack):
        async def answer(self, peer: Peer, request: Request) -> None:
            """Serve one name."""
            if request.headers["host"].partition(":")[0] != "127.0.0.1":
                await peer.send(http(b"Invalid Host header", status=status, kind="text/plain"))
            else:
                await super().answer(peer, request)

    async with serving(Choosy().serve) as server:
        served = f"127.0.0.1:{server.port}"
        played = await play(
            tmp_path, server.url, faults=[window("host-header", served=[served], health="/none")]
        )
    assert int(status[:3]) in {probe.status for probe in played.probes}
    assert played.failed == set()
    assert played.of("host-reject") == ["pass"]


@row("a foreign Origin")
async def test_a_foreign_origin_that_is_served_is_told_once_and_weighs_nothing(
    tmp_path: Path,
) -> None:
    """Most released servers do it. It is true, and says nothing of how they bear faults."""
    async with serving(Stack().serve) as server:
        played = await play(tmp_path, server.url, faults=[window("origin-evil")])
    (told,) = [one for one in played.findings if one.ruling == "fail"]
    assert (told.verdict, told.hard, told.observed) == ("authn-bypass", False, 1.0)
    assert set(played.settled["outcome"]) == {Outcome.OK}
    assert not played.calls["behaviour"].any()
