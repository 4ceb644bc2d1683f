"""A user's own server and its real database, with squall's proxy between the two."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal

from harness.rig.databases.database import Database
from harness.rig.databases.serving import serve
from tests import command
from tests.crashes import trial
from tests.rig.databases.installed import need

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(150)]

OWN: Final = """\
question: Does every note exist exactly once, though the database goes away?
seed: 4
target:
  launch: [{python}, -m, tests.own.server, --port, "${{port}}"]
  url: "http://127.0.0.1:${{port}}/mcp"
  environment: {{PYTHONPATH: {root}}}
  ready: 60s
dependencies: {dependencies}
agents:
  - name: writer
    pace: 6/s
    steps:
      - call: write
        with: {{text: "${{nonce}}", idempotency_key: "${{nonce}}"}}
        expect: {{carries: nonce}}
        effect: once
audit: {{call: count}}
load: {{sessions: 6, ramp: 500ms}}
phases: {{warmup: 500ms, baseline: 4s, recovery: 4s}}
faults:
  - dep-down:
    for: 3s
"""


@pytest.fixture
def database() -> Iterator[Database]:
    """A PostgreSQL that runs already, as a user has one."""
    need("postgres")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve("postgres")) as up,
    ):
        yield up


def run(folder: Path, dependencies: str, **environment: str) -> tuple[int, dict[str, Any], Path]:
    """Run the scenario: exit code, verdict, run folder."""
    text = OWN.format(python=sys.executable, root=command.ROOT, dependencies=dependencies)
    text = text.replace("{call: count}", "{call: count, counts: count}")
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "own.yaml", "--quiet", cwd=folder, env=environment)
    assert (folder / "runs").is_dir(), done.all
    found = command.folder_of(folder / "runs")
    assert (found / "verdict.json").is_file(), done.all
    return done.code, command.verdict_of(found), found


def struck(verdict: dict[str, Any]) -> None:
    """The server lost its database, said so, and nothing was lost or doubled."""
    (fault,) = verdict["faults"]
    assert fault["bit"]
    assert fault["arm"] == "both"
    assert verdict["calls"]["tool_error"] > 0
    counted = {
        one["verdict"]: one["ruling"]
        for one in verdict["findings"]
        if one["source"] == "scenario: audit"
    }
    assert counted == {"double-exec": "pass", "wrong-answer": "pass"}


def test_an_upstream_is_struck_through_the_address_in_its_url(
    tmp_path: Path, database: Database
) -> None:
    """The server gets another address in its own URL, and its password is in no file of the run."""
    named = f"{{db: {{upstream: {database.host}:{database.port}, variable: DATABASE_URL}}}}"
    code, verdict, folder = run(tmp_path, named, DATABASE_URL=database.url)
    struck(verdict)
    command.assert_passed(code, verdict)
    password = urlsplit(database.url).password or ""
    assert len(password) > 20
    for file in folder.rglob("*"):
        assert not file.is_file() or password.encode() not in file.read_bytes(), file


def test_a_database_of_the_runs_own_is_struck_and_leaves_nothing(tmp_path: Path) -> None:
    """Started for the run and named to the server, it is gone with its folder when the run ends."""
    need("postgres")
    code, verdict, folder = run(tmp_path, "{db: {postgres: {}, variable: DATABASE_URL}}")
    struck(verdict)
    command.assert_passed(code, verdict)
    log = (folder / "logs" / "db.log").read_text(encoding="utf-8")
    assert "database system is shut down" in log
    record = (folder / "faults.wal").read_text(encoding="utf-8")
    assert "remove_folder" in record
    left = record.split('"folder":"')[1].split('"')[0]
    assert not Path(left).exists()


LATE: Final = """\
question: Are connections to the database given back, though it is late?
seed: 4
target:
  launch: [{python}, -m, tests.own.server, --port, "${{port}}"{flaw}]
  url: "http://127.0.0.1:${{port}}/mcp"
  environment: {{PYTHONPATH: {root}}}
  ready: 60s
dependencies: {{db: {{postgres: {{connections: 400}}, variable: DATABASE_URL}}}}
agents:
  - name: writer
    pace: 2/s
    steps: [{{call: write, with: {{text: "${{nonce}}"}}}}]
load: {{sessions: 10, ramp: 500ms}}
phases: {{warmup: 500ms, baseline: 5s, recovery: 7s}}
faults:
  - dep-latency: {{delay: 280ms}}
    for: 7s
"""


SERVERS: Final = (
    "ours",
    pytest.param(
        "original",
        marks=pytest.mark.skipif(
            trial.ORIGINAL is None,
            reason="NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary",
        ),
    ),
)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("flaw", "ruling"), [("", "pass"), (", --flaw, keeps-connection", "fail")])
def test_connections_to_a_database_that_never_come_back_are_found(
    tmp_path: Path, flaw: str, ruling: str, server: trial.Server
) -> None:
    """By the proxy or, where that is Shopify's, by the system: one kept for each failure is found.

    A pool that gives back is clean.
    """
    need("postgres")
    text = LATE.format(python=sys.executable, root=command.ROOT, flaw=flaw)
    (tmp_path / "late.yaml").write_text(text, encoding="utf-8")
    with trial.external(server, tmp_path) as url:
        done = command.squall("run", "late.yaml", "--quiet", "--toxiproxy", url, cwd=tmp_path)
    verdict = command.verdict_of(command.folder_of(tmp_path / "runs"))
    (found,) = [one for one in verdict["findings"] if one["verdict"] == "leak-conn"]
    assert found["ruling"] == ruling, (done.all, found)
    if flaw:
        assert found["fault"] == "1:dep-latency"
        assert found["observed"] > found["limit"]
        counter = "the proxy before it" if server == "ours" else "the system"
        assert counter in found["evidence"][0]


def test_a_url_that_names_another_address_is_refused(tmp_path: Path) -> None:
    """Exit 2, with the variable's name and the mend, and not its value."""
    text = OWN.format(
        python=sys.executable,
        root=command.ROOT,
        dependencies="{db: {upstream: 127.0.0.1:5999, variable: DATABASE_URL}}",
    )
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    url = "postgresql://somebody:hidden-word@127.0.0.1:5998/notes"
    done = command.squall("run", "own.yaml", "--quiet", cwd=tmp_path, env={"DATABASE_URL": url})
    assert done.code == 2
    assert "DATABASE_URL" in done.err
    assert "127.0.0.1:5999" in done.err
    assert "hidden-word" not in done.all
