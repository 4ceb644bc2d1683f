"""A real game day for tests: the command, and an operator's page that asks as the real one does."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from tests.command import STORM, Done, await_line, start

WAIT_S = 150.0  # a machine with ten times its work takes minutes to start everything
WITH_LIMIT = STORM.replace("limits: {", "limits: {latency_p99: '<= 5s', ")
ORDER = {
    "who": "Ana",
    "kind": "tcp-latency",
    "parameters": {"delay": "150ms", "jitter": "5ms"},
    "for": "3s",
    "hypothesis": {"expected": "calls slow down by 300 ms", "stop_when": "half of them fail"},
}


class Page:
    """An operator's page: it listens, says that it is there, and asks."""

    def __init__(self, link: str) -> None:
        self.base, _, self.key = link.partition("/#key=")
        self.headers = {"authorization": f"Bearer {self.key}"}
        self.client = httpx.Client(base_url=self.base, headers=self.headers, timeout=WAIT_S)
        self.states: list[dict[str, Any]] = []
        self.waited_for: list[str] = []
        self._gone = threading.Event()
        self._listening = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._listening.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._listening.join(WAIT_S)
        self.client.close()

    def _listen(self) -> None:
        body = {"page": "p", "who": "Ana"}
        try:
            with httpx.Client(base_url=self.base, headers=self.headers, timeout=WAIT_S) as own:
                while not self._gone.is_set():
                    with own.stream("POST", "/api/live", json=body) as answer:
                        if answer.status_code == httpx.codes.OK:
                            return self._hear(answer)
                        self.waited_for.append(json.loads(answer.read())["why"])
                        self._gone.wait(0.2)  # as the page does: it is there before the day
        except httpx.HTTPError:
            return None  # the day is over

    def _hear(self, answer: httpx.Response) -> None:
        for line in answer.iter_lines():  # one a second at least, until the day ends
            if self._gone.is_set():
                return
            if line.startswith("data: "):
                self.states.append(json.loads(line.removeprefix("data: ")))
                self.client.post("/api/beat", json={"page": "p"})

    def ask(self, deed: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Ask for something."""
        return self.client.post(f"/api/{deed}", json=body or {"who": "Ana"})

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a state of which this holds."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if len(self.states) > 1 and holds(self.states[-1]):
                return self.states[-1]
            time.sleep(0.05)
        raise AssertionError(f"never so: {self.states[-1:]}")


def fault_is(number: int, state: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a fault is in this state."""
    return lambda now: len(now["faults"]) >= number and now["faults"][number - 1]["state"] == state


@contextmanager
def day(
    folder: Path, *words: str, text: str = WITH_LIMIT
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A game day under way, with its two links."""
    (folder / "day.yaml").write_text(text)
    process = start("gameday", "day.yaml", "--for", "2m", "--quiet", *words, cwd=folder)
    try:
        operator = await_line(process, "operators:").split()[-1]
        viewer = await_line(process, "viewers:").split()[-1]
        yield process, operator, viewer
    finally:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for the day's end, its judgement included."""
    out, err = process.communicate(timeout=WAIT_S)
    return Done(code=process.returncode, out=out, err=err)
