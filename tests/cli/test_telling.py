"""`--otlp`: a real run told to a real receiver, told again, and told to nobody."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

import pytest

from tests import command
from tests.collecting import Collected, attributes, collector

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOKEN = "sesame-open-0123456789"
SECRETIVE = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{TOKEN}"}
TRACED = (
    command.STORM + "auth: {issuer: embedded, grant: client_credentials}\nobserve: {traces: true}\n"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, command.Done, Collected]:
    """One run with tokens and traces, sent to a collector that wants a token of its own."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "storm.yaml").write_text(TRACED, encoding="utf-8")
    with collector() as there:
        words = ("run", "storm.yaml", "--otlp", there.url)
        done = command.squall(*words, cwd=folder, env=SECRETIVE)
    return command.folder_of(folder / "runs"), done, there


def test_a_run_is_told_as_spans_and_metrics(
    run: tuple[Path, command.Done, Collected],
) -> None:
    """Every call of it, and what was sent is said before the verdict."""
    folder, done, there = run
    command.assert_passed(done.code, command.verdict_of(folder))
    assert f"spans (of every call) and 7 metrics to {there.url}" in done.err
    assert "warning" not in done.err
    names = Counter(span.name.partition(" ")[0] for span in there.spans)
    calls = sum(command.verdict_of(folder)["calls"].values())
    assert names["step"] == calls
    assert names["session"] == 6
    assert names["fault"] == 1
    (whole,) = [span for span in there.spans if span.name == "squall run"]
    assert attributes(whole)["squall.exit_code"] == done.code
    # In Unix time, and not that of the run's clock.
    assert abs(whole.start_time_unix_nano / 1e9 - folder.stat().st_mtime) < 3600


def test_neither_the_collectors_secret_nor_the_targets_is_anywhere(
    run: tuple[Path, command.Done, Collected],
) -> None:
    """Not in what was printed, not in the run's folder, not in what was sent."""
    folder, done, there = run
    assert {one["authorization"] for one in there.headers} == {f"Bearer {TOKEN}"}
    written = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for text in (done.all.encode(), written, bytes(there.raw)):
        assert TOKEN.encode() not in text
    assert b"eyJ" not in there.raw  # as a JWT begins
    assert b"tools/call search" in there.raw


def test_a_finished_run_is_told_again_under_the_same_ids(
    run: tuple[Path, command.Done, Collected],
) -> None:
    """By `squall report`, which says and writes what it always does."""
    folder, _, before = run
    with collector() as there:
        done = command.squall("report", str(folder), "--otlp", there.url, cwd=folder.parent)
    assert done.code == command.verdict_of(folder)["exit_code"]
    assert [s.SerializeToString() for s in there.spans] == [
        s.SerializeToString() for s in before.spans
    ]


def test_a_collector_that_is_not_there_is_a_warning_and_no_more(
    run: tuple[Path, command.Done, Collected],
) -> None:
    """The same exit code, the same last line; and how to send it again."""
    folder, first, _ = run
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    done = command.squall("report", str(folder), "--otlp", url, cwd=folder.parent)
    assert done.code == first.code
    assert done.out.splitlines()[-1] == first.out.splitlines()[-1]
    assert f"warning: the collector at {url} took nothing" in done.err
    assert "it cannot be reached" in done.err
    assert f"--otlp {url}" in done.err


@pytest.mark.parametrize("rejects", [0, 2])
def test_what_a_collector_says_of_what_it_took_is_passed_on(
    rejects: int, run: tuple[Path, command.Done, Collected]
) -> None:
    """What it left out is a warning, even where all else is quiet; a remark is none."""
    folder, first, _ = run
    with collector(rejects=rejects, says="too old") as there:
        done = command.squall("report", str(folder), "--otlp", there.url, cwd=folder.parent)
    assert done.code == first.code
    (said,) = [line for line in done.err.splitlines() if there.url in line]
    if rejects:
        assert said.startswith("squall: warning: sent ")
        spans, points = 2 * len(there.traces), 2 * len(there.metrics)
        what = f"{spans} spans (too old) and {points} data points (too old)"
        assert said.endswith(f"; it rejected {what}")
    else:
        assert said.endswith("; it says of traces: too old; it says of metrics: too old")
        assert "warning" not in said


def test_what_cannot_be_a_collector_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """With exit 2, and no folder of a run."""
    (tmp_path / "storm.yaml").write_text(TRACED, encoding="utf-8")
    url = f"http://me:{TOKEN}@127.0.0.1:4318"
    done = command.squall("run", "storm.yaml", "--otlp", url, cwd=tmp_path)
    assert done.code == 2
    assert "OTEL_EXPORTER_OTLP_HEADERS" in done.err
    assert TOKEN not in done.all
    assert not (tmp_path / "runs").exists()
