"""One seed of the self-test is played beside all other tests: most of a run is waiting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 2700.0
LOOK_S: Final = 0.5
JOBS: Final = 5
LAST: Final = "test_matrix.py"
# Starts a command and leaves: nobody's child but the system's, in a session of its own.
_APART: Final = """
import subprocess, sys
from pathlib import Path

folder, *words = sys.argv[1:]
with Path(folder, "output.txt").open("wb") as output:
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )
Path(folder, "pid").write_text(str(process.pid))
"""


class Matrix:
    """A self-test in a process of its own, and what it has said so far."""

    def __init__(self, folder: Path) -> None:
        """Nothing is begun yet; its files go into `folder`."""
        self._folder = folder
        self._told = folder / "results.jsonl"
        self._pid = folder / "pid"
        self._began = 0.0

    def begin(self) -> None:
        """Start it, once: not as a child, for other tests look for children left behind."""
        if self._began:
            return
        self._began = time.monotonic()
        words = [sys.executable, "-m", "harness", "selftest", "--jobs", str(JOBS)]
        words += ["--out", str(self._folder / "runs"), "--json", str(self._told)]
        subprocess.run(
            [sys.executable, "-c", _APART, str(self._folder), *words],
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
            output = (self._folder / "output.txt").read_text(encoding="utf-8", errors="replace")
            assert running, f"the self-test ended without {name}:\n{output[-2000:]}"
            assert time.monotonic() < self._began + LIMIT_S, f"{name} took too long"
            time.sleep(LOOK_S)

    def end(self) -> None:
        """End it, and the runs that it has under way, if it has not ended by itself."""
        if not self._began:
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

    def _running(self) -> bool:
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
    matrix = Matrix(factory.mktemp("selftest"))
    session.config.stash[_MATRIX] = matrix
    asked = [item for item in session.items if item.path.name == LAST]
    if not session.config.option.collectonly and len(asked) > 1:
        matrix.begin()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing running, however the tests ended."""
    matrix = session.config.stash.get(_MATRIX, None)
    if matrix is not None:
        matrix.end()


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> Matrix:
    """The self-test that was begun with the first test."""
    return request.config.stash[_MATRIX]
