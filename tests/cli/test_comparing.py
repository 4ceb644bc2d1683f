"""`squall compare` and `squall baseline`, as they are typed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from harness import cli
from harness.comparison import baseline
from harness.journal import Calls
from harness.outcome import Outcome
from reports.comparison.document import json_schema
from tests import command, journals
from tests.comparison.runs import folder

pytestmark = pytest.mark.timeout(300)


def _slower(made: Calls) -> None:
    made["done_ns"] += (made["done_ns"] - made["due_ns"]) // 2


def _failing(made: Calls) -> None:
    some = (made["session"] + made["index"]) % 12 == 0
    journals.end(made, some, Outcome.TOOL_ERROR)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders: three equal ones, a slower one, one with failures, one of another seed."""
    place = tmp_path_factory.mktemp("compare")
    for chance, name in enumerate(("one", "two", "three"), 1):
        folder(place / "equal" / name, run=f"0000000{chance}", chance=chance)
    folder(place / "slower", run="0000000a", chance=5, spoil=_slower)
    folder(place / "failing", run="0000000b", chance=6, spoil=_failing)
    folder(place / "seeded", run="0000000c", seed=8)
    folder(place / "slowed", run="0000000e", pace="2/s")
    folder(place / "stopped", run="0000000d", how="interrupted")
    (place / "nothing").mkdir()
    return place


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Squall:
    """The command in this process: starting it two dozen times would take its time."""

    def __init__(self, place: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capture = capture

    def __call__(self, *words: str, code: int) -> Done:
        """Run a command to its end."""
        self._capture.readouterr()
        ended = cli.run(list(words))
        out, err = self._capture.readouterr()
        assert ended == code, out + err
        assert "Traceback" not in err
        return Done(code=ended, out=out, err=err)

    def compared(self, *words: str, code: int) -> str:
        """Compare two sides; nothing is wider than 80 columns but the verdict line."""
        done = self("compare", *words, code=code)
        assert all(len(line) <= 80 for line in done.out.splitlines()[:-1])
        return done.out


@pytest.fixture
def squall(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Squall:
    """The command, among the runs."""
    monkeypatch.chdir(runs)
    monkeypatch.setenv("COLUMNS", "80")
    return Squall(runs, capsys)


def test_equal_runs_are_the_same(squall: Squall) -> None:
    """Exit 0 under --fail-on worse, and one line says so last."""
    text = squall.compared("equal/one", "equal/two", "--fail-on", "worse", code=0)
    assert text.splitlines()[-1].startswith("SAME  ")
    assert "one run on a side" in text


@pytest.mark.parametrize(("head", "measure"), [("slower", "p50"), ("failing", "errors")])
def test_a_worse_run_fails_only_where_that_was_asked(
    head: str, measure: str, squall: Squall
) -> None:
    """1 with --fail-on worse, 0 without; the report is the same."""
    asked = squall.compared("equal/one", head, "--fail-on", "worse", code=1)
    plain = squall.compared("equal/one", head, code=0)
    assert asked == plain
    assert plain.splitlines()[-1].startswith("WORSE  ")
    assert any(
        line.startswith(f"✗ {measure}") and line.endswith("worse") for line in plain.splitlines()
    )


def test_what_became_better_is_no_failure(squall: Squall) -> None:
    """The same runs the other way round."""
    text = squall.compared("slower", "equal/one", "--fail-on", "worse", code=0)
    assert text.splitlines()[-1].startswith("BETTER  ")


def test_another_seed_cannot_be_compared(squall: Squall) -> None:
    """Exit 3, whatever is asked, and the difference is named."""
    for words in ((), ("--fail-on", "worse")):
        text = squall.compared("equal/one", "seeded", *words, code=3)
        assert text.splitlines()[-1] == "CANNOT BE COMPARED  seed: 7, then 8"


def test_another_scenario_is_told_by_its_keys(squall: Squall, tmp_path: Path) -> None:
    """On the terminal, in Markdown and in JSON; a baseline file holds enough for it."""
    kept, page = str(tmp_path / "baseline.json"), tmp_path / "compare.md"
    squall("baseline", "save", kept, "equal/one", code=0)
    said = "agents.worker.pace: 4/s, then 2/s"
    for base in ("equal/one", kept):
        text = squall.compared(base, "slowed", "--markdown", str(page), code=3)
        assert f"\n? {said}\n" in text
        assert text.splitlines()[-1] == f"CANNOT BE COMPARED  {said}"
        assert f"- ❔ {said}\n" in page.read_text(encoding="utf-8")
        document = json.loads(squall("compare", base, "slowed", "--json", "-", code=3).out)
        jsonschema_rs.validate(json_schema(), document)
        assert document["differences"] == [said]
        assert document["apart"] == [{"place": "agents.worker.pace", "base": "4/s", "head": "2/s"}]


def test_an_older_baseline_file_says_that_it_lacks_the_keys(squall: Squall, tmp_path: Path) -> None:
    """And what to do about it, however narrow the terminal is."""
    kept = tmp_path / "older.json"
    squall("baseline", "save", str(kept), "equal/one", code=0)
    document = json.loads(kept.read_text(encoding="utf-8"))
    document["identity"]["asked"] = {"agents.0.pace": "0.25"}
    del document["identity"]["given"]
    kept.write_text(json.dumps(document), encoding="utf-8")
    text = " ".join(squall.compared(str(kept), "slowed", code=3).split())
    assert "an older squall does not hold the scenario's keys" in text
    assert "save it again with squall baseline save" in text
    squall.compared(str(kept), "equal/two", code=0)


def test_a_run_that_was_cut_short_cannot_be_compared(squall: Squall) -> None:
    """Its evidence is not whole."""
    text = squall.compared("equal/one", "stopped", code=3)
    assert "head's run 0000000d: run-complete: the run was interrupted" in text


def test_several_runs_a_side_are_a_folder_or_are_named(squall: Squall) -> None:
    """Both ways give the same figures."""
    one = squall.compared("equal", "slower", code=0)
    named = ("equal/one", "equal/three", "equal/two", "--against", "slower")
    other = squall.compared(*named, code=0)
    assert one.split("whole run")[1] == other.split("whole run")[1]
    assert "3 runs" in one


def test_a_baseline_file_stands_for_its_runs(squall: Squall, tmp_path: Path) -> None:
    """On either side, with the same verdict as the folders themselves."""
    kept = str(tmp_path / "baseline.json")
    saved = squall("baseline", "save", kept, "equal/one", "equal/two", code=0)
    checked = squall("baseline", "check", kept, code=0)
    assert checked.out == saved.out
    assert "storm, seed 7, legacy era" in checked.out
    assert Path(kept).stat().st_size <= baseline.SIZE_MAX
    same = squall.compared(kept, "equal/three", "--fail-on", "worse", code=0)
    assert same.splitlines()[-1].startswith("SAME  ")
    squall.compared(kept, "failing", "--fail-on", "worse", code=1)
    squall.compared("failing", kept, "--fail-on", "worse", code=0)


def test_the_documents_are_written_where_they_are_asked_for(runs: Path, tmp_path: Path) -> None:
    """JSON by its schema on standard output, Markdown in a file, and the table beside them."""
    page = tmp_path / "compare.md"
    words = ("equal/one", "slower", "--json", "-", "--markdown", str(page))
    done = command.squall("compare", *words, cwd=runs)
    document: dict[str, Any] = json.loads(done.out)
    jsonschema_rs.validate(json_schema(), document)
    assert (done.code, document["verdict"]) == (0, "worse")
    assert "WORSE  " in done.err
    text = page.read_text(encoding="utf-8")
    assert text.startswith("### ❌ WORSE")
    assert "<details>" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("equal/one",), "expected BASE and HEAD, got 1 of them"),
        (("equal/one", "nowhere"), "nowhere is not there"),
        (("equal/one", "nothing"), "nothing holds no run"),
        (("equal/one", "seeded/scenario.yaml"), "cannot be read as a baseline file"),
        (("equal/one", "slower", "--least", "5"), "--least 5: expected a percentage"),
        (("equal/one", "slower", "--json", "-", "--markdown", "-"), "both want standard output"),
        (("equal/one", "slower", "--json", "no/such/place.json"), "there is no folder no/such"),
        (
            ("equal/one", "seeded", "--against", "slower"),
            "BASE: its runs are not alike: seed: 7, then 8",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(words: tuple[str, ...], told: str, squall: Squall) -> None:
    """With exit 2, one line, and the mend."""
    done = squall("compare", *words, code=2)
    (line,) = done.err.splitlines()
    assert told in line
    assert done.out == ""


def test_a_run_that_is_no_measure_is_not_saved(squall: Squall, tmp_path: Path) -> None:
    """Unless that is forced; and a file that is none is refused by check."""
    kept = tmp_path / "baseline.json"
    refused = squall("baseline", "save", str(kept), "stopped", code=2)
    assert "is no measure for others: run-complete" in refused.err
    assert not kept.exists()
    forced = squall("baseline", "save", str(kept), "stopped", "--force", code=0)
    nowhere = squall("baseline", "save", "no/base.json", "equal/one", code=2)
    assert nowhere.err.startswith("squall: no/base.json: there is no folder no; ")
    assert "not sound" in forced.out
    kept.write_text("{}", encoding="utf-8")
    checked = squall("baseline", "check", str(kept), code=2)
    assert "make one with squall baseline save" in checked.err


@pytest.mark.parametrize("name", ["save", "check", "schema"])
def test_each_part_of_baseline_explains_itself(name: str, squall: Squall) -> None:
    """With an example, on 80 columns."""
    done = squall("baseline", name, "--help", code=0)
    assert "Example: squall baseline" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_schema_of_baseline_files_is_printed(squall: Squall) -> None:
    """For editors, and for whoever reads such files without squall."""
    done = squall("baseline", "schema", code=0)
    assert json.loads(done.out) == json.loads(baseline.schema_text())
