"""Whether what floods leave behind stays: told by what each further flood adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from faults.agent_sessions import RejectFlood, SessionFlood
from faults.fault import Fault
from harness.checks import leaks
from harness.evidence.phases import Evidence
from harness.journal import FloodEntry, VitalsEntry
from tests.checks import cases
from tests.checks.test_outsiders import probe
from tests.journals import S

SENT: Final = 300
BEGAN_S: Final = (12.5, 15.5, 18.5)  # each pours for a second and rests for one
REJECTS: Final = RejectFlood.model_validate({"rest": "1s"})
SESSIONS: Final = SessionFlood.model_validate({"rest": "1s"})


def floods(kind: str, count: int = 3, refused: int = SENT) -> list[FloodEntry]:
    """Make the edges of some floods."""
    return [
        FloodEntry(
            at_ns=round((began_s + after_s) * S),
            window=1,
            kind=kind,
            flood=number,
            edge=edge,  # type: ignore[arg-type]
            sent=SENT,
            refused=refused,
        )
        for number, began_s in enumerate(BEGAN_S[:count], start=1)
        for edge, after_s in (("began", 0), ("ended", 1), ("rested", 2))
    ]


def looked(
    sizes_mib: Sequence[float],
    *,
    open_files: Sequence[int | None] = (None,) * 4,
    threads: Sequence[int | None] = (None,) * 4,
) -> list[VitalsEntry]:
    """Make one look before the floods and one in the rest after each."""
    at_s = [12.0, *(began_s + 1.8 for began_s in BEGAN_S)]
    entries = cases.vitals(*zip(at_s, sizes_mib, strict=True))
    return [
        replace(entry, open_files=open_files[place], threads=threads[place])
        for place, entry in enumerate(entries)
    ]


def flooded(fault: Fault, *extra: Any, count: int = 3, refused: int = SENT) -> Evidence:
    """Make a run with three floods, whatever else happened."""
    kind = "reject_flood" if isinstance(fault, RejectFlood) else "session_flood"
    return cases.run(fault, extra=[*floods(kind, count, refused), *extra])


@pytest.mark.parametrize(
    "sizes_mib",
    [
        (80, 80, 80, 80),
        (74, 146, 146, 146),
        (80, 123, 164, 131),
        (80, 120, 121, 160),
        (80, 90, 124, 135),
    ],
)
@pytest.mark.parametrize("fault", [REJECTS, SESSIONS], ids=["reject", "session"])
def test_memory_that_does_not_follow_every_further_flood_is_no_leak(
    fault: Fault, sizes_mib: tuple[float, ...]
) -> None:
    """Runtimes grow once, and swing: only the last two floods together accuse."""
    of = flooded(fault, *looked(sizes_mib))
    assert cases.one(leaks.leak_session(of)).ruling == "pass"
    assert cases.failed(of) == set()


def test_memory_that_grows_with_each_further_flood_is_a_leak() -> None:
    """Twelve MiB a flood of 300 is 40 KiB for each refused request."""
    of = flooded(REJECTS, *looked((80, 92, 104, 116)))
    finding = cases.one(leaks.leak_session(of))
    assert (finding.verdict, finding.ruling) == ("leak-session", "fail")
    assert finding.observed == pytest.approx(12)
    assert len(finding.evidence) == 2
    assert "92.0 MiB" in finding.evidence[0]
    assert cases.failed(of) == {("leak-session", "1:reject-flood")}


def test_descriptors_and_threads_that_do_not_come_back_are_a_leak() -> None:
    """Memory is a weak witness; half a descriptor for each request is a strong one."""
    counts = (20, 320, 620, 920)
    for seen in (looked((80,) * 4, open_files=counts), looked((80,) * 4, threads=counts)):
        assert cases.one(leaks.leak_session(flooded(REJECTS, *seen))).ruling == "fail"


def test_a_session_that_lives_after_delete_is_a_leak_by_itself() -> None:
    """The server agreed to end it; no memory has to be looked at."""
    ended = probe("session_flood", "ended", "legacy", 200)
    of = flooded(SESSIONS, ended, count=1)
    finding = cases.one(leaks.leak_session(of))
    assert finding.ruling == "fail"
    assert finding.evidence[0].startswith("a request")


def test_a_session_that_is_gone_after_delete_is_none() -> None:
    """404 is what the specification asks for."""
    ended = probe("session_flood", "ended", "legacy", 404)
    finding = cases.one(leaks.leak_session(flooded(SESSIONS, ended, *looked((80,) * 4))))
    assert finding.ruling == "pass"


@pytest.mark.parametrize(
    ("written", "ruling"),
    [({}, "unknown"), ({"idle": "1s"}, "fail"), ({"rest": "30s"}, "fail")],
)
def test_sessions_that_only_idle_out_are_given_their_time(
    written: dict[str, str], ruling: str
) -> None:
    """Where DELETE ends none, memory accuses only after 30 s, or after the server's own time."""
    fault = SessionFlood.model_validate({"rest": "1s"} | written)
    unended = probe("session_flood", "unended", "legacy", 200)
    of = flooded(fault, unended, *looked((80, 92, 104, 116)))
    assert cases.one(leaks.leak_session(of)).ruling == ruling


def test_floods_that_did_not_come_and_a_target_out_of_sight_are_unknown() -> None:
    """The fault was too short, hardly anything was answered, or nobody sees the process."""
    short = flooded(REJECTS, *looked((80, 92, 104, 116)), count=2)
    assert "longer" in cases.one(leaks.leak_session(short)).why
    unheard = flooded(REJECTS, *looked((80, 92, 104, 116)), refused=100)
    assert "were answered" in cases.one(leaks.leak_session(unheard)).why
    blind = cases.one(leaks.leak_session(flooded(REJECTS)))
    assert (blind.ruling, blind.verdict) == ("unknown", "leak-session")
