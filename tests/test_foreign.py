"""Against a server that nobody here wrote: the protocol's own server-everything, on Node."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from harness import journal
from harness.journal import SaidEntry
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(90)]

EVERYTHING: Final = os.environ.get("SQUALL_EVERYTHING", "")
SCENARIOS: Final = command.ROOT / "scenarios"
UP_S: Final = 20
ASKED: Final = """\
question: Are agents that are asked back served by a server that nobody here wrote?
client:
  listen: true
  answers:
    sampling: {text: "in short: ${asked}"}
    elicitation: accept
    roots: ["file:///srv/${session}"]
agents:
  - name: asked
    pace: 4/s
    steps:
      - call: trigger-sampling-request
        with: {prompt: "tell me of ${nonce}", maxTokens: 20}
        expect: {carries: nonce}
      - call: trigger-elicitation-request
        expect: {contains: accept}
      - call: get-roots-list
        expect: {carries: session}
      - call: trigger-long-running-operation
        with: {duration: 0.2, steps: 2}
        expect: {progress: "== 2"}
      - call: simulate-research-query
        with: {topic: "${nonce}"}
        task: true
        deadline: 30s
        expect: {carries: nonce}
      - subscribe: demo://resource/dynamic/text/1
      - call: toggle-subscriber-updates
      - unsubscribe: demo://resource/dynamic/text/1
load: {sessions: 2, ramp: 0s}
phases: {warmup: 0s, baseline: 4s}
limits: {answered: ">= 99%"}
"""


class Everything:
    """The server on a port of its own, which can be restarted on it."""

    def __init__(self, mode: str = "streamableHttp") -> None:
        """Take a port; nothing runs yet."""
        self.mode = mode
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        path = "sse" if mode == "sse" else "mcp"
        self.url = f"http://127.0.0.1:{self.port}/{path}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            ["node", EVERYTHING, self.mode],
            env={**os.environ, "PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + UP_S
        while time.monotonic() < until:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"server-everything did not listen within {UP_S} s")

    def stop(self) -> None:
        """Kill it, sessions and all."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def everything(request: pytest.FixtureRequest) -> Iterator[Everything]:
    """The server, up, in the mode that a test names."""
    if not Path(EVERYTHING).is_file() or shutil.which("node") is None:
        pytest.skip("NO FOREIGN SERVER: set SQUALL_EVERYTHING to server-everything's dist/index.js")
    server = Everything(getattr(request, "param", "streamableHttp"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def shortened(name: str, folder: Path, changes: dict[str, str]) -> str:
    """A shipped scenario with shorter phases, for the time that a test has."""
    text = (SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8")
    for long, short in changes.items():
        assert text.count(long) == 1, (long, text)
        text = text.replace(long, short)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return f"{name}.yaml"


def test_a_healthy_foreign_server_passes(tmp_path: Path, everything: Everything) -> None:
    """Every echo comes back to whom it belongs; exit 0."""
    changes = {
        "warmup: 3s, baseline: 20s": "warmup: 1s, baseline: 7s",
        "ramp: 2s": "ramp: 1s",
        "pace: 2/s": "pace: 10/s",  # as many calls as the limit on p99 needs
    }
    file = shortened("steady_echo", tmp_path, changes)
    done = command.squall("run", file, "--target", everything.url, cwd=tmp_path)
    verdict = command.verdict_of(command.folder_of(tmp_path / "runs"))
    command.assert_passed(done.code, verdict)
    assert verdict["calls"]["ok"] > 200
    assert verdict["sessions"]["survived"] == 20


def test_a_restart_shows_400_where_404_is_due(tmp_path: Path, everything: Everything) -> None:
    """The sessions are lost for good, since nobody tells them to begin anew; exit 1."""
    changes = {
        "warmup: 2s, baseline: 8s, recovery: 14s": "warmup: 500ms, baseline: 4s, recovery: 6s",
        "ramp: 2s": "ramp: 1s",
        "for: 8s": "for: 5s",
        'recovery: "<= 10s"': 'recovery: "<= 5s"',
    }
    file = shortened("sessions_die", tmp_path, changes)
    process = command.start("run", file, "--target", everything.url, cwd=tmp_path)
    command.await_line(process, "1:tcp-down")
    everything.stop()
    everything.start()
    done = command.finish(process)
    verdict = command.verdict_of(command.folder_of(tmp_path / "runs"))
    assert done.code == 1, done.all
    failed = {one["verdict"]: one for one in verdict["findings"] if one["ruling"] == "fail"}
    assert "wrong-status" in failed
    assert "400" in failed["wrong-status"]["why"]
    assert failed["wrong-status"]["evidence"]
    assert verdict["sessions"]["lost"] > 0


@pytest.mark.parametrize("everything", ["sse"], indirect=True)
def test_a_foreign_server_of_the_old_transport_is_found_and_passes(
    tmp_path: Path, everything: Everything
) -> None:
    """Nobody says which transport: its refusal of the POST and its stream's endpoint do."""
    changes = {
        "warmup: 3s, baseline: 20s": "warmup: 1s, baseline: 5s",
        "ramp: 2s": "ramp: 1s",
        "pace: 2/s": "pace: 10/s",
    }
    file = shortened("steady_echo", tmp_path, changes)
    done = command.squall("run", file, "--target", everything.url, cwd=tmp_path)
    run = command.folder_of(tmp_path / "runs")
    verdict = command.verdict_of(run)
    command.assert_passed(done.code, verdict)
    assert '"transport": "HTTP+SSE"' in (run / "facts.json").read_text(encoding="utf-8")
    assert verdict["calls"]["ok"] > 200
    assert verdict["sessions"]["lost"] == 0


@pytest.mark.parametrize("everything", ["streamableHttp", "sse"], indirect=True)
def test_a_foreign_server_is_answered_when_it_asks_back(
    tmp_path: Path, everything: Everything
) -> None:
    """Sampling, forms, roots, progress, tasks and subscriptions, as another SDK has them."""
    (tmp_path / "asked.yaml").write_text(ASKED, encoding="utf-8")
    command.squall("run", "asked.yaml", "--target", everything.url, cwd=tmp_path)
    folder = command.folder_of(tmp_path / "runs")
    calls = command.verdict_of(folder)["calls"]
    assert calls["ok"] == sum(calls.values()) >= 16, calls
    told: Counter[str] = Counter()
    for entry in journal.read(folder).of(SaidEntry):
        told.update(entry.counts)
    for name in ("sampling:answered", "elicitation:accepted", "roots:answered"):
        assert told[f"asked:{name}"] >= 2, told
    assert told["tasks:completed"] >= 2
    assert told["heard:progress"] >= 4
