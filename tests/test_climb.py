from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from harness.cli import run
from harness.journal import RunEntry, StepEntry, read
from harness.running import leftovers
from reports.capacity.document import json_schema
from tests.command import (
    ROOT,
    Done,
    assert_gone,
    await_line,
    family_with,
    finish,
    folder_of,
    squall,
    start,
    words_of,
)

VALIDATOR = jsonschema_rs.validator_for(json_schema())
QUESTION = "question: How much work can it take?\nseed: 3\nera: legacy\n"
WORK = "agents: [{name: worker, pace: 1/s, steps: [{call: work}]}]\n"
STOP_S, GO_S = 0.08, 0.02


def slots(folder: Path, *, faults: str = "", count: int = 8, service_ms: int = 40) -> list[str]:
    """Give the words that climb a server of so many slots; by default 200 calls a second."""
    (folder / "slots.yaml").write_text(QUESTION + WORK + faults, encoding="utf-8")
    served = f"{sys.executable} -m tests.capacity.slots ${{port}} {count} {service_ms}"
    return [
        "capacity", "slots.yaml", "--launch", f"env PYTHONPATH={ROOT} {served}",
        "--target", "http://127.0.0.1:${port}/mcp", "--out", "runs", "--sessions", "48",
        "--step", "1s",
    ]  # fmt: skip


