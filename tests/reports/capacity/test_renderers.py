from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import plotly.graph_objects as go
import pytest

from harness.capacity.ruling import Capacity, conclude
from harness.journal import NoteEntry
from reports.capacity.charts import charts
from reports.capacity.document import capacity, json_schema
from reports.capacity.folder import write_all
from reports.capacity.page import page
from reports.capacity.terminal import summary
from tests.capacity.climbs import course, in_force, joined, prepared, queue, steps_at
from tests.reports.samples import FACTS, HOSTILE

VALIDATOR = jsonschema_rs.validator_for(json_schema())


def result(*, hits: int = 50, note: str = "nothing of note", gate: float | None = None) -> Capacity:
    """Conclude from a climb of two curves, the second of half the slots."""
    of = course(faults=("tcp-latency",), at_least_per_s=gate)
    bare = steps_at(queue(8, lambda _: 0.04), of, 5.0, 100.0, 190.0, 210.0, 400.0)
    half = queue(4, lambda _: 0.04)
    under = steps_at(half, of, 50.0, 95.0, 105.0, first=6, start_s=120, curve=1)
    extra = [*in_force(of, 119, 180, hits=hits), NoteEntry(at_ns=5, text=note)]
    journal = joined(*bare, *under, extra=extra)
    return conclude(prepared(of), of, journal, name="small")


def nothing() -> Capacity:
    """Conclude from a climb that never began."""
    of = course()
    whole = joined(*steps_at(queue(8, lambda _: 0.04), of, 50.0), how="interrupted", why="SIGINT")
    entries = tuple(one for one in whole.entries if one.type != "step")
    return conclude(prepared(of), of, replace(whole, entries=entries), name="small")


def test_every_result_fits_the_published_schema() -> None:
    """Measured, gated, in doubt, and with nothing measured at all."""
    for each in (result(), result(gate=200.0), result(hits=0), nothing()):
        VALIDATOR.validate(json.loads(capacity(each)))


def test_the_schema_refuses_what_is_no_result() -> None:
    """A missing key, an unknown verdict and a key nobody knows are all refused."""
    document = json.loads(capacity(result()))
    missing = {key: value for key, value in document.items() if key != "curves"}
    for broken in (missing, document | {"ruling": "maybe"}, document | {"extra": 1}):
        with pytest.raises(jsonschema_rs.ValidationError):
            VALIDATOR.validate(broken)


def test_the_document_says_what_was_measured() -> None:
    """Keys are stable and figures are those of the result."""
    document = json.loads(capacity(result()))
    assert list(document) == list(json_schema()["properties"])
    bare, under = document["curves"]
    assert bare["knee"]["low_per_s"] <= 200 <= bare["knee"]["high_per_s"]
    assert (bare["of_bare"], under["curve"]) == (None, "1:tcp-latency")
    assert under["of_bare"]["low"] <= 0.5 <= under["of_bare"]["high"]
    assert [step["verdict"] for step in bare["steps"]] == [
        "kept", "kept", "kept", "growing", "slow",
    ]  # fmt: skip
    assert bare["steps"][0]["p99_ms"] is None


def test_the_table_fits_eighty_columns_and_ends_with_the_knee() -> None:
    """One row a step; the last line is the verdict, whole, for whoever reads nothing else."""
    text = summary(result(), color=False, folder="runs/small-1")
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].startswith("CAPACITY  bare 200/s (95 % between ")
    rows = [line for line in lines if re.match(r" +[\d.,]+/s", line)]
    assert len(rows) == 8
    assert sum("kept up" in row for row in rows) == 5
    assert "runs/small-1/report.html" in text
    assert "\x1b" not in text
    assert "\x1b[" in summary(result(), color=True)


def test_a_result_without_a_step_is_shown_too() -> None:
    """Nothing to draw is no reason to fall over."""
    assert summary(nothing(), color=False).splitlines()[-1].startswith("INTERRUPTED")
    assert charts(nothing()) == {}
    assert "not measured" in page(nothing())


def test_the_page_shows_both_curves_and_loads_nothing() -> None:
    """The figures are in it, and no address of anywhere is asked for anything."""
    text = page(result(), FACTS)
    head = text.partition('<script type="application/json"')[0]
    assert "default-src &#39;none&#39;" in head
    assert not re.search(r"(src|href)=\"(?!#|data:)", head)
    assert head.count("<tr>") >= 2 + 8 + 3
    for words in ("1:tcp-latency", "95 % between", "queue grew", "squall run scenarios/first"):
        assert words in head
    assert page(result(), FACTS) == text


def test_plotly_accepts_the_chart() -> None:
    """Every property exists, and each curve has its three lines and its knee."""
    chart = charts(result())["capacity"]
    figure = json.loads(re.sub(r"\$[a-z]+", "#123456", json.dumps(chart)))
    drawn = go.Figure(figure)
    assert len(drawn.data) == 1 + 2 * 3
    assert len(drawn.layout.shapes) == 2 * 2


def test_what_comes_from_outside_cannot_leave_its_place() -> None:
    """A hostile text is shown as text, in the page and on the terminal."""
    hostile = replace(result(note=HOSTILE), scenario=HOSTILE)
    text = page(hostile, {"target": HOSTILE})
    assert "<img src=x" not in text
    assert text.count("</script>") == 3
    shown = summary(hostile, color=False)
    assert not any(sign in shown for sign in "\x1b\x00\u202e")


def test_a_folder_gets_the_document_and_the_page(tmp_path: Path) -> None:
    """Whoever opens the run folder finds both."""
    write_all(tmp_path, result(), FACTS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["capacity.json", "report.html"]
    VALIDATOR.validate(json.loads((tmp_path / "capacity.json").read_text()))
    assert (tmp_path / "report.html").stat().st_size < 6_000_000
