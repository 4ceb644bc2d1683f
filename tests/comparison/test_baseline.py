"""A baseline file: small, whole, described by its schema, and refused in words when it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from harness.comparison import baseline
from harness.comparison.digest import Digest
from harness.comparison.packing import packed, unpacked
from harness.comparison.ruling import Side, compare
from harness.errors import BaselineError, Exit
from tests.comparison.runs import IDENTITY, World, drawn_run, pair

SMALL = World(sessions=12, lengths_s=(("baseline", 8.0), ("1:tcp-latency", 4.0)))


def run(world: World = SMALL, seed: int = 1) -> Digest:
    """One drawn run."""
    return drawn_run(world, np.random.default_rng(seed))


def document() -> dict[str, Any]:
    """What a baseline file of one run holds."""
    made: dict[str, Any] = json.loads(baseline.write(IDENTITY, [run()]))
    return made


def read(folder: Path, text: str) -> tuple[Digest, ...]:
    """Read a text as a baseline file."""
    file = folder / "baseline.json"
    file.write_text(text, encoding="utf-8")
    identity, runs = baseline.read(file)
    assert identity == IDENTITY
    return runs


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    """To the last byte, and so a comparison with the file is one with the run."""
    base, head = pair(SMALL, seed=4)
    text = baseline.write(base.identity, base.runs)
    again = read(tmp_path, text)
    assert baseline.write(IDENTITY, again) == text
    kept = Side(name=base.name, identity=base.identity, runs=again)
    assert compare(kept, head).changes == compare(base, head).changes


def test_a_file_of_an_older_squall_is_read(tmp_path: Path) -> None:
    """It holds places by number, which say nothing to anybody; what it measured is as good."""
    made = document()
    del made["identity"]["given"]
    made["identity"]["asked"] = {"load.sessions": "40"}
    file = tmp_path / "older.json"
    file.write_text(json.dumps(made), encoding="utf-8")
    identity, (kept,) = baseline.read(file)
    assert identity == replace(IDENTITY, given=None)
    older = Side(name="older", identity=identity, runs=(kept,))
    base, _ = pair(SMALL, seed=4)
    assert compare(older, base).verdict != "cannot"
    assert "given" not in json.loads(baseline.write(identity, [kept]))["identity"]


def test_a_coarse_file_still_meets_a_fine_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their groups are laid together alike, so sessions are pairs all the same."""
    base, head = pair(SMALL, seed=4, scale=2.0)
    monkeypatch.setattr(baseline, "_RUNGS", ((2, 6),))
    coarse = read(tmp_path, baseline.write(base.identity, base.runs))
    assert coarse[0].stretches[0].lots[0].by_group.rows == 2
    told = compare(Side(name="x", identity=base.identity, runs=coarse), head)
    exact = compare(base, head)
    assert told.verdict == exact.verdict == "worse"
    for one, other in zip(told.changes, exact.changes, strict=True):
        assert (one.base, one.head, one.effect) == (other.base, other.head, other.effect)


def test_the_schema_describes_the_file() -> None:
    """And nothing beside it: every object is closed."""
    schema = json.loads(baseline.schema_text())
    validator = jsonschema_rs.validator_for(schema)
    made = document()
    assert validator.is_valid(made)
    assert not validator.is_valid({**made, "more": 1})
    made["runs"][0]["stretches"][0]["tables"]["shapes"][0][0] = 0
    assert not validator.is_valid(made)


def test_a_large_run_is_told_more_coarsely_to_fit() -> None:
    """Groups are laid together, until 200 KiB hold it; the histograms stay as fine."""
    world = World(
        sessions=400,
        calls_per_s=8.0,
        tools=("a", "b", "c", "d"),
        lengths_s=tuple((f"{n}:recovery" if n else "baseline", 6.0) for n in range(4)),
        by_moment=0.5,
    )
    large = run(world)
    text = baseline.write(IDENTITY, [large])
    assert len(text.encode()) <= baseline.SIZE_MAX
    kept = json.loads(text)["runs"][0]["stretches"][0]["tables"]["shapes"][0]
    assert kept[0] < large.stretches[0].lots[0].by_group.rows
    assert len(text.encode()) > baseline.SIZE_MAX / 4  # no coarser than it has to be


