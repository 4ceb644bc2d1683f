from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.journal import DeedEntry, OrderEntry, RunEntry, read
from tests.command import DISTURBED, STORM, folder_of, squall, verdict_of
from tests.gameday.playing import ORDER, Page, day, ended, fault_is
from tests.ports import free_port

pytestmark = pytest.mark.timeout(400)


def test_a_game_day_from_the_first_link_to_the_record(tmp_path: Path) -> None:
    """Real processes and sockets: a fault by hand, a halt, notes, the end, and the same verdict."""
    with day(tmp_path) as (process, operator, viewer), Page(operator) as page:
        refused = page.ask("start", ORDER)  # the baseline is not over, or the storm has not begun
        assert refused.status_code in {409, 503}
        page.until(lambda now: bool(now["can_start"]))
        assert any("are being started" in words for words in page.waited_for)
        assert page.ask("start", ORDER).json() == {"window": 1}
        page.until(fault_is(1, "in force"))
        seen = page.until(fault_is(1, "healed"))
        assert seen["faults"][0]["hit"]
        page.until(lambda now: bool(now["phase"] == "steady"))
        assert page.ask("start", ORDER | {"kind": "tcp-down", "parameters": {}}).is_success
        page.until(fault_is(2, "in force"))
        assert page.ask("halt").is_success
        page.until(lambda now: now["halt"] is not None and now["halt"]["state"] == "proven")
        said = {"who": "Ben", "kind": "action", "text": "look at the pool", "window": 2}
        assert page.ask("remark", said).is_success
        page.until(lambda now: now["phase"] == "steady")
        assert page.ask("end").is_success
        done = ended(process)
    folder = folder_of(tmp_path / "runs")
    verdict = verdict_of(folder)
    assert [one["id"] for one in verdict["faults"]] == ["1:tcp-latency", "2:tcp-down"]
    assert all(one["bit"] and one["healed"] for one in verdict["faults"])
    doubts = {one["name"] for one in verdict["soundness"] if one["ruling"] != "pass"}
    assert doubts <= DISTURBED
    assert done.code in {0, 1, 3}, done.all
    again = squall("judge", str(folder), "--json", cwd=tmp_path)
    assert (again.code, again.out) == (done.code, (folder / "verdict.json").read_text("utf-8"))
    record = (folder / "record.md").read_text(encoding="utf-8")
    for part in ("calls slow down by 300 ms", "Ana ordered it", "look at the pool", "HALT"):
        assert part in record
    found = read(folder)
    assert [(one.who, one.kind) for one in found.of(OrderEntry)] == [
        ("Ana", "tcp-latency"),
        ("Ana", "tcp-down"),
    ]
    assert [one.who for one in found.of(DeedEntry) if one.deed == "ended"] == ["Ana"]
    keys = [link.partition("/#key=")[2] for link in (operator, viewer)]
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [key for key in keys if key[:12].encode() in content], file
    assert not [key for key in keys if key in done.all]


def halt_is_over(now: dict[str, Any]) -> bool:
    """Whether a halt has come to its proof, or to none."""
    return now["halt"] is not None and now["halt"]["state"] in {"proven", "not proven"}


def test_a_halt_says_in_whose_word_everything_is_undone(tmp_path: Path) -> None:
    """Of what agents did the calls that came after are asked, of processes the system."""
    repeated = ORDER | {"kind": "call-repeat", "parameters": {"share": "50%"}, "for": "60s"}
    stopped = ORDER | {"kind": "process-stop", "parameters": {}, "for": "60s"}
    words = []
    with day(tmp_path) as (process, operator, _), Page(operator) as page:
        for number, order in enumerate((repeated, stopped), start=1):
            page.until(lambda now: bool(now["can_start"]))
            assert page.ask("start", order).is_success
            page.until(fault_is(number, "in force"))
            assert page.ask("halt").is_success
            seen = page.until(halt_is_over)
            assert seen["halt"]["state"] == "proven", seen["halt"]["words"]
            words.append(seen["halt"]["proof"])
            assert page.ask("resume").is_success
        assert page.ask("end").is_success
        ended(process)
    assert "the proxies hold nothing of it; nobody misbehaves, and no call since" in words[0]
    assert re.search(r"the target's process \d+ runs, says the system", words[1])
    record = (folder_of(tmp_path / "runs") / "record.md").read_text(encoding="utf-8")
    assert "all faults are undone, proven: the proxies hold nothing of it" in record


