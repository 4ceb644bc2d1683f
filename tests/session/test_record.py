from __future__ import annotations

from pathlib import Path

import numpy as np

from harness import journal
from harness.journal import BEHAVIOUR_CODES, JournalWriter, SampleEntry
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from harness.plan import PlannedStep
from harness.session.record import (
    SAMPLE_TEXT_MAX,
    SAMPLES_MAX,
    SAMPLES_PER_CAUSE_MAX,
    Recorder,
    Who,
)
from harness.wire.reply import Reply

WHO = Who(session=4, treated=True)


def _reply(outcome: Outcome = Outcome.TRANSPORT_ERROR, detail: str = "reset") -> Reply:
    return Reply(
        outcome=outcome, reason=Reason.RESET, status=503, sent_ns=11, first_ns=12, done_ns=13,
        request_bytes=100, reply_bytes=200, ended_by=EndedBy.CLOSED, resumed=2, detail=detail,
    )  # fmt: skip


def _samples(folder: Path) -> tuple[SampleEntry, ...]:
    return journal.read(folder).of(SampleEntry)


def test_an_attempt_is_recorded_column_by_column(tmp_path: Path) -> None:
    """Every figure in its own place."""
    with JournalWriter(tmp_path, worker=3) as writer:
        Recorder(writer).attempt(
            WHO, index=9, call=2, due_ns=10, reply=_reply(), attempt=2, last=True,
            effect=Effect.UNKNOWN, auth=Auth.EXPIRED, rows=5, behaviour="overdue_token", window=7,
        )  # fmt: skip
    (row,) = np.load(tmp_path / "worker-3.npy")
    assert {name: int(row[name]) for name in row.dtype.names} == {
        "due_ns": 10, "sent_ns": 11, "first_ns": 12, "done_ns": 13, "session": 4, "index": 9,
        "request_bytes": 100, "reply_bytes": 200, "rows": 5, "status": 503, "call": 2,
        "attempt": 2, "last": 1, "treated": 1, "behaviour": BEHAVIOUR_CODES["overdue_token"],
        "window": 7, "outcome": Outcome.TRANSPORT_ERROR, "reason": Reason.RESET,
        "effect": Effect.UNKNOWN, "auth": Auth.EXPIRED, "ended_by": EndedBy.CLOSED, "resumed": 2,
        "worker": 3,
    }  # fmt: skip


def test_the_short_way_of_a_success_leaves_the_same_record(tmp_path: Path) -> None:
    """The hot path's entry writes what the long way would have written."""
    good = Reply(
        outcome=Outcome.OK, status=200, sent_ns=11, first_ns=12, done_ns=13, request_bytes=1,
        reply_bytes=2, resumed=1,
    )  # fmt: skip
    planned = PlannedStep(session=4, index=9, position=0, due_ns=10, nonce="n")
    with JournalWriter(tmp_path) as writer:
        recorder = Recorder(writer)
        recorder.success(WHO, planned, 2, good, 5, Effect.HAPPENED, Auth.VALID)
        recorder.attempt(
            WHO, index=9, call=2, due_ns=10, reply=good, attempt=1, last=True,
            effect=Effect.HAPPENED, auth=Auth.VALID, rows=5,
        )  # fmt: skip
    short, long = np.load(tmp_path / journal.CALLS)
    assert short == long


def test_no_server_can_send_more_than_a_column_holds(tmp_path: Path) -> None:
    """A stream that broke a thousand times, or a reply of eight gigabytes, ends no run."""
    planned = PlannedStep(session=4, index=9, position=0, due_ns=10, nonce="n")
    with JournalWriter(tmp_path) as writer:
        recorder = Recorder(writer)
        for outcome in (Outcome.OK, Outcome.PROTOCOL_ERROR):
            reply = _reply(outcome)
            reply.resumed, reply.reply_bytes = 1000, 2**33
            if outcome is Outcome.OK:
                recorder.success(WHO, planned, 2, reply, -1, Effect.NONE, Auth.VALID)
            else:
                recorder.attempt(WHO, index=9, call=2, due_ns=10, reply=reply, attempt=2, last=True)
    rows = np.load(tmp_path / journal.CALLS)
    assert rows["resumed"].tolist() == [255, 255]
    assert rows["reply_bytes"].tolist() == [2**32 - 1] * 2


