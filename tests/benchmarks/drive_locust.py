"""Drives Locust's FastHttpUser as its manual says to: patched, a greenlet a user, its own stats."""

from __future__ import annotations

# Locust patches the process on import: it comes before everything else that knows sockets.
import locust  # isort: skip
from locust.contrib.fasthttp import FastHttpUser  # isort: skip

import sys
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from locust.env import Environment
from pydantic_core import from_json

from tests.benchmarks.rounds import ARGUMENTS, SESSIONS, run_rounds

_BODY = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%b}'
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
_EVENT_START = b"data: "


class EchoUser(FastHttpUser):
    """Posts the same call as the other engines and checks the same id."""

    running: ClassVar[Event] = Event()
    calls: ClassVar[int] = 0
    path: ClassVar[str] = "/json"
    last_id = 0

    @locust.task
    def echo(self) -> None:
        """Send one call."""
        EchoUser.running.wait()
        self.last_id += 1
        body: Any = _BODY % (self.last_id, ARGUMENTS)  # typed as str there, sent as it is
        response: Any = self.client.post(EchoUser.path, data=body, headers=_HEADERS)
        content: bytes = response.content
        if not content.startswith(b"{"):
            content = content.partition(_EVENT_START)[2].rstrip()
        assert from_json(content)["id"] == self.last_id
        EchoUser.calls += 1


def _run(seconds: float) -> int:
    EchoUser.calls = 0
    EchoUser.running.set()
    gevent.sleep(seconds)
    EchoUser.running.clear()
    return EchoUser.calls


def _main() -> None:
    origin, _, EchoUser.path = sys.argv[1].rpartition("/")
    EchoUser.path = "/" + EchoUser.path
    EchoUser.host = origin
    environment = Environment(user_classes=[EchoUser])
    runner = environment.create_local_runner()
    runner.start(SESSIONS, spawn_rate=SESSIONS)
    gevent.sleep(1.5)
    run_rounds(_run)
    runner.quit()


if __name__ == "__main__":
    _main()
