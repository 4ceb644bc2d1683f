"""Gives every attempt at most one charge, the most specific, so that no fault is counted twice.

crosstalk > auth-masked > silent-empty > truncated > stale-read > schema-drift > wrong-answer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from faults.network import TcpBandwidth, TcpTruncate
from harness.checks import sightings
from harness.checks.sources import sources
from harness.evidence import profiles
from harness.evidence.phases import BASELINE, Evidence, Mask
from harness.evidence.profiles import SAMPLES_MIN
from harness.journal import BEHAVIOUR_CODES, ROWS_UNKNOWN
from harness.outcome import Outcome, Reason
from harness.plan import flat
from harness.scenario.conditions import parse_rows
from harness.scenario.records import CallStep, SingleStep

UNREFUSED: Final = (200, 0)  # over pipes there are no statuses
FALSE_REASONS: Final = (
    Reason.NONCE_MISSING,
    Reason.EXPECTATION,
    Reason.RESULT_SHAPE,
    Reason.WRONG_ID,
    Reason.ROWS,
)


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Masks over all attempts; no attempt is in two of them."""

    judged: Mask  # attempts whose reply could be held against the server
    crosstalk: Mask
    auth_masked: Mask  # by the dependency's refusal; the target's own is judged in `auth`
    silent_empty: Mask
    truncated: Mask
    stale_read: Mask
    schema_drift: Mask
    wrong_answer: Mask


def claims(evidence: Evidence) -> Claims:
    """Charge the replies that claim success and are not true.

    Real attempts under a good credential are judged on everything; a misbehaving prelude only on
    another's data and on an empty answer, since what it asked for was odd. Where the dependency
    keeps a ledger it has the last word: what it has not got, nobody can answer with.
    """
    if not evidence.charged:
        evidence.charged.update(_claims(evidence))
    return Claims(**evidence.charged)


def _claims(evidence: Evidence) -> dict[str, Mask]:
    calls = evidence.calls
    answered = sightings.attempted(evidence) & sightings.fit(evidence)
    answered &= np.isin(calls["outcome"], (Outcome.OK, Outcome.WRONG))
    real = answered & (calls["attempt"] > 0)
    wrong = calls["outcome"] == Outcome.WRONG
    crosstalk = answered & wrong & (calls["reason"] == Reason.FOREIGN_NONCE)
    beneath = sources(evidence)
    judged = answered & ~crosstalk
    masked = judged & beneath.unauthorized
    empty = _silent_empty(evidence, answered) & ~beneath.truly_empty
    empty |= beneath.hidden | (beneath.short & (calls["rows"] == 0))
    empty &= judged & ~masked
    free = real & ~crosstalk & ~masked & ~empty
    cut = free & beneath.short
    cut |= _truncated(evidence, free & ~cut)
    stale = free & ~cut & wrong & (calls["reason"] == Reason.STALE)
    drift = free & ~cut & wrong & (calls["reason"] == Reason.SCHEMA)
    # An error that breaks the schema is taken for a bad result, and its words are lost.
    hiding = sightings.fit(evidence) & (calls["attempt"] > 0) & _hides_its_error(evidence)
    drift |= hiding
    false = free & ~cut & ~drift & wrong & np.isin(calls["reason"], FALSE_REASONS)
    false &= ~beneath.truly_empty
    return {
        "judged": np.asarray(answered | hiding),
        "crosstalk": np.asarray(crosstalk),
        "auth_masked": np.asarray(masked),
        "silent_empty": np.asarray(empty),
        "truncated": np.asarray(cut),
        "stale_read": np.asarray(stale),
        "schema_drift": np.asarray(drift),
        "wrong_answer": np.asarray(false),
    }


def _hides_its_error(evidence: Evidence) -> Mask:
    calls = evidence.calls
    error = calls["outcome"] == Outcome.TOOL_ERROR
    return np.asarray(error & (calls["reason"] == Reason.SCHEMA))


def singles(evidence: Evidence) -> tuple[SingleStep, ...]:
    """Give the scenario's steps one by one, parallel ones unfolded."""
    return tuple(step for agent in evidence.scenario.agents for step in flat(agent))


def _silent_empty(evidence: Evidence, answered: Mask) -> Mask:
    """Find empty lists under HTTP 200 where the author, or the tool's own history, expects rows."""
    calls = evidence.calls
    empty = answered & np.isin(calls["status"], UNREFUSED) & (calls["rows"] == 0)
    # What a "very large result" holds is the tool's own affair.
    empty &= calls["behaviour"] != BEHAVIOUR_CODES["payload_response"]
    declared = np.array([_expects_rows(evidence, name) for name in evidence.plan.calls] or [False])
    by_author = (calls["reason"] == Reason.ROWS) | declared[calls["call"]]
    return np.asarray(empty & (by_author | _out_of_character(evidence, empty)))


def _expects_rows(evidence: Evidence, name: str) -> bool:
    """Tell whether every step that makes this call says that its answer has rows."""
    steps = [s for s in singles(evidence) if isinstance(s, CallStep) and s.call == name]
    return bool(steps) and all(_refuses_zero(s.expect.rows) for s in steps)


def _refuses_zero(rows: str | None) -> bool:
    return rows is not None and not parse_rows(rows).holds(0)


def _out_of_character(evidence: Evidence, empty: Mask) -> Mask:
    """Find real calls, empty while a fault was in force, of tools that else hardly ever are.

    A tool qualifies with p05 > 0 over at least 20 baseline answers; see `profiles.unusual`.
    """
    calls = evidence.calls
    counted = profiles.answered(evidence) & (calls["rows"] != ROWS_UNKNOWN)
    generous = np.zeros(len(evidence.plan.calls) + 1, dtype=np.bool_)
    for code in np.unique(calls["call"][empty & counted]):
        rows = profiles.rows_usual(evidence, int(code))
        generous[code] = len(rows) >= SAMPLES_MIN and np.quantile(rows, 0.05) > 0
    judged = counted & generous[calls["call"]]
    return profiles.unusual(evidence, judged=np.asarray(judged), bad=empty)


def _truncated(evidence: Evidence, free: Mask) -> Mask:
    """Find answers that hold less than they ever do.

    One is enough while the network cut or throttled; under another fault, so many that it is no
    chance.
    """
    calls = evidence.calls
    free = free & ((calls["outcome"] == Outcome.OK) | (calls["reason"] == Reason.ROWS))
    cut = free & sightings.struck(evidence, lambda f: isinstance(f, TcpTruncate | TcpBandwidth))
    mask = np.zeros(len(calls), dtype=np.bool_)
    whole = (calls["attempt"] > 0) & (calls["outcome"] == Outcome.OK)
    whole &= sightings.in_force(evidence) == 0
    for code in np.unique(calls["call"][cut]):
        mine, reference = cut & (calls["call"] == code), whole & (calls["call"] == code)
        counted = bool((calls["rows"][reference] != ROWS_UNKNOWN).all())
        size = calls["rows"] if counted else calls["reply_bytes"]
        mask |= mine & (size < profiles.least(size[reference], exact=counted))
    short = profiles.short(evidence, free & ~cut & (evidence.attempt_phase > BASELINE))
    return np.asarray(mask | profiles.unusual(evidence, judged=free, bad=short))
