"""The seam to Locust: what is folded in batches is what Locust would have counted itself."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from harness.errors import Exit
from harness.journal import Calls, empty_calls
from harness.outcome import Outcome, Reason
from harness.running.load import METHOD, fold
from tests import command

# isort: split
# After ours, which keeps Locust from patching this process.
from locust.stats import RequestStats

from tests.ports import free_port

NAMES: Final = ("tools/list", "search", "fetch")
PAGE_S: Final = 10


def attempts(count: int, seed: int) -> Calls:
    """Attempts of every kind, as a batch holds them."""
    random = np.random.default_rng(seed)
    calls = empty_calls(count)
    calls["call"] = random.integers(0, len(NAMES), count)
    calls["sent_ns"] = random.integers(0, 10**9, count)
    # Spread over all of Locust's roundings: below 1 ms, tens, hundreds, thousands.
    took_ns = (10 ** random.uniform(5, 10, count)).astype(np.int64)
    calls["done_ns"] = calls["sent_ns"] + took_ns
    calls["reply_bytes"] = random.integers(0, 10**6, count)
    kinds = random.integers(0, 10, count)
    calls["outcome"] = Outcome.OK
    calls["outcome"][kinds == 1] = Outcome.TOOL_ERROR
    calls["reason"][kinds == 1] = Reason.TOOL_ERROR
    calls["outcome"][kinds == 2] = Outcome.HTTP_ERROR
    calls["reason"][kinds == 2] = Reason.HTTP_STATUS
    calls["outcome"][kinds == 3] = Outcome.HANG  # it never came back
    calls["reason"][kinds == 3] = Reason.HANG
    calls["done_ns"][kinds == 3] = -1
    calls["outcome"][kinds == 4] = Outcome.UNSENT  # is no request at all
    calls["sent_ns"][kinds == 4] = -1
    return calls


def logged(calls: Calls) -> RequestStats:
    """What Locust makes of the same attempts, one by one."""
    stats = RequestStats()
    for call in calls[calls["sent_ns"] >= 0]:
        name = NAMES[call["call"]]
        answered = call["done_ns"] >= 0
        took_ms: Any = float(call["done_ns"] - call["sent_ns"]) / 1e6 if answered else None
        stats.log_request(METHOD, name, took_ms, int(call["reply_bytes"]))
        if call["outcome"] != Outcome.OK:
            words = f"{Outcome(call['outcome']).name.lower()}: {Reason(call['reason']).name}"
            stats.log_error(METHOD, name, words)
    return stats


def figures(entry: Any) -> dict[str, Any]:
    """Everything that Locust shows or sends of one entry, but for the seconds of the wall clock."""
    return {
        "num_requests": entry.num_requests,
        "num_none_requests": entry.num_none_requests,
        "num_failures": entry.num_failures,
        "response_times": dict(entry.response_times),
        "min": entry.min_response_time,
        "max": entry.max_response_time,
        "bytes": entry.total_content_length,
        "per_second": sum(entry.num_reqs_per_sec.values()),
        "failures_per_second": sum(entry.num_fail_per_sec.values()),
    }


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_batches_give_what_locust_counts_one_by_one(parts: int) -> None:
    """In one batch or in many: requests, failures, times and errors, in total and by name."""
    calls = attempts(3_000, seed=parts)
    folded = RequestStats()
    for part in np.array_split(calls, parts):
        fold(folded, part, NAMES)
    one_by_one = logged(calls)
    assert figures(folded.total) == figures(one_by_one.total)
    total = folded.total.total_response_time
    assert total == pytest.approx(one_by_one.total.total_response_time)
    assert set(folded.entries) == set(one_by_one.entries) == {(name, METHOD) for name in NAMES}
    for key, entry in folded.entries.items():
        assert figures(entry) == figures(one_by_one.entries[key])
    assert {key: error.occurrences for key, error in folded.errors.items()} == {
        key: error.occurrences for key, error in one_by_one.errors.items()
    }
    assert {(e.method, e.name, e.error) for e in folded.errors.values()} == {
        (e.method, e.name, e.error) for e in one_by_one.errors.values()
    }
    for share in (0.5, 0.95, 0.99):
        told = folded.total.get_response_time_percentile(share)
        assert told == one_by_one.total.get_response_time_percentile(share)


def test_a_batch_of_unsent_steps_is_no_request() -> None:
    """Locust counts what went out."""
    calls = empty_calls(5)
    calls["sent_ns"] = -1
    calls["outcome"] = Outcome.UNSENT
    stats = RequestStats()
    fold(stats, calls, NAMES)
    assert stats.total.num_requests == 0
    assert not stats.entries
    assert not stats.errors


# --- the page -------------------------------------------------------------------------------


def asked(url: str, data: bytes | None = None) -> bytes:
    """What a page answers; with data, to what is posted there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, data, timeout=PAGE_S) as reply:
        answer: bytes = reply.read()
    return answer


def total_on(page: str) -> int:
    """Locust's total, as its page tells it."""
    rows = json.loads(asked(f"{page}/stats/requests"))["stats"]
    return next(int(row["num_requests"]) for row in rows if row["name"] == "Aggregated")


def next_second(process: subprocess.Popen[str]) -> int:
    """The calls that the command's next line of progress tells."""
    line = command.await_line(process, " calls ")
    return int(line.partition(" calls ")[0].split()[-1].replace(",", ""))


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_locusts_page_follows_the_storm(tmp_path: Path) -> None:
    """On loopback, while it lasts; its total grows with squall's own."""
    (tmp_path / "storm.yaml").write_text(command.STORM, encoding="utf-8")
    port = free_port()
    process = command.start("run", "storm.yaml", "--web", str(port), cwd=tmp_path)
    page = f"http://127.0.0.1:{port}"
    command.await_line(process, "baseline")
    assert b"Locust" in asked(page)
    before, early = next_second(process), total_on(page)
    later, late = before, early
    while late == early:  # the page answers from memory for two seconds
        later, late = next_second(process), total_on(page)
    assert late > early
    # A page read after a line of progress holds at least what the line told.
    assert early >= before
    assert late >= later
    done = command.finish(process)
    command.assert_passed(done.code, command.verdict_of(command.folder_of(tmp_path / "runs")))


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_stop_on_locusts_page_ends_the_run_even_while_sessions_still_open(
    tmp_path: Path, workers: str
) -> None:
    """The run is aborted, judged as far as it went, and says who ended it."""
    slow_ramp = command.STORM.replace("ramp: 500ms", "ramp: 20s")
    (tmp_path / "storm.yaml").write_text(slow_ramp, encoding="utf-8")
    port = free_port()
    process = command.start(
        "run", "storm.yaml", "--web", str(port), "--workers", workers, cwd=tmp_path
    )
    command.await_line(process, "[  2/")
    asked(f"http://127.0.0.1:{port}/stop", b"")
    done = command.finish(process)
    assert done.code == Exit.ABORTED
    assert "Locust's page" in done.all


@pytest.mark.timeout(60)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_page_whose_port_is_taken_is_refused_before_any_load(
    tmp_path: Path, workers: str
) -> None:
    """One sentence with the mend, exit 2, and nothing left."""
    (tmp_path / "storm.yaml").write_text(command.STORM, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command.squall(
            "run", "storm.yaml", "--web", port, "--workers", workers, "--quiet", cwd=tmp_path
        )
    assert done.code == 2
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert f"port {port} on 127.0.0.1 is not free" in line
    assert not (tmp_path / "runs").exists()
