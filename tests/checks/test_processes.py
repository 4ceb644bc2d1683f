from __future__ import annotations

from typing import Any

import pytest

from faults.process import ProcessKill
from harness.checks import lifecycle, processes
from harness.checks.bite import bite
from harness.evidence.phases import Evidence
from harness.journal import ProcessEntry
from tests.checks import cases

PIPED = {"reference": "hardened", "transport": "stdio"}


def entry(edge: Any, at_s: float = 5.0, **words: Any) -> ProcessEntry:
    """One edge of a process's life."""
    given: dict[str, Any] = {"pid": 7, "session": 1, "treated": True, **words}
    return ProcessEntry(at_ns=round(at_s * 1e9), edge=edge, **given)


def run(*entries: ProcessEntry) -> Evidence:
    """A run over pipes whose processes did this, under a fault that kills them."""
    return cases.run(ProcessKill(), extra=entries, target=PIPED)


def test_a_run_without_pipes_is_not_asked() -> None:
    """Neither noise nor strays can be where there is no standard output."""
    of = cases.run()
    assert processes.stdout_noise(of) == processes.stray_replies(of) == ()


def test_a_process_that_said_nothing_else_passes() -> None:
    """Each question has one answer, by the number of processes that came to their end."""
    of = run(entry("started", 0), entry("ended", 40, asked=True, messages=90))
    for check in (processes.stdout_noise, processes.stray_replies, lifecycle.crash):
        assert cases.one(check(of)).ruling == "pass"


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ({"noise_lines": 3, "noise": "Listening on stdio"}, "stdout-noise"),
        ({"duplicate_replies": 2}, "stray-reply"),
        ({"unknown_ids": 1}, "stray-reply"),
    ],
)
def test_what_is_no_message_or_no_answer_is_found(words: dict[str, Any], verdict: str) -> None:
    """Though the process lived and every call was answered."""
    of = run(entry("started", 0), entry("ended", 40, asked=True, **words))
    found = [one for check in processes.CHECKS for one in check(of) if one.ruling == "fail"]
    assert [one.verdict for one in found] == [verdict]
    assert str(words.get("noise", "")) in found[0].why


def test_a_process_that_ends_by_itself_has_crashed() -> None:
    """The fault in force is named for a treated one; one that the fault killed has not crashed."""
    killed = entry("killed", 13, window=1), entry("ended", 13, how="was ended by SIGKILL")
    dead = entry("ended", 14, pid=8, how="ended with status 3")
    finding = cases.one(lifecycle.crash(run(entry("started", 0), *killed, dead)))
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", "1:process-kill", 1.0)
    assert "status 3" in finding.why
    assert cases.one(lifecycle.crash(run(entry("started", 0), *killed))).ruling == "pass"


def test_nobody_knows_of_processes_that_never_were() -> None:
    """No process, no ruling."""
    assert cases.one(lifecycle.crash(run())).ruling == "unknown"


def test_struck_processes_prove_that_a_fault_bit() -> None:
    """Those of its own window, and no others."""
    of = run(entry("killed", 13, window=1), entry("stopped", 14, window=2))
    seen = bite(of, of.phases.windows[0])
    assert (seen.bit, seen.count, seen.unit) == (True, 1, "processes")
