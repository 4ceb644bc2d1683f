"""What outsiders send to a real server, and that each flaw of theirs shows in an answer."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from faults.agent_sessions import OutsiderFault, SessionHijack, StateTamper
from faults.catalogue import CATALOGUE
from faults.levers import Behaviour, BehaviourKind
from harness import journal
from harness.clock import RunClock
from harness.flaws import Flaw
from harness.journal import FloodEntry, JournalWriter, NoteEntry, ProbeEntry
from harness.plan import make
from harness.rig.issuer import control
from harness.session.exchange import TokenError
from harness.session.mischief.errands import ERRANDS, Errands
from harness.session.mischief.outsider import Ground, Pass
from harness.session.mischief.states import forged
from harness.session.steps import compile_agent
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.reference.calls import ERAS, Bench, Era, bench
from tests.session import staged

pytestmark = pytest.mark.anyio
WAIT_S = 30
HIJACK = SessionHijack.model_validate(
    {
        "every": "100ms",
        "plant": {"tool": "remember", "arguments": {"key": "secret", "value": "${nonce}"}},
        "read": {"tool": "recall", "arguments": {"key": "secret"}},
    }
).behaviour()
FLOOD = {"count": 8, "every_s": 0.01, "after_s": 0.1}


@dataclass(kw_only=True)
class Sent:
    """What outsiders have written down."""

    probes: list[ProbeEntry] = field(default_factory=list)
    floods: list[FloodEntry] = field(default_factory=list)
    notes: list[NoteEntry] = field(default_factory=list)

    def answers(self) -> dict[str, tuple[int, str]]:
        """Give status and outcome of the last probe of each variant."""
        return {entry.variant: (entry.status, entry.outcome) for entry in self.probes}

    def carried(self) -> dict[str, str]:
        """Give whose nonce came with the last probe of each variant."""
        return {entry.variant: entry.carried for entry in self.probes if entry.carried}


@asynccontextmanager
async def ground(at: Bench, era: Era, folder: Path, **changes: Any) -> AsyncIterator[Ground]:
    """Make what outsiders of a run against `at` stand on."""
    scenario = staged.scenario()
    plan, clock, schemas = make(scenario), RunClock(), SchemaBook()
    endpoint = Endpoint.from_url(at.url)
    tokens = {name: await at.token(f"{name}-{era}") for name in ("owner", "thief")}

    async def own() -> Pass:
        return Pass(token=tokens["owner"], holder="owner")

    async def other() -> Pass:
        return Pass(token=tokens["thief"], holder="thief")

    with JournalWriter(folder) as writer:
        whole: dict[str, Any] = {
            "plan": plan,
            "clock": clock,
            "writer": writer,
            "endpoint": endpoint,
            "connect": lambda: WireClient(
                endpoint, era=era, now_ns=clock.now_ns, schemas=schemas, resume=False
            ),
            "own": own,
            "other": other,
            "steps": (compile_agent(scenario, plan, 0),),
        }
        yield Ground(**(whole | changes))


def heard(folder: Path) -> Sent:
    """Read what was written down."""
    entries = journal.read(folder)
    return Sent(
        probes=list(entries.of(ProbeEntry)),
        floods=list(entries.of(FloodEntry)),
        notes=list(entries.of(NoteEntry)),
    )


async def send(at: Bench, era: Era, folder: Path, behaviour: Behaviour, **changes: Any) -> Sent:
    """Send an outsider, and wait until it is back; one that goes on for ever is called back."""
    with anyio.fail_after(WAIT_S):
        async with ground(at, era, folder, **changes) as stood, anyio.create_task_group() as group:
            errands = Errands(stood, group)
            errands.begin(behaviour)
            if behaviour.kind == "session_hijack":
                await anyio.lowlevel.checkpoint()
                await _until_written(stood.writer, folder)
                errands.end(behaviour)
    return heard(folder)


async def _until_written(writer: JournalWriter, folder: Path) -> None:
    while True:  # whoever waits has a bound
        writer.flush()
        seen = journal.read(folder).of(ProbeEntry)
        if any(entry.carried or entry.variant == "one-user" for entry in seen):
            return
        await anyio.sleep(0.02)


def behaviour(kind: BehaviourKind, **more: Any) -> Behaviour:
    """Make one for everybody."""
    return Behaviour(kind=kind, share=1.0, window=1, **more)


SOUND: Any = {
    ("session_idle", "legacy"): {
        "unknown-id": (404, "protocol_error"),
        "idle-id": (200, "ok"),
        "ended-id": (404, "protocol_error"),
    },
    ("session_idle", "modern"): {"no-session": (200, "ok")},
    ("stale_id", "legacy"): {"stale-id": (404, "protocol_error"), "without-id": (200, "ok")},
    ("stale_id", "modern"): {"stale-discover": (200, "ok")},
    ("resume_probe", "legacy"): {"no-ids": (200, "ok")},
    ("resume_probe", "modern"): {"no-streams": (405, "http_error")},
    ("state_tamper", "legacy"): {"no-state": (200, "ok")},
    ("state_tamper", "modern"): {
        "altered": (400, "protocol_error"),
        "foreign": (400, "protocol_error"),
        "own": (200, "ok"),
    },
    ("version_skew", "legacy"): {
        "older": (200, "ok"),
        "future": (200, "ok"),
        "bad-header": (400, "protocol_error"),
        "missing-header": (200, "ok"),
    },
    ("version_skew", "modern"): {
        "future": (400, "protocol_error"),
        "missing-header": (400, "protocol_error"),
        "mirror-version": (400, "protocol_error"),
        "mirror-method": (400, "protocol_error"),
        "mirror-name": (400, "protocol_error"),
    },
    ("origin_evil", "legacy"): {"evil": (403, "http_error")},
    ("origin_evil", "modern"): {"evil": (403, "http_error")},
    ("host_header", "legacy"): {
        "forwarded": (200, "ok"),
        "public": (421, "http_error"),
        "pod": (421, "http_error"),
        "health": (200, "ok"),
    },
}
MORE: Any = {
    "session_idle": {"after_s": 0.05},
    "state_tamper": {
        "tool": StateTamper().behaviour().tool,
        "argument": StateTamper().behaviour().argument,
    },
}


@pytest.mark.parametrize(("kind", "era"), SOUND)
async def test_a_sound_server_answers_outsiders_as_it_should(
    hardened: Bench, folder: Path, kind: BehaviourKind, era: Era
) -> None:
    """Each odd request is written down with what came of it, and nothing is left to chance."""
    sent = await send(hardened, era, folder, behaviour(kind, **MORE.get(kind, {})))
    assert sent.answers() == SOUND[kind, era]
    assert {entry.era for entry in sent.probes} == {era}
    assert all(entry.sent and entry.kind == kind for entry in sent.probes)
    assert not sent.notes


@pytest.mark.parametrize("era", ERAS)
async def test_a_thief_gets_nothing_from_a_sound_server(
    hardened: Bench, folder: Path, era: Era
) -> None:
    """The session is not found, and what was left under the same key is not his."""
    sent = await send(hardened, era, folder, HIJACK)
    first = sent.answers()
    if era == "legacy":
        assert first["foreign-token"] == (404, "protocol_error")
    assert sent.carried() == {"foreign-read": "none"}


FLAWED: Any = {
    ("session_idle", "legacy"): {"unknown-id": (500, "protocol_error"), "ended-id": (200, "ok")},
    ("resume_probe", "legacy"): {"foreign-id": (200, "ok")},
    ("state_tamper", "modern"): {"altered": (200, "ok"), "foreign": (200, "ok")},
    ("version_skew", "legacy"): {"future": (400, "http_error")},
    ("version_skew", "modern"): {
        "future": (400, "http_error"),
        "mirror-method": (200, "ok"),
        "mirror-name": (200, "ok"),
    },
    ("origin_evil", "legacy"): {"evil": (200, "ok")},
    ("host_header", "modern"): {"forwarded": (421, "http_error"), "health": (421, "http_error")},
}


@pytest.fixture(scope="module")
async def flawed(
    issuer: control.Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bench]:
    """The server with every flaw that outsiders find, save the one that only memory shows."""
    flaws = (
        Flaw.SESSION_LEAK,
        Flaw.UNKNOWN_SESSION_500,
        Flaw.SESSION_UNBOUND,
        Flaw.REPLAY_UNSCOPED,
        Flaw.LOCALHOST_ONLY,
        Flaw.VERSION_STRICT,
        Flaw.MIRROR_UNCHECKED,
        Flaw.STATE_UNSIGNED,
        Flaw.ORIGIN_UNCHECKED,
    )
    async with bench(issuer, tmp_path_factory.mktemp("flawed"), *flaws) as running:
        yield running


@pytest.mark.parametrize(("kind", "era"), FLAWED)
async def test_each_flaw_shows_in_the_answer_to_its_own_question(
    flawed: Bench, folder: Path, kind: BehaviourKind, era: Era
) -> None:
    """The same requests, answered as no server may."""
    sent = await send(flawed, era, folder, behaviour(kind, **MORE.get(kind, {})))
    answers = sent.answers()
    assert {variant: answers[variant] for variant in FLAWED[kind, era]} == FLAWED[kind, era]
    if kind == "resume_probe":
        assert sent.carried()["foreign-id"] == "foreign"


@pytest.mark.parametrize("era", ERAS)
async def test_a_thief_is_taken_for_the_owner_by_an_unbound_session(
    flawed: Bench, folder: Path, era: Era
) -> None:
    """The nonce that the owner left comes back to somebody else."""
    sent = await send(flawed, era, folder, HIJACK)
    assert sent.carried() == {"foreign-read": "foreign"}
    if era == "legacy":
        assert sent.answers()["foreign-token"] == (200, "ok")


@pytest.mark.parametrize("era", ERAS)
async def test_floods_are_equal_counted_and_followed_by_a_rest(
    hardened: Bench, folder: Path, era: Era
) -> None:
    """Three of each, with their edges; nothing is accepted that must be refused."""
    rejected = await send(hardened, era, folder, behaviour("reject_flood", **FLOOD))
    edges = [(entry.flood, entry.edge) for entry in rejected.floods]
    assert edges == [(n, edge) for n in (1, 2, 3) for edge in ("began", "ended", "rested")]
    rested = [entry for entry in rejected.floods if entry.edge == "rested"]
    assert [(e.sent, e.accepted, e.refused, e.failed) for e in rested] == [(8, 0, 8, 0)] * 3


async def test_sessions_of_a_flood_are_ended_after_its_rest(
    hardened: Bench, flawed: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One that lives on after the server has agreed to end it is told from one that is gone."""
    for at, status in ((hardened, 404), (flawed, 200)):
        folder = tmp_path_factory.mktemp("flood")
        sent = await send(at, "legacy", folder, behaviour("session_flood", **FLOOD))
        assert sum(entry.accepted for entry in sent.floods if entry.edge == "rested") == 24
        assert {e.status for e in sent.probes if e.variant == "abandoned"} == {200}
        assert {e.status for e in sent.probes if e.variant == "ended"} == {status}


