"""A comparison as it is shown: on 80 columns, as Markdown that no name can break, as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

import jsonschema_rs
import pytest

from harness.comparison.ruling import Comparison, compare
from reports.comparison.document import comparison, json_schema
from reports.comparison.markdown import markdown
from reports.comparison.terminal import stored, summary
from reports.comparison.wording import effect, interval, smallest, value
from tests.comparison.runs import World, pair
from tests.reports.samples import HOSTILE

SMALL: Final = World(
    sessions=20, lengths_s=(("baseline", 8.0), ("1:tcp-latency", 4.0), ("1:recovery", 4.0))
)
VALIDATOR: Final = jsonschema_rs.validator_for(json_schema())


@pytest.fixture(scope="module")
def worse() -> Comparison:
    """A head that is slower, and fails more."""
    return compare(*pair(SMALL, seed=2, scale=1.8, failing=0.08))


@pytest.fixture(scope="module")
def same() -> Comparison:
    """Two equal runs."""
    return compare(*pair(SMALL, seed=2))


@pytest.fixture(scope="module")
def unlike() -> Comparison:
    """Two runs that cannot be compared."""
    base, head = pair(SMALL, seed=2)
    return compare(base, replace(head, identity=replace(head.identity, seed=9, era="legacy")))


def test_every_comparison_fits_the_published_schema(
    worse: Comparison, same: Comparison, unlike: Comparison
) -> None:
    """Worse, the same, and not to be compared; the same comparison gives the same bytes."""
    for told in (worse, same, unlike):
        text = comparison(told)
        VALIDATOR.validate(json.loads(text))
        assert text == comparison(told)


def test_the_schema_refuses_what_is_no_comparison(worse: Comparison) -> None:
    """A missing key, an unknown verdict and a key nobody knows."""
    document = json.loads(comparison(worse))
    missing = {key: value for key, value in document.items() if key != "changes"}
    for broken in (missing, document | {"verdict": "maybe"}, document | {"extra": 1}):
        assert not VALIDATOR.is_valid(broken)


def test_the_terminal_says_all_on_80_columns(
    worse: Comparison, same: Comparison, unlike: Comparison
) -> None:
    """The last line is the verdict, whole however long, for `tail -1`."""
    for told in (worse, same, unlike):
        for everything in (False, True):
            lines = summary(told, color=False, everything=everything).splitlines()
            assert lines[-1] == told.headline
            assert max(map(len, lines[:-1])) <= 80


def test_single_tools_are_shown_when_they_changed_or_were_asked_for(
    worse: Comparison, same: Comparison
) -> None:
    """Every arm and phase as a whole is always there."""
    assert "baseline, both arms, fetch" not in summary(same, color=False)
    assert "baseline, both arms, fetch" in summary(same, color=False, everything=True)
    assert "baseline, both arms, fetch" in summary(worse, color=False)
    for text in (summary(same, color=False), summary(worse, color=False)):
        for phase in ("baseline, both arms", "1:tcp-latency, treated arm", "1:recovery, control"):
            assert phase in text


def test_figures_have_their_units(worse: Comparison) -> None:
    """A ratio for latencies, points for shares."""
    rows = {one.measure: one for one in worse.changes if one.arm == "both" and not one.tool}
    p50, errors = rows["p50"], rows["errors"]
    assert value(p50, p50.head).endswith(" ms")
    assert effect(p50).startswith("×1.")
    assert smallest(p50).startswith("×1.")
    low, high = interval(p50).split(" to ")
    assert 1 < float(low) < float(high)
    assert effect(errors).startswith("+")
    assert effect(errors).endswith(" points")
    assert value(errors, errors.head).endswith("%")


def test_markdown_tells_the_changes_first_and_folds_the_rest(
    worse: Comparison, same: Comparison, unlike: Comparison
) -> None:
    """A pull request shows what matters without a click."""
    text = markdown(worse)
    first, rest = text.split("<details>")
    assert first.startswith("### ❌ WORSE")
    assert "| ❌ |" in first
    assert "➖" not in first
    assert "➖" in rest
    assert markdown(same).startswith("### ➖ SAME")
    assert "- ❔ seed: 1, then 9" in markdown(unlike)
    assert "<details>" not in markdown(unlike)


def test_names_from_outside_change_no_markup(worse: Comparison) -> None:
    """Neither a table, nor a page, nor the terminal."""
    changes = tuple(replace(one, tool=HOSTILE, verdict="worse") for one in worse.changes[-2:])
    told = replace(worse, changes=changes, headline=HOSTILE, notes=(HOSTILE,))
    page = markdown(told)
    assert not re.search(r"(?<!\\)<script", page)
    heads = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.replace(r"\|", "").count("|") for line in heads} == {9}
    text = summary(told, color=False)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_a_stored_baseline_says_what_it_holds(same: Comparison) -> None:
    """Its size, its scenario, its machine, and each run."""
    text = stored("baseline.json", same.base, 40_960)
    assert text.startswith("baseline.json  40 KiB of at most 200\n")
    assert "storm, seed 1, modern era, on Linux x86_64 with 2 processors" in text
    assert "run 00000000" in text
    assert max(map(len, text.splitlines())) <= 80
