"""How each thing that squall breaks or starts is undone, and how it is shown that it is.

A way of undoing does what can be done now and says how things stand; it is asked again until they
stand well. It needs no more than was written down beforehand, so that another process can do it.
The standard library is enough for this module, for the watchdog has to be up at once.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from harness.rig import births
from harness.wal import Intent

ANSWER_S: Final = 2.0  # for one question to a Toxiproxy server
TERMINATE_S: Final = 1.0  # how long SIGTERM may take before SIGKILL follows
# A request that squall sent as it died may still be on its way, and land after the first look.
SETTLE_S: Final = 2.0
PAUSE_S: Final = 0.1
NOT_FOUND: Final = 404


@dataclass(frozen=True, kw_only=True)
class State:
    """How one thing stands after something was done about it."""

    whole: bool
    words: str
    final: bool = False  # nothing that is under way can break it again
    stood: bool = False  # it was there, until this moment or still


Way = Callable[[Mapping[str, Any], float, bool], State]
"""Does what can be done now. What it gets: the intent, how many seconds this has been tried for,
and whether to look only and touch nothing."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was found of one thing, and how it stands."""

    intent: Intent
    whole: bool
    words: str
    stood: bool


def look(intents: Sequence[Intent]) -> tuple[Told, ...]:
    """How things stand now; nothing is touched."""
    return tuple(
        Told(intent=one, whole=state.whole, words=state.words, stood=state.stood)
        for one, state in ((one, _apply(one, 0.0, look=True)) for one in reversed(intents))
    )


def undo_all(
    intents: Sequence[Intent],
    *,
    patience_s: float,
    settle_s: float = SETTLE_S,
    on_whole: Callable[[Told], None] | None = None,
) -> tuple[Told, ...]:
    """Undo everything, the last first, and give how each thing stands, in that order.

    Blocking. Tries for `patience_s` seconds, and watches `settle_s` seconds for what is late.
    `on_whole` hears of each thing once it is proven whole for good.
    """
    began_s = time.monotonic()
    told: dict[int, Told] = {}
    final: set[int] = set()
    order = tuple(reversed(intents))
    while True:
        elapsed_s = time.monotonic() - began_s
        last = elapsed_s >= patience_s
        for intent in order:
            if intent.number in final:
                continue
            state = _apply(intent, elapsed_s, look=False)
            before = told.get(intent.number)
            # What was found first is what people want to know; later looks find it gone.
            keep = before is not None and before.stood and state.whole and not state.stood
            words = before.words if keep and before is not None else state.words
            stood = state.stood or (before is not None and before.stood)
            told[intent.number] = Told(intent=intent, whole=state.whole, words=words, stood=stood)
            if state.whole and (state.final or elapsed_s >= settle_s or last):
                final.add(intent.number)
                if on_whole is not None:
                    on_whole(told[intent.number])
        if last or len(final) == len(order):
            return tuple(told[intent.number] for intent in order)
        time.sleep(PAUSE_S)


def _apply(intent: Intent, elapsed_s: float, *, look: bool) -> State:
    way = WAYS.get(intent.undo)
    if way is None:
        words = f"{intent.undo}: this squall does not know how to undo that; use a newer one"
        return State(whole=False, words=words)
    try:
        return way(intent.what, elapsed_s, look)
    except (KeyError, TypeError, ValueError) as error:
        return State(whole=False, words=f"{intent.undo}: the record makes no sense: {error!r}")


# --- Toxiproxy ------------------------------------------------------------------------------


class _SilentError(Exception):
    """A server did not answer, or not as a Toxiproxy would."""


