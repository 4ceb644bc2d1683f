"""Each flaw of the bundled server is found by its name, and the hardened server is clean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from harness.reference.flaws import Flaw
from tests.flaws.matrix import (
    TRAITS,
    Cell,
    Document,
    Result,
    against,
    hardened,
    row,
    run_all,
    scenarios_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HERE: Final = Path(__file__).parent
SHORT: Final = {
    Flaw.EMPTY_ON_ERROR: ("payloads", "modern"),
    Flaw.AUTH_AT_INIT_ONLY: ("expiry", "modern"),
    Flaw.EXPIRED_IS_403: ("expiry", "modern"),
    Flaw.SESSION_BOUND_TO_TOKEN: ("expiry", "legacy"),
    Flaw.NO_DEDUP: ("repeats", "legacy"),
    Flaw.UNBOUNDED_REQUEST: ("payloads", "legacy"),
    Flaw.SYNC_BLOCKS_LOOP: ("neighbours", "modern"),
}


def _cell(name: str, era: str, flaw: Flaw | None = None) -> Cell:
    verdict = TRAITS[flaw].verdict if flaw else ""
    return Cell(scenario=str(HERE / f"{name}.yaml"), era=era, seed=1, flaw=flaw, verdict=verdict)


CELLS: Final = {
    "storm": _cell("storm", "legacy"),
    "steady": _cell("steady", "modern"),
    **{flaw.value: _cell(name, era, flaw) for flaw, (name, era) in SHORT.items()},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    """Every cell's result; two runs at a time, since most of a run is waiting."""
    made = run_all(list(CELLS.values()), out=tmp_path_factory.mktemp("matrix"), jobs=2)
    return dict(zip(CELLS, made, strict=True))


@pytest.mark.parametrize("name", ["storm", "steady"])
def test_the_hardened_server_passes(results: Mapping[str, Result], name: str) -> None:
    """Exit 0 on sound evidence, every limit kept, and no finding."""
    assert results[name].against == (), row(results[name])


@pytest.mark.parametrize("flaw", list(Flaw))
def test_a_flaw_is_found_by_its_name_and_nothing_else_is(
    results: Mapping[str, Result], flaw: Flaw
) -> None:
    """Exit 1 with the flaw's own verdict and a call as evidence."""
    result = results[flaw.value]
    assert result.against == (), row(result)
    assert TRAITS[flaw].verdict in result.headline


def test_every_flaw_has_a_trait_and_a_short_scenario() -> None:
    """A new flaw is not forgotten here."""
    assert set(TRAITS) == set(SHORT) == set(Flaw)


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
}


def _against(cell: Cell, **changed: object) -> tuple[str, ...]:
    return against(cell, Document.model_validate({**FOUND, **changed}))


def test_a_cell_is_held_against_its_verdict_its_evidence_and_whatever_stands_beside_it() -> None:
    """The matrix itself can fail: each thing that may be wrong is told."""
    cell = CELLS["no-dedup"]
    assert _against(cell) == ()
    assert "has no call" in _against(cell, findings=[{**FINDING, "evidence": []}])[0]
    assert "not found" in _against(cell, findings=[])[0]
    beside = {**FINDING, "verdict": "hang", "why": "late"}
    assert _against(cell, findings=[FINDING, {**beside, "cause": "double-exec"}]) == ()
    assert "unrelated: hang" in _against(cell, findings=[FINDING, beside])[0]
    clean = CELLS["steady"]
    assert len(_against(clean)) == 3
    passed = {"exit_code": 0, "findings": [], "faults": []}
    assert _against(clean, **passed) == ()
    unsound = [{"name": "generator", "ruling": "fail", "why": "slow"}]
    assert _against(clean, **passed, soundness=unsound) == ("generator fail: slow",)
    limit = {"name": "answered", "ruling": "unknown", "why": "few"}
    assert _against(clean, **passed, limits=[limit]) == ("answered unknown: few",)


def test_cells_are_made_for_the_eras_that_a_scenario_speaks() -> None:
    """Sessions die in the legacy era alone; the echo needs a server of its own."""
    eras = [
        cell.era
        for cell in hardened(["sessions_die", "steady"], eras=("legacy", "modern"), seeds=[1])
    ]
    assert eras == ["legacy", "legacy", "modern"]
    assert "steady_echo" not in scenarios_of("all")
    assert scenarios_of("steady,blackhole") == ["steady", "blackhole"]
    assert scenarios_of("none") == []


def test_a_run_without_a_verdict_is_a_wrong_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing concluded is no pass, and the table says so."""
    missing = Cell(scenario=str(tmp_path / "missing.yaml"), era="modern", seed=1)
    (result,) = run_all([missing], out=tmp_path / "out", jobs=1)
    assert not result.right
    assert result.against[0] == "no verdict: exit 2"
    assert any("missing.yaml" in line for line in result.against[1:-1])
    assert capsys.readouterr().out == f"{row(result)}\n"
    assert row(result).startswith("BAD missing")
