"""One trial: start a faulted run, kill it at a moment, see how long it takes until all is whole."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psutil

from harness import journal, wal
from harness.cli.conclusion import read
from harness.errors import Exit, JournalError
from harness.journal import RunEntry
from harness.judge import judge
from tests import command

# The first two are started by squall: our own, or Shopify's where it is on the path.
Server = Literal["embedded", "path", "ours", "original"]
Victim = Literal["squall", "group"]

CLEAN_S: Final = 5.0  # what is promised
GIVE_UP_S: Final = 15.0
LIFE_S: Final = 12.0  # of an undisturbed run on a slow machine, from start to verdict
MARK: Final = "SQUALL_TRIAL"
ORIGINAL: Final = os.environ.get("SQUALL_TOXIPROXY_SERVER")

STORM: Final = """\
question: Is everything whole after squall was killed?
seed: 7
target: {reference: hardened}
auth: {issuer: embedded}
agents:
  - name: researcher
    pace: 8/s
    steps:
      - call: search
        with: {query: "${nonce}", limit: 5}
        expect: {rows: ">= 1", carries: nonce}
load: {sessions: 6, ramp: 200ms, treated: 50%}
phases: {warmup: 100ms, baseline: 3s, recovery: 1s}
faults:
  - tcp-latency: {delay: 60ms, jitter: 5ms}
    for: 1500ms
  - tcp-down: {}
    for: 700ms
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start, and when to kill what of it."""

    server: Server
    workers: int
    victim: Victim
    after_s: float  # from the start, or from the moment when `intent` was written down
    intent: str = ""  # a way of undoing: the kill comes while what it undoes is being done


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was left, and for how long."""

    clean_s: float  # from the kill until nothing was left
    left: tuple[str, ...]  # what never went
    had_ended: bool  # the kill came after the end
    toxics: int  # in force when the kill came
    proxies: int
    reached: str  # how far the run had come


@contextmanager
def external(server: Server, folder: Path) -> Iterator[str]:
    """The address of a Toxiproxy server that outlives squall; "" when squall starts its own."""
    if server in {"embedded", "path"}:
        yield ""
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    if server == "original":
        assert ORIGINAL is not None
        argv = [ORIGINAL, "-host", "127.0.0.1", "-port", str(port)]
    else:
        argv = [sys.executable, "-m", "faults.toxiproxy", "--port", str(port)]
    env = {**os.environ, "PYTHONPATH": str(command.ROOT)}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_s = time.monotonic() + command.COMMAND_S
        while not _answers(url):
            assert time.monotonic() < until_s, (folder / "server.log").read_text()
            time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.wait()


def proxies_on(url: str) -> dict[str, Any]:
    """The proxies there, with their toxics."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/proxies", timeout=5) as reply:
        found: dict[str, Any] = json.loads(reply.read())
    return found


def _answers(url: str) -> bool:
    try:
        proxies_on(url)
    except (OSError, urllib.error.URLError):
        return False
    return True


def start(folder: Path, plan: Plan, url: str, mark: str) -> subprocess.Popen[str]:
    """Start the run of a trial."""
    (folder / "storm.yaml").write_text(STORM, encoding="utf-8")
    words = ["run", "storm.yaml", "--quiet", "--workers", str(plan.workers)]
    words += ["--toxiproxy", url] if url else []
    env = {MARK: mark}
    if plan.server == "path":
        assert ORIGINAL is not None
        (folder / "bin").mkdir()
        (folder / "bin" / "toxiproxy-server").symlink_to(Path(ORIGINAL).resolve())
        env["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return command.start(*words, cwd=folder, env=env)


def run(folder: Path, plan: Plan) -> Result:
    """Make one trial in an empty folder."""
    mark = secrets.token_hex(8)
    with external(plan.server, folder) as url:
        process = start(folder, plan, url, mark)
        if plan.intent:
            await_intent(process, folder, plan.intent)
        time.sleep(plan.after_s)
        had_ended = process.poll() is not None
        # To look takes longer than what is aimed at, so then it is looked right after the kill.
        seen = None if plan.intent else look(mark, url)
        kill(process, plan.victim)
        killed_s = time.monotonic()
        ports, before = seen or look(mark, url)
        process.communicate()  # reaps it
        while left := remains(folder, url, mark, ports):
            if time.monotonic() - killed_s > GIVE_UP_S:
                break
            time.sleep(0.02)
        clean_s = time.monotonic() - killed_s
        left += judged_wrongly(folder)
    for one in marked(mark):
        one.kill()
    return Result(
        clean_s=clean_s,
        left=tuple(left),
        had_ended=had_ended,
        toxics=sum(len(proxy["toxics"]) for proxy in before.values()),
        proxies=len(before),
        reached=reached(folder),
    )


def look(mark: str, url: str) -> tuple[list[int], dict[str, Any]]:
    """The ports on which the run's processes listen, and the proxies on the server."""
    proxies = proxies_on(url) if url else {}
    return listening(marked(mark)), proxies


