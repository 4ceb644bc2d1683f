from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from faults.levers import Behaviour, BehaviourKind
from harness.journal import BEHAVIOUR_CODES, SessionEntry, TokenEntry
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from tests import virtual
from tests.session.staged import (
    SEARCH,
    TOOK_S,
    Asked,
    Credential,
    Play,
    Target,
    broken,
    fine,
    refused,
    scenario,
)

S = virtual.NS_PER_S
NOTE: dict[str, Any] = {"call": "note", "with": {"query": "${nonce}"}, "effect": "once"}
PARALLEL: dict[str, Any] = {"parallel": [SEARCH, NOTE, {"method": "tools/list"}]}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """A run of minutes takes none."""
    return virtual.backend()


def _edges(play: Play, session: int) -> list[str]:
    return [entry.edge for entry in play.journal.of(SessionEntry) if entry.session == session]


# --- the schedule ---------------------------------------------------------------------------


async def test_ten_minutes_are_lived_to_the_nanosecond(tmp_path: Path) -> None:
    """Every step is sent at the moment it is due, through a whole run."""
    made = scenario(SEARCH, NOTE, phases={"warmup": "0s", "baseline": "10m"})
    play = Play(tmp_path, made)
    await play.run()
    play.balance()
    last = play.last
    assert len(last) == 2 * 600
    punctual = last["due_ns"] >= round(TOOK_S * S)  # a step may be due while the session opens
    assert (last["sent_ns"] == last["due_ns"])[punctual].all()
    assert (last["outcome"] == Outcome.OK).all()
    assert anyio.current_time() == pytest.approx(600, abs=1)


async def test_a_slow_reply_makes_the_next_call_late_and_says_so(tmp_path: Path) -> None:
    """The step keeps its due time and gets the moment at which it was really sent."""
    target = Target(took_s=2.5)
    play = Play(tmp_path, scenario(load={"sessions": 1, "ramp": "0s"}), target=target)
    await play.run()
    play.balance()
    last = play.last
    assert (np.diff(last["due_ns"]) == S).all()
    late = last["sent_ns"] - last["due_ns"]
    assert (np.diff(late) == round(1.5 * S)).all(), "each call is 1.5 s later than the one before"
    assert (last["done_ns"] - last["sent_ns"] == round(2.5 * S)).all()


async def test_parallel_steps_are_in_flight_together(tmp_path: Path) -> None:
    """All members of a group leave at the moment they are due."""
    play = Play(tmp_path, scenario(PARALLEL))
    await play.run()
    play.balance()
    groups = Counter((asked.session, asked.at_ns) for asked in play.target.asked)
    assert set(groups.values()) == {3}


async def test_a_session_opens_once_and_closes_once(tmp_path: Path) -> None:
    """Its life is in the journal, and its connections are gone in the end."""
    play = Play(tmp_path, scenario())
    await play.run()
    assert _edges(play, 0) == _edges(play, 1) == ["opened", "closed"]
    opened = play.journal.of(SessionEntry)[0]
    assert (opened.protocol, opened.took_ns) == ("2025-06-18", round(TOOK_S * S))
    assert [client.dropped for client in play.clients] == [True, True]


# --- the conservation law -------------------------------------------------------------------


@pytest.mark.parametrize("until_s", [0.0, 0.01, 0.5, 3.0, 7.005, 7.015, 12.34, 18.5])
async def test_a_session_that_is_cut_short_accounts_for_every_step(
    tmp_path: Path, until_s: float
) -> None:
    """Wherever it is cut, in the middle of a parallel group too."""
    play = Play(tmp_path, scenario(SEARCH, PARALLEL, NOTE), target=Target(took_s=0.6))
    await play.run(until_s=until_s)
    play.balance()
    unsent = play.last[play.last["outcome"] == Outcome.UNSENT]
    assert len(unsent)
    assert (unsent["reason"] == Reason.RUN_ENDED).all()
    assert (unsent["sent_ns"] == -1).all()