def _ask(server: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Ask a Toxiproxy; its status and its answer, None where that is no JSON.

    Raises:
        _SilentError: no answer came.
    """
    parts = urlsplit(server)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=ANSWER_S
    )
    sent = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, body=sent)
        answer = connection.getresponse()
        text = answer.read(1 << 20)
    except ConnectionRefusedError:
        raise _SilentError("nothing listens there") from None
    except (OSError, http.client.HTTPException) as error:
        raise _SilentError(str(error) or type(error).__name__) from None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, None


def _on_server(what: Mapping[str, Any], named: str, act: Callable[[str], State]) -> State:
    """Act on a server. One that squall had started has taken everything with it when it ended."""
    server = str(what["server"])
    own = what.get("own")
    if own is not None and not running(own):
        words = f"{named} at {server}: gone with its server"
        return State(whole=True, final=True, words=words)
    try:
        return act(server)
    except _SilentError as error:
        return State(whole=False, words=f"{named} at {server}: cannot be asked for: {error}")


def _remove(server: str, path: str, named: str, shown: str, *, look: bool) -> State:
    """Delete something, unless it is only looked for."""
    status, _ = _ask(server, "DELETE" if not look else "GET", path)
    if status == NOT_FOUND:
        return State(whole=True, words=f"{named} at {server}: already gone")
    if look:
        return State(whole=False, stood=True, words=f"{named} at {server}: is there{shown}")
    if status >= http.client.BAD_REQUEST:
        words = f"{named} at {server}: is there{shown}; the server refuses to remove it ({status})"
        return State(whole=False, stood=True, words=words)
    return State(whole=True, stood=True, words=f"{named} at {server}: was there{shown}; removed")


def _delete_proxy(what: Mapping[str, Any], elapsed_s: float, look: bool) -> State:
    del elapsed_s
    name = str(what["name"])
    named, path = f"proxy {name}", f"/proxies/{quote(name)}"

    def act(server: str) -> State:
        _, found = _ask(server, "GET", path)
        shown = ""
        if isinstance(found, dict) and found.get("toxics"):
            toxics = ", ".join(str(one.get("name")) for one in found["toxics"])
            shown = f", with {toxics}"
        elif isinstance(found, dict) and found.get("enabled") is False:
            shown = ", switched off"
        return _remove(server, path, named, shown, look=look)

    return _on_server(what, named, act)


def _remove_toxic(what: Mapping[str, Any], elapsed_s: float, look: bool) -> State:
    del elapsed_s
    proxy, name = str(what["proxy"]), str(what["name"])
    named = f"toxic {name} of {proxy}"
    path = f"/proxies/{quote(proxy)}/toxics/{quote(name)}"
    return _on_server(what, named, lambda server: _remove(server, path, named, "", look=look))


def _enable_proxy(what: Mapping[str, Any], elapsed_s: float, look: bool) -> State:
    del elapsed_s
    name = str(what["name"])
    named, path = f"proxy {name}", f"/proxies/{quote(name)}"

    def act(server: str) -> State:
        status, found = _ask(server, "GET", path)
        if status == NOT_FOUND:
            return State(whole=True, words=f"{named} at {server}: already gone")
        if isinstance(found, dict) and found.get("enabled") is True:
            return State(whole=True, words=f"{named} at {server}: is on")
        if look:
            return State(whole=False, stood=True, words=f"{named} at {server}: is switched off")
        status, _ = _ask(server, "POST", path, {"enabled": True})
        whole = status < http.client.BAD_REQUEST
        words = "was off; switched on" if whole else f"is off; it will not go on ({status})"
        return State(whole=whole, stood=True, words=f"{named} at {server}: {words}")

    return _on_server(what, named, act)


# --- processes ------------------------------------------------------------------------------


def running(what: Mapping[str, Any]) -> tuple[int, ...]:
    """What runs of a process and its group, as `pid`, `born` and `run` name it.

    A process of that number born later is no such.
    """
    pid = int(what["pid"])
    leads = births.born(pid)
    if leads is not None and leads != what["born"]:
        return ()
    group = births.members(pid)
    if leads is None:
        # While a process of the group lives, the system gives its number to nobody else; but one
        # that came to an end may have been followed by a stranger's.
        return tuple(one for one in group if births.belongs(one, str(what.get("run", ""))))
    return group or (pid,)


def _end_process(what: Mapping[str, Any], elapsed_s: float, look: bool) -> State:
    """End a process and its group; SIGTERM first."""
    pid = int(what["pid"])
    named = f"process {pid} ({what.get('name', '?')})"
    if not running(what):
        return State(whole=True, final=True, words=f"{named}: already gone")
    if look:
        return State(whole=False, stood=True, words=f"{named}: runs")
    number = signal.SIGTERM if elapsed_s < TERMINATE_S else signal.SIGKILL
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    return State(whole=False, stood=True, words=f"{named}: was running; ended")


WAYS: Final[dict[str, Way]] = {
    "delete_proxy": _delete_proxy,
    "remove_toxic": _remove_toxic,
    "enable_proxy": _enable_proxy,
    "end_process": _end_process,
}
