"""Were calls answered, and were the answers true?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.network import TcpBandwidth
from harness.checks import sightings
from harness.checks.claims import claims
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Mask
from harness.outcome import Outcome
from harness.verdict import Finding

_HANG: Final = Rule(
    verdict="hang",
    wrong="had no outcome at all by their deadline and the grace after it",
    source="scenario: client.deadline",
    unseen="no call was sent",
)
_UNANSWERED: Final = "no call was answered with a result"
_SILENT_EMPTY: Final = Rule(
    verdict="silent-empty",
    wrong="were answered 200 with an empty result where there are rows",
    source="the dependency's ledger; scenario: expect.rows; or the tool's own baseline",
    unseen=_UNANSWERED,
    hard=True,
    own="common",
)
_WRONG_ANSWER: Final = Rule(
    verdict="wrong-answer",
    wrong="were answered with a success that is not true",
    source="scenario: expect; JSON-RPC 2.0 §5",
    unseen=_UNANSWERED,
    hard=True,
)
_CROSSTALK: Final = Rule(
    verdict="crosstalk",
    wrong="carried back the data of another call",
    source="scenario: expect.carries; JSON-RPC 2.0 §5: a response belongs to one request",
    unseen=_UNANSWERED,
    hard=True,
    own="one",
)
_TRUNCATED: Final = Rule(
    verdict="truncated",
    wrong="were answered as if whole with less than there is",
    source="the dependency's ledger, or the tool's own answers while no fault was in force",
    unseen=_UNANSWERED,
    hard=True,
)
# A wait of three round trips covers connecting, asking and one loss.
_ROUND_TRIPS: Final = 3
# A reply's share of the deadline that the throttled wire may take before the wire is the suspect.
_WIRE_SHARE_MAX: Final = 0.5


def hang(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether any call had neither an answer nor an error.

    Needs one sent attempt. Attempts are left out where the network alone explains the wait: a
    treated one that overlapped a fault which lets nothing through, or whose bytes or round trips
    could not have passed a slowed wire in time.
    """
    judged = sightings.attempted(evidence) & ~_network_holds(evidence)
    return sightings.judge(
        evidence, _HANG, judged=judged, bad=judged & (evidence.calls["outcome"] == Outcome.HANG)
    )


def _network_holds(evidence: Evidence) -> Mask:
    """Tell which attempts the network itself may have kept waiting."""
    calls = evidence.calls
    # Whose dependency is gone can say so: there is no network to blame.
    held = sightings.struck(
        evidence, lambda fault: fault.stops_service() and fault.lever != "dependency"
    )
    treated = calls["treated"] == 1
    allowed_s = np.zeros(len(calls))
    allowed_s[evidence.logical] = evidence.deadline_ns / 1e9
    deadline_s = np.maximum(allowed_s, evidence.scenario.client.deadline_s)
    usual_bytes = np.array(
        [
            float(replies.max()) if len(replies) else 0.0
            for code in range(len(evidence.plan.calls))
            if (replies := calls["reply_bytes"][calls["call"] == code]) is not None
        ]
        or [0.0]
    )
    least_s = _WIRE_SHARE_MAX * evidence.scenario.client.deadline_s
    for window in evidence.phases.windows:
        throttles = isinstance(window.fault, TcpBandwidth)
        if window.fault.lever == "dependency":
            continue
        if not throttles and _ROUND_TRIPS * window.fault.added_round_trip_s() <= least_s:
            continue
        wire_s = np.full(len(calls), _ROUND_TRIPS * window.fault.added_round_trip_s())
        if isinstance(window.fault, TcpBandwidth):
            size_bytes = calls["request_bytes"] + usual_bytes[calls["call"]]
            wire_s += size_bytes / window.fault.rate_bytes_per_s
        slowed = sightings.overlaps(evidence, window)
        if window.arm == "treated":
            slowed &= treated
        held |= slowed & (wire_s > _WIRE_SHARE_MAX * deadline_s)
    return np.asarray(held)


def silent_empty(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether an empty result stood for a failure.

    Needs one reply with a result. Empty is wrong where the dependency's ledger shows that every
    request behind it failed, or that there were rows; where the step expects rows; or where the
    tool's baseline (p05 > 0 over at least 20 answers) says that it is out of character under a
    fault. It is right where the ledger shows that there are none.
    """
    charged = claims(evidence)
    return sightings.beneath(
        evidence,
        sightings.judge(evidence, _SILENT_EMPTY, judged=charged.judged, bad=charged.silent_empty),
    )


def wrong_answer(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a reply claimed a success that its content denies.

    Needs one reply with a result to a real call.
    """
    charged = claims(evidence)
    real = charged.judged & (evidence.calls["attempt"] > 0)
    return sightings.judge(evidence, _WRONG_ANSWER, judged=real, bad=charged.wrong_answer)


def crosstalk(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether anybody was given another's data; one is enough.

    Needs one reply with a result.
    """
    charged = claims(evidence)
    return sightings.judge(evidence, _CROSSTALK, judged=charged.judged, bad=charged.crosstalk)


def truncated(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether part of a result was taken for the whole.

    Needs one reply with a result to a real call. Whole is what the dependency's ledger has for it
    or, while the wire to the client was cut or throttled, what the tool always gives. A reply that
    does not parse is an honest error.
    """
    charged = claims(evidence)
    real = charged.judged & (evidence.calls["attempt"] > 0)
    found = sightings.judge(evidence, _TRUNCATED, judged=real, bad=charged.truncated)
    return sightings.beneath(evidence, found)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    hang,
    silent_empty,
    wrong_answer,
    crosstalk,
    truncated,
)
