"""A target has not come back only where neither the machine nor the watch may be why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from faults.identity import TokenExpire
from faults.network import TcpReset
from faults.process import ProcessKill
from harness.checks import agreement
from harness.checks.limits import judge_limits
from harness.evidence import recovery
from harness.evidence.disturbance import Bad, Fared, Shortage, unproven
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls, HealthEntry
from harness.judge import judge
from harness.outcome import Outcome, Reason
from harness.score import score
from harness.verdict import Limit
from tests import journals
from tests.journals import MS, S, Spoil

HEALED_S: Final = 22.0
FEW_S: Final = 4  # the demo watches for as long
BUSY: Final[dict[str, Any]] = {"cpu_share": 0.05, "run_delay_share": 0.29, "lag_p99_ms": 11.7}


def seen(
    *spoils: Spoil,
    fault: Any = None,
    limit: str = "<= 4s",
    watched_s: float = FEW_S,
    busy_s: tuple[float, float] = (0, 0),
    **changes: Any,
) -> Evidence:
    """Make a run of one fault after which something is amiss, on a machine busy for a while."""
    of = journals.scenario(
        journals.window(fault or TcpReset()),
        limits={"recovery": limit} if limit else {},
        phases={"warmup": "1s", "baseline": "10s", "recovery": f"{watched_s}s"},
        **changes,
    )
    by = journals.plan(of)

    def spoil(made: Calls) -> None:
        for one in spoils:
            one(made)

    whole = journals.healthy(of, by, spoil=spoil)
    kept = [one for one in whole.entries if not isinstance(one, HealthEntry)]
    told = [
        journals.health(at_s, **(BUSY if busy_s[0] < at_s <= busy_s[1] else {}))
        for at_s in range(1, by.end_ns // S + 1)
    ]
    return evidence(of, by, journals.journal((*kept, *told), whole.calls))


def slow(
    start_s: float, end_s: float, by_ms: float, *, arm: str = "treated", every: int = 1
) -> Spoil:
    """Let an arm's calls due in a stretch of the recovery take so much longer."""

    def spoil(made: Calls) -> None:
        some = journals.between(made, HEALED_S + start_s, HEALED_S + end_s)
        some &= made["treated"] == (arm == "treated")
        mine = np.flatnonzero(some)
        made["done_ns"][mine[::every]] += round(by_ms * MS)

    return spoil


def refused(start_s: float, end_s: float, *, arm: str = "treated", every: int = 1) -> Spoil:
    """Let an arm's calls due in a stretch of the recovery fail."""

    def spoil(made: Calls) -> None:
        some = journals.between(made, HEALED_S + start_s, HEALED_S + end_s)
        mine = np.flatnonzero(some & (made["treated"] == (arm == "treated")))
        journals.end(
            made, mine[::every], Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=503, took_ms=5.0
        )

    return spoil


def limit_of(found: Evidence) -> Limit:
    """Give the ruling on the recovery."""
    return next(one for one in judge_limits(found, None) if one.name == "recovery")


# --- the run that was wrongly accused -------------------------------------------------------


def test_a_demo_on_a_crowded_machine_accuses_nobody_of_staying_broken() -> None:
    """As it was: squall waited 29 % of its time, and both arms were slow for two seconds of four.

    The last two were good again, which is one too few for a recovery.
    """
    both = (slow(0, 2, 600, every=1), slow(0, 3, 500, arm="control", every=2))
    found = seen(*both, fault=TokenExpire(), busy_s=(0, 40))
    (window,) = found.phases.windows
    ruled = limit_of(found)
    assert (ruled.ruling, ruled.observed) == ("unknown", None)
    assert ruled.why.startswith("a busy machine: squall waited for a processor 29% of the time")
    assert ruled.why.endswith(f" (in doubt after {window.id})")
    assert "calls that no fault touched were slow" in ruled.why
    assert recovery.recovery_s(found, window) is None


def test_a_verdict_in_doubt_is_unknown_and_its_line_names_the_machine() -> None:
    """Exit 3; the score counts no recovery, and the notes say why."""
    found = seen(slow(0, 2, 600), slow(0, 3, 500, arm="control", every=2), busy_s=(0, 40))
    told = judge(found, name="storm")
    assert (told.ruling, told.exit_code) == ("unknown", 3)
    assert "recovery wanted <= 4s: a busy machine: squall" in told.headline[:80]
    assert told.faults[0].recovery_s is None
    assert told.score is not None
    assert told.score.components["recovery"] is None
    assert any("back to normal after 1:tcp-reset: a busy machine" in one for one in told.notes)


