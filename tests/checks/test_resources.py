from __future__ import annotations

import pytest

from faults.agent import PayloadRequest
from harness.checks import resources
from harness.evidence.phases import Evidence
from harness.journal import VitalsEntry
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.checks.cases import MIB, vitals
from tests.journals import storm

STEADY = vitals((3, 80), (6, 82), (9, 81))
GROWN = (*STEADY, *vitals((14, 96)))
FLAT = (*STEADY, *vitals((14, 82)))


def oversized(
    outcome: Outcome,
    reason: Reason = Reason.NONE,
    *,
    extra: tuple[VitalsEntry, ...] = (),
    status: int = 200,
    size_mib: float = 5.1,
) -> Evidence:
    """Make a run in which some calls are preceded by one with a body of 5 MiB."""
    return cases.run(
        PayloadRequest(),
        extra=extra,
        more=lambda made: [
            cases.preludes(
                made,
                cases.some(cases.kind(made, 0, cases.WINDOW), 5),
                "payload_request",
                outcome,
                reason=reason,
                status=status,
                request_bytes=round(size_mib * MIB),
            )
        ],
    )


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.TOOL_ERROR, Outcome.WRONG])
def test_memory_that_follows_an_accepted_body_is_unbounded(outcome: Outcome) -> None:
    """Who answers as a tool has read and parsed it all; the target's memory says at what price."""
    finding = cases.one(resources.unbounded_size(oversized(outcome, extra=GROWN)))
    assert (finding.ruling, finding.fault) == ("fail", "1:payload-request")
    assert finding.observed == pytest.approx(14.0)  # 96 above a median of 81 that swung by 1
    assert len(finding.evidence) == 5


@pytest.mark.parametrize(
    ("outcome", "reason", "status"),
    [
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 413),
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 400),
        (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY, 0),
        (Outcome.TRANSPORT_ERROR, Reason.RESET, 0),
        (Outcome.TRANSPORT_ERROR, Reason.SEND_FAILED, 0),
        (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, 200),
    ],
)
def test_a_body_that_is_refused_passes_however_it_is_refused(
    outcome: Outcome, reason: Reason, status: int
) -> None:
    """413, another error, a closed connection, even a JSON-RPC error under 200; memory aside."""
    of = oversized(outcome, reason, status=status, extra=GROWN)
    assert cases.one(resources.unbounded_size(of)).ruling == "pass"
    assert cases.failed(of) == set()


def test_an_accepted_body_that_memory_does_not_follow_passes() -> None:
    """A server may take more, if it does not keep it."""
    assert cases.one(resources.unbounded_size(oversized(Outcome.OK, extra=FLAT))).ruling == "pass"


def test_a_target_whose_memory_swings_anyway_is_not_accused() -> None:
    """Growth counts beyond what the baseline already showed."""
    swinging = vitals((3, 80), (6, 95), (9, 80), (14, 96))
    of = oversized(Outcome.OK, extra=swinging)
    assert cases.one(resources.unbounded_size(of)).ruling == "pass"


@pytest.mark.parametrize(
    "extra",
    [(), STEADY, vitals((14, 96)), vitals((3, None), (14, None))],
    ids=["no-samples", "none-during", "none-before", "not-told"],
)
def test_an_accepted_body_whose_price_nobody_saw_is_unknown(extra: tuple[VitalsEntry, ...]) -> None:
    """Memory is not observable from outside."""
    finding = cases.one(resources.unbounded_size(oversized(Outcome.OK, extra=extra)))
    assert finding.ruling == "unknown"
    assert "memory is not observable" in finding.why


def test_an_oversized_request_that_never_ended_is_unknown() -> None:
    """Neither accepted nor refused."""
    of = oversized(Outcome.TIMEOUT, Reason.DEADLINE, extra=GROWN)
    assert cases.one(resources.unbounded_size(of)).ruling == "unknown"


def test_a_step_whose_request_stays_small_does_not_ask_the_question() -> None:
    """The fault meant more than 4 MiB, and what was sent was less."""
    of = oversized(Outcome.OK, extra=GROWN, size_mib=3.9)
    assert cases.one(resources.unbounded_size(of)).ruling == "unknown"


def test_bodies_within_the_usual_limit_are_asked_nothing() -> None:
    """Four MiB and less is what servers take by default."""
    assert resources.unbounded_size(cases.run(PayloadRequest(size="1MiB"))) == ()
    assert resources.unbounded_size(storm()) == ()