def test_a_signal_ends_a_day_and_its_fault(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a fault: healed, judged as far as it got, and nothing is missing."""
    with day(tmp_path) as (process, operator, _), Page(operator) as page:
        page.until(lambda now: bool(now["can_start"]))
        assert page.ask("start", ORDER | {"for": "60s"}).is_success
        page.until(fault_is(1, "in force"))
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130, done.all
    folder = folder_of(tmp_path / "runs")
    (last,) = [one for one in read(folder).of(RunEntry) if one.edge == "ended"]
    assert last.how == "interrupted"
    verdict = verdict_of(folder)
    assert verdict["faults"][0]["healed"]
    (kept,) = [one for one in verdict["soundness"] if one["name"] == "conservation"]
    assert kept["ruling"] == "pass", kept["why"]
    assert (folder / "record.html").stat().st_size > 1_000_000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--lease", "5s"), "--lease is from 10s to 120s"),
        (("--lease", "5m"), "--lease is from 10s to 120s"),
        (("--for", "5s"), "--for is from"),
        (("--for", "48h"), "to 24h"),
        (("--lease", "x"), "expected a duration"),
        (("--target", "http://127.0.0.1:1/mcp", "--reference", "hardened"), "two targets"),
    ],
)
def test_a_day_that_cannot_be_is_refused_with_the_mend(
    tmp_path: Path, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any port is opened; exit 2."""
    file, out = tmp_path / "day.yaml", tmp_path / "runs"
    file.write_text(STORM)
    assert run(["gameday", str(file), "--out", str(out), *words]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "operators:" not in said.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://127.0.0.1:PORT/mcp", "nothing listens there; start it, or correct"),
        ("http://203.0.113.7/mcp", "to allow it, say --allow-target 203.0.113.7"),
    ],
)
@pytest.mark.parametrize("by", ["flag", "file"])
def test_nobody_is_invited_to_a_day_whose_target_is_not_there(
    tmp_path: Path, target: str, says: str, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that runs already is asked before a link is printed; exit 2, and no run is begun."""
    file, out = tmp_path / "day.yaml", tmp_path / "runs"
    target = target.replace("PORT", str(free_port()))
    named = STORM.replace("{reference: hardened}", f"{{url: '{target}'}}")
    file.write_text(STORM if by == "flag" else named)
    words = ["--target", target] if by == "flag" else []
    assert run(["gameday", str(file), "--out", str(out), *words]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "operators:" not in said.err
    assert not out.exists()


def test_a_day_needs_two_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be compared with nobody; the place in the file is told, and the mend."""
    text = STORM.replace("treated: 50%", "treated: 100%")
    file = tmp_path / "day.yaml"
    file.write_text(text[: text.index("faults:")] + "limits: {}\n")
    assert run(["gameday", str(file), "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert "day.yaml:15:43: load.treated: expected at least one treated and one control" in said
    assert "write for example treated: 50%" in said


def test_a_day_without_a_fault_is_a_day(tmp_path: Path) -> None:
    """Steady load with a limit on recovery: squall run refuses it, and people break something."""
    text = STORM[: STORM.index("faults:")] + 'limits: {recovery: "<= 2s"}\n'
    with day(tmp_path, text=text) as (process, operator, _), Page(operator) as page:
        assert page.until(lambda now: bool(now["can_start"]))["phase"] == "steady"
        assert page.ask("end").is_success
        done = ended(process)
    assert done.code == 3, done.all  # nothing was broken, so no recovery was seen
    folder = folder_of(tmp_path / "runs")
    (limit,) = verdict_of(folder)["limits"]
    assert (limit["ruling"], limit["why"]) == ("unknown", "there was no fault to recover from")
    assert "No fault was started." in (folder / "record.md").read_text(encoding="utf-8")
    place = f"runs/{folder.name}/record.html"
    assert place in done.out
    assert f"wrote {place}" in squall("report", f"runs/{folder.name}", cwd=tmp_path).err
    refused = squall("run", "day.yaml", cwd=tmp_path)
    assert refused.code == 2
    assert "expected a fault to recover from" in refused.err