@pytest.mark.parametrize(("busy_until_s", "ruling"), [(40, "unknown"), (0, "fail")])
def test_a_way_back_that_was_seen_too_late_is_in_doubt_for_the_same_reasons(
    busy_until_s: int, ruling: str
) -> None:
    """Both arms were slow for three seconds of eight: on a machine at ease it was the target."""
    arms = ("treated", "control") if busy_until_s else ("treated",)
    spoils = [slow(0, 3, 600, arm=arm) for arm in arms]
    found = seen(*spoils, limit="<= 2s", watched_s=8, busy_s=(0, busy_until_s))
    ruled = limit_of(found)
    assert (ruled.ruling, ruled.observed) == (ruling, None if busy_until_s else 3.0)
    assert ("a busy machine: squall" in ruled.why) == bool(busy_until_s)
    in_time = seen(*spoils, limit="<= 4s", watched_s=8, busy_s=(0, busy_until_s))
    assert (limit_of(in_time).ruling, limit_of(in_time).observed) == ("pass", 3.0)


def test_an_unsteady_baseline_on_a_crowded_machine_names_the_machine_first() -> None:
    """It is what a reader of one line gets to see; the figures follow."""

    def drift(made: Calls) -> None:
        made["done_ns"][journals.between(made, 7.0, 12.0)] += 200 * MS

    (calm,) = agreement.baseline_steady(seen(drift))
    (busy,) = agreement.baseline_steady(seen(drift, busy_s=(0, 40)))
    assert (calm.ruling, busy.ruling) == ("fail", "fail")
    assert calm.why.startswith("second half beside first: p50")
    assert busy.why == (
        f"a busy machine: squall waited for a processor 29% of the time; {calm.why}"
    )


# --- what stays a failure -------------------------------------------------------------------


@pytest.mark.parametrize("busy_s", [(0, 0), (0, 60)], ids=["at ease", "crowded"])
@pytest.mark.parametrize(
    "spoil",
    [slow(0, 60, 400), refused(0, 60), refused(0, 60, every=3)],
    ids=["slow", "silent", "failing"],
)
def test_a_target_that_stays_broken_fails_while_the_untouched_arm_is_well(
    spoil: Spoil, busy_s: tuple[float, float]
) -> None:
    """The untouched sessions show that the machine could do better."""
    for watched_s in (FEW_S, 10):
        ruled = limit_of(seen(spoil, watched_s=watched_s, busy_s=busy_s))
        assert (ruled.ruling, ruled.observed) == ("fail", recovery.NEVER_S)


@pytest.mark.parametrize(
    "spoils",
    [
        (slow(0, 60, 400), slow(0, 60, 400, arm="control")),
        (refused(0, 60), refused(0, 60, arm="control")),
    ],
    ids=["slow", "silent"],
)
def test_a_target_that_breaks_for_everybody_fails_on_a_machine_at_ease(
    spoils: tuple[Spoil, ...],
) -> None:
    """The fault has spread; on a crowded machine the same proves nothing."""
    ruled = limit_of(seen(*spoils))
    assert (ruled.ruling, ruled.observed) == ("fail", recovery.NEVER_S)
    assert limit_of(seen(*spoils, busy_s=(0, 60))).ruling == "unknown"


def test_only_what_the_machine_was_like_in_the_recovery_counts() -> None:
    """A baseline on a crowded machine excuses nothing that comes after."""
    both = (slow(0, 60, 400), slow(0, 60, 400, arm="control"))
    assert limit_of(seen(*both, busy_s=(0, HEALED_S - 2))).ruling == "fail"
    assert limit_of(seen(*both, busy_s=(HEALED_S, 60))).ruling == "unknown"


def test_a_target_that_was_killed_and_stays_away_fails_on_any_machine() -> None:
    """There is no untouched arm, and no machine is so busy that nothing is answered."""
    gone = (refused(0, 60), refused(0, 60, arm="control"))
    ruled = limit_of(seen(*gone, fault=ProcessKill(), busy_s=(0, 60)))
    assert (ruled.ruling, ruled.observed) == ("fail", recovery.NEVER_S)


def test_a_killed_target_that_is_as_slow_as_its_machine_is_in_doubt() -> None:
    """Nobody is beside it, so what the machine itself was slower by is allowed for."""

    def after(by_ms: float, busy_s: tuple[float, float]) -> str:
        both = (slow(0, 60, by_ms), slow(0, 60, by_ms, arm="control"))
        return limit_of(seen(*both, fault=ProcessKill(), busy_s=busy_s)).ruling

    assert after(80, (HEALED_S, 60)) == "unknown"
    assert after(80, (0, 0)) == "fail"
    assert after(2_000, (HEALED_S, 60)) == "fail"


# --- the untouched arm as a witness ---------------------------------------------------------


