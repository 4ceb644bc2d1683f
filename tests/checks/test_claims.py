from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.agent import PayloadRequest
from faults.identity import TokenExpire
from faults.network import TcpBandwidth, TcpReset
from harness.checks.claims import claims
from harness.evidence.phases import Evidence
from harness.journal import BEHAVIOURS, NEVER_NS, Calls
from harness.judge import CHECKS
from harness.outcome import Auth, EndedBy, Outcome, Reason
from tests.checks import cases
from tests.journals import NOTE

FAULTS = (TcpBandwidth(), PayloadRequest(), TokenExpire(), TcpReset())
RULINGS = {"pass", "fail", "unknown"}


def noise(seed: int) -> Evidence:
    """Make a run whose every record holds anything that its columns may hold."""

    def spoil(made: Calls) -> None:
        random = np.random.default_rng(seed)
        count = len(made)
        for column, values in (
            ("outcome", list(Outcome)),
            ("reason", list(Reason)),
            ("auth", list(Auth)),
            ("ended_by", list(EndedBy)),
            ("status", [0, 200, 202, 400, 401, 403, 404, 413, 500, 503]),
            ("rows", [-1, 0, 1, 10]),
            ("behaviour", range(len(BEHAVIOURS))),
            ("window", range(len(FAULTS) + 1)),
            ("attempt", [0, 1, 2]),
            ("request_bytes", [0, 300, 9_000_000]),
        ):
            made[column] = random.choice(np.array([int(value) for value in values]), count)
        unsent = made["outcome"] == Outcome.UNSENT
        for column in ("sent_ns", "first_ns", "done_ns"):
            made[column][unsent] = NEVER_NS

    return cases.run(*FAULTS, steps=(cases.ROWS, cases.LIST, NOTE), spoil=spoil, auth={})


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_attempt_is_charged_at_most_once_and_only_for_a_reply(seed: int) -> None:
    """Whatever the records say, the most specific charge stands alone."""
    of = noise(seed)
    charged = claims(of)
    charges = np.stack(
        (
            charged.crosstalk,
            charged.silent_empty,
            charged.truncated,
            charged.schema_drift,
            charged.wrong_answer,
        )
    )
    assert charges.any()
    assert (charges.sum(axis=0) <= 1).all()
    assert not (charges.any(axis=0) & ~charged.judged).any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_journal_breaks_a_check_or_makes_it_say_two_things(seed: int) -> None:
    """Each check gives the same well-formed findings every time it is asked."""
    of = noise(seed)
    for check in CHECKS:
        found = check(of)
        assert found == check(of)
        for finding in found:
            assert finding.ruling in RULINGS
            assert finding.why
            assert finding.source
            assert len(finding.evidence) == len(set(finding.evidence)) <= 10
            assert finding.fault in {"", *(window.id for window in of.phases.windows)}
            assert (finding.ruling == "fail") >= bool(finding.evidence)
