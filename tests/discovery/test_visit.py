"""`squall init` on real servers: what it calls, what it learns, and that its scenario runs."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from harness import cli
from harness.scenario.load import load_text
from harness.scenario.records import CallStep, Scenario
from tests import command
from tests.command import Done
from tests.discovery.shop import SECRET
from tests.flaws.foreign.parts import FASTMCP, lacking, lay_out
from tests.test_foreign import Everything, everything

__all__ = ["everything"]

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(240)]

SHOP: Final = f"{sys.executable} -m tests.discovery.shop --calls calls.txt"
LONG_S: Final = 110  # for one command, within a test's own time
FOUND_AT: Final = {"PYTHONPATH": str(command.ROOT)}


def init(folder: Path, *words: str, env: dict[str, str] | None = None) -> Done:
    """Run the command in a folder; a server may take long to start on a busy machine."""
    process = command.start("init", *words, cwd=folder, env={**FOUND_AT, **(env or {})})
    return ended(process)


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for a command and give what it said."""
    try:
        out, err = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    return Done(code=process.returncode, out=out, err=err)


def written(folder: Path, name: str = "squall.yaml") -> Scenario:
    """The scenario that it wrote, which `squall check` finds nothing wrong with."""
    file = folder / name
    return load_text(file.read_text(encoding="utf-8"), str(file)).scenario


def calls_of(scenario: Scenario) -> dict[str, CallStep]:
    """Its calls, by tool."""
    steps = [step for agent in scenario.agents for step in agent.steps]
    return {step.call: step for step in steps if isinstance(step, CallStep)}


def test_only_tools_that_say_they_read_are_called_and_each_twice(tmp_path: Path) -> None:
    """The file holds what was learned, and why the rest is not in it; no secret gets there."""
    done = init(tmp_path, "--stdio", SHOP, env={"SHOP_SECRET": SECRET})
    assert done.code == 0, done.all
    made = Counter((tmp_path / "calls.txt").read_text(encoding="utf-8").split())
    # An item was looked for before there was one, and again when another tool had brought one.
    assert made.pop("describe") >= 2
    # What may stand in an answer by chance was asked for once more, with other numbers.
    assert made == {"find_items": 2, "count_orders": 2, "open_page": 3}
    calls = calls_of(written(tmp_path))
    assert set(calls) == {"describe", "find_items", "count_orders", "open_page"}
    assert calls["open_page"].arguments == {"page": 1, "pages": 1}
    assert calls["open_page"].expect.equals == {"page": 1}
    assert calls["find_items"].expect.carries == "nonce"
    ((name, place),) = calls["find_items"].keep.items()
    assert place == "items[0].itemId"
    assert calls["describe"].arguments == {"item_id": f"${{{name}}}"}
    assert calls["describe"].expect.equals == {"itemId": f"${{{name}}}"}
    text = (tmp_path / "squall.yaml").read_text(encoding="utf-8")
    assert "# Find items by words. When tried: " in text
    for reason in (
        "tool close_down: destructive",
        "tool order: it writes",
        "tool unsaid: not annotated",
        "tool review: its arguments cannot be made up: password",
    ):
        assert reason in text
    assert SECRET not in text + done.all
    checked = command.squall("check", "squall.yaml", cwd=tmp_path)
    assert checked.code == 0, checked.all


def test_effects_that_were_allowed_are_counted_and_what_is_skipped_is_not_called(
    tmp_path: Path,
) -> None:
    """Each order was seen to be one more, so that each may be demanded once."""
    words = ("--allow-effects", "--skip", "close*", "--out", "shop.yaml")
    done = init(tmp_path, "--launch", f"{SHOP} --port ${{port}}", *words)
    assert done.code == 0, done.all
    made = Counter((tmp_path / "calls.txt").read_text(encoding="utf-8").split())
    assert made["order"] == 3
    assert made["unsaid"] == 3
    assert "close_down" not in made
    scenario = written(tmp_path, "shop.yaml")
    calls = calls_of(scenario)
    assert calls["order"].effect == "once"
    assert calls["order"].arguments["idempotency_key"] == "${nonce}"
    assert calls["unsaid"].effect is None
    assert scenario.audit is not None
    assert (scenario.audit.call, scenario.audit.counts) == ("count_orders", "orders")
    assert "# No reply is lost, for unsaid" in (tmp_path / "shop.yaml").read_text(encoding="utf-8")
    assert "tool close_down: skipped" in (tmp_path / "shop.yaml").read_text(encoding="utf-8")


