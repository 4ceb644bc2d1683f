"""What Prometheus scrapes: a real run's page, as its own parser reads it."""

from __future__ import annotations

import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from harness.errors import UsageError
from harness.journal import Calls
from harness.outcome import Outcome
from harness.recent import Recent, tally
from harness.running.exposition import serve
from harness.running.status import Hit, Status
from tests import command, journals

SCRAPE_S = 5.0


def scrape(url: str) -> dict[str, Metric]:
    """Read a page of metrics as Prometheus does."""
    with urllib.request.urlopen(url, timeout=SCRAPE_S) as reply:  # noqa: S310  our own address
        text = reply.read().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """The one sample of a name that has these labels."""
    (found,) = [
        one.value
        for family in families.values()
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]
    return float(found)


def status(recent: Recent, **changes: Any) -> Status:
    """Where a run stands under one fault."""
    fields: dict[str, Any] = {
        "run_s": 12.5,
        "total_s": 30.0,
        "phase": "fault",
        "hits": (Hit(fault="1:tcp-latency", count=412, unit="connections"),),
        "fault_left_s": 3.0,
        "alive": {"control": 6, "treated": 5},
        "lag_ms": 2.0,
        "recent": recent,
        "windows": (),
    }
    return Status(**(fields | changes))


def batch() -> Calls:
    """Ten calls of the treated arm: one takes 4 s and times out, the others 1 to 9 ms."""
    made = journals.calls(10, took_ms=[1, 2, 3, 4, 5, 6, 7, 8, 9, 4000], treated=1)
    made["outcome"][9] = Outcome.TIMEOUT
    return made


def test_each_arm_is_told_with_units_in_its_names() -> None:
    """Calls by outcome, percentiles, sessions, the fault and what it hit, and the generator."""
    recent = Recent()
    recent.add(tally(batch()))
    with serve(0, scenario="storm") as (page, url):
        assert "squall_calls" not in scrape(url)
        page.update(status(recent))
        found = scrape(url)
    assert value(found, "squall_run_info", scenario="storm") == 1
    assert value(found, "squall_calls_total", arm="treated", outcome="ok") == 9
    assert value(found, "squall_calls_total", arm="treated", outcome="timeout") == 1
    assert value(found, "squall_calls_total", arm="control", outcome="ok") == 0
    assert value(found, "squall_calls_per_second", arm="treated") == 10
    assert value(found, "squall_calls_failed_ratio", arm="treated") == 0.1
    median_s = value(found, "squall_call_recent_seconds", arm="treated", quantile="0.5")
    assert median_s == pytest.approx(0.005, rel=0.05)
    assert value(found, "squall_sessions_alive", arm="control") == 6
    assert value(found, "squall_fault_in_force", fault="1:tcp-latency", kind="tcp-latency") == 1
    assert value(found, "squall_fault_exposure", counted="connections") == 412
    assert value(found, "squall_generator_lag_seconds") == 0.002
    assert value(found, "squall_run_phase", phase="fault") == 1
    assert value(found, "squall_run_phase", phase="baseline") == 0
    assert value(found, "process_cpu_seconds_total") > 0


def test_what_a_view_says_in_words_follows_from_the_numbers() -> None:
    """The faults in force, what they have hit, and how many are alive."""
    hits = (
        Hit(fault="1:tcp-latency", count=1412, unit="connections"),
        Hit(fault="2:tcp-down", count=0, unit="connections"),
        Hit(fault="3:call-repeat", count=7, unit="calls"),
    )
    now = status(Recent(), hits=hits)
    assert now.faults == ("1:tcp-latency", "2:tcp-down", "3:call-repeat")
    assert now.exposure == "1,412 connections, 7 calls"
    assert now.sessions == 11
    calm = status(Recent(), hits=(), alive={})
    assert (calm.faults, calm.exposure, calm.sessions) == ((), "", 0)


def test_the_histogram_is_cumulative_and_exact_at_its_bounds() -> None:
    """Every call is in it once; between two bounds are those that took so long."""
    recent = Recent()
    recent.add(tally(batch()))
    with serve(0, scenario="storm") as (page, url):
        page.update(status(recent))
        family = scrape(url)["squall_call_duration_seconds"]
    mine = [one for one in family.samples if one.labels["arm"] == "treated"]
    counts = {one.labels["le"]: one.value for one in mine if one.name.endswith("_bucket")}
    assert list(counts.values()) == sorted(counts.values())
    assert counts["0.004096"] == 4  # the fourth took 4 ms
    assert counts["0.016384"] == 9
    assert counts["+Inf"] == 10
    (total,) = [one.value for one in mine if one.name.endswith("_sum")]
    assert total == pytest.approx(4.045)


def test_what_is_read_does_not_change_under_the_reader() -> None:
    """The page stays as it was told, whatever has come in since."""
    recent = Recent()
    recent.add(tally(batch()))
    with serve(0, scenario="storm") as (page, url):
        page.update(status(recent))
        recent.add(tally(batch()))
        assert value(scrape(url), "squall_calls_total", arm="treated", outcome="ok") == 9
        page.update(status(recent))
        assert value(scrape(url), "squall_calls_total", arm="treated", outcome="ok") == 18


def test_a_port_that_is_taken_is_refused_with_the_mend() -> None:
    """And a page that is over has let go of its port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match="--metrics"), serve(port, scenario="storm"):
            pass
    with serve(0, scenario="storm") as (_, url):
        port = int(url.rpartition(":")[2].removesuffix("/metrics"))
    with serve(port, scenario="storm") as (_, again):
        assert again == url


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_can_be_scraped_while_it_lasts(workers: str, tmp_path: Path) -> None:
    """On the address that it says; every session is there, and then the fault."""
    longer = command.STORM.replace("for: 2s", "for: 5s")  # to be seen on a busy machine too
    (tmp_path / "storm.yaml").write_text(longer, encoding="utf-8")
    words = ("--metrics", "0", "--quiet", "--workers", workers)
    process = command.start("run", "storm.yaml", *words, cwd=tmp_path)
    try:
        url = command.await_line(process, "metrics for Prometheus at").split()[-1]
        found = under_a_fault(url)
    finally:
        done = command.finish(process)
    command.assert_passed(done.code, command.verdict_of(command.folder_of(tmp_path / "runs")))
    for arm in ("control", "treated"):
        assert value(found, "squall_calls_total", arm=arm, outcome="ok") > 0
        assert value(found, "squall_sessions_alive", arm=arm) == 3
    assert sum(one.value for one in found["squall_run_phase"].samples) == 1
    with pytest.raises(OSError, match="refused"):
        scrape(url)  # with the run, its page is gone


def under_a_fault(url: str) -> dict[str, Metric]:
    """Scrape until a fault is in force; give what was seen then."""
    deadline_s = time.monotonic() + command.COMMAND_S
    while time.monotonic() < deadline_s:
        found = scrape(url)
        force = found.get("squall_fault_in_force")
        if force is not None and force.samples:
            return found
        time.sleep(0.1)
    raise AssertionError("no fault was ever seen in force")