async def test_a_group_that_is_cut_keeps_the_members_that_were_answered(tmp_path: Path) -> None:
    """One of three is settled already; the other two are accounted for, and none twice."""
    target = Target()

    def answer(asked: Asked) -> Any:
        target.took_s = 0.1 if asked.name == "note" else 0.8
        return fine()

    target.answer = answer
    made = scenario(PARALLEL, load={"sessions": 1, "ramp": "0s"})
    play = Play(tmp_path, made, target=target)
    due_s = next(iter(play.plan.steps(0))).due_ns / S + 5
    await play.run(until_s=due_s + 0.3)
    play.balance()
    group = play.last[play.last["due_ns"] == round(due_s * S)]
    assert Counter(group["outcome"].tolist()) == {Outcome.OK: 1, Outcome.ABANDONED: 2}


@pytest.mark.parametrize(
    ("after_s", "attempts", "outcome"),
    [
        (0.05, [1], Outcome.ABANDONED),  # the first attempt is in flight
        (0.15, [1], Outcome.TRANSPORT_ERROR),  # it waits for its second
        (0.25, [1, 2], Outcome.ABANDONED),
        (0.35, [1, 2], Outcome.TRANSPORT_ERROR),
    ],
)
async def test_a_call_that_is_cut_between_two_attempts_settles_once(
    tmp_path: Path, after_s: float, attempts: list[int], outcome: Outcome
) -> None:
    """Every attempt that was made is there under its own name, and the last one says it all."""
    made = scenario(NOTE, client={"retry": {"attempts": 3, "backoff": "100ms"}})
    play = Play(tmp_path, made, target=Target(answer=lambda _: broken(), took_s=0.1))
    due_s = play.plan.sessions[0].first_due_ns / S + 5
    await play.run(until_s=due_s + after_s)
    play.balance()
    calls = play.calls
    cut = calls[(calls["session"] == 0) & (calls["due_ns"] == round(due_s * S))]
    assert cut["attempt"].tolist() == attempts
    assert cut["outcome"][-1] == outcome


