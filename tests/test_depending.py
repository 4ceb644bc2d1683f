"""A whole run whose target depends on something: struck, written down, healed, also by SIGKILL."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from harness import journal, wal
from harness.journal import DependencyEntry, EffectEntry, FaultEntry, PoolEntry
from tests import command
from tests.crashes import trial
from tests.crashes.trial import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STORM = """\
question: Does the server say so when its dependency fails?
seed: 7
target:
  launch: [PYTHON, -m, harness.reference, --port, "${port}", --no-auth,
           --dependency-variable, STORE_URL]
  url: "http://127.0.0.1:${port}/mcp"
dependencies:
  store: {embedded: {}, variable: STORE_URL}
agents:
  - name: writer
    pace: 6/s
    steps:
      - call: search
        with: {query: "${nonce}", limit: 20}
        expect: {rows: ">= 1", carries: nonce}
      - call: append_note
        with: {key: "${session}", text: "${nonce}"}
        effect: once
load: {sessions: 6, ramp: 300ms, treated: 50%}
phases: {warmup: 500ms, baseline: 3s, recovery: 2s}
faults:
  - dep-latency: {delay: 100ms}
    for: 1500ms
  - dep-429: {retry_after: 5s}
    for: 1500ms
""".replace("PYTHON", sys.executable)


def test_a_launched_target_meets_its_dependency_where_squall_says(tmp_path: Path) -> None:
    """By its variable; both faults bite, and the journal holds what the dependency saw."""
    (tmp_path / "storm.yaml").write_text(STORM, encoding="utf-8")
    done = command.squall("run", "storm.yaml", "--quiet", cwd=tmp_path)
    folder = command.folder_of(tmp_path / "runs")
    verdict = command.verdict_of(folder)
    command.assert_passed(done.code, verdict)
    bit = {one["id"]: (one["bit"], one["healed"]) for one in verdict["faults"]}
    assert bit == {"1:dep-latency": (True, True), "2:dep-429": (True, True)}
    record = journal.read(folder)
    asked = record.of(DependencyEntry)
    assert {one.operation for one in asked} == {"rows", "append", "token"}
    assert {one.credential for one in asked} == {"own"}
    assert any(one.fault == "refuse" and one.status == 429 for one in asked)
    writes = [one for one in asked if one.operation == "append" and one.executed]
    assert len(writes) == len(record.of(EffectEntry)) > 0
    assert any(one.open for one in record.of(PoolEntry))
    held = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert not re.search(rb"target:[A-Za-z0-9_-]{32}", held)  # as its credential looks


@pytest.mark.parametrize(
    "server",
    [
        "ours",
        pytest.param(
            "original",
            marks=[
                pytest.mark.real,
                pytest.mark.skipif(
                    trial.ORIGINAL is None,
                    reason="NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary",
                ),
            ],
        ),
    ],
)
def test_a_run_killed_while_its_dependency_is_late_leaves_nothing_behind(
    tmp_path: Path, server: trial.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its proxy and toxic go, and so do the dependency and the target that squall started."""
    monkeypatch.setattr(trial, "STORM", STORM)
    mark = f"late-{server}"
    with trial.external(server, tmp_path) as url:
        plan = Plan(server=server, workers=0, victim="squall", after_s=0)
        process = trial.start(tmp_path, plan, url, mark)
        until_s = time.monotonic() + command.COMMAND_S
        while not _late(url):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.01)
        ports, proxies = trial.look(mark, url)
        process.kill()
        process.communicate()
        killed_s = time.monotonic()
        while left := trial.remains(tmp_path, url, mark, ports):
            assert time.monotonic() - killed_s < trial.GIVE_UP_S, left
            time.sleep(0.02)
    assert len(proxies) == 3
    folder = command.folder_of(tmp_path / "runs")
    assert wal.read(folder).closed_by == "watchdog"
    assert journal.read(folder).of(FaultEntry)[0].kind == "dep-latency"


def _late(url: str) -> bool:
    """Whether the toxic is on the dependency's proxy."""
    return any(
        proxy["toxics"] for name, proxy in trial.proxies_on(url).items() if "-dependency-" in name
    )
