"""One run from a scenario to its reports, on real parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import numpy as np
import pytest

from harness import journal
from harness.cli.conclusion import Conclusion, conclude, read
from harness.errors import Exit
from harness.outcome import Outcome
from harness.overrides import Overrides
from harness.run import Order, conduct
from harness.running.status import Status
from harness.storm import Ran
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

FILES = {
    "scenario.yaml",
    "facts.json",
    "journal.jsonl",
    "calls.npy",
    "verdict.json",
    "latency.hlog",
    "report.html",
    "junit.xml",
}


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A run, what the live view was told, and its verdict."""

    ran: Ran
    statuses: list[Status]
    concluded: Conclusion


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """One run in this process, judged."""
    statuses: list[Status] = []
    order = Order(
        loaded=Overrides().load(command.STORM, "whole.yaml"),
        overrides=Overrides(),
        command=("squall", "run", "whole.yaml"),
        out=tmp_path_factory.mktemp("whole"),
    )
    ran = anyio.run(partial(conduct, order, statuses.append), backend_options={"use_uvloop": True})
    return Whole(ran=ran, statuses=statuses, concluded=conclude(ran.folder))


def test_a_run_passes_and_leaves_all_its_files(whole: Whole) -> None:
    """The hardened server under a slow network; the folder is as the design has it."""
    command.assert_passed(whole.concluded.judgement.exit_code, command.verdict_of(whole.ran.folder))
    assert whole.ran.how == "completed"
    assert not whole.ran.not_healed
    names = {path.name for path in whole.ran.folder.iterdir()}
    assert names >= FILES
    assert not [name for name in names if name.startswith("worker-")]


def test_locusts_own_totals_are_those_of_the_journal(whole: Whole) -> None:
    """Every attempt that was sent is one request, and every one that was not `ok` a failure."""
    calls = journal.read(whole.ran.folder).calls
    sent = calls[calls["sent_ns"] >= 0]
    failures = int(np.count_nonzero(sent["outcome"] != Outcome.OK))
    assert len(sent) > 100
    assert whole.ran.locust_totals == (len(sent), failures)


def test_every_planned_step_is_settled_exactly_once(whole: Whole) -> None:
    """Nothing offered is lost, and nothing is counted twice."""
    evidence, _ = read(whole.ran.folder)
    last = evidence.journal.calls[evidence.journal.calls["last"] == 1]
    settled = sorted(zip(last["session"].tolist(), last["index"].tolist(), strict=True))
    planned = sorted(
        (session.session, step.index)
        for session in evidence.plan.sessions
        for step in evidence.plan.steps(session.session)
    )
    assert settled == planned


def test_a_run_judged_again_gives_the_same_bytes(whole: Whole) -> None:
    """Twice by `judge`, once by `report`: always what the run itself wrote."""
    folder = whole.ran.folder
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for _ in range(2):
        done = command.squall("judge", str(folder), "--json", cwd=folder.parent)
        assert done.out.encode() == before["verdict.json"]
        assert done.code == whole.concluded.judgement.exit_code
    done = command.squall("report", str(folder), cwd=folder.parent)
    assert done.code == whole.concluded.judgement.exit_code
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before


def test_the_live_view_is_told_phase_fault_and_what_it_hit(whole: Whole) -> None:
    """And the generator's own lag: all that a person needs while it lasts."""
    phases = [status.phase for status in whole.statuses]
    assert {"baseline", "fault", "recovery"} <= set(phases)
    hit = [status for status in whole.statuses if status.exposure]
    assert hit
    assert all(status.faults == ("1:tcp-latency",) for status in hit)
    assert hit[-1].exposure.endswith(" connections")
    assert any(status.lag_ms is not None for status in whole.statuses)
    fullest = max(whole.statuses, key=lambda status: status.sessions)
    assert (fullest.sessions, fullest.alive) == (6, {"control": 3, "treated": 3})
    assert all(status.fault_left_s is not None for status in hit)
    (struck,) = {status.windows for status in whole.statuses}
    assert [end_s - start_s for start_s, end_s in struck] == [2.0]


def test_both_eras_at_once_pass_and_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two runs on one machine, with a rig of their own each."""
    (tmp_path / "storm.yaml").write_text(command.STORM, encoding="utf-8")
    running = {
        era: command.start("run", "storm.yaml", "--era", era, "--out", era, cwd=tmp_path)
        for era in ("legacy", "modern")
    }
    for era, process in running.items():
        done = command.finish(process)
        verdict = command.verdict_of(command.folder_of(tmp_path / era))
        command.assert_passed(done.code, verdict)
        assert verdict["era"] == era
        assert verdict["sessions"]["lost"] == 0
        assert verdict["faults"][0]["bit"]


CALM = """\
question: Does one scenario run in both of the eras?
target: {reference: hardened}
agents:
  - name: speaker
    pace: 4/s
    steps: [list_tools]
load: {sessions: 2, ramp: 0s}
phases: {warmup: 0s, baseline: 3s}
"""


def test_era_both_runs_a_scenario_once_in_each(tmp_path: Path) -> None:
    """One run folder and one verdict line an era, and the worst code of the two."""
    (tmp_path / "calm.yaml").write_text(CALM, encoding="utf-8")
    done = command.squall("run", "calm.yaml", "--era", "both", "--out", "runs", cwd=tmp_path)
    verdicts = [command.verdict_of(folder) for folder in (tmp_path / "runs").iterdir()]
    assert sorted(verdict["era"] for verdict in verdicts) == ["legacy", "modern"]
    assert done.code == max(verdict["exit_code"] for verdict in verdicts)
    refused = command.squall(
        "run", "calm.yaml", "--era", "both", "--json", "v.json", "--out", "runs", cwd=tmp_path
    )
    assert refused.code == Exit.NOT_RUN
    assert "--json takes one run" in refused.err


def test_the_official_client_sees_the_same_server(tmp_path: Path) -> None:
    """Two of its sessions an arm, beside ours: compared, and part of nothing else."""
    text = command.STORM.replace("seed: 7", "seed: 7\nengine: sdk")
    loaded = Overrides().load(text, "beside.yaml")
    order = Order(loaded=loaded, overrides=Overrides(), command=("squall",), out=tmp_path)
    ran = anyio.run(partial(conduct, order, lambda _: None), backend_options={"use_uvloop": True})
    judgement = conclude(ran.folder).judgement
    told = {one.name: one for one in judgement.soundness}["engines-agree"]
    assert told.ruling == "pass", told.why
    calm = {row.engine: row for row in judgement.engines if row.phase == "baseline"}
    assert calm["sdk"].answered == calm["sdk"].calls >= 20
    assert judgement.sessions["opened"] == 6
    evidence, _ = read(ran.folder)
    assert {int(number) for number in np.unique(evidence.calls["session"])} == set(range(6))
    assert evidence.witnessed is not None
    assert ran.locust_totals[0] == int(np.count_nonzero(evidence.calls["sent_ns"] >= 0))