def test_what_the_command_names_is_asked_for_and_the_rest_is_asked_of_the_reader(
    tmp_path: Path,
) -> None:
    """A file of the folder that the server was told of; which value would help another tool."""
    receipts = tmp_path / "receipts"
    receipts.mkdir()
    (receipts / "1.txt").write_text("a lamp", encoding="utf-8")
    done = init(tmp_path, "--stdio", f"{SHOP} --folder {receipts}", "--skip", "*[!e]")
    assert done.code == 0, done.all
    calls = calls_of(written(tmp_path))
    assert calls["read_file"].arguments == {"path": str(receipts / "1.txt")}
    assert "--argument compare.target=VALUE gives another" in done.err
    none = init(tmp_path, "--stdio", f"{SHOP} --folder {receipts}", "--skip", "*", "--force")
    assert none.code == 0, none.all
    assert "no tool could be called" in none.out
    text = (tmp_path / "squall.yaml").read_text(encoding="utf-8")
    assert "So no tool is called here" in " ".join(text.replace("#", " ").split())


def test_what_is_written_finds_what_it_is_for(tmp_path: Path) -> None:
    """An order that is placed anew when its reply was lost, though it came under the same key."""
    words = ("--allow-effects", "--skip", "close*", "--skip", "unsaid")
    done = init(tmp_path, "--launch", f"{SHOP} --port ${{port}}", *words)
    assert done.code == 0, done.all
    text = shorter((tmp_path / "squall.yaml").read_text(encoding="utf-8"))
    assert text.count('"--port"') == 1
    text = text.replace('"--port"', '"--forgets", "--port"')
    alone = re.compile(
        r"^faults:\n.*response-lost: {share: 20%}\n    for: 1s", re.MULTILINE | re.DOTALL
    )
    text, changed = alone.subn("faults:\n  - response-lost: {share: 50%}\n    for: 4s", text)
    assert changed == 1
    (tmp_path / "short.yaml").write_text(text, encoding="utf-8")
    ran = ended(command.start("run", "short.yaml", "--quiet", cwd=tmp_path, env=FOUND_AT))
    verdict = command.verdict_of(command.folder_of(tmp_path / "runs"))
    failed = {one["verdict"] for one in verdict["findings"] if one["ruling"] == "fail"}
    assert "double-exec" in failed, ran.all


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Said before the server is asked anything; --force does it, - prints it."""
    mine = tmp_path / "squall.yaml"
    mine.write_text("mine", encoding="utf-8")
    refused = init(tmp_path, "--stdio", SHOP)
    assert (refused.code, refused.out) == (2, "")
    assert "squall.yaml exists" in refused.err
    assert "--force" in refused.err
    assert not (tmp_path / "calls.txt").exists()
    assert mine.read_text(encoding="utf-8") == "mine"
    printed = init(tmp_path, "--stdio", SHOP, "--out", "-", "--era", "legacy")
    assert printed.code == 0, printed.err
    scenario = load_text(printed.out, "squall.yaml").scenario
    assert scenario.era == "legacy"
    assert calls_of(scenario)["find_items"].expect.carries == "nonce"
    assert mine.read_text(encoding="utf-8") == "mine"
    assert "find_items" in printed.err


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ((), "--target http://127.0.0.1:8001/mcp"),
        (("--target", "http://127.0.0.1:1/mcp", "--stdio", "x"), "give --target or --reference"),
        (("--target", "http://mcp.example.com/mcp"), "--allow-target mcp.example.com"),
        (("--stdio", "no-such-program-here"), "give its path, or install it"),
        (("--stdio", "x", "--auth", "bearer"), "pipes carry no tokens"),
        (("--stdio", "x", "--argument", "limit"), "NAME=VALUE"),
        (("--stdio", "x", "--argument", "review.password=x"), "looks like a secret"),
        (("--stdio", "x", "--out", "nowhere/a.yaml"), "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_mend(
    words: tuple[str, ...],
    mend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, one sentence, and no file."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["init", *words]) == 2
    said = capsys.readouterr().err
    assert mend in said
    assert "Traceback" not in said
    assert not (tmp_path / "squall.yaml").exists()


def test_nobody_there_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    """Whoever mistypes a port learns it within moments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        done = init(tmp_path, "--target", f"http://127.0.0.1:{port}/mcp")
    assert done.code == 2
    assert "nothing listens there" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_dies_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    """A mistyped path is in what the interpreter said, and not in its exit status."""
    done = init(tmp_path, "--stdio", f"{command.PYTHON} mistyped.py")
    assert done.code == 2
    assert "can't open file" in " ".join(done.err.split())
    assert not (tmp_path / "squall.yaml").exists()


