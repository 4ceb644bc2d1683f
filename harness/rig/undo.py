"""How each thing that squall breaks or starts is undone, and how it is shown that it is.

A way of undoing does what can be done now and says how things stand; it is asked again until they
stand well. It needs no more than was written down beforehand, so that another process can do it.
The standard library is enough for this module, for the watchdog has to be up at once.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from harness.rig import births
from harness.wal import Intent, Wal

ANSWER_S: Final = 2.0  # for one question to a Toxiproxy server
TERMINATE_S: Final = 1.0  # how long SIGTERM may take before SIGKILL follows
# A request that squall sent as it died may still be on its way, and land after the first look.
SETTLE_S: Final = 2.0
PAUSE_S: Final = 0.1
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class State:
    """How one thing stands after something was done about it."""

    whole: bool
    words: str
    final: bool = False  # nothing that is under way can break it again
    stood: bool = False  # it was there, until this moment or still


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One round over everything that is to be undone."""

    elapsed_s: float = 0.0  # since the first round
    first: bool = False
    look: bool = False  # touch nothing, say only how things stand
    silent: dict[str, str] = field(default_factory=dict)  # servers that gave no answer, and why


# Does what can be done now for one intent.
Way = Callable[[Mapping[str, Any], Attempt], State]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was found of one thing, and how it stands."""

    intent: Intent
    whole: bool
    words: str
    stood: bool


def look(intents: Sequence[Intent]) -> tuple[Told, ...]:
    """How things stand now; nothing is touched."""
    attempt = Attempt(look=True)
    found = [(one, _apply(one, attempt)) for one in reversed(intents)]
    return tuple(
        Told(intent=one, whole=state.whole, words=state.words, stood=state.stood)
        for one, state in found
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
    order = tuple(reversed(intents))
    told: dict[int, Told] = {}
    final: set[int] = set()
    while True:
        attempt = Attempt(elapsed_s=time.monotonic() - began_s, first=not told)
        last = attempt.elapsed_s >= patience_s
        settled = last or attempt.elapsed_s >= settle_s
        for intent in order:
            if intent.number in final:
                continue
            state = _apply(intent, attempt)
            told[intent.number] = _told(intent, state, told.get(intent.number))
            if state.whole and (state.final or settled):
                final.add(intent.number)
                if on_whole is not None:
                    on_whole(told[intent.number])
        if last or len(final) == len(order):
            return tuple(told[intent.number] for intent in order)
        time.sleep(PAUSE_S)


def _told(intent: Intent, state: State, before: Told | None) -> Told:
    """Keep what was found first: later looks find it gone, which is not what people ask."""
    stood = state.stood or (before is not None and before.stood)
    first = before is not None and before.stood and state.whole and not state.stood
    words = before.words if before is not None and first else state.words
    return Told(intent=intent, whole=state.whole, words=words, stood=stood)


def undo_recorded(wal: Wal, *, patience_s: float) -> tuple[Told, ...]:
    """Undo what a record has left, and write down in it what was found whole; as `undo_all`."""

    def whole(told: Told) -> None:
        wal.tell(told.intent.number, told.words)
        wal.done(told.intent.number)

    return undo_all(wal.left, patience_s=patience_s, on_whole=whole)


def _apply(intent: Intent, attempt: Attempt) -> State:
    way = WAYS.get(intent.undo)
    if way is None:
        words = f"{intent.undo}: this squall does not know how to undo that; use a newer one"
        return State(whole=False, words=words)
    try:
        return way(intent.what, attempt)
    except (KeyError, TypeError, ValueError) as error:
        return State(whole=False, words=f"{intent.undo}: the record makes no sense: {error!r}")


# --- Toxiproxy ------------------------------------------------------------------------------


class SilentError(Exception):
    """A server did not answer, or not as a Toxiproxy would."""


def proxies_on(server: str) -> Mapping[str, Any]:
    """Every proxy of a server, by name, as it shows them.

    Raises:
        SilentError: it does not answer.
    """
    status, found = _ask(server, "GET", "/proxies")
    if status != http.client.OK or not isinstance(found, dict):
        raise SilentError(f"it answers {status}, as no Toxiproxy does")
    return found


def leases_on(server: str) -> Mapping[str, int | None] | None:
    """How long each proxy lives yet in ms, None for ever; None where nobody has heard of leases.

    Raises:
        SilentError: it does not answer.
    """
    status, found = _ask(server, "GET", "/squall/exposure")
    if status != http.client.OK or not isinstance(found, dict):
        return None
    proxies = found.get("proxies", {})
    return {name: proxy.get("lease_left_ms", 0) for name, proxy in proxies.items()}


def _ask(server: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Ask a Toxiproxy; its status and its answer, None where that is no JSON.

    Raises:
        SilentError: no answer came.
    """
    parts = urlsplit(server)
    host, port = parts.hostname or "", parts.port or http.client.HTTP_PORT
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    sent = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, body=sent)
        answer = connection.getresponse()
        text = answer.read(ANSWER_BYTES_MAX)
    except ConnectionRefusedError:
        raise SilentError("nothing listens there") from None
    except (OSError, http.client.HTTPException) as error:
        raise SilentError(str(error) or type(error).__name__) from None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, None