def test_a_step_that_could_not_start_has_no_moment_of_sending(tmp_path: Path) -> None:
    """It settles its call all the same."""
    with JournalWriter(tmp_path) as writer:
        Recorder(writer).unsent(
            WHO, index=1, call=0, due_ns=5, reason=Reason.SESSION_DEAD, effect=Effect.ABSENT
        )
    (row,) = np.load(tmp_path / journal.CALLS)
    assert (row["sent_ns"], row["first_ns"], row["done_ns"]) == (-1, -1, -1)
    assert (row["outcome"], row["reason"], row["last"]) == (
        Outcome.UNSENT, Reason.SESSION_DEAD, 1,
    )  # fmt: skip
    assert (row["ended_by"], row["effect"]) == (EndedBy.NEVER_SENT, Effect.ABSENT)


def test_samples_of_one_cause_are_few(tmp_path: Path) -> None:
    """A thousand alike say no more than a dozen."""
    with JournalWriter(tmp_path) as writer:
        recorder = Recorder(writer)
        for index in range(1000):
            recorder.attempt(
                WHO, index=index, call=0, due_ns=0, reply=_reply(), attempt=1, last=True
            )
    samples = _samples(tmp_path)
    assert len(samples) == SAMPLES_PER_CAUSE_MAX
    assert samples[0].text == "reset"


def test_samples_of_all_causes_together_are_bounded(tmp_path: Path) -> None:
    """A journal holds evidence and no log, whatever a server thinks of."""
    with JournalWriter(tmp_path) as writer:
        recorder = Recorder(writer)
        for status in range(500, 600):
            for index in range(20):
                reply = _reply()
                reply.status = status
                recorder.attempt(
                    WHO, index=index, call=0, due_ns=0, reply=reply, attempt=1, last=True
                )
    assert len(_samples(tmp_path)) == SAMPLES_MAX


def test_a_call_without_words_takes_no_place_among_the_samples(tmp_path: Path) -> None:
    """Steps that were never sent do not crowd out the evidence of those that were."""
    with JournalWriter(tmp_path) as writer:
        recorder = Recorder(writer)
        for index in range(SAMPLES_MAX + 1):
            recorder.unsent(
                WHO, index=index, call=index, due_ns=0, reason=Reason.RUN_ENDED, effect=Effect.NONE
            )
        recorder.attempt(WHO, index=0, call=0, due_ns=0, reply=_reply(), attempt=2, last=True)
    assert [sample.text for sample in _samples(tmp_path)] == ["reset"]


def test_a_sample_is_cut_short_and_holds_what_was_said(tmp_path: Path) -> None:
    """Detail, challenge and error, and no more than a few lines of them."""
    reply = _reply(detail="it failed")
    reply.challenge, reply.error = "Bearer realm=x", {"code": -32000, "message": "y" * 1000}
    with JournalWriter(tmp_path) as writer:
        Recorder(writer).attempt(WHO, index=0, call=0, due_ns=0, reply=reply, attempt=1, last=True)
    (sample,) = _samples(tmp_path)
    assert sample.text.startswith("it failed; challenge: Bearer realm=x; error -32000: yyy")
    assert len(sample.text) == SAMPLE_TEXT_MAX


def test_a_success_is_a_sample_only_when_its_token_was_dead(tmp_path: Path) -> None:
    """That is what a finding of a bypass has to show."""
    with JournalWriter(tmp_path) as writer:
        recorder = Recorder(writer)
        for auth in (Auth.NONE_NEEDED, Auth.VALID, Auth.EXPIRED):
            reply = _reply(Outcome.OK, detail=auth.name)
            recorder.attempt(
                WHO, index=0, call=0, due_ns=0, reply=reply, attempt=1, last=True, auth=auth
            )
    assert [sample.text for sample in _samples(tmp_path)] == ["EXPIRED"]