def test_a_stall_that_struck_both_arms_alike_is_no_proof_even_at_ease() -> None:
    """One bad second in the middle of four: five of forty calls, beside two of forty."""
    few = slow(2, 3, 200, every=8), slow(2, 3, 200, arm="control", every=20)
    found = seen(*few, limit="")
    assert "calls that no fault touched were slow beside" in recovery.doubt(
        found, found.phases.windows[0]
    )
    own = seen(few[0], limit="")
    assert recovery.recovery_s(own, own.phases.windows[0]) == recovery.NEVER_S


def some(**columns: list[int]) -> Fared:
    """Make how an arm fared in a few slices."""
    length = len(columns["calls"])
    whole = {name: np.array(columns.get(name, [0] * length)) for name in ("failed", "slow")}
    return Fared(calls=np.array(columns["calls"]), **whole)


def at(*crowded: bool, lost: float = 0.0) -> Shortage:
    """Make what squall was short of in a few slices."""
    return Shortage(
        crowded=np.array(crowded),
        lost_share=np.full(len(crowded), lost),
        waited_share=0.3,
        lag_ms=40.0,
    )


def bad(*which: str) -> Bad:
    """Make what was bad in a few slices."""
    return Bad(
        failed=np.array([one == "failed" for one in which]),
        slow=np.array([one in ("slow", "beyond") for one in which]),
        beyond=np.array([one == "beyond" for one in which]),
    )


@pytest.mark.parametrize(
    ("struck", "untouched", "machine", "what", "open_"),
    [
        (some(calls=[34], slow=[5]), some(calls=[34], slow=[3]), at(False), "slow", True),
        (some(calls=[34], slow=[20]), some(calls=[34], slow=[3]), at(False), "slow", False),
        (some(calls=[34], slow=[5]), some(calls=[34]), at(True), "slow", False),
        (some(calls=[34], slow=[20]), some(calls=[34], slow=[9]), at(True), "slow", True),
        (some(calls=[34], slow=[30]), some(calls=[34], slow=[30]), at(False), "beyond", False),
        (some(calls=[34], slow=[30]), some(calls=[34], slow=[30]), at(True), "beyond", True),
        (some(calls=[34], slow=[9]), some(calls=[34]), at(True, lost=0.2), "slow", True),
        (some(calls=[34], failed=[9]), some(calls=[34], failed=[8]), at(True), "failed", True),
        (some(calls=[34], failed=[9]), some(calls=[34], failed=[8]), at(False), "failed", False),
        (some(calls=[34], failed=[30]), some(calls=[34], failed=[5]), at(True), "failed", False),
        (some(calls=[0]), some(calls=[0]), at(True), "failed", True),
        (some(calls=[0]), some(calls=[9]), at(True), "failed", False),
        (some(calls=[34]), some(calls=[34], slow=[30]), at(True), "", False),
    ],
)
def test_what_the_machine_may_have_done_proves_nothing(
    struck: Fared, untouched: Fared, machine: Shortage, what: str, open_: bool
) -> None:
    """Only bad slices are excused, and each only by what could have made it so."""
    assert unproven(struck, untouched, machine, bad(what)).tolist() == [open_]


# --- the watch ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until_s", "limit", "ruling"),
    [
        (1.0, "<= 4s", "pass"),
        (2.0, "<= 4s", "unknown"),
        (3.0, "<= 4s", "unknown"),
        (4.0, "<= 4s", "fail"),
        (2.0, "<= 1s", "fail"),
    ],
)
def test_a_watch_that_ends_before_three_good_seconds_settles_nothing(
    until_s: float, limit: str, ruling: str
) -> None:
    """Unless the limit had passed by then, or there was no good second at the end."""
    ruled = limit_of(seen(refused(0, until_s), limit=limit))
    assert ruled.ruling == ruling
    if ruling == "unknown":
        assert f"back to normal in the last {4 - until_s:.1f} s that were watched" in ruled.why


def test_without_a_limit_never_is_within_the_time_watched() -> None:
    """The score counts it against all of that time."""
    found = seen(refused(0, 2.0), limit="")
    assert recovery.recovery_s(found, found.phases.windows[0]) == recovery.NEVER_S
    scored = score(found).overall
    assert scored is not None
    assert scored.components["recovery"] == 0.0


def test_a_target_healed_so_late_that_little_was_left_to_watch_is_in_doubt() -> None:
    """Two and a half seconds of ten do not show that it takes more than eight."""
    whole = seen(refused(0, 60), limit="<= 8s", watched_s=10)
    assert limit_of(whole).ruling == "fail"
    late = replace(whole.phases.windows[0], healed_ns=round((HEALED_S + 7.5) * S))
    found = replace(whole, phases=replace(whole.phases, windows=(late,)))
    ruled = limit_of(found)
    assert ruled.ruling == "unknown"
    assert "only 2.5 s were left to watch" in ruled.why
