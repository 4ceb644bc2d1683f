"""Whole runs over every kind of socket that a server may listen on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests import command
from tests.echo_server import Papers
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

STORM = """\
question: Does a run work over this transport?
agents:
  - name: talker
    pace: 10/s
    steps:
      - call: echo
        with: {text: "${nonce}"}
        expect: {carries: nonce}
client: {retry: {attempts: 3}}
load: {sessions: 8, ramp: 500ms, treated: 50%}
phases: {warmup: 500ms, baseline: 3s, recovery: 2s}
faults:
  - tcp-latency: {delay: 60ms, jitter: 5ms}
    for: 2s
  - tcp-reset: {after: 100ms}
    for: 2s
"""


def launched(*words: str) -> str:
    """The command that starts the server."""
    return " ".join((sys.executable, "-m", "tests.echo_server", *words))


def test_a_storm_over_tls_passes_and_its_faults_bite(tmp_path: Path) -> None:
    """The faults are byte level: below TLS, on the embedded proxy; two workers get the paths."""
    papers = Papers(tmp_path)
    port = free_port()
    target = {"url": f"https://localhost:{port}/mcp", "tls": {"ca": papers.ca}}
    papers_words = ("--certificate", papers.certificate, "--key", papers.key)
    target |= {"launch": launched("--port", str(port), *papers_words).split()}
    text = STORM + f"target: {json.dumps(target)}\n"
    (tmp_path / "tls.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "tls.yaml", "--workers", "2", cwd=tmp_path)
    folder = command.folder_of(tmp_path / "runs")
    verdict = command.verdict_of(folder)
    command.assert_passed(done.code, verdict)
    assert verdict["calls"]["ok"] > 100
    reset = next(one for one in verdict["faults"] if one["kind"] == "tcp-reset")
    assert not reset["exposure"].startswith("0 "), reset
