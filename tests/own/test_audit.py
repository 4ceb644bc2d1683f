"""A target whose ledger squall cannot read counts its own effects, and is held to its count."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import pytest

from harness import journal
from harness.journal import AuditEntry
from tests import command
from tests.gameday import playing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

AUDITED: Final = """\
question: Does every note exist exactly once, by the server's own count?
seed: 3
target:
  launch: [{python}, -m, tests.own.server, --port, "${{port}}"{flaw}]
  url: "http://127.0.0.1:${{port}}/mcp"
  environment: {{PYTHONPATH: {root}}}
agents:
  - name: writer
    pace: 10/s
    steps:
      - call: write
        with: {{text: "${{nonce}}", idempotency_key: "${{nonce}}"}}
        expect: {{carries: nonce}}
        effect: once
client: {{retry: {{attempts: 3}}}}
audit: {{call: {tool}, counts: count}}
load: {{sessions: 6, ramp: 500ms}}
phases: {{warmup: 500ms, baseline: 4s, recovery: 2s}}
faults:
  - response-lost: {{share: 50%}}
    for: 3s
"""


def run(folder: Path, *, flaw: str = "", tool: str = "count") -> tuple[int, dict[str, Any], Path]:
    """Run the scenario on the server: exit code, verdict, run folder."""
    text = AUDITED.format(
        python=sys.executable,
        root=command.ROOT,
        flaw=f", --flaw, {flaw}" if flaw else "",
        tool=tool,
    )
    (folder / "audited.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "audited.yaml", "--quiet", cwd=folder)
    found = command.folder_of(folder / "runs")
    return done.code, command.verdict_of(found), found


def failed(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The findings that failed, by name."""
    return {one["verdict"]: one for one in verdict["findings"] if one["ruling"] == "fail"}


def test_a_server_that_writes_once_passes_its_own_audit(tmp_path: Path) -> None:
    """Replies are lost and calls repeated, and the count is that of the calls."""
    code, verdict, folder = run(tmp_path)
    command.assert_passed(code, verdict)
    (found,) = (one for one in verdict["findings"] if one["verdict"] == "double-exec")
    assert found["ruling"] == "pass"
    asked = journal.read(folder).of(AuditEntry)
    assert [one.edge for one in asked] == ["before", "baseline", "after"]
    assert asked[0].count == 0
    counts = [one.count for one in asked]
    assert None not in counts
    assert 0 < (counts[1] or 0) < (counts[2] or 0)


def test_a_server_that_forgets_keys_is_convicted_by_its_own_count(tmp_path: Path) -> None:
    """Each repeat of a call whose reply was lost is written again."""
    code, verdict, _ = run(tmp_path, flaw="forgets-key")
    assert code == 1
    assert set(failed(verdict)) == {"double-exec"}
    doubled = failed(verdict)["double-exec"]
    assert doubled["fault"] == "1:response-lost"
    assert doubled["evidence"]


def test_an_audit_by_a_tool_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Before any load, with the tools that there are."""
    text = AUDITED.format(python=sys.executable, root=command.ROOT, flaw="", tool="counting")
    (tmp_path / "audited.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "audited.yaml", "--quiet", cwd=tmp_path)
    assert done.code == 2
    assert "'counting', which" in done.err
    assert "it offers: write, count" in done.err


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_day_blames_the_fault_under_which_the_count_went_wrong(tmp_path: Path, era: str) -> None:
    """Faults by hand: the target is asked between them too, and the record shows what it said."""
    text = AUDITED.format(
        python=sys.executable, root=command.ROOT, flaw=", --flaw, forgets-key", tool="count"
    )
    text = text[: text.index("faults:")] + 'limits: {answered: ">= 50%"}\n'
    for was, now in (("seed: 3\n", f"seed: 3\nera: {era}\n"), ("recovery: 2s", "recovery: 1s")):
        text = text.replace(was, now)
    lost = playing.ORDER | {"kind": "response-lost", "parameters": {"share": "50%"}}
    with playing.day(tmp_path, text=text) as (process, operator, _), playing.Page(operator) as page:
        for number, order in enumerate((playing.ORDER, lost), start=1):
            page.until(lambda now: bool(now["can_start"]))
            assert page.ask("start", order | {"for": "2s"}).is_success
            page.until(playing.fault_is(number, "healed"))
        page.until(lambda now: bool(now["can_start"]))
        assert page.ask("end").is_success
        playing.ended(process)
    folder = command.folder_of(tmp_path / "runs")
    asked = journal.read(folder).of(AuditEntry)
    edges = [(one.edge, one.window) for one in asked]
    assert edges == [("before", 0), ("baseline", 0), ("recovery", 1), ("recovery", 2), ("after", 0)]
    verdict = command.verdict_of(folder)
    assert verdict["era"] == era
    assert failed(verdict)["double-exec"]["fault"] == "2:response-lost"
    record = (folder / "record.md").read_text(encoding="utf-8")
    assert "- audit: " in record
    assert f"the target counts {asked[-1].count:,} effects; asked after the load" in record
    assert record.count("asked at the end of the fault's recovery") == 2