def result_of(folder: Path) -> dict[str, Any]:
    """Read the result, which fits its schema."""
    text = (folder_of(folder / "runs") / "capacity.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    VALIDATOR.validate(document)
    return document


def assert_judged_alike(done: Done, folder: Path) -> None:
    """Judging the folder again gives the same bytes, and the same code."""
    kept = folder_of(folder / "runs")
    again = squall("judge", str(kept), "--json", cwd=folder)
    text = (kept / "capacity.json").read_text(encoding="utf-8")
    assert (again.code, again.out) == (done.code, text)


def test_the_knee_of_a_server_of_eight_slots_is_found_bare_and_under_a_fault(
    tmp_path: Path,
) -> None:
    """Real processes and sockets: no step beyond 200 a second is kept, and those far below are."""
    fault = "faults: [{tcp-latency: {delay: 30ms, jitter: 0ms}}]\n"
    words = slots(tmp_path, faults=fault)
    done = squall(*words, "--from", "100/s", "--budget", "24s", "--quiet", cwd=tmp_path)
    document = result_of(tmp_path)
    assert "climbing bare, then under tcp-latency" in done.err
    assert_judged_alike(done, tmp_path)
    assert done.out.splitlines()[-1] == document["headline"]
    bare, under = document["curves"]
    assert [bare["curve"], under["curve"]] == ["bare", "1:tcp-latency"]
    assert (under["healed"], "connections" in under["exposure"]) == (True, True)
    assert done.code in {0, 3}
    for curve in (bare, under):
        assert curve["steps"]
        for step in curve["steps"]:
            # What nobody can answer is never kept, however busy this machine is.
            assert step["verdict"] != "kept" or step["answered_per_s"] < 215
        if done.code == 0:
            assert 0 < curve["knee"]["low_per_s"] < 215
    if done.code == 0:
        assert max(step["rate_per_s"] for step in bare["steps"]) > 100
        slowest = {curve["curve"]: curve["steps"][0]["p50_ms"] for curve in (bare, under)}
        assert slowest["bare"] >= 40
        assert slowest["1:tcp-latency"] >= 100


def test_a_starved_generator_is_labelled_and_nothing_is_counted(tmp_path: Path) -> None:
    """Squall stands still most of the time: its steps are its own, not the target's."""
    words = slots(tmp_path)
    process = start(*words, "--from", "100/s", "--fault", "none", "--budget", "12s", cwd=tmp_path)
    await_line(process, "bare, 100/s")
    over = threading.Event()
    (journal,) = (tmp_path / "runs").glob("*/journal.jsonl")

    def starve() -> None:
        while not over.is_set() and process.poll() is None:
            if '"completed"' in journal.read_text(encoding="utf-8"):
                return  # what is left is to judge it
            process.send_signal(signal.SIGSTOP)
            over.wait(STOP_S)
            process.send_signal(signal.SIGCONT)
            over.wait(GO_S)

    starving = threading.Thread(target=starve)
    starving.start()
    try:
        done = finish(process)
    finally:
        over.set()
        starving.join()
    document = result_of(tmp_path)
    (curve,) = document["curves"]
    assert done.code == 3
    assert {step["verdict"] for step in curve["steps"]} == {"limited"}
    assert not any(step["counted"] for step in curve["steps"])
    assert curve["knee"] is None
    assert "limited by the generator and is not counted" in done.out


def test_ctrl_c_ends_a_climb_with_what_was_measured(tmp_path: Path) -> None:
    """The steps so far are judged, the fault is healed, and nothing that was started stays."""
    fault = "faults: [{tcp-latency: {delay: 5ms}}]\n"
    words = slots(tmp_path, faults=fault)
    process = start(*words, "--from", "100/s", "--to", "100/s", "--budget", "60s", cwd=tmp_path)
    started = family_with(process, "tests.capacity.slots")
    await_line(process, "tcp-latency, 100/s")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    document = result_of(tmp_path)
    assert (done.code, document["exit_code"]) == (130, 130)
    assert done.out.splitlines()[-1].startswith("INTERRUPTED  SIGINT; bare ")
    bare, under = document["curves"]
    assert len(bare["steps"]) >= 1
    assert under["healed"]
    assert not any(step["counted"] for step in under["steps"] if step["verdict"] == "unfinished")
    assert_gone(started)
    assert not leftovers.open_records(tmp_path / "runs")


def test_a_target_that_dies_under_the_load_ends_the_climb(tmp_path: Path) -> None:
    """There is nothing left to hit; what was measured before is kept."""
    words = slots(tmp_path)
    process = start(*words, "--fault", "none", "--from", "60/s", "--budget", "60s", cwd=tmp_path)
    started = family_with(process, "tests.capacity.slots")
    await_line(process, "bare, 120/s")
    for one in started:
        if "tests.capacity.slots" in " ".join(words_of(one)):
            one.kill()
    done = finish(process)
    document = result_of(tmp_path)
    assert done.code == 4
    assert "the target died at 120/s" in document["headline"]
    assert document["curves"][0]["steps"][0]["rate_per_s"] == 60


def test_every_call_of_a_step_is_in_the_journal(tmp_path: Path) -> None:
    """Open loop: as many calls are settled as were due, none twice, parallel ones included."""
    words = slots(tmp_path)
    steps = "steps: [{call: work}, {parallel: [{call: work}, list_tools]}]"
    text = QUESTION + "agents: [{name: worker, pace: 1/s, " + steps + "}]\n"
    (tmp_path / "slots.yaml").write_text(text, encoding="utf-8")
    done = squall(
        *words, "--from", "60/s", "--to", "60/s", "--fault", "none", "--budget", "20s", "--quiet",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.code in {0, 3}
    journal = read(folder_of(tmp_path / "runs"))
    began = [one for one in journal.of(StepEntry) if one.edge == "began"]
    last = journal.calls[journal.calls["last"] == 1]
    for step in began:
        due = (last["due_ns"] >= step.start_ns) & (last["due_ns"] < step.end_ns)
        assert int(due.sum()) == step.calls
    assert len(last) == sum(step.calls for step in began)
    names = set(zip(last["session"].tolist(), last["index"].tolist(), strict=True))
    assert len(names) == len(last)
    assert [one.how for one in journal.of(RunEntry) if one.edge == "ended"] == ["completed"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--from", "fast"), "write for example 50/s"),
        (("--step", "5"), "write for example 5s"),
        (("--from", "90/s", "--to", "10/s"), "--to 10/s is below --from 90/s"),
        (("--budget", "3s"), "is too short"),
        (("--fault", "tcp-lag"), "there is no fault 'tcp-lag'"),
        (("--limit", "score >= 80"), "write for example 'latency_p99 <= 500ms'"),
        (("--step", "500ms"), "--step is from 1s"),
        (("--json", "nowhere/result.json"), "there is no folder nowhere"),
        (("--target", "http://192.0.2.1:9/mcp"), "--allow-target 192.0.2.1"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    said: str,
) -> None:
    """Exit 2, and the mend in a sentence; no run folder is left."""
    monkeypatch.chdir(tmp_path)
    assert run(["capacity", "steady", "--out", "runs", *flags]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks how is shown one line that works, in eighty columns."""
    assert run(["capacity", "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example: squall capacity steady --target" in text
    assert max(map(len, text.splitlines())) <= 80
