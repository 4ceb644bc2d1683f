"""Is memory that grows told from memory that a healthy runtime keeps?"""

from __future__ import annotations

import pytest

from faults.load import Soak
from harness.checks import memory, soak
from harness.checks.memory import Growth, Stretch
from harness.evidence.phases import Evidence
from tests import journals
from tests.checks import cases
from tests.checks.cases import MIB, vitals

# Four periods of 2.5 s from 12 s on: each is read in its second half.
READ_S = (14.0, 16.5, 19.0, 21.5)


def soaked(*levels_mib: float | None) -> Evidence:
    """Make a run under a soak, with so much memory at the end of each period."""
    return cases.run(Soak(periods=4), extra=vitals(*zip(READ_S, levels_mib, strict=False)))


def test_memory_that_grows_as_much_in_each_further_period_leaks() -> None:
    """The samples it rests on are named beside the heaviest calls."""
    finding = cases.one(soak.leak_memory(soaked(90, 110, 131, 150)))
    assert cases.one(soak.leak_memory(soaked(80, 96.9, 103, 121.1))).ruling == "fail"
    assert (finding.verdict, finding.ruling, finding.fault) == ("leak-memory", "fail", "1:soak")
    assert finding.observed == pytest.approx(19.0)
    assert any("+20.0 MiB" in line for line in finding.evidence)
    assert any(line.startswith("s") for line in finding.evidence)


@pytest.mark.parametrize(
    "levels",
    [
        (74, 146, 146, 146),  # idle sessions leave a healthy runtime larger, once
        (80, 123, 140, 144),  # a heap that fills up, less each time
        (123, 164, 131, 150),  # up and down
        (80, 86, 92, 98),  # less than eight MiB
        (80, 80, 80, 80),
    ],
)
def test_memory_of_a_healthy_runtime_passes(levels: tuple[float, ...]) -> None:
    """What is kept after the first load, goes up and down, or fills up, is no leak."""
    assert cases.one(soak.leak_memory(soaked(*levels))).ruling == "pass"


@pytest.mark.parametrize("levels", [(90, 110, 131), (90, None, 131, 150), ()])
def test_memory_that_nobody_saw_is_unknown(levels: tuple[float | None, ...]) -> None:
    """A period without a sample leaves the question open."""
    assert cases.one(soak.leak_memory(soaked(*levels))).ruling == "unknown"


def test_nothing_is_said_without_a_soak() -> None:
    """Nor under any other fault."""
    assert soak.leak_memory(journals.storm()) == ()


def _growth(*rss_mib: float, count: int = 100) -> Growth:
    return Growth(
        rss_bytes=tuple(round(size * MIB) for size in rss_mib),
        count=count,
        open_files=(40, 50),
        threads=(0, 1),
        children=None,
    )


def test_many_units_must_each_have_left_their_share() -> None:
    """A thousand sessions that leave eight KiB each are within what runtimes scatter."""
    assert _growth(9, 9).leaks(per_unit_bytes=memory.PER_SESSION_BYTES)
    assert not _growth(9, 9, count=1000).leaks(per_unit_bytes=memory.PER_SESSION_BYTES)
    assert _growth(11, 11, count=1000).leaks(per_unit_bytes=memory.PER_SESSION_BYTES)


def test_descriptors_that_stay_behind_after_each_load_are_kept() -> None:
    """A fifth of what was opened, each time; what nobody could count is not held against it."""
    grown = _growth(0, 0)
    assert grown.keeps(grown.open_files)
    assert not grown.keeps(grown.threads)
    assert not grown.keeps(grown.children)


def test_two_loads_say_nothing() -> None:
    """The first one may be kept, and the second alone is one before-and-after."""
    of = soaked(90, 110, 131, 150)
    two = [
        Stretch(
            start_ns=0,
            read_ns=round((at - 0.5) * journals.S),
            end_ns=round((at + 0.5) * journals.S),
            count=5,
        )
        for at in READ_S[:2]
    ]
    assert memory.growth(of, two) is None


@pytest.mark.parametrize(
    ("grown_mib", "leak"),
    [
        ((22, 13.5, 8.8), True),
        ((30, 24, 9), False),
        ((24, 9), False),
        ((14.2, 14.7), True),
        ((16.9, 6.1, 18.1), True),  # one sample came early
        ((6.1, 18.1, 16.9), True),
        ((18.1, 16.9, 6.1), False),
        ((17, 9, 5), False),
        ((17, 6, 9), False),  # the next one does not make up for it
        ((4.5, 5, 30), False),
        ((2, 30, 20), False),
        ((6.1, 18.1), False),  # of two, each must
        ((41, -33, 19), False),
        ((0, 0, 0), False),
    ],
)
def test_what_grows_less_and_less_is_a_heap_and_what_goes_on_is_a_leak(
    grown_mib: tuple[float, ...], leak: bool
) -> None:
    """The last is held against the middle one; one before it may be short for the next's gain."""
    sizes = [round(size * memory.MIB) for size in grown_mib]
    assert memory.leaks(sizes, memory.LEAST_BYTES) is leak