def test_what_never_fits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to leave out."""
    monkeypatch.setattr(baseline, "SIZE_MAX", 4096)
    with pytest.raises(BaselineError, match=r"expected at most 4 KiB, came to .* save fewer runs"):
        baseline.write(IDENTITY, [run()])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read as a baseline file"),
        ("{", "cannot be read as a baseline file"),
        ("[" * 100_000, "cannot be read as a baseline file"),
        ("[]", "expected a baseline file \\(squall-baseline-1\\), this says None"),
        ('{"schema": "squall-baseline-2"}', "this says 'squall-baseline-2'"),
        ('{"schema": "squall-baseline-1"}', "required property"),
        ("x" * (200 * 1024 + 1), "at most 200 KiB, this has 200 KiB"),
    ],
)
def test_what_is_no_baseline_is_refused(text: str, told: str, tmp_path: Path) -> None:
    """With exit 2, what was expected, and how to make one."""
    with pytest.raises(BaselineError, match=told) as caught:
        read(tmp_path, text)
    assert "squall baseline save" in str(caught.value)
    assert caught.value.exit_code is Exit.NOT_RUN


def _counts(stretch: dict[str, Any]) -> None:
    stretch["tables"]["counts"] = stretch["tables"]["counts"][::-1]


def _rows(stretch: dict[str, Any]) -> None:
    stretch["tables"]["shapes"][0][0] += 1


def _wide(stretch: dict[str, Any]) -> None:
    stretch["tables"]["shapes"][0] = [1024, 8192, 8, 4]


def _fewer(stretch: dict[str, Any]) -> None:
    stretch["tables"] = packed(unpacked(stretch["tables"])[1:])


def _histogram(stretch: dict[str, Any]) -> None:
    stretch["tools"][0]["latency_us"] = stretch["tools"][1]["latency_us"][:-8] + "AAAAAAA="


def _other(stretch: dict[str, Any]) -> None:
    stretch["tools"][0]["latency_us"] = HdrHistogram(1, 1000, 2).encode().decode()


def _garbled(stretch: dict[str, Any]) -> None:
    stretch["tools"][0]["latency_us"] = "not base64 at all!"


def _lost(stretch: dict[str, Any]) -> None:
    first, *others = unpacked(stretch["tables"])
    stretch["tables"] = packed([replace(first, errors=first.calls + 1), *others])


def _disordered(stretch: dict[str, Any]) -> None:
    first, *others = unpacked(stretch["tables"])
    stretch["tables"] = packed([replace(first, buckets=first.buckets * 0 + 7), *others])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_counts, "counts that cannot be unpacked|more errors|bytes of counts"),
        (_rows, "bytes of counts where .* were announced"),
        (_wide, "bytes of counts where .* were announced"),
        (_fewer, "tables of 1 tools where 2 are named"),
        (_histogram, "no HdrHistogram"),
        (_other, "a histogram of another range or precision"),
        (_lost, "more errors, losses or latencies than calls"),
        (_disordered, "buckets out of order or range"),
        (_garbled, "no HdrHistogram"),
    ],
)
def test_a_damaged_file_is_refused_where_it_is_damaged(
    harm: Any, told: str, tmp_path: Path
) -> None:
    """Though the schema cannot see it: counts are unpacked within their announced size."""
    made = document()
    harm(made["runs"][0]["stretches"][0])
    with pytest.raises(BaselineError, match=told) as caught:
        read(tmp_path, json.dumps(made))
    assert "treated, baseline" in str(caught.value)


def test_views_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """One tool's calls taken out are missed among those by moments."""
    made = document()
    stretch = made["runs"][0]["stretches"][0]
    del stretch["tools"][0]
    stretch["tables"] = packed(unpacked(stretch["tables"])[1:])
    with pytest.raises(BaselineError, match="by moments and by sessions are not the same"):
        read(tmp_path, json.dumps(made))


def test_a_run_without_score_or_recovery_is_kept(tmp_path: Path) -> None:
    """What was not measured is null."""
    bare = replace(run(), score=None, windows=())
    (again,) = read(tmp_path, baseline.write(IDENTITY, [bare]))
    assert (again.score, again.windows) == (None, ())