async def test_the_effect_of_a_call_that_is_cut_in_flight_is_unknown(tmp_path: Path) -> None:
    """It was sent, so only the ledger can tell what became of it."""
    play = Play(tmp_path, scenario(NOTE), target=Target(took_s=0.6))
    due_s = play.plan.sessions[0].first_due_ns / S + 5
    await play.run(until_s=due_s + 0.1)
    play.balance()
    (cut,) = play.last[(play.last["session"] == 0) & (play.last["due_ns"] == round(due_s * S))]
    assert (cut["outcome"], cut["reason"]) == (Outcome.ABANDONED, Reason.RUN_ENDED)
    assert (cut["effect"], cut["ended_by"]) == (Effect.UNKNOWN, EndedBy.RUN_END)
    assert (cut["sent_ns"], cut["done_ns"] - cut["sent_ns"]) == (cut["due_ns"], S // 10)


async def test_a_session_that_cannot_open_leaves_its_steps_unsent(tmp_path: Path) -> None:
    """It tries again no sooner than half a second after the last time, and never spins."""
    target = Target(opens=lambda _: refused(503))
    play = Play(tmp_path, scenario(NOTE, load={"sessions": 1, "ramp": "0s"}), target=target)
    await play.run()
    play.balance()
    last = play.last
    assert (last["outcome"] == Outcome.UNSENT).all()
    assert set(last["reason"].tolist()) == {Reason.SESSION_DEAD}
    assert set(last["effect"].tolist()) == {Effect.ABSENT}
    tried_ns = np.array([at_ns for at_ns, _ in target.opened])
    assert (np.diff(tried_ns) >= S // 2).all()
    assert set(_edges(play, 0)) == {"failed"}
    assert not target.asked


async def test_a_session_that_opens_late_takes_up_its_steps(tmp_path: Path) -> None:
    """What was due before is unsent, what is due afterwards is asked."""
    target = Target(opens=lambda tried: fine() if tried >= 5 else refused(503))
    play = Play(tmp_path, scenario(load={"sessions": 1, "ramp": "0s"}), target=target)
    await play.run()
    play.balance()
    outcomes = play.last["outcome"].tolist()
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {Outcome.OK, Outcome.UNSENT}
    assert _edges(play, 0) == ["failed"] * 5 + ["opened", "closed"]


async def test_a_step_whose_value_is_missing_is_unsent(tmp_path: Path) -> None:
    """An earlier step did not yield what this one needs."""
    found = {**SEARCH, "keep": {"doc": "result[0].id"}}
    fetch = {"call": "fetch", "with": {"query": "${doc}"}}
    play = Play(tmp_path, scenario(found, fetch))
    await play.run()
    play.balance()
    last = play.last
    assert set(last["reason"][last["index"] % 2 == 1].tolist()) == {Reason.VALUE_MISSING}
    assert {asked.name for asked in play.target.asked} == {"search"}


async def test_a_kept_value_is_used_and_a_lost_one_is_dropped(tmp_path: Path) -> None:
    """A later step gets what the last answer held, never what an older one did."""
    found = {**SEARCH, "keep": {"doc": "result[0].id"}}
    fetch = {"call": "fetch", "with": {"query": "${doc}"}}

    def answer(asked: Asked) -> Any:
        if asked.name == "fetch":
            return fine()
        if asked.at_ns > 10 * S:
            return fine(structuredContent={"result": []})
        return fine(structuredContent={"result": [{"id": f"d-{asked.nonce}"}]})

    play = Play(
        tmp_path, scenario(found, fetch, load={"sessions": 1, "ramp": "0s"}),
        target=Target(answer=answer),
    )  # fmt: skip
    await play.run()
    play.balance()
    asked = play.target.asked
    for before, after in itertools.pairwise(asked):
        if after.name == "fetch":
            assert after.params["arguments"]["query"] == f"d-{before.nonce}"
    last = play.last
    late = (last["due_ns"] > 11 * S) & (last["index"] % 2 == 1)
    assert late.any()
    assert set(last["reason"][late].tolist()) == {Reason.VALUE_MISSING}


# --- what an answer is worth ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "settled", "reason"),
    [
        (Outcome.TOOL_ERROR, Outcome.OK, Reason.NONE),
        (Outcome.OK, Outcome.WRONG, Reason.EXPECTATION),
    ],
)
async def test_an_error_may_be_the_right_answer(
    tmp_path: Path, outcome: Outcome, settled: Outcome, reason: Reason
) -> None:
    """Where a step expects one, the error is well and a success is wrong."""

    def answer(_: Asked) -> Any:
        reply = fine(isError=outcome is Outcome.TOOL_ERROR)
        reply.outcome = outcome
        if outcome is Outcome.TOOL_ERROR:
            reply.reason = Reason.TOOL_ERROR
        return reply

    play = Play(
        tmp_path, scenario({**SEARCH, "expect": {"error": True}}), target=Target(answer=answer)
    )
    await play.run()
    play.balance()
    assert set(play.last["outcome"].tolist()) == {settled}
    assert set(play.last["reason"].tolist()) == {reason}


async def test_a_foreign_answer_is_wrong(tmp_path: Path) -> None:
    """HTTP 200 proves nothing: the nonce has to come back."""

    def answer(asked: Asked) -> Any:
        text = asked.nonce if asked.session == 0 else "something else"
        return fine(content=[{"type": "text", "text": text}])

    made = scenario({**SEARCH, "expect": {"carries": "nonce"}})
    play = Play(tmp_path, made, target=Target(answer=answer))
    await play.run()
    last = play.last
    assert set(last["outcome"][last["session"] == 0].tolist()) == {Outcome.OK}
    assert set(last["outcome"][last["session"] == 1].tolist()) == {Outcome.WRONG}
    assert set(last["reason"][last["session"] == 1].tolist()) == {Reason.NONCE_MISSING}


# --- misbehaviour ---------------------------------------------------------------------------


def _engaged(kind: BehaviourKind, **words: Any) -> Behaviour:
    return Behaviour(kind=kind, share=words.pop("share", 1.0), window=3, **words)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "auth"),
    [
        (_engaged("vanish", after_s=0.1), Outcome.ABANDONED, Auth.VALID),
        (_engaged("payload_request", size_bytes=70_000), Outcome.OK, Auth.VALID),
        (
            _engaged("payload_response", size_bytes=5, tool="big", argument="n"),
            Outcome.OK,
            Auth.VALID,
        ),
        (_engaged("no_token"), Outcome.OK, Auth.ABSENT),
        (_engaged("damaged_token"), Outcome.OK, Auth.DAMAGED),
        (_engaged("narrow_token", variant="r", tool="search"), Outcome.OK, Auth.NARROW),
        (_engaged("misdirected_token", variant="https://a.b"), Outcome.OK, Auth.MISDIRECTED),
        (_engaged("unsuited_token", variant="id"), Outcome.OK, Auth.UNSUITED),
        (_engaged("skewed_token", variant="-330"), Outcome.OK, Auth.SKEWED),
        (_engaged("withdrawn_token"), Outcome.OK, Auth.WITHDRAWN),
        (_engaged("hop_user", variant="other"), Outcome.OK, Auth.VALID),
        (_engaged("share_token", count=2), Outcome.OK, Auth.VALID),
    ],
    ids=lambda value: value.kind if isinstance(value, Behaviour) else None,
)
async def test_a_prelude_is_an_attempt_of_its_own_and_settles_nothing(
    tmp_path: Path, behaviour: Behaviour, outcome: Outcome, auth: Auth
) -> None:
    """Attempt 0, under its own nonce, of treated sessions only; the real call follows unharmed."""
    play = Play(tmp_path, scenario(), credential=Credential)
    await play.run(
        scenes=[
            (5, lambda: play.conduct.engage(behaviour, now_ns=5 * S)),
            (9, lambda: play.conduct.disengage(behaviour)),
        ]
    )
    play.balance()
    calls = play.calls
    preludes = calls[calls["attempt"] == 0]
    assert set(preludes["session"].tolist()) == {play.arm("treated")}
    assert len(preludes) == 4
    assert ((preludes["due_ns"] >= 5 * S) & (preludes["due_ns"] < 9 * S)).all()
    assert set(preludes["behaviour"].tolist()) == {BEHAVIOUR_CODES[behaviour.kind]}
    assert set(preludes["window"].tolist()) == {3}
    assert set(preludes["outcome"].tolist()) == {outcome}
    assert set(preludes["auth"].tolist()) == {auth}
    assert (play.last["outcome"] == Outcome.OK).all()
    assert not play.last["behaviour"].any()

    searches = [asked for asked in play.target.asked if asked.name == "search"]
    nonces = [asked.nonce for asked in searches]
    assert len(nonces) == len(set(nonces)), "two requests shared a nonce"
    planned = {
        step.nonce for session in play.plan.sessions for step in play.plan.steps(session.session)
    }
    assert planned <= set(nonces)
    odd = [
        asked for asked in play.target.asked if asked not in searches or asked.nonce not in planned
    ]
    assert len(odd) == 4
    match behaviour.kind:
        case "vanish":
            assert {asked.vanish_after_ns for asked in odd} == {S // 10}
        case "payload_request":
            assert all(len(asked.params["arguments"]["query"]) > 70_000 for asked in odd)
        case "payload_response":
            assert all(asked.params == {"name": "big", "arguments": {"n": 5}} for asked in odd)
        case "no_token":
            assert {asked.authorization for asked in odd} == {b""}
        case "share_token":
            own = play.credentials[play.arm("treated")].token
            assert {asked.authorization for asked in odd} == {f"Bearer {own}".encode()}
            opened = [session for _, session in play.target.opened]
            assert opened.count(play.arm("treated")) == 1 + 4 * 2
        case "damaged_token":
            damaged = f"Bearer damaged-{play.arm('treated')}".encode()
            assert {asked.authorization for asked in odd} == {damaged}
        case _:
            names = {"skewed_token": "shift=-330", "hop_user": "subject=other"}
            names |= {"withdrawn_token": "withdrawn"}
            misfit = f"Bearer misfit-3-{names.get(behaviour.kind, behaviour.variant)}".encode()
            assert {asked.authorization for asked in odd} == {misfit}


async def test_a_clock_that_is_off_by_little_is_that_of_a_good_token(tmp_path: Path) -> None:
    """Each clock has its turn; the first half of them must do."""
    play = Play(tmp_path, scenario(), credential=Credential)
    skewed = _engaged("skewed_token", variant="30 -30 330 -330")
    await play.run(scenes=[(5, lambda: play.conduct.engage(skewed, now_ns=5 * S))])
    calls = play.calls
    preludes = calls[calls["attempt"] == 0]
    worth = {int(row["index"]) % 4: int(row["auth"]) for row in preludes}
    assert worth == {0: Auth.VALID, 1: Auth.VALID, 2: Auth.SKEWED, 3: Auth.SKEWED}


async def test_a_stolen_key_is_not_used_before_its_time_is_over(tmp_path: Path) -> None:
    """Two of the four seconds are left."""
    play = Play(tmp_path, scenario(), credential=Credential)
    stolen = _engaged("withdrawn_token", after_s=2.0)
    await play.run(
        scenes=[
            (5, lambda: play.conduct.engage(stolen, now_ns=5 * S)),
            (9, lambda: play.conduct.disengage(stolen)),
        ]
    )
    early = play.calls[play.calls["attempt"] == 0]
    assert len(early) == 2
    assert (early["due_ns"] >= 7 * S).all()


@pytest.mark.parametrize("kind", ["misdirected_token", "hop_user"])
async def test_a_token_that_the_issuer_does_not_give_is_not_shown(
    tmp_path: Path, kind: BehaviourKind
) -> None:
    """The calls are made as ever, and nothing is recorded that did not happen."""
    play = Play(tmp_path, scenario(), credential=Credential)

    def begin() -> None:
        for credential in play.credentials.values():
            credential.refuses = True
        play.conduct.engage(_engaged(kind, variant="https://a.b"), now_ns=5 * S)

    await play.run(scenes=[(5, begin)])
    assert (play.calls["attempt"] == 1).all()
    assert (play.last["outcome"] == Outcome.OK).all()


async def test_a_step_that_needs_no_more_than_reading_is_not_tried_with_less(
    tmp_path: Path,
) -> None:
    """A narrow token is wrong only where the step needs more."""
    play = Play(tmp_path, scenario(), credential=Credential)
    narrow = _engaged("narrow_token", variant="r")
    await play.run(scenes=[(5, lambda: play.conduct.engage(narrow, now_ns=5 * S))])
    assert (play.calls["attempt"] == 1).all()


async def test_sessions_race_for_a_token_and_go_on_with_the_last(tmp_path: Path) -> None:
    """Before the call, and told in the journal as one renewal."""
    play = Play(tmp_path, scenario(), credential=Credential)
    race = _engaged("race_refresh", count=3)
    await play.run(
        scenes=[
            (5, lambda: play.conduct.engage(race, now_ns=5 * S)),
            (7, lambda: play.conduct.disengage(race)),
        ]
    )
    treated = play.arm("treated")
    renewed = [entry for entry in play.journal.of(TokenEntry) if entry.edge == "renewed"]
    assert {entry.session for entry in renewed} == {treated}
    assert [entry.serial for entry in renewed] == [4, 7]
    assert play.target.asked[-1].authorization.startswith(b"Bearer opaque-")
    assert (play.last["outcome"] == Outcome.OK).all()


async def test_only_the_drawn_share_of_calls_misbehaves(tmp_path: Path) -> None:
    """Which ones is settled by the seed, so a repeated run strikes the same calls."""
    play = Play(tmp_path, scenario(phases={"warmup": "0s", "baseline": "5m"}))
    play.conduct.engage(_engaged("vanish", share=0.2), now_ns=0)
    await play.run()
    play.balance()
    drawn = [
        step.index
        for step in play.plan.steps(play.arm("treated"))
        if play.plan.draw("vanish", step.session, step.index) < 0.2
    ]
    assert play.calls["index"][play.calls["attempt"] == 0].tolist() == drawn
    assert 30 < len(drawn) < 90


@pytest.mark.parametrize(("attempts", "settled"), [(1, Outcome.TRANSPORT_ERROR), (3, Outcome.OK)])
async def test_a_lost_reply_strikes_the_first_attempt_only(
    tmp_path: Path, attempts: int, settled: Outcome
) -> None:
    """What follows is the client's own policy; the effect of the lost attempt stays unknown."""
    made = scenario(NOTE, client={"retry": {"attempts": attempts, "backoff": "100ms"}})
    play = Play(tmp_path, made)
    play.conduct.engage(_engaged("lose_reply"), now_ns=0)
    await play.run()
    play.balance()
    treated, control = play.arm("treated"), play.arm("control")
    first, *more = play.one(treated, 5)
    assert (first["attempt"], first["outcome"]) == (1, Outcome.TRANSPORT_ERROR)
    assert (first["reason"], first["effect"]) == (Reason.REPLY_LOST, Effect.UNKNOWN)
    assert (first["behaviour"], first["window"]) == (BEHAVIOUR_CODES["lose_reply"], 3)
    assert len(more) == (attempts > 1)
    last = play.last
    assert set(last["outcome"][last["session"] == treated].tolist()) == {settled}
    assert set(last["outcome"][last["session"] == control].tolist()) == {Outcome.OK}
    for again in more:
        assert (again["attempt"], again["behaviour"], again["window"]) == (2, 0, 0)
        assert again["sent_ns"] - first["done_ns"] == S // 10
        assert again["due_ns"] == first["due_ns"]
    asked = [one for one in play.target.asked if one.session == treated]
    assert len({one.nonce for one in asked}) == len(last) // 2, "a repeat bears its call's nonce"


# --- recovery -------------------------------------------------------------------------------


async def test_a_broken_call_is_repeated_as_the_policy_says(tmp_path: Path) -> None:
    """Attempts, waits that double, and the last attempt's word is what counts."""
    made = scenario(NOTE, client={"retry": {"attempts": 3, "backoff": "100ms"}})
    play = Play(tmp_path, made, target=Target(answer=lambda _: broken()))
    await play.run()
    play.balance()
    rows = play.one(0, 4)
    assert rows["attempt"].tolist() == [1, 2, 3]
    assert rows["last"].tolist() == [0, 0, 1]
    waits_ns = rows["sent_ns"][1:] - rows["done_ns"][:-1]
    assert waits_ns.tolist() == [S // 10, S // 5]
    assert set(rows["effect"].tolist()) == {Effect.UNKNOWN}


async def test_a_forgotten_session_is_lost_reopened_and_asked_again(tmp_path: Path) -> None:
    """The specification's MUST after a 404: a new session, and the call again."""
    target = Target()

    def answer(asked: Asked) -> Any:
        old = asked.session_id in {"id-0-1", "id-0-2", "id-1-1", "id-1-2"}
        return refused(404, "no such session") if old and asked.at_ns > 8 * S else fine()

    target.answer = answer
    play = Play(tmp_path, scenario(), target=target)
    await play.run()
    play.balance()
    for session in (0, 1):
        assert _edges(play, session) == ["opened", "lost", "reopened", "closed"]
    assert (play.last["outcome"] == Outcome.OK).all()
    calls = play.calls
    again = calls[calls["attempt"] == 2]
    assert len(again) == 2
    assert (again["last"] == 1).all()
    assert len(calls[calls["status"] == 404]) == 2


async def test_parallel_calls_reopen_a_forgotten_session_once(tmp_path: Path) -> None:
    """Three refusals at the same moment are one loss and one new session."""

    def answer(asked: Asked) -> Any:
        old = asked.session_id in {"id-0-1", "id-0-2", "id-1-1", "id-1-2"}
        return refused(404) if old and asked.at_ns > 8 * S else fine()

    play = Play(tmp_path, scenario(PARALLEL), target=Target(answer=answer))
    await play.run()
    play.balance()
    for session in (0, 1):
        assert _edges(play, session) == ["opened", "lost", "reopened", "closed"]
    assert (play.last["outcome"] == Outcome.OK).all()


async def test_a_server_that_forgets_every_session_draws_nobody_into_a_loop(
    tmp_path: Path,
) -> None:
    """One new session per call, and then the call is lost."""
    play = Play(tmp_path, scenario(), target=Target(answer=lambda _: refused(404)))
    await play.run()
    play.balance()
    assert set(play.one(0, 3)["attempt"].tolist()) == {1, 2}
    assert (play.last["outcome"] == Outcome.HTTP_ERROR).all()


async def test_a_client_that_does_not_reinitialize_loses_its_session(tmp_path: Path) -> None:
    """The journal says that it was lost, and the call settles as it came."""
    play = Play(
        tmp_path,
        scenario(client={"reinitialize_on": []}),
        target=Target(answer=lambda _: refused(404)),
    )
    await play.run()
    play.balance()
    assert "lost" in _edges(play, 0)
    assert "reopened" not in _edges(play, 0)
    assert (play.calls["attempt"] == 1).all()
