"""One seed of the self-test is played beside all other tests: most of a run is waiting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 2700.0
LOOK_S: Final = 0.5
STARTS_S: Final = 30.0
JOBS: Final = 5
LAST: Final = "test_matrix.py"
# Starts what stands after it and leaves: nobody's child but the system's, in a session of its own.
_APART: Final = """
import subprocess, sys

subprocess.Popen(
    sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    start_new_session=True,
)
"""
# Plays for as long as the tests last, however they end.
_BESIDE: Final = """
import os, signal, subprocess, sys, time
from pathlib import Path

folder, tests, *words = sys.argv[1:]
with Path(folder, "output.txt").open("wb") as output:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
Path(folder, "pid.new").write_text(str(process.pid))
Path(folder, "pid.new").rename(Path(folder, "pid"))
while process.poll() is None:
    try:
        os.kill(int(tests), 0)
    except ProcessLookupError:
        process.send_signal(signal.SIGINT)
        process.wait()
    time.sleep(.5)
"""


class Matrix:
    """A self-test in a process of its own, and what it has said so far.

    Tests that are spread over several processes share one, through its folder.
    """

    def __init__(self, folder: Path, *, tests: int) -> None:
        """Nothing is begun yet; it lasts no longer than the process `tests`."""
        self._folder, self._tests = folder, tests
        self._told = folder / "results.jsonl"
        self._pid = folder / "pid"
        self._began = 0.0

    def begin(self) -> None:
        """Start it, once: not as a child, for other tests look for children left behind."""
        if self._began:
            return
        self._began = time.monotonic()
        try:
            self._folder.mkdir()
        except FileExistsError:  # another process of these tests has begun it
            return
        words = [sys.executable, "-m", "harness", "selftest", "--jobs", str(JOBS)]
        words += ["--out", str(self._folder / "runs"), "--json", str(self._told)]
        beside = [sys.executable, "-c", _BESIDE, str(self._folder), str(self._tests), *words]
        subprocess.run(
            [sys.executable, "-c", _APART, *beside],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=60,
        )

    def result(self, name: str) -> dict[str, Any]:
        """Give a trial's result; waits for it."""
        self.begin()
        while True:
            running = self._running()
            for line in self._lines():
                if line["name"] == name:
                    return line
            assert running, f"the self-test ended without {name}:\n{self._output()[-2000:]}"
            assert time.monotonic() < self._began + LIMIT_S, f"{name} took too long"
            time.sleep(LOOK_S)

    def end(self) -> None:
        """End it, and the runs that it has under way, if it has not ended by itself."""
        if not self._began or not self._pid.exists():
            return
        with suppress(ProcessLookupError):
            os.kill(int(self._pid.read_text()), signal.SIGINT)
        until = time.monotonic() + 60
        while self._running() and time.monotonic() < until:
            time.sleep(LOOK_S)

    def _lines(self) -> list[dict[str, Any]]:
        if not self._told.exists():
            return []
        whole = self._told.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def _output(self) -> str:
        path = self._folder / "output.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _running(self) -> bool:
        """Tell whether it plays, or is about to."""
        if not self._pid.exists():
            return time.monotonic() < self._began + STARTS_S
        try:
            os.kill(int(self._pid.read_text()), 0)
        except ProcessLookupError:
            return False
        return True


_MATRIX: Final = pytest.StashKey[Matrix]()


@pytest.hookimpl(trylast=True)  # after the shuffling
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the matrix last: whoever asks for a result waits for it."""
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Begin with the first test where all of it is asked for."""
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    folder, tests = factory.getbasetemp(), os.getpid()
    if hasattr(session.config, "workerinput"):  # one of several processes, below the one of all
        folder, tests = folder.parent, os.getppid()
    matrix = Matrix(folder / "selftest", tests=tests)
    session.config.stash[_MATRIX] = matrix
    asked = [item for item in session.items if item.path.name == LAST]
    if not session.config.option.collectonly and len(asked) > 1:
        matrix.begin()


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> Iterator[Matrix]:
    """The self-test that was begun with the first test; nothing of it stays."""
    matrix = request.config.stash[_MATRIX]
    yield matrix
    matrix.end()
