"""Whole runs over every kind of socket that a server may listen on."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
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
  - tcp-reset: {after: 100ms}
    for: 2s
"""
LATENCY = """\
  - tcp-latency: {delay: 60ms, jitter: 5ms}
    for: 2s
"""


def launched(*words: str) -> str:
    """The command that starts the server."""
    return " ".join((sys.executable, "-m", "tests.echo_server", *words))


def passes(folder: Path, *words: str) -> Path:
    """Run a scenario that has to pass, with resets that struck; its folder."""
    done = command.squall("run", *words, cwd=folder)
    assert done.code in {0, 3}, done.all
    run = command.folder_of(folder / "runs")
    verdict = command.verdict_of(run)
    command.assert_passed(done.code, verdict)
    assert verdict["calls"]["ok"] > 100
    reset = next(one for one in verdict["faults"] if one["kind"] == "tcp-reset")
    assert not reset["exposure"].startswith("0 "), reset
    return run


def test_a_storm_over_tls_passes_and_its_faults_bite(tmp_path: Path) -> None:
    """The faults are byte level: below TLS, on the embedded proxy; two workers get the paths."""
    papers = Papers(tmp_path)
    port = free_port()
    target = {"url": f"https://localhost:{port}/mcp", "tls": {"ca": papers.ca}}
    papers_words = ("--certificate", papers.certificate, "--key", papers.key)
    target |= {"launch": launched("--port", str(port), *papers_words).split()}
    text = STORM + LATENCY + f"target: {json.dumps(target)}\n"
    (tmp_path / "tls.yaml").write_text(text, encoding="utf-8")
    passes(tmp_path, "tls.yaml", "--workers", "2")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_storm_on_ipv6_passes(tmp_path: Path) -> None:
    """Brackets in the URL and the Host, none in the address; launched there, too."""
    (tmp_path / "six.yaml").write_text(STORM, encoding="utf-8")
    launch = launched("--host", "::1", "--port", "${port}")
    url = "http://[::1]:${port}/mcp"
    run = passes(tmp_path, "six.yaml", "--target", url, "--launch", launch)
    facts = json.loads((run / "facts.json").read_text(encoding="utf-8"))
    assert facts["target"].startswith("http://[::1]:")


def test_a_storm_on_a_unix_socket_passes(tmp_path: Path) -> None:
    """The proxy of squall dials it, so that the network's faults strike there as well."""
    with tempfile.TemporaryDirectory() as short:  # a socket's path has room for 100 characters
        path = f"{short}/mcp.sock"
        (tmp_path / "unix.yaml").write_text(STORM, encoding="utf-8")
        words = ("--target", "http://localhost/mcp", "--socket", path)
        passes(tmp_path, "unix.yaml", *words, "--launch", launched("--socket", path))
        (tmp_path / "again").mkdir()
        (tmp_path / "again" / "unix.yaml").write_text(STORM, encoding="utf-8")
        done = command.squall("run", "unix.yaml", *words, cwd=tmp_path / "again")
    assert done.code == 2
    assert path in done.err


def test_a_storm_over_http_and_sse_passes(tmp_path: Path) -> None:
    """On the hardened server, tokens and all; the sessions that a reset costs are opened anew."""
    text = STORM.replace("call: echo", "call: search").replace("{text:", "{query:")
    faults = """\
  - client-vanish:
    for: 1s
  - response-lost:
    for: 1s
  - token-expire: {ttl: 2s}
    for: 3s
"""
    target = "target: {reference: hardened, transport: sse}\n"
    (tmp_path / "sse.yaml").write_text(text + faults + target, encoding="utf-8")
    run = passes(tmp_path, "sse.yaml")
    facts = json.loads((run / "facts.json").read_text(encoding="utf-8"))
    assert facts["transport"] == "HTTP+SSE"
    verdict = command.verdict_of(run)
    assert verdict["sessions"]["reopened"] > 0
    assert verdict["sessions"]["lost"] == 0
