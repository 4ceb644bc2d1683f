"""`squall shrink` on real runs against the bundled server."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Final

import pytest

from harness.errors import Exit
from harness.scenario.load import load
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

STORM: Final = """\
# Notes on a rainy day.
question: Is a note written once when its reply is lost?
seed: 3
agents:
  - name: writer
    pace: 6/s
    steps:
      - call: append_note
        with: {key: "${session}", text: "${nonce}", idempotency_key: "${nonce}"}
        effect: once   # no note twice
load: {sessions: 8, ramp: 500ms}
phases: {warmup: 500ms, baseline: 3s, recovery: 1s}
client: {retry: {attempts: 3, on: [transport_error]}}
faults:
  # the weather
  - tcp-latency: {delay: 20ms, jitter: 5ms}
    for: 1s
  # the balancer
  - response-lost: {share: 60%}
    for: 2s
"""
FLAWED: Final = ("--reference", "no-dedup")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that failed, beside the scenario."""
    place = tmp_path_factory.mktemp("shrinking")
    (place / "rain.yaml").write_text(STORM, encoding="utf-8")
    done = command.squall("run", "rain.yaml", *FLAWED, "--quiet", cwd=place)
    assert done.code == Exit.FAIL, done.all
    return command.folder_of(place / "runs")


def test_a_failed_run_is_cut_down_to_the_fault_that_matters(ran: Path) -> None:
    """The new scenario keeps the author's words, passes `check`, and fails again."""
    place = ran.parent.parent
    words = ("shrink", f"runs/{ran.name}", "--tries", "2", "--confirm", "1")
    with command.start(*words, cwd=place) as process:
        out, err = process.communicate(timeout=180)
    assert process.returncode == Exit.PASS, out + err
    first, *rows = err.splitlines()
    assert first.startswith("double-exec under 2:response-lost, from 2 faults, 8 sessions")
    assert [row.partition(":")[0] for row in rows] == [
        "try  1  1 fault, 8 sessions, 7s",
        "try  2  1 fault, 8 sessions, 7s",
    ]
    shrunk, found, wrote, again = out.splitlines()
    assert "2 faults, 8 sessions, 9s -> 1 fault, 8 sessions, 7s" in shrunk
    assert "ended early: --tries 2 are spent" in shrunk
    assert "double-exec under 2:response-lost, in 1 of 1 runs" in found
    assert wrote == f"wrote runs/{ran.name}/shrunk.yaml"
    assert again == f"squall run runs/{ran.name}/shrunk.yaml --reference no-dedup"
    file = ran / "shrunk.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"# Shrunk from the run {ran.name}:\n")
    assert f"# Run it again: {again}\n" in text
    assert "# Notes on a rainy day." in text
    assert "# the balancer\n" in text
    assert "weather" not in text
    scenario = load(file).scenario
    assert [window.fault.kind for window in scenario.faults] == ["response-lost"]
    assert scenario.load.sessions == 8
    assert command.squall("check", str(file), cwd=place).code == Exit.PASS
    assert not (ran / "tries").exists()


def test_ctrl_c_ends_the_try_under_way_and_leaves_nothing_behind(ran: Path) -> None:
    """Exit 130; nothing was found yet, so nothing is written."""
    place = ran.parent.parent
    out = place / "stopped.yaml"
    process = command.start("shrink", str(ran), "--out", str(out), cwd=place)
    started = command.family_with(process, "harness.reference")
    process.send_signal(signal.SIGINT)
    done = command.finish(process)
    assert done.code == Exit.INTERRUPTED, done.all
    assert done.out.startswith("not reproduced: double-exec under 2:response-lost")
    assert "it was interrupted" in done.out
    assert not out.exists()
    command.assert_gone(started)
    assert not (ran / "tries").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--finding", "hang"), "there are: double-exec:2:response-lost"),
        (("--budget", "ten"), "write for example 5s"),
        (("--out", "rain.yaml"), "rain.yaml exists"),
        (("--out", "no/such.yaml"), "there is no folder no"),
        (("--launch", "serve"), "--launch needs --target"),
        (("--target", "http://192.0.2.1/mcp"), "--allow-target 192.0.2.1"),
    ],
)
def test_what_cannot_be_meant_is_refused(ran: Path, words: tuple[str, ...], said: str) -> None:
    """Exit 2, with the mend; nothing is written."""
    done = command.squall("shrink", str(ran), *words, cwd=ran.parent.parent)
    assert done.code == Exit.NOT_RUN, done.all
    assert said in done.all
    assert "Traceback" not in done.all


def test_a_target_named_with_a_credential_has_to_be_given_again(ran: Path, tmp_path: Path) -> None:
    """What a run's record may hold is not used unasked, and not shown."""
    for file in ran.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((ran / "facts.json").read_text(encoding="utf-8"))
    facts["overrides"] = {"target_url": "http://me:sesame-open@127.0.0.1:9/mcp"}
    (tmp_path / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    done = command.squall("shrink", str(tmp_path), cwd=tmp_path)
    assert done.code == Exit.NOT_RUN
    assert "give it again with --target URL" in done.err
    assert "sesame" not in done.all
