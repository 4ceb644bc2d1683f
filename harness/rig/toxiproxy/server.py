"""A Toxiproxy server behind one typed and awaitable face; only what was made here is touched.

`toxiproxy-python` does what it can do. What it lacks (changing a toxic, leases, our server's own
counters) is asked directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

import anyio
import httpx
import requests
from anyio.to_thread import run_sync

from faults.toxiproxy.addresses import UNIX
from harness.errors import NotHealedError, RigError
from harness.rig.process import Origin, is_running
from harness.rig.promises import Promises
from harness.rig.toxiproxy.answers import (
    Exposure,
    Listing,
    RefusalError,
    Refused,
    check_name,
    read_exposure,
    read_listen,
    sentence,
)
from harness.rig.toxiproxy.library import CALL_S, Library
from harness.rig.toxiproxy.proxy import Proxy
from harness.wal import Wal

HEAL_S = 15.0  # how long removing our proxies may take at the end
BEAT_S = 2.0  # how often the server is asked for a sign of life, and our leases are renewed
# How long our proxies outlive the last renewal, on a server that knows leases: longer than a loop
# stands still that opens thousands of sessions while others have the processors.
LEASE_S = 20.0
SILENT_BEATS = 2  # a server that misses so many has died

ServerKind = Literal["embedded", "shopify-process", "external"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ToxiproxyServer:
    """Which server it is and how to reach it."""

    url: str
    kind: ServerKind
    version: str


class Toxiproxy:
    """A Toxiproxy server: makes proxies, and removes those it made."""

    def __init__(
        self,
        server: ToxiproxyServer,
        library: Library,
        direct: httpx.Client,
        *,
        origin: Origin | None,
        wal: Wal | None,
    ) -> None:
        """Serve over an open client; `serve` is the way to one."""
        self.server = server
        self._library = library
        self._direct = direct
        self._origin = origin  # of a server that we started
        self._own: dict[str, Proxy] = {}
        where: dict[str, Any] = {"server": server.url}
        if origin is not None:
            where["own"] = asdict(origin)
        self.promises = Promises(wal, where)
        self.ours = False  # it knows /squall/: leases, and what was hit
        self._lost = anyio.Event()
        self._lost_words = ""

    @property
    def pid(self) -> int | None:
        """The server's process, when we started it."""
        return None if self._origin is None else self._origin.pid

    @property
    def is_here(self) -> bool:
        """Whether the server runs on this machine."""
        return _is_loopback(urlsplit(self.server.url).hostname or "")

    async def create_proxy(self, name: str, *, upstream: str) -> Proxy:
        """A new proxy before `upstream` (host:port or unix:PATH), listening on a free port.

        It listens on loopback, unless the server is on another machine, which `upstream` must then
        be reachable from; there it has to listen on every interface for us to reach it.

        Raises:
            RigError: the name is taken by a leftover, or the server refuses.
        """
        check_name(name)
        if upstream.startswith(UNIX) and not self.ours:
            raise RigError(
                f"Toxiproxy at {self.server.url} cannot reach a Unix socket, only squall's own "
                "server can; leave --toxiproxy out, or give the target's TCP address"
            )
        existing = await self.proxies()
        if name in existing:
            raise RigError(
                f"Toxiproxy at {self.server.url} already has a proxy named {name} "
                f"({existing[name].listen} to {existing[name].upstream}), left over from another "
                f"run or in use by one; remove it with: curl -X DELETE {self._path(name)}"
            )
        listen = "127.0.0.1:0" if self.is_here else "0.0.0.0:0"
        # Ours from here on: should the answer be lost, the clean-up still looks for it.
        proxy = Proxy(self, name)
        await self.promises.give("delete_proxy", name=name)
        self._own[name] = proxy
        try:
            listens = await self._create(name, listen=listen, upstream=upstream)
        except RefusalError:
            del self._own[name]
            self.promises.kept("delete_proxy", name)
            raise
        if not self.is_here:
            proxy.host = urlsplit(self.server.url).hostname or proxy.host
        proxy.port = int(listens.rpartition(":")[2])
        return proxy

    async def _create(self, name: str, *, listen: str, upstream: str) -> str:
        """Create a proxy, under its lease from the first moment where there are leases."""
        what = f"create proxy {name}"
        if not self.ours:
            made = await self.ask(
                what, lambda server: server.create(name=name, upstream=upstream, listen=listen)
            )
            return str(made.listen)
        change = {"op": "create", "name": name, "listen": listen, "upstream": upstream}
        changes = [{**change, "lease_ms": round(LEASE_S * 1000)}]
        answer = await self.ask_directly(what, "POST", "/squall/changes", changes)
        return read_listen(answer)

    async def proxies(self) -> dict[str, Listing]:
        """Every proxy of the server, by name.

        Raises:
            RigError: the server does not answer.
        """
        found = await self.ask("list the proxies", lambda server: server.proxies())
        return {
            str(name): Listing(listen=proxy.listen, upstream=proxy.upstream, enabled=proxy.enabled)
            for name, proxy in found.items()
        }

    async def ask(self, what: str, work: Callable[[Any], T]) -> T:
        """Do something through the stock client, in a worker thread.

        Raises:
            RigError: it failed, or took more than `CALL_S`.
        """
        return await self._bounded(what, lambda: self._library.call(work))

    async def ask_directly(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, object] | Sequence[object] | None = None,
        *,
        after_others: bool = False,
    ) -> httpx.Response:
        """Do what the stock client cannot; `after_others` waits for what that is doing.

        Raises:
            RigError: it failed, or took more than `CALL_S`.
        """

        def work() -> httpx.Response:
            if after_others:
                self._library.settle()
            answer = self._direct.request(method, path, json=body)
            if answer.status_code >= httpx.codes.BAD_REQUEST:
                raise Refused(answer.status_code, sentence(answer.text))
            return answer

        return await self._bounded(what, work)

    async def exposure(self, proxy: str, toxic: str | None) -> Exposure:
        """What `proxy`, or one of its toxics, has touched, by the server's own count.

        Raises:
            RigError: the server does not answer, or has no such toxic.
        """
        if not self.ours:
            return Exposure(connections=0, bytes=0, hits=0, open=0, source="proxy")
        answer = await self.ask_directly(f"count for {proxy}", "GET", "/squall/exposure")
        return read_exposure(answer.json(), proxy, toxic)

    async def delete(self, name: str) -> None:
        """Remove one of our proxies; one that is gone already is no error.

        Raises:
            RigError: the server does not answer, or refuses.
        """
        await self._delete(name)
        self.promises.kept("delete_proxy", name)

    async def _delete(self, name: str) -> None:
        try:
            await self.ask_directly(f"delete proxy {name}", "DELETE", f"/proxies/{quote(name)}")
        except RefusalError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        self._own.pop(name, None)

    async def heal(self) -> None:
        """Remove every proxy we made, and prove it.

        Raises:
            NotHealedError: one is still there, or the server cannot be asked.
        """
        made = sorted(self._own)
        if not made:
            return
        reasons: list[str] = []
        left: list[str] | None = None
        with anyio.move_on_after(HEAL_S):
            # A call that was cancelled half-way may still be on its way to the server.
            await run_sync(self._library.settle, abandon_on_cancel=True)
            for name in made:
                try:
                    await self._delete(name)
                except RigError as error:
                    reasons.append(str(error))
            try:
                left = sorted(set(made) & set(await self.proxies()))
            except RigError as error:
                reasons.append(str(error))
        if left == []:
            self.promises.all_kept()
        # A server that we started ends with the block, and its end is proven by whoever started it.
        if left == [] or self.server.kind != "external":
            return
        why = f" ({'; '.join(reasons)})" if reasons else ""
        state = "are still there" if left else "cannot be shown to be gone"
        mend = " ".join(f"curl -X DELETE {self._path(name)};" for name in left or made)
        raise NotHealedError(
            f"proxies {', '.join(left or made)} of Toxiproxy at {self.server.url} {state}{why}; "
            f"remove them with: {mend}"
        )

    async def lost(self) -> str:
        """Return once the server has died, or has taken a proxy of ours away, with a sentence."""
        await self._lost.wait()
        return self._lost_words

    async def beat(self) -> None:
        """Ask for a sign of life and renew our leases, for ever."""
        missed = 0
        while not self._lost.is_set():
            await anyio.sleep(BEAT_S)
            try:
                if not self.ours:
                    await self.ask_directly("give a sign of life", "GET", "/version")
                for name in tuple(self._own) if self.ours else ():
                    await self._lease(name)
                missed = 0
            except RefusalError as error:
                if error.status == httpx.codes.NOT_FOUND:
                    self._lose(
                        f"Toxiproxy at {self.server.url} has a proxy of this run no more: somebody "
                        f"removed it, or squall stood still for more than {LEASE_S:g} s"
                    )
            except RigError as error:
                missed += 1
                if missed >= SILENT_BEATS or await self.gone():
                    self._lose(str(error))

    def _lose(self, words: str) -> None:
        self._lost_words = words
        self._lost.set()

    async def _lease(self, name: str) -> None:
        """Let a proxy end by itself, should nobody renew this."""
        path, body = f"/squall/proxies/{quote(name)}/lease", {"ttl_ms": round(LEASE_S * 1000)}
        await self.ask_directly(f"lease proxy {name}", "POST", path, body)

    async def gone(self) -> bool:
        """Whether this was a server of our own and has ended: nothing is left of what it did."""
        return self._origin is not None and not await run_sync(is_running, self._origin)

    def _path(self, name: str) -> str:
        return f"{self.server.url}/proxies/{quote(name)}"

    async def _bounded(self, what: str, work: Callable[[], T]) -> T:
        where = f"Toxiproxy at {self.server.url}"
        try:
            # The thread is left to its own time limits if ours runs out first.
            with anyio.fail_after(CALL_S):
                return await run_sync(work, abandon_on_cancel=True)
        except Refused as error:
            raise RefusalError(f"{where} refused to {what}: {error}", error.status) from None
        except (TimeoutError, requests.Timeout, httpx.TimeoutException):
            raise RigError(f"{where} did not {what} within {CALL_S:g} s") from None
        except (requests.RequestException, httpx.HTTPError, OSError) as error:
            reason = type(error).__name__
            raise RigError(f"{where} cannot be reached to {what}: {reason}") from None
        except (KeyError, ValueError, TypeError) as error:
            raise RigError(f"{where} gave no sensible answer to: {what}: {error!r}") from None


def _is_loopback(host: str) -> bool:
    """Whether a server at this host name runs on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
