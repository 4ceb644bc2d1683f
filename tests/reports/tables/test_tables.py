from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.errors import UsageError
from harness.journal import BEHAVIOURS, SessionEntry, call_id
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from reports.tables import TABLES
from reports.tables.files import Format, write_all
from reports.tables.page import outline, page
from reports.tables.table import Run
from tests.reports.samples import evidence_of_a_storm, judgement_of_a_storm

README: Final = Path(__file__).parents[3] / "reports" / "tables" / "README.md"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def run() -> Run:
    """A run in which much went wrong."""
    return Run(evidence=evidence_of_a_storm(), judgement=judgement_of_a_storm())


def parquet(run: Run, folder: Path) -> dict[str, Rows]:
    """Write and read back."""
    for _ in write_all(folder, run, "parquet"):
        pass
    return {
        table.name: pq.read_table(folder / f"{table.name}.parquet").to_pylist() for table in TABLES
    }


@pytest.fixture(scope="module")
def tables(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """What a notebook reads of it."""
    return parquet(run, tmp_path_factory.mktemp("tables"))


def as_text(value: object) -> str:
    """A value as CSV has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_attempt_of_the_journal_is_a_row_with_all_that_it_holds(
    run: Run, tables: dict[str, Rows]
) -> None:
    """Nothing is lost, invented or put into another order."""
    calls, rows = run.evidence.calls, tables["calls"]
    assert len(rows) == len(calls) > 1000
    names = run.evidence.plan.calls
    for row, call in zip(rows, calls, strict=True):
        for name in ("session", "index", "attempt", "request_bytes", "reply_bytes", "window"):
            assert row[name] == call[name]
        assert row["last"] is bool(call["last"])
        assert row["arm"] == ("treated" if call["treated"] else "control")
        assert row["call"] == names[call["call"]]
        assert row["outcome"] == Outcome(call["outcome"]).name.lower()
        assert row["reason"] == Reason(call["reason"]).name.lower()
        assert row["effect"] == Effect(call["effect"]).name.lower()
        assert row["auth"] == Auth(call["auth"]).name.lower()
        assert row["ended_by"] == EndedBy(call["ended_by"]).name.lower()
        assert row["behaviour"] == BEHAVIOURS[call["behaviour"]]
        assert row["status"] == (call["status"] or None)
        assert row["rows"] == (call["rows"] if call["rows"] >= 0 else None)
        for name in ("due", "sent", "first", "done"):
            stamp = int(call[f"{name}_ns"])
            assert row[f"{name}_s"] == (stamp / 1e9 if stamp >= 0 else None)


def test_how_long_a_call_took_is_missing_where_nobody_saw_its_end(
    run: Run, tables: dict[str, Rows]
) -> None:
    """And is counted from due and from sent."""
    unsent = [row for row in tables["calls"] if row["sent_s"] is None]
    assert unsent
    assert all(row["from_sent_ms"] is None for row in unsent)
    for row in tables["calls"]:
        if row["from_sent_ms"] is not None:
            assert row["from_sent_ms"] == pytest.approx((row["done_s"] - row["sent_s"]) * 1e3)
            assert row["from_due_ms"] == pytest.approx((row["done_s"] - row["due_s"]) * 1e3)
    assert any(row["from_due_ms"] is not None for row in tables["calls"])
    assert len(run.evidence.calls) == len(tables["calls"])


def test_phases_and_faults_are_those_of_the_reports(run: Run, tables: dict[str, Rows]) -> None:
    """By the same names."""
    evidence = run.evidence
    phases = [evidence.phase_name(code) for code in evidence.attempt_phase]
    assert [row["phase"] for row in tables["calls"]] == phases
    assert {"baseline", "2:token-expire", "2:recovery"} <= set(phases)
    ids = ["", *(window.id for window in evidence.phases.windows)]
    assert [row["fault"] for row in tables["calls"]] == [ids[one] for one in evidence.in_force]


def test_sessions_are_counted_as_the_run_s_own_summary_counts(
    run: Run, tables: dict[str, Rows]
) -> None:
    """Each once, with its calls, its arm and its losses."""
    rows, evidence = tables["sessions"], run.evidence
    assert [row["session"] for row in rows] == [one.session for one in evidence.plan.sessions]
    assert [row["arm"] for row in rows] == [one.arm for one in evidence.plan.sessions]
    assert sum(row["calls"] for row in rows) == len(evidence.settled)
    assert sum(row["ok"] for row in rows) == int(evidence.ok.sum())
    third = rows[3]
    assert (third["lost"], third["why"]) == (1, "403 after the token expired")
    entries = evidence.journal.of(SessionEntry)
    assert sum(row["lost"] for row in rows) == len([one for one in entries if one.edge == "lost"])


def test_faults_and_findings_are_those_of_the_verdict(run: Run, tables: dict[str, Rows]) -> None:
    """With the words and figures of `verdict.json`; a missing figure is missing."""
    judgement = run.judgement
    for row, one in zip(tables["faults"], judgement.faults, strict=True):
        assert (row["fault"], row["kind"], row["ruling"]) == (one.id, one.kind, one.ruling)
        assert (row["start_s"], row["end_s"], row["score"]) == (one.start_s, one.end_s, one.score)
        assert row["findings"].split() == list(one.findings)
        was_back = one.recovery_s is not None and one.recovery_s >= 0
        assert row["recovery_s"] == (one.recovery_s if was_back else None)
        assert (row["recovered"] == "yes") is was_back
    for number, (row, finding) in enumerate(
        zip(tables["findings"], judgement.findings, strict=True), start=1
    ):
        assert row["finding"] == number
        for name in ("verdict", "ruling", "fault", "tool", "observed", "limit", "unit", "why"):
            assert row[name] == getattr(finding, name)
        assert row["hard"] is finding.hard
    proofs = [(n, call) for n, one in enumerate(judgement.findings, 1) for call in one.evidence]
    assert [(row["finding"], row["id"]) for row in tables["evidence"]] == proofs


def test_evidence_leads_to_its_calls(run: Run, tables: dict[str, Rows]) -> None:
    """By the three numbers in a call's id; what is no call has none."""
    ids = {call_id(call) for call in run.evidence.calls}
    for row in tables["evidence"]:
        if row["id"] in ids:
            assert row["id"] == f"s{row['session']}.{row['index']}.{row['attempt']}"
    odd = replace(run.judgement.findings[0], evidence=("s1.2.1", "the log", "s1.x.1"))
    found = replace(run.judgement, findings=(odd,))
    evidence = TABLES[-1].fill(Run(evidence=run.evidence, judgement=found))
    assert evidence["session"].said(0, 9) == [1, None, None]


def test_csv_says_the_same_as_parquet(run: Run, tables: dict[str, Rows], tmp_path: Path) -> None:
    """Cell by cell; what is missing is empty."""
    written = list(write_all(tmp_path, run, "csv"))
    assert [one.file.name for one in written] == [f"{table.name}.csv" for table in TABLES]
    for one in written:
        with one.file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        wanted = tables[one.file.stem]
        assert one.rows == len(rows) == len(wanted)
        for row, other in zip(rows, wanted, strict=True):
            assert row == {name: as_text(value) for name, value in other.items()}


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_run_without_anything_has_tables_all_the_same(
    form: Format, run: Run, tmp_path: Path
) -> None:
    """With all their columns and no row, and nothing else in the folder."""
    evidence = run.evidence
    bare = replace(evidence, journal=replace(evidence.journal, calls=evidence.calls[:0]))
    judgement = replace(run.judgement, findings=(), faults=())
    written = list(write_all(tmp_path, Run(evidence=bare, judgement=judgement), form))
    assert [one.rows for one in written] == [0, len(evidence.plan.sessions), 0, 0, 0]
    assert all(one.columns for one in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        one.file.name for one in written
    )


def test_no_credential_gets_into_a_table(run: Run, tmp_path: Path) -> None:
    """Whatever an opinion or a journal quotes."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZXNhbWUifQ.c2VzYW1l"
    told = replace(run.judgement.findings[0], why=f"it said Bearer {token}")
    judgement = replace(run.judgement, findings=(told,))
    lost = SessionEntry(at_ns=1, session=0, edge="lost", why=f"{token} is over")
    journal = replace(run.evidence.journal, entries=(lost,))
    evidence = replace(run.evidence, journal=journal)
    for one in write_all(tmp_path, Run(evidence=evidence, judgement=judgement), "csv"):
        assert "c2VzYW1l" not in one.file.read_text(encoding="utf-8")
    assert "[redacted]" in (tmp_path / "sessions.csv").read_text(encoding="utf-8")


def test_without_pyarrow_the_mend_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written."""
    monkeypatch.delitem(sys.modules, "reports.tables.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'mcp-squall\[parquet\]', or say --format"):
        next(iter(write_all(tmp_path, run, "parquet")))
    assert not list(tmp_path.iterdir())


def test_the_page_is_made_from_the_columns() -> None:
    """Run `squall export --columns > reports/tables/README.md` after a change."""
    assert README.read_text(encoding="utf-8") == page()
    for table in TABLES:
        names = [column.name for column in table.columns]
        assert len(names) == len(set(names))
        assert f"{table.name}: {', '.join(names)}" in outline()


def test_a_column_says_its_unit_where_it_has_one(run: Run) -> None:
    """Figures of time and size carry it; truth values, counts and codes need none."""
    bare = {"score", "observed", "limit"}
    for table in TABLES:
        for name, cells in table.fill(run).items():
            if cells.words is None and np.issubdtype(cells.values.dtype, np.floating):
                assert name.endswith(("_s", "_ms")) or name in bare, f"{table.name}.{name}"
