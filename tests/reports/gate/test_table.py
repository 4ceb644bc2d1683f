from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from reports.gate.entries import gather
from reports.gate.table import table
from tests.reports.gate.batches import batch, entry
from tests.reports.samples import HOSTILE


def test_the_table_has_a_line_for_each_and_the_verdict_last() -> None:
    """In the order in which they were asked for."""
    lines = table(batch(), width=80, color=False).splitlines()
    names = ["steady", "first_storm", "wrong", "refused"]
    rows = [line.split() for line in lines if line[:1] in {"✓", "✗", "?"}]
    assert [row[1] for row in rows] == names
    assert rows[0][2:6] == ["PASS", "99", "(98-100)", "1/1"]
    assert rows[1][2:6] == ["FAIL", "61", "(57-66)", "2/4"]
    assert rows[2][2:6] == ["NOT", "RUN", "-", "-"]
    assert "start the target first" in " ".join(" ".join(lines).split())
    assert lines[-1].startswith("FAIL  1 of 4 passed")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_asked_for_but_a_path(width: int) -> None:
    """Whatever the names are; a path is there to be copied, and is never cut."""
    path = "runs/" + "long-" * 30
    long = [replace(one, name=one.name * 9, told=one.told * 9) for one in batch().entries]
    for gate in (batch(), gather(long)):
        lines = table(gate, width=width, color=False, artefacts=[("run", path)]).splitlines()
        assert max(cell_len(line) for line in lines if path not in line) <= width
        assert f"run          {path}" in lines


def test_what_was_written_stands_just_before_the_verdict() -> None:
    """The last thing on a screen is what a reader wants next."""
    written = [("junit", "out.xml"), ("markdown", "out.md")]
    lines = table(batch(), width=80, color=False, artefacts=written).splitlines()
    assert lines[-4:-2] == ["junit        out.xml", "markdown     out.md"]
    assert lines[-2] == ""


def test_names_from_outside_cannot_drive_the_terminal() -> None:
    """Escape sequences are stripped, and colour is there only when asked for."""
    gate = gather([replace(entry(), name=HOSTILE, told=HOSTILE)])
    assert "\x1b" not in table(gate, width=80, color=False)
    assert "\x1b[" in table(gate, width=80, color=True)
