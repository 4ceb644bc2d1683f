"""Squall's own command as processes: each bounded in time, and ended with all it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

STOP_LIMIT_S: Final = 20.0  # from Ctrl-C to healed and clean
_REFUSED: Final = 130
# What a pipeline is told in a summary is the whole command's, not that of each run it makes.
_OURS: Final = frozenset({"GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"})


class Invocations:
    """Runs commands, from several threads if need be; `stop` ends those that are under way."""

    def __init__(self) -> None:
        """Nothing is under way yet."""
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self.stopped = False

    def run(self, words: Sequence[str], output: int, *, limit_s: float) -> int:
        """Run `squall WORDS` with both streams into a file; give its exit code.

        One that takes longer than `limit_s` is interrupted as by Ctrl-C, and so is one whose
        waiting thread is interrupted; it heals what it broke before that goes on.
        """
        with self._guard:
            if self.stopped:
                return _REFUSED
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={name: value for name, value in os.environ.items() if name not in _OURS},
                start_new_session=True,
            )
            self._running.add(process)
        with process:
            try:
                return process.wait(limit_s)
            except subprocess.TimeoutExpired:
                return _end(process)
            except BaseException:
                _end(process)
                raise
            finally:
                with self._guard:
                    self._running.discard(process)

    def stop(self) -> None:
        """Let no further command begin, and ask those under way to end."""
        with self._guard:
            self.stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)


def _end(process: subprocess.Popen[bytes]) -> int:
    for end in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, end)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(STOP_LIMIT_S)
    return process.wait(STOP_LIMIT_S)
