"""Packs finished attempts into the journal's buffer: the only bookkeeping on the hot path."""

from __future__ import annotations

from dataclasses import dataclass

from harness.journal import (
    BEHAVIOUR_CODES,
    CALL_STRUCT,
    NEVER_NS,
    ROWS_UNKNOWN,
    BreachEntry,
    BreachKind,
    JournalWriter,
    SampleEntry,
)
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from harness.plan import PlannedStep
from harness.wire.reply import Reply

SAMPLES_MAX = 400  # per process; evidence, not a log
SAMPLES_PER_CAUSE_MAX = 12
SAMPLE_TEXT_MAX = 300
BREACHES_MAX = 400  # written down per process; what comes after is counted
# What the columns hold; only a server that means harm sends more or breaks a stream more often.
SIZE_MAX_BYTES = 2**32 - 1
RESUMED_MAX = 255


# Bound once: looking a member up on its class costs more than comparing it.
_OK, _VALID = Outcome.OK, Auth.VALID


@dataclass(frozen=True, kw_only=True, slots=True)
class Who:
    """Whose call it was."""

    session: int
    treated: bool


class Recorder:
    """Writes call records and a bounded number of samples."""

    def __init__(self, writer: JournalWriter) -> None:
        """Write into this journal segment."""
        self._writer = writer
        self._buffer = writer.buffer
        self._worker = writer.worker
        self._samples: dict[tuple[int, int, int, int], int] = {}
        self._sampled = 0
        self._breaches = 0
        self._broken = 0  # connections under a call

    def attempt(
        self,
        who: Who,
        *,
        index: int,
        call: int,
        due_ns: int,
        reply: Reply,
        attempt: int,
        last: bool,
        effect: Effect = Effect.NONE,
        auth: Auth = Auth.NONE_NEEDED,
        rows: int = ROWS_UNKNOWN,
        behaviour: str = "",
        window: int = 0,
    ) -> None:
        """Record one attempt as it ended."""
        if reply.resumed > RESUMED_MAX or reply.reply_bytes > SIZE_MAX_BYTES:
            _fit(reply)
        self._buffer += CALL_STRUCT.pack(
            due_ns,
            reply.sent_ns,
            reply.first_ns,
            reply.done_ns,
            who.session,
            index,
            reply.request_bytes,
            reply.reply_bytes,
            rows,
            reply.status,
            call,
            attempt,
            last,
            who.treated,
            BEHAVIOUR_CODES[behaviour],
            window,
            reply.outcome,
            reply.reason,
            effect,
            auth,
            reply.ended_by,
            reply.resumed,
            self._worker,
        )
        if reply.outcome is not _OK or auth > _VALID:
            if reply.broken_ns >= 0 and self._broken < BREACHES_MAX:
                self._broken += 1
                self._breach(who, index, "stream:broken", reply.broken_ns)
            self._sample(who, index=index, attempt=attempt, reply=reply, auth=auth, call=call)

    def success(  # noqa: PLR0917  keywords cost the hot path half a microsecond
        self, who: Who, planned: PlannedStep, call: int, reply: Reply, rows: int, effect: Effect,
        auth: Auth,
    ) -> None:  # fmt: skip
        """Record a call that its first attempt settled well: the hot path's entry.

        Positional, and with the zeros that `ok`, `none` and `reply` stand for written out.
        """
        if reply.resumed > RESUMED_MAX or reply.reply_bytes > SIZE_MAX_BYTES:
            _fit(reply)
        self._buffer += CALL_STRUCT.pack(
            planned.due_ns, reply.sent_ns, reply.first_ns, reply.done_ns, who.session,
            planned.index, reply.request_bytes, reply.reply_bytes, rows, reply.status, call,
            1, 1, who.treated, 0, 0, 0, 0, effect, auth, 0, reply.resumed, self._worker,
        )  # fmt: skip

    def unsent(
        self, who: Who, *, index: int, call: int, due_ns: int, reason: Reason, effect: Effect
    ) -> None:
        """Record a step that could not start."""
        reply = Reply(outcome=Outcome.UNSENT, reason=reason, ended_by=EndedBy.NEVER_SENT)
        reply.sent_ns = reply.first_ns = reply.done_ns = NEVER_NS
        self.attempt(
            who,
            index=index,
            call=call,
            due_ns=due_ns,
            reply=reply,
            attempt=1,
            last=True,
            effect=effect,
        )

    def breach(self, who: Who, call: int, kind: BreachKind, at_ns: int) -> None:
        """Write down that the server broke a rule in the course of a call; a bounded number."""
        if self._breaches < BREACHES_MAX:
            self._breaches += 1
            self._breach(who, call, kind, at_ns)

    def _breach(self, who: Who, call: int, kind: BreachKind, at_ns: int) -> None:
        self._writer.append(BreachEntry(at_ns=at_ns, session=who.session, index=call, kind=kind))

    def _sample(
        self, who: Who, *, index: int, attempt: int, reply: Reply, auth: Auth, call: int
    ) -> None:
        """Keep the words of a few calls per cause, so that a finding can show them."""
        if not (reply.detail or reply.challenge) and reply.error is None:
            return  # without words there is nothing to show, and no place to take
        cause = (call, reply.outcome, reply.status, auth)
        seen = self._samples.get(cause, 0)
        if seen >= SAMPLES_PER_CAUSE_MAX or self._sampled >= SAMPLES_MAX:
            return
        self._samples[cause] = seen + 1
        self._sampled += 1
        words = [reply.detail] if reply.detail else []
        if reply.challenge:
            words.append(f"challenge: {reply.challenge}")
        if reply.error is not None:
            words.append(f"error {reply.error.get('code')}: {reply.error.get('message')}")
        self._writer.append(
            SampleEntry(
                at_ns=max(reply.done_ns, reply.sent_ns, 0),
                session=who.session,
                index=index,
                attempt=attempt,
                text="; ".join(words)[:SAMPLE_TEXT_MAX],
            )
        )


def _fit(reply: Reply) -> None:
    """Let a reply's figures say "at least" where their columns end."""
    reply.reply_bytes = min(reply.reply_bytes, SIZE_MAX_BYTES)
    reply.resumed = min(reply.resumed, RESUMED_MAX)
