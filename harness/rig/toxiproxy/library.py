"""`toxiproxy-python`, made fit for use: one call at a time, bounded, with errors where they belong.

It is blocking, keeps its address in class attributes, has no time limits and reads errors as
results. So it is called from worker threads, and its HTTP is replaced by a session that times out
and refuses every status from 400 up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import requests
import toxiproxy
import toxiproxy.api

from harness.rig.toxiproxy.answers import Refused, sentence

CALL_S = 5.0  # a control call that takes longer has failed

T = TypeVar("T")
_LOCK = threading.Lock()


class _Session(requests.Session):
    """What `toxiproxy.api` uses in place of the requests module."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *args: Any, **keywords: Any) -> requests.Response:
        """As requests does it, but bounded, and with an error where the server gave one."""
        keywords["timeout"] = CALL_S
        answer = super().request(*args, **keywords)
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise Refused(answer.status_code, sentence(answer.text))
        return answer


class Library:
    """The stock client, one call at a time because its address is a class attribute."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._session = _Session()
        self._server = toxiproxy.Toxiproxy()

    def call(self, work: Callable[[Any], T]) -> T:
        """Do some work with the client; blocking."""
        with _LOCK:
            toxiproxy.api.requests = self._session
            self._server.update_api_consumer(self._host, self._port)
            return work(self._server)

    def settle(self) -> None:
        """Return once no earlier call is under way; blocking."""
        with _LOCK:
            return

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()


def stock_proxy(server: Any, name: str) -> Any:
    """The stock client's proxy object.

    Raises:
        Refused: the server has none of that name.
    """
    proxy = server.get_proxy(name)
    if proxy is None:
        raise Refused(404, f"proxy {name} not found")
    return proxy