def shorter(text: str) -> str:
    """The same scenario with shorter phases and more haste, for the time that a test has."""
    for long, short in (
        ("ramp: ", "ramp: 500ms"),
        ("warmup: ", "warmup: 500ms"),
        ("baseline: ", "baseline: 3s"),
        ("recovery: ", "recovery: 3s"),
        ("    for: ", "    for: 1s"),
        ("    pace: ", "    pace: 4/s"),
    ):
        text = re.sub(rf"{long}[\w/]+", short, text)
    return re.sub(r"^  (latency_\w+|recovery): .*\n", "", text, flags=re.MULTILINE)


def test_a_server_that_nobody_here_wrote_gets_a_scenario_that_runs(
    tmp_path: Path, everything: Everything
) -> None:
    """server-everything, over HTTP: read, tried, written, and run to a verdict."""
    done = init(tmp_path, "--target", everything.url)
    assert done.code == 0, done.all
    calls = calls_of(written(tmp_path))
    assert calls["echo"].expect.carries == "nonce"
    assert calls["get-sum"].arguments == {"a": 1, "b": 1}
    text = (tmp_path / "squall.yaml").read_text(encoding="utf-8")
    (tmp_path / "short.yaml").write_text(shorter(text), encoding="utf-8")
    ran = ended(command.start("run", "short.yaml", "--quiet", cwd=tmp_path))
    verdict = command.verdict_of(command.folder_of(tmp_path / "runs"))
    assert ran.code in {0, 1, 3}, ran.all  # it ran, and nothing is left broken
    assert verdict["calls"]["ok"] > 0
    assert verdict["calls"]["wrong"] == 0  # what was learned is what comes back
    assert len(verdict["faults"]) == 3
    if all(one["ruling"] == "pass" for one in verdict["soundness"]):  # the machine had time for it
        command.assert_passed(ran.code, verdict)


@pytest.mark.skipif(bool(lacking("fastmcp")), reason=lacking("fastmcp"))
def test_a_framework_that_is_not_ours_gets_a_scenario_too(tmp_path: Path) -> None:
    """Fastmcp annotates nothing: nothing is called unasked, and all of it where that is allowed."""
    lay_out(tmp_path)
    launch = f"{FASTMCP} desk.py"
    careful = init(tmp_path, "--launch", launch)
    assert careful.code == 0, careful.all
    scenario = written(tmp_path)
    assert [getattr(step, "method", "") for step in scenario.agents[0].steps] == ["tools/list"]
    text = (tmp_path / "squall.yaml").read_text(encoding="utf-8")
    assert re.search(r"^# - tools? .*open_case.*: not annotated", text, re.MULTILINE)
    bold = init(tmp_path, "--launch", launch, "--allow-effects", "--out", "bold.yaml")
    assert bold.code == 0, bold.all
    calls = calls_of(written(tmp_path, "bold.yaml"))
    assert calls["open_case"].expect.carries == "nonce"
    assert calls["opening_hours"].expect.rows == ">= 1"


@pytest.mark.parametrize(
    ("manner", "said", "told"),
    [
        (
            "chats",
            "what is no message: INFO somebody asks",
            "Its standard output also holds what is no message",
        ),
        ("mumbles", "so a run of it shows little: tools/list", "list not read: tools/list"),
    ],
)
def test_what_is_odd_about_a_server_is_told_and_the_file_is_written(
    manner: str, said: str, told: str, tmp_path: Path
) -> None:
    """On the screen and in the file, which is a scenario all the same."""
    server = command.ROOT / "tests" / "discovery" / "blunt.py"
    done = init(tmp_path, "--stdio", f"{sys.executable} {server} {manner}")
    assert done.code == 0, done.all
    assert said in done.all
    text = (tmp_path / "squall.yaml").read_text(encoding="utf-8")
    assert told in " ".join(text.replace("#", " ").split())
    assert set(calls_of(written(tmp_path))) == ({"echo"} if manner == "chats" else set())