async def test_an_outsider_without_a_second_user_says_so(hardened: Bench, folder: Path) -> None:
    """Two tokens of one holder prove nothing about other people's sessions."""
    token = await hardened.token()

    async def only() -> Pass:
        return Pass(token=token, holder="agent")

    sent = await send(hardened, "legacy", folder, HIJACK, own=only, other=only)
    assert [entry.variant for entry in sent.probes] == ["one-user"]


async def test_an_outsider_who_gets_no_token_gives_up_and_ends_nothing_else(
    hardened: Bench, folder: Path
) -> None:
    """The run goes on; the reason stands in its notes."""

    async def none() -> Pass:
        raise TokenError("the issuer is closed", transient=True)

    sent = await send(hardened, "legacy", folder, behaviour("origin_evil"), own=none)
    assert "the issuer is closed" in sent.notes[0].text
    assert not sent.probes


def test_every_errand_is_a_behaviour_of_an_outsiders_fault() -> None:
    """No fault of theirs is without an errand, and none of the others has one."""
    kinds = {
        fault().behaviour().kind for fault in CATALOGUE.values() if issubclass(fault, OutsiderFault)
    }
    assert kinds == set(ERRANDS)


def test_a_state_is_forged_as_its_reader_would_not_notice() -> None:
    """JSON gets a member, in base64 too; of anything else one character is another."""
    assert forged('{"a":1}') == '{"a":1,"squall":true}'
    encoded = base64.urlsafe_b64encode(b'{"a":1}').decode().rstrip("=")
    assert b'"squall":true' in base64.urlsafe_b64decode(forged(encoded) + "==")
    for sealed in ("v1.AAAA-sealed", "x", "AAAA.BBBB.CCCC"):
        assert forged(sealed) != sealed
        assert len(forged(sealed)) == len(sealed)
