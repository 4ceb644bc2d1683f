from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults.levers import Behaviour
from harness.journal import BEHAVIOUR_CODES, SampleEntry, SessionEntry, TokenEntry
from harness.outcome import Auth, Outcome, Reason
from harness.wire.reply import Reply
from tests import virtual
from tests.session.staged import Asked, Credential, Play, Target, fine, refused, scenario

S = virtual.NS_PER_S
OVERDUE = Behaviour(kind="overdue_token", share=1.0, after_s=2.0, window=4)
REVOKED = Behaviour(kind="revoked_token", share=1.0, after_s=3.0, window=5)
REAUTHORIZE = Behaviour(kind="reauthorize", share=1.0, window=6)
PARALLEL = {"parallel": [{"method": "tools/list"}, {"method": "prompts/list"}]}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Tokens of an hour expire in no time."""
    return virtual.backend()


def _edges(play: Play, session: int) -> list[str]:
    return [entry.edge for entry in play.journal.of(TokenEntry) if entry.session == session]


def _strict(play: Play) -> Target:
    """A target that refuses a token from the moment it runs out, or that is not the newest."""

    def answer(asked: Asked) -> Any:
        held = play.credentials[asked.session]
        current = asked.authorization == b"Bearer " + held.token.encode()
        alive = held.expires_ns < 0 or asked.at_ns < held.expires_ns
        return fine() if current and alive else refused(401, challenge="Bearer error=invalid_token")

    return Target(answer=answer)


def _play(folder: Path, *, ttl_s: float | None, refresh: str = "on-401", **changes: Any) -> Play:
    play = Play(
        folder,
        scenario(**changes),
        credential=lambda session: Credential(session, ttl_s=ttl_s, refresh=refresh),
    )
    play.target = _strict(play)
    return play


STEP_UP = 'Bearer error="insufficient_scope", scope="more"'


# --- renewing -------------------------------------------------------------------------------


async def test_a_token_is_minted_before_the_session_opens(tmp_path: Path) -> None:
    """One token for a run in which none expires, on every request."""
    play = _play(tmp_path, ttl_s=None)
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted"]
    assert set(play.last["auth"].tolist()) == {Auth.VALID}
    assert {asked.authorization for asked in play.target.asked} == {
        b"Bearer " + held.token.encode() for held in play.credentials.values()
    }


async def test_a_refused_token_is_renewed_and_the_call_asked_again(tmp_path: Path) -> None:
    """One 401, one renewal, one more attempt, under the new token."""
    play = _play(tmp_path, ttl_s=7.0)
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted", "renewed", "renewed"]
    assert play.credentials[0].refusals == ["Bearer error=invalid_token"] * 2
    calls = play.calls
    refusals = calls[calls["status"] == 401]
    assert len(refusals) == 4
    assert (refusals["attempt"] == 1).all()
    assert not refusals["last"].any()
    assert set(refusals["auth"].tolist()) <= {Auth.EXPIRED}
    assert (play.last["outcome"] == Outcome.OK).all()
    assert (play.last["auth"] == Auth.VALID).all()


async def test_a_refusal_that_asks_for_more_scopes_is_answered_with_a_wider_token(
    tmp_path: Path,
) -> None:
    """One 403, one new grant, one more attempt, for parallel calls together; then no more of it."""
    made: dict[str, Any] = {"agents": [{"name": "worker", "pace": "1/s", "steps": [PARALLEL]}]}
    play = Play(tmp_path, scenario(**made), credential=Credential)

    def answer(asked: Asked) -> Any:
        wide = play.credentials[asked.session].wider and asked.authorization.count(b"-2-")
        return fine() if wide else refused(403, challenge=STEP_UP)

    play.target = Target(answer=answer)
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted", "renewed"]
    assert play.credentials[0].wider == [STEP_UP]
    assert (play.last["outcome"] == Outcome.OK).all()
    assert set(play.calls["index"][play.calls["status"] == 403].tolist()) == {0, 1}


async def test_a_refusal_that_no_scope_can_lift_stands(tmp_path: Path) -> None:
    """A session asks for more once; the same refusal after it settles the call."""
    play = Play(tmp_path, scenario(), credential=Credential)
    play.target = Target(answer=lambda _: refused(403, challenge=STEP_UP))
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted", "renewed"]
    assert (play.last["outcome"] == Outcome.HTTP_ERROR).all()


async def test_a_session_whose_opening_wants_more_scopes_asks_for_them(tmp_path: Path) -> None:
    """As after a 401: one new token, one more handshake."""
    play = Play(tmp_path, scenario(), credential=Credential)
    no = refused(403, challenge=STEP_UP)
    play.target = Target(opens=lambda tried: no if tried < len(play.plan.sessions) else fine())
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted", "renewed"]
    assert (play.last["outcome"] == Outcome.OK).all()


async def test_a_proactive_session_meets_no_refusal(tmp_path: Path) -> None:
    """It renews before the next call once a third of the lifetime is left."""
    play = _play(tmp_path, ttl_s=6.0, refresh="proactive")
    await play.run()
    play.balance()
    assert not (play.calls["status"] == 401).any()
    assert Counter(_edges(play, 0)) == {"minted": 1, "renewed": 4}


async def test_parallel_calls_renew_once(tmp_path: Path) -> None:
    """Two refusals at one moment are answered with one renewal."""
    made: dict[str, Any] = {"agents": [{"name": "worker", "pace": "1/s", "steps": [PARALLEL]}]}
    play = _play(tmp_path, ttl_s=9.0, **made)
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted", "renewed", "renewed"]
    assert (play.last["outcome"] == Outcome.OK).all()


async def test_a_client_that_never_renews_stays_refused(tmp_path: Path) -> None:
    """The refusal settles the call."""
    play = _play(tmp_path, ttl_s=5.0, refresh="never")
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted"]
    late = play.last[play.last["due_ns"] > 7 * S]
    assert set(late["status"].tolist()) == {401}
    assert set(late["auth"].tolist()) == {Auth.EXPIRED}
    assert (play.calls["attempt"] == 1).all()


async def test_a_target_that_refuses_every_token_draws_nobody_into_a_loop(tmp_path: Path) -> None:
    """One renewal per call."""
    play = _play(tmp_path, ttl_s=None)
    play.target = Target(answer=lambda _: refused(401))
    await play.run()
    play.balance()
    calls = play.calls
    assert set(calls["attempt"].tolist()) == {1, 2}
    assert len(calls) == 2 * len(play.last)
    assert (play.last["status"] == 401).all()


async def test_an_issuer_that_refuses_leaves_the_steps_unsent(tmp_path: Path) -> None:
    """There is no session without a token, and the journal says who refused."""
    play = Play(tmp_path, scenario(), credential=lambda number: Credential(number, refuses=True))
    await play.run()
    play.balance()
    assert set(play.last["reason"].tolist()) == {Reason.NO_TOKEN}
    assert set(_edges(play, 0)) == {"failed"}
    assert play.journal.of(TokenEntry)[0].why == "the issuer refuses"
    assert not play.target.opened


async def test_a_session_that_is_refused_while_opening_renews_first(tmp_path: Path) -> None:
    """The handshake is a call like any other."""
    play = Play(tmp_path, scenario(load={"sessions": 1, "ramp": "0s"}), credential=Credential)
    play.target.opens = lambda tried: refused(401) if tried == 0 else fine()
    await play.run()
    play.balance()
    assert _edges(play, 0) == ["minted", "renewed"]
    assert [entry.edge for entry in play.journal.of(SessionEntry)] == ["opened", "closed"]


# --- what a token is worth ------------------------------------------------------------------


async def test_an_overdue_session_uses_its_token_until_it_is_refused(tmp_path: Path) -> None:
    """It does not renew ahead; within the leeway its calls count as valid, past it as expired."""
    play = _play(tmp_path, ttl_s=6.0, refresh="proactive")
    play.target.answer = lambda _: fine()  # a target that looks at no token at all
    play.conduct.engage(OVERDUE, now_ns=0)
    await play.run()
    play.balance()
    treated, control = play.arm("treated"), play.arm("control")
    assert _edges(play, treated) == ["minted"]
    assert "renewed" in _edges(play, control)
    last = play.last
    expires_ns = play.credentials[treated].expires_ns
    mine = last[last["session"] == treated]
    late = mine["sent_ns"] > expires_ns + 2 * S
    assert late.any()
    assert ((mine["sent_ns"] > expires_ns) & ~late).any(), "some call is within the leeway"
    assert set(mine["auth"][late].tolist()) == {Auth.EXPIRED}
    assert set(mine["auth"][~late].tolist()) == {Auth.VALID}
    assert set(mine["behaviour"][late].tolist()) == {BEHAVIOUR_CODES["overdue_token"]}
    assert set(mine["window"][late].tolist()) == {4}
    assert not mine["window"][~late].any()
    assert set(last["auth"][last["session"] == control].tolist()) == {Auth.VALID}


async def test_a_refusal_within_the_leeway_is_one_of_an_expired_token(tmp_path: Path) -> None:
    """A strict server is right as well, and is not accused of refusing a good token."""
    play = _play(tmp_path, ttl_s=6.0, refresh="never")
    play.conduct.engage(OVERDUE, now_ns=0)
    await play.run()
    play.balance()
    expires_ns = play.credentials[0].expires_ns
    mine = play.last[play.last["session"] == 0]
    within = (mine["sent_ns"] >= expires_ns + S // 100) & (mine["sent_ns"] < expires_ns + S)
    assert within.any()
    assert set(mine["status"][within].tolist()) == {401}
    assert set(mine["auth"][within].tolist()) == {Auth.EXPIRED}


@pytest.mark.parametrize(
    ("reply", "worth"),
    [
        (partial(Reply, outcome=Outcome.TOOL_ERROR, status=200), Auth.VALID),
        (partial(refused, 401), Auth.EXPIRED),
    ],
    ids=["the tool failed", "the token was refused"],
)
async def test_a_token_that_runs_out_on_the_way_explains_a_refusal_and_no_other_failure(
    tmp_path: Path, reply: Callable[[], Reply], worth: Auth
) -> None:
    """A tool that failed for being slow hides no refusal; a 401 to the same call is a right one."""
    play = _play(tmp_path, ttl_s=6.0, refresh="never")
    play.target = Target(answer=lambda _: reply(), took_s=1.3)
    play.conduct.engage(OVERDUE, now_ns=0)
    await play.run()
    play.balance()
    expires_ns = play.credentials[0].expires_ns
    mine = play.calls[play.calls["session"] == 0]
    under_way = (mine["sent_ns"] < expires_ns) & (mine["done_ns"] > expires_ns)
    assert set(mine["auth"][under_way].tolist()) == {worth}


async def test_a_revoked_token_is_trusted_for_a_while_and_then_no_more(tmp_path: Path) -> None:
    """A server may go on trusting what it has cached, for as long as the fault grants."""
    play = _play(tmp_path, ttl_s=None, refresh="never")
    await play.run(scenes=[(8, lambda: play.conduct.engage(REVOKED, now_ns=8 * S))])
    play.balance()
    mine = play.last[play.last["session"] == play.arm("treated")]
    dead = mine["sent_ns"] > 11 * S
    assert set(mine["auth"][dead].tolist()) == {Auth.REVOKED}
    assert set(mine["behaviour"][dead].tolist()) == {BEHAVIOUR_CODES["revoked_token"]}
    assert set(mine["window"][dead].tolist()) == {5}
    assert set(mine["auth"][~dead].tolist()) == {Auth.VALID}
    other = play.last[play.last["session"] == play.arm("control")]
    assert set(other["auth"].tolist()) == {Auth.VALID}


async def test_a_token_from_after_the_revocation_is_good(tmp_path: Path) -> None:
    """Only what was minted before is revoked."""
    play = _play(tmp_path, ttl_s=None)

    def revoke() -> None:
        play.conduct.engage(REVOKED, now_ns=8 * S)
        play.conduct.engage(REAUTHORIZE, now_ns=8 * S)

    await play.run(scenes=[(8, revoke)])
    play.balance()
    assert set(play.calls["auth"].tolist()) == {Auth.VALID}


async def test_a_reauthorization_renews_every_treated_session_once(tmp_path: Path) -> None:
    """Before its next call, and never again for the same order."""
    play = _play(tmp_path, ttl_s=None, load={"sessions": 6, "ramp": "0s"})
    await play.run(
        scenes=[(at, lambda: play.conduct.engage(REAUTHORIZE, now_ns=0)) for at in (5, 12)]
    )
    play.balance()
    for planned in play.plan.sessions:
        expected = ["minted", "renewed", "renewed"] if planned.arm == "treated" else ["minted"]
        assert _edges(play, planned.session) == expected
    assert (play.last["outcome"] == Outcome.OK).all()


async def test_a_target_without_tokens_needs_none(tmp_path: Path) -> None:
    """Neither a token entry nor a judgement on one."""
    play = Play(tmp_path, scenario())
    play.conduct.engage(OVERDUE, now_ns=0)
    play.conduct.engage(REAUTHORIZE, now_ns=0)
    await play.run()
    play.balance()
    assert set(play.last["auth"].tolist()) == {Auth.NONE_NEEDED}
    assert not play.journal.of(TokenEntry)
    assert {asked.authorization for asked in play.target.asked} == {b""}


async def test_a_token_that_a_server_echoes_never_reaches_the_journal(tmp_path: Path) -> None:
    """In a challenge, a detail or an error; the one that was just replaced as well."""
    play = _play(tmp_path, ttl_s=5.0)
    strict = play.target.answer

    def echo(asked: Asked) -> Any:
        reply = strict(asked)
        token = asked.authorization.decode()
        if asked.at_ns > 15 * S:
            reply = refused(404, detail=f"no session for {token}")
        if reply.status == 401:
            reply.detail = f"bad: {token.removeprefix('Bearer ')}"
            reply.challenge = f'Bearer error="invalid_token", error_description="{token[7:]}"'
            reply.error = {"code": -1, "message": f"{token[7:40]}…"}
        return reply

    play.target.answer = echo
    held: dict[int, Credential] = play.credentials
    play.writer.secrets_of = lambda session: (held[session].token, held[session].damaged())
    await play.run()
    play.balance()
    assert play.journal.of(SampleEntry)
    text = (tmp_path / "journal.jsonl").read_text()
    assert "[redacted]" in text
    assert "opaque-" not in text
