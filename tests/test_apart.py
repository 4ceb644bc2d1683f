"""Every part was started by somebody else: squall finds the target's issuer by itself."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio.to_thread import run_sync

from harness.rig.ledger import read
from harness.rig.process import child
from harness.rig.server import READY
from harness.rig.toxiproxy.serving import serve
from tests import command

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SECRET: Final = "never-to-be-read-in-a-run"
CLIENT: Final = {"SQUALL_CLIENT_ID": "squall", "SQUALL_CLIENT_SECRET": SECRET}
STORM: Final = """\
question: Does squall get its tokens where the target says?
seed: 8
target: {url: "http://127.0.0.1:1/mcp"}
auth: {issuer: target}
agents:
  - name: writer
    pace: 8/s
    steps:
      - call: append_note
        with: {key: "${session}", text: "${nonce}", idempotency_key: "${nonce}"}
        expect: {carries: nonce}
load: {sessions: 6, ramp: 500ms, treated: 50%}
phases: {warmup: 500ms, baseline: 3s, recovery: 2s}
faults:
  - tcp-latency: {delay: 60ms, jitter: 5ms}
    for: 2s
limits: {answered: ">= 99%"}
"""


@asynccontextmanager
async def apart(folder: Path) -> AsyncIterator[str]:
    """An issuer that knows one client, and a server that trusts it; the server's URL."""
    issuer = [sys.executable, "-m", "harness.rig.issuer", "--client"]
    server = [sys.executable, "-m", "harness.reference", "--ledger", str(folder / "ledger.db")]
    async with (
        child(issuer, env={**os.environ, **CLIENT}, ready=READY, log=folder / "issuer.log") as one,
        child(
            [*server, "--issuer", one.ready_line.removeprefix(READY)],
            ready=READY,
            log=folder / "reference.log",
        ) as other,
    ):
        yield other.ready_line.removeprefix(READY)


async def test_a_storm_over_parts_that_others_started(tmp_path: Path) -> None:
    """Tokens from the target's own issuer, faults on a foreign proxy server, nothing left on it."""
    (tmp_path / "storm.yaml").write_text(STORM, encoding="utf-8")
    with anyio.fail_after(90):
        async with apart(tmp_path) as url, serve(url=None, log_dir=tmp_path) as proxies:
            words = ("run", "storm.yaml", "--target", url, "--toxiproxy", proxies.server.url)
            done = await run_sync(lambda: command.squall(*words, cwd=tmp_path, env=CLIENT))
            left = await proxies.proxies()
    assert done.code in {0, 3}, done.all
    folder = command.folder_of(tmp_path / "runs")
    verdict = command.verdict_of(folder)
    command.assert_passed(done.code, verdict)
    keys = [execution.key for execution in read(tmp_path / "ledger.db")]
    assert {execution.client for execution in read(tmp_path / "ledger.db")} == {"squall"}
    assert len(keys) == len(set(keys)) > 100
    assert left == {}
    seen = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert SECRET.encode() not in seen + done.all.encode()


async def test_a_wrong_secret_is_told_before_any_load(tmp_path: Path) -> None:
    """Exit 2, the issuer named, the secret not."""
    (tmp_path / "storm.yaml").write_text(STORM, encoding="utf-8")
    wrong = {**CLIENT, "SQUALL_CLIENT_SECRET": "another-secret"}
    with anyio.fail_after(60):
        async with apart(tmp_path) as url:
            words = ("run", "storm.yaml", "--target", url)
            done = await run_sync(lambda: command.squall(*words, cwd=tmp_path, env=wrong))
    assert done.code == 2, done.all
    assert "another-secret" not in done.all
    assert not read(tmp_path / "ledger.db")