def _on_server(
    what: Mapping[str, Any], attempt: Attempt, named: str, act: Callable[[str], State]
) -> State:
    """Act on a server. One that squall had started has taken everything with it when it ended."""
    server = str(what["server"])
    own = what.get("own")
    if own is not None and not running(own):
        words = f"{named} at {server}: gone with its server"
        return State(whole=True, final=True, words=words)
    if server not in attempt.silent:  # else one round would wait as often as there are things
        try:
            return act(server)
        except SilentError as error:
            attempt.silent[server] = str(error)
    words = f"{named} at {server}: cannot be asked for: {attempt.silent[server]}"
    return State(whole=False, words=words)


def _gone(status: int, found: Any) -> bool:
    """Whether a Toxiproxy says that it has no such thing.

    Raises:
        SilentError: it is no Toxiproxy that says so.
    """
    if status != http.client.NOT_FOUND:
        return False
    if isinstance(found, dict) and "error" in found:
        return True
    raise SilentError(f"it answers {status}, as no Toxiproxy does")


def _removed(server: str, path: str, named: str, attempt: Attempt) -> State:
    """Delete something, unless it is only looked for."""
    status, found = _ask(server, "GET", path)
    if _gone(status, found):
        return State(whole=True, words=f"{named} at {server}: already gone")
    shown = _shown(found)
    if attempt.look:
        return State(whole=False, stood=True, words=f"{named} at {server}: is there{shown}")
    status, _ = _ask(server, "DELETE", path)
    if status >= http.client.BAD_REQUEST and status != http.client.NOT_FOUND:
        words = f"{named} at {server}: is there{shown}; the server will not remove it ({status})"
        return State(whole=False, stood=True, words=words)
    return State(whole=True, stood=True, words=f"{named} at {server}: was there{shown}; removed")


def _shown(found: Any) -> str:
    """What a proxy had on it, in words."""
    if isinstance(found, dict) and found.get("toxics"):
        return f", with {', '.join(str(one.get('name')) for one in found['toxics'])}"
    if isinstance(found, dict) and found.get("enabled") is False:
        return ", switched off"
    return ""


def _delete_proxy(what: Mapping[str, Any], attempt: Attempt) -> State:
    name = str(what["name"])
    path, named = f"/proxies/{quote(name)}", f"proxy {name}"
    return _on_server(what, attempt, named, lambda server: _removed(server, path, named, attempt))


def _remove_toxic(what: Mapping[str, Any], attempt: Attempt) -> State:
    proxy, name = str(what["proxy"]), str(what["name"])
    path = f"/proxies/{quote(proxy)}/toxics/{quote(name)}"
    named = f"toxic {name} of {proxy}"
    return _on_server(what, attempt, named, lambda server: _removed(server, path, named, attempt))


