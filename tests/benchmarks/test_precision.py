from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.precision import Precision


def _seen(*, late_p99: float, waited_share: float = 0.0, cpu_share: float = 0.5) -> str:
    return Precision(
        calls=1000,
        late=(0.1, late_p99),
        error=(0.1, 0.3),
        felt=(0.2, 0.4),
        cpu_share=cpu_share,
        waited_share=waited_share,
    ).row(6000)


def test_what_is_over_its_goal_is_named() -> None:
    """By its column, and nothing else with it."""
    assert _seen(late_p99=3.0).endswith("over its goal: sent late p99")
    assert "over" not in _seen(late_p99=2.0)


def test_a_machine_that_was_elsewhere_is_blamed_for_what_is_over() -> None:
    """And only for that: figures that reach their goals do so on a busy machine too."""
    assert "TOO BUSY" in _seen(late_p99=3.0, waited_share=0.02)
    assert "TOO BUSY" not in _seen(late_p99=2.0, waited_share=0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="its server waits by epoll")
def test_a_known_delay_is_measured_in_calls_that_all_came_back() -> None:
    """The bench itself cannot rot unseen: a second of it, whose figures are not judged here.

    In a process of its own, for it goes ahead of all others and freezes what it finds.
    """
    asked = "from tests.benchmarks.precision import measure; print(measure(200, 1.5).row(200))"
    done = subprocess.run(
        (sys.executable, "-c", asked), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    rate, calls, *figures = done.stdout.split()[:10]
    assert rate == "200"
    assert int(calls) > 0
    assert len(figures) == 8
