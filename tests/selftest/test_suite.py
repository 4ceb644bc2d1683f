"""The self-test can fail: what it plays, what it holds a verdict against, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from harness.errors import UsageError
from harness.flaws import MANNERS, Flaw
from harness.scenario.load import load_text
from harness.selftest import suite
from harness.selftest.cases import ERAS, Trial
from harness.selftest.matrix import page
from harness.selftest.play import Document, Players, Result, against, spoilt
from harness.selftest.stage import cut, eras_of, stages
from harness.selftest.table import row, summary

TRIAL: Final = Trial(
    server="no-dedup",
    stage="repeats",
    era="legacy",
    seed=1,
    faults=("response-lost",),
    verdict="double-exec",
)
CLEAN: Final = Trial(server="hardened", stage="repeats", era="legacy", seed=1)
FINDING: Final = {
    "verdict": "double-exec",
    "ruling": "fail",
    "fault": "1:response-lost",
    "why": "twice",
    "evidence": ["3.4.1"],
    "cause": "",
}
FOUND: Final = {
    "ruling": "fail",
    "exit_code": 1,
    "headline": "FAIL",
    "findings": [FINDING],
    "faults": [{"id": "1:response-lost", "ruling": "fail"}],
    "limits": [],
    "soundness": [{"name": "samples", "ruling": "pass", "why": ""}],
    "generator": {"verdict": "ok"},
}
PASSED: Final[dict[str, Any]] = {"exit_code": 0, "findings": [], "faults": []}

README: Final = Path(suite.__file__).with_name("README.md")


def _against(trial: Trial, **changed: Any) -> tuple[str, ...]:
    return against(trial, Document.model_validate({**FOUND, **changed}))


def test_every_flaw_has_a_case_or_says_what_it_waits_for() -> None:
    """A new flaw is not forgotten, and none is in both lists."""
    played = {case.flaw for case in suite.CASES}
    assert played | set(suite.WAITING) == set(Flaw)
    assert not played & set(suite.WAITING)


@pytest.mark.parametrize("case", suite.CASES, ids=lambda case: f"{case.flaw}-{case.stage}")
def test_a_case_is_a_scenario_with_the_faults_that_it_names(case: Any) -> None:
    """What is left of its stage is checked as any scenario is."""
    scenario = load_text(cut(case.stage, case.faults), "stage.yaml").scenario
    assert {window.fault.kind for window in scenario.faults} == set(case.faults)
    assert set(case.eras) <= set(eras_of(case.stage))


@pytest.mark.parametrize("name", stages())
def test_a_stage_keeps_all_its_faults_for_sound_servers(name: str) -> None:
    """Cut to nothing less than itself it means the same."""
    text = stages()[name].read_text(encoding="utf-8")
    assert load_text(cut(name, None), "x.yaml").scenario == load_text(text, "y.yaml").scenario


def test_a_case_with_a_fault_that_its_stage_lacks_is_refused() -> None:
    """Or it would be played with nothing broken, and prove nothing."""
    with pytest.raises(UsageError, match="tcp-slice"):
        cut("repeats", ("tcp-slice",))


def test_a_flawed_trial_is_held_against_its_verdict_and_whatever_stands_beside_it() -> None:
    """Each thing that may be wrong is told."""
    assert _against(TRIAL) == ()
    assert "no evidence" in _against(TRIAL, findings=[{**FINDING, "evidence": []}])[0]
    assert "not found" in _against(TRIAL, findings=[])[0]
    beside = {**FINDING, "verdict": "hang", "why": "late"}
    assert _against(TRIAL, findings=[FINDING, {**beside, "cause": "double-exec"}]) == ()
    assert "unrelated: hang" in _against(TRIAL, findings=[FINDING, beside])[0]


def test_a_sound_server_may_have_nothing_against_it() -> None:
    """No finding, no doubt, no limit missed, no fault without a ruling."""
    assert len(_against(CLEAN)) == 3
    assert _against(CLEAN, **PASSED) == ()
    unsound = [{"name": "generator", "ruling": "fail", "why": "slow"}]
    assert _against(CLEAN, **PASSED, soundness=unsound) == ("generator fail: slow",)
    limit = {"name": "answered", "ruling": "unknown", "why": "few"}
    assert _against(CLEAN, **PASSED, limits=[limit]) == ("answered unknown: few",)


def test_a_run_on_a_busy_machine_is_made_again_as_far_as_it_says_so() -> None:
    """A suspect generator may have missed a flaw; what a run accuses a server of, it stands by."""
    doubt = [{"name": "baseline-steady", "ruling": "fail", "why": "slow"}]
    suspect = {"verdict": "suspect"}
    for changed, missed, again in (
        ({}, True, False),
        ({"soundness": doubt}, False, True),
        ({"generator": suspect}, True, True),
        ({"generator": suspect}, False, False),
    ):
        document = Document.model_validate({**FOUND, **changed})
        assert spoilt(document, missed=missed) is again, changed


@pytest.mark.parametrize(
    ("fates", "tries"),
    [
        (["undecided", "right"], 2),
        (["undecided", "undecided", "undecided"], 3),
        (["spoilt", "undecided", "wrong"], 3),
        (["wrong"], 1),
    ],
)
def test_a_run_that_came_to_no_ruling_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fates: list[str], tries: int
) -> None:
    """Three times in all; what came to the wrong one is not."""
    (trial, *_) = suite.of(names=["repeats"], eras=("legacy",), seeds=(1,))
    made: list[str] = []

    def once(_: Players, trial: Trial) -> Result:
        made.append(fates[len(made)])
        fate = made[-1]
        return Result(
            trial=trial,
            headline=fate,
            against=() if fate == "right" else (fate,),
            seconds=1.0,
            spoilt=fate == "spoilt",
            undecided=fate == "undecided",
        )

    monkeypatch.setattr(Players, "_once", once)
    assert Players(out=tmp_path, jobs=1).play(trial).headline == fates[-1]
    assert len(made) == tries


def test_trials_are_made_for_what_is_asked_and_in_the_eras_that_it_speaks() -> None:
    """A flaw by its cases, a stage with its sound servers too, and all where nothing is named."""
    by_flaw = suite.of(flaws=["no-dedup"], eras=ERAS, seeds=(1, 2))
    assert {trial.server for trial in by_flaw} == {"no-dedup"}
    by_stage = suite.of(names=["repeats"], eras=("legacy",), seeds=(1,))
    assert {"hardened", "no-dedup"} <= {trial.server for trial in by_stage}
    everything = suite.of(eras=ERAS, seeds=(1,))
    assert {trial.stage for trial in everything} == set(stages())


def test_a_run_without_a_verdict_is_a_wrong_trial(tmp_path: Path) -> None:
    """Nothing concluded is no pass, and the table says so."""
    told: list[Result] = []
    missing = Trial(server="no-such-flaw", stage="steady", era="modern", seed=1)
    (result,) = Players(out=tmp_path / "out", jobs=1).play_all([missing], tell=told.append)
    assert not result.right
    assert result.against[0] == "no verdict: exit 2"
    assert any("no-such-flaw" in line for line in result.against[1:-1])
    assert told == [result]
    assert row(result).startswith("BAD steady")
    assert summary([result]).startswith("0 of 0 flaws found, 0 false alarms in 1 run")


def test_the_page_is_the_matrix_that_is_played() -> None:
    """`squall selftest --matrix > harness/selftest/README.md` mends it."""
    assert README.read_text(encoding="utf-8") == page()


def test_controls_meet_each_stage_in_one_era_a_seed_and_in_both_over_two() -> None:
    """The hardened server meets it in both each time."""
    met = [
        {(trial.manner, trial.era) for trial in suite.sound(["steady"], eras=ERAS, seeds=seeds)}
        for seeds in ((1,), (1, 2))
    ]
    assert len(met[0]) == len(ERAS) + len(MANNERS)
    assert met[1] == {(manner, era) for manner in ("", *MANNERS) for era in ERAS}