def _enable_proxy(what: Mapping[str, Any], attempt: Attempt) -> State:
    name = str(what["name"])
    named, path = f"proxy {name}", f"/proxies/{quote(name)}"

    def act(server: str) -> State:
        status, found = _ask(server, "GET", path)
        if _gone(status, found):
            return State(whole=True, words=f"{named} at {server}: already gone")
        if isinstance(found, dict) and found.get("enabled") is True:
            return State(whole=True, words=f"{named} at {server}: is switched on")
        if attempt.look:
            return State(whole=False, stood=True, words=f"{named} at {server}: is switched off")
        status, _ = _ask(server, "POST", path, {"enabled": True})
        whole = status < http.client.BAD_REQUEST
        words = "was off; switched on" if whole else f"is off; it will not go on ({status})"
        return State(whole=whole, stood=True, words=f"{named} at {server}: {words}")

    return _on_server(what, attempt, named, act)


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


def _end_process(what: Mapping[str, Any], attempt: Attempt) -> State:
    """End a process and its group; SIGTERM first."""
    pid = int(what["pid"])
    named = f"process {pid} ({what.get('name', '?')})"
    if not running(what):
        return State(whole=True, final=True, words=f"{named}: already gone")
    if attempt.look:
        return State(whole=False, stood=True, words=f"{named}: runs")
    with suppress(ProcessLookupError, PermissionError):
        if attempt.elapsed_s >= TERMINATE_S:
            os.killpg(pid, signal.SIGKILL)
        elif attempt.first:  # to many programs a second one means: at once
            os.killpg(pid, signal.SIGTERM)
    return State(whole=False, stood=True, words=f"{named}: was running; ended")


def _end_servers(what: Mapping[str, Any], attempt: Attempt) -> State:
    """End every server that a run spoke to over pipes, and whatever those have started."""
    left = births.servers(str(what["run"]), Path(str(what["folder"])))
    count = len(left)
    if not count:
        return State(whole=True, final=True, words="servers behind pipes: none runs")
    named = f"{count} server process{'es' if count > 1 else ''} behind pipes"
    if attempt.look:
        return State(whole=False, stood=True, words=f"{named}: run")
    for one in left:
        with suppress(ProcessLookupError, PermissionError):
            if attempt.elapsed_s >= TERMINATE_S:
                os.kill(one.pid, signal.SIGKILL)
            elif attempt.first:
                os.kill(one.pid, signal.SIGTERM)
                os.kill(one.pid, signal.SIGCONT)  # a stopped process hears nothing else
    return State(whole=False, stood=True, words=f"{named}: were running; ended")


# --- folders --------------------------------------------------------------------------------

# What a run may have made outside its own folder; nothing else is ever removed.
SCRATCH: Final = re.compile(r"squall-[0-9a-z]+-[0-9a-f]{16}")


def _remove_folder(what: Mapping[str, Any], attempt: Attempt) -> State:
    """Remove a folder of a run's, by a name that nobody else could have given."""
    folder = Path(str(what["folder"]))
    named = f"folder {folder}"
    if not SCRATCH.fullmatch(folder.name):
        return State(whole=False, words=f"{named}: is no name that squall gives; not touched")
    try:
        real = stat.S_ISDIR(folder.lstat().st_mode)
    except FileNotFoundError:
        return State(whole=True, final=True, words=f"{named}: already gone")
    if not real:
        return State(whole=False, words=f"{named}: is no folder; not touched")
    if attempt.look:
        return State(whole=False, stood=True, words=f"{named}: is there")
    shutil.rmtree(folder, ignore_errors=True)  # a database may write to its last moment: again
    return State(whole=not folder.exists(), stood=True, words=f"{named}: was there; removed")


WAYS: Final[dict[str, Way]] = {
    "delete_proxy": _delete_proxy,
    "remove_toxic": _remove_toxic,
    "enable_proxy": _enable_proxy,
    "end_process": _end_process,
    "end_servers": _end_servers,
    "remove_folder": _remove_folder,
}