def kill(process: subprocess.Popen[str], victim: Victim) -> None:
    """Kill squall, or all of its group."""
    if victim == "group":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def await_intent(process: subprocess.Popen[str], folder: Path, intent: str) -> None:
    """Return at once when a run has written down that it is about to do something."""
    sought = f'"undo":"{intent}"'.encode()
    while process.poll() is None:
        for file in folder.glob(f"runs/*/{wal.FILE}"):
            if sought in file.read_bytes():
                return
        time.sleep(0.001)


def marked(mark: str) -> list[psutil.Process]:
    """Every process that descends from the trial's run, wherever it has gone since."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get(MARK) == mark and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.Error:
            continue
    return found


def listening(processes: Sequence[psutil.Process]) -> list[int]:
    """The ports on which they listen."""
    ports = []
    for one in processes:
        with suppress(psutil.Error):
            ports += [
                held.laddr.port
                for held in one.net_connections("tcp")
                if held.status == psutil.CONN_LISTEN
            ]
    return ports


def remains(folder: Path, url: str, mark: str, ports: Sequence[int]) -> list[str]:
    """Everything that is still there of a run that was killed."""
    left = [f"process {one.pid} {_words(one)}" for one in marked(mark)]
    if url:
        left += [f"proxy {name}" for name in proxies_on(url)]
    for port in ports:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                left.append(f"port {port}")
    left += [
        f"{record.parent.name}: its record is open"
        for record in folder.glob(f"runs/*/{wal.FILE}")
        if not wal.read(record.parent).closed_by or wal.is_held(record.parent)
    ]
    return left


def judged_wrongly(folder: Path) -> list[str]:
    """What is wrong with how the journal up to the death reads and is judged."""
    wrong = []
    for each in folder.glob("runs/*"):
        try:
            evidence, facts = read(each)
        except JournalError as error:  # killed before there was a journal, which is said
            if (each / journal.JOURNAL).exists():
                wrong.append(f"the journal cannot be read: {error}")
            continue
        judgement = judge(evidence, name=str(facts["scenario"]))
        ended = any(one.edge == "ended" for one in evidence.journal.of(RunEntry))
        if not ended and judgement.exit_code != Exit.UNKNOWN:
            wrong.append(f"a run that broke off is judged {judgement.headline}")
        if judgement.exit_code == Exit.NOT_HEALED:
            wrong.append(judgement.headline)
    return wrong


def reached(folder: Path) -> str:
    """How far a run had come: the last thing that its journal says of it."""
    for each in folder.glob("runs/*"):
        if not (each / journal.JOURNAL).exists():
            return "set-up"
        record = journal.read(each)
        told = [
            f"{one.window}:{one.edge}" if hasattr(one, "window") else one.edge
            for one in record.entries
            if one.type in ("fault", "run")
        ]
        return told[-1] if told else "journal"
    return "start"


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:120]
    except psutil.Error:
        return "?"
