"""A/A figures are found again by the runs that they hold for, and by no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from faults.network import TcpLatency, TcpReset
from harness import yardstick
from harness.scenario.records import Scenario
from harness.verdict import Apart, BareArms
from tests.journals import SEARCH, scenario, window

MACHINE: Final = {"system": "Linux", "processors": 2}
MEASURED: Final = BareArms(
    run="1a2b3c4d",
    own=True,
    stretch_s=10,
    stretches=3,
    measures=(
        Apart(
            measure="p50",
            unit="ms",
            control=5.0,
            treated=5.1,
            difference=0.1,
            low=-0.2,
            high=0.4,
            smallest=0.6,
        ),
    ),
)


def _file(of: Scenario, *, workers: int = 0, **machine: Any) -> Path:
    return yardstick.place(Path("runs"), "steady", of, workers=workers, machine=MACHINE | machine)


def _of(**changes: Any) -> Scenario:
    return scenario(window(TcpLatency()), **changes)


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    """As another run's."""
    file = tmp_path / "aa.json"
    assert yardstick.recall(file) is None
    yardstick.remember(file, MEASURED)
    found = yardstick.recall(file)
    assert found is not None
    assert (found.own, found.measures) == (False, MEASURED.measures)
    assert list(tmp_path.iterdir()) == [file]
    yardstick.forget(file)
    yardstick.forget(file)
    assert yardstick.recall(file) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}', '{"run": "x", "own": false}'])
def test_a_file_that_is_something_else_is_as_good_as_none(text: str, tmp_path: Path) -> None:
    """A run is not refused for it."""
    file = tmp_path / "aa.json"
    file.write_text(text, encoding="utf-8")
    assert yardstick.recall(file) is None


def test_other_faults_limits_and_seeds_share_the_figures() -> None:
    """They change nothing between bare arms, while the shortest fault is as long."""
    other = scenario(
        window(TcpReset()), window(TcpLatency(), 20), limits={"score": ">= 80"}, seed=9
    )
    assert _file(_of()) == _file(other)
    assert _file(_of()).name.startswith("aa-steady-")


@pytest.mark.parametrize(
    "other",
    [
        scenario(window(TcpLatency(), 5)),
        _of(load={"sessions": 40}),
        _of(steps=[SEARCH]),
        _of(target={"url": "http://127.0.0.1:9/mcp"}),
        _of(era="legacy"),
    ],
)
def test_what_the_noise_depends_on_has_figures_of_its_own(other: Scenario) -> None:
    """Another load, another target, a shorter fault."""
    assert _file(other) != _file(_of())


def test_another_machine_or_number_of_workers_has_figures_of_its_own() -> None:
    """Noise is the machine's."""
    assert len({_file(_of()), _file(_of(), workers=2), _file(_of(), processors=64)}) == 3
