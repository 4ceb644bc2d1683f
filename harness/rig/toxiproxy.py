"""Drives a Toxiproxy server, whichever one there is, behind one typed and awaitable face.

`toxiproxy-python` does what it can do; it is blocking, keeps its address in class attributes, has
no time limits and reads errors as results. So it is called from worker threads, one call at a time,
and its HTTP is replaced by a session that times out and refuses every status from 400 up. What it
lacks (changing a toxic, our server's own counters) is asked directly. Only proxies that were made
here are ever touched.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

import anyio
import httpx
import requests
import toxiproxy
import toxiproxy.api
from anyio.to_thread import run_sync

from harness import wal as wals
from harness.errors import NotHealedError, RigError
from harness.rig.process import Origin, is_running
from harness.rig.promises import Promises
from harness.rig.toxiproxy_server import embedded, program
from harness.wal import Wal

CALL_S = 5.0  # a control call that takes longer has failed
HEAL_S = 15.0  # how long removing our proxies may take at the end
BEAT_S = 2.0  # how often the server is asked for a sign of life, and our leases are renewed
LEASE_S = 10.0  # how long our proxies outlive the last renewal, on a server that knows leases
SILENT_BEATS = 2  # a server that misses so many has died

ServerKind = Literal["embedded", "shopify-process", "external"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What a toxic, or a whole proxy, has touched."""

    connections: int
    bytes: int
    hits: int  # pieces of data touched, and closings caused
    # "injector": the server's own counters. "proxy": the server keeps none that can be read while
    # connections are open; all figures are then 0 and mean nothing.
    source: Literal["injector", "proxy"]


@dataclass(frozen=True, kw_only=True)
class ToxiproxyServer:
    """Which server it is and how to reach it."""

    url: str
    kind: ServerKind
    version: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A proxy of the server, ours or not."""

    listen: str
    upstream: str
    enabled: bool


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
            raise _Refused(answer.status_code, _sentence(answer.text))
        return answer


class _Refused(Exception):  # noqa: N818 - an answer, not yet an error of ours
    """The server answered with a status from 400 up."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


def _sentence(body: str) -> str:
    """The `error` field of a Toxiproxy answer, or the beginning of whatever came instead."""
    try:
        said = httpx.Response(200, text=body).json()["error"]
    except (ValueError, KeyError, TypeError):
        said = body.strip()
    return str(said)[:300]


class _Library:
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


_LOCK = threading.Lock()


class Toxiproxy:
    """A Toxiproxy server: makes proxies, and removes those it made."""

    def __init__(
        self,
        server: ToxiproxyServer,
        library: _Library,
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

    async def create_proxy(self, name: str, *, upstream: str) -> Proxy:
        """A new proxy before `upstream` (host:port), listening on a free port.

        It listens on loopback, unless the server is on another machine, which `upstream` must then
        be reachable from; there it has to listen on every interface for us to reach it.

        Raises:
            RigError: the name is taken by a leftover, or the server refuses.
        """
        _check_name(name)
        existing = await self.proxies()
        if name in existing:
            raise RigError(
                f"Toxiproxy at {self.server.url} already has a proxy named {name} "
                f"({existing[name].listen} to {existing[name].upstream}), left over from another "
                f"run or in use by one; remove it with: curl -X DELETE {self._path(name)}"
            )
        here = _is_loopback(urlsplit(self.server.url).hostname or "")
        listen = "127.0.0.1:0" if here else "0.0.0.0:0"
        # Ours from here on: should the answer be lost, the clean-up still looks for it.
        proxy = Proxy(self, name)
        await self.promises.give("delete_proxy", name=name)
        self._own[name] = proxy
        try:
            made = await self.ask(
                f"create proxy {name}",
                lambda server: server.create(name=name, upstream=upstream, listen=listen),
            )
        except _RefusalError:
            del self._own[name]
            self.promises.kept("delete_proxy", name)
            raise
        if self.ours:
            await self._lease(name)
        if not here:
            proxy.host = urlsplit(self.server.url).hostname or proxy.host
        proxy.port = int(str(made.listen).rpartition(":")[2])
        return proxy

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
        body: Mapping[str, object] | None = None,
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
                raise _Refused(answer.status_code, _sentence(answer.text))
            return answer

        return await self._bounded(what, work)

    async def exposure(self, proxy: str, toxic: str | None) -> Exposure:
        """What `proxy`, or one of its toxics, has touched, by the server's own count.

        Raises:
            RigError: the server does not answer, or has no such toxic.
        """
        if not self.ours:
            return Exposure(connections=0, bytes=0, hits=0, source="proxy")
        answer = await self.ask_directly(f"count for {proxy}", "GET", "/squall/exposure")
        return _read_exposure(answer.json(), proxy, toxic)

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
        except _RefusalError as error:
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
            except _RefusalError as error:
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
        except _Refused as error:
            raise _RefusalError(f"{where} refused to {what}: {error}", error.status) from None
        except (TimeoutError, requests.Timeout, httpx.TimeoutException):
            raise RigError(f"{where} did not {what} within {CALL_S:g} s") from None
        except (requests.RequestException, httpx.HTTPError, OSError) as error:
            reason = type(error).__name__
            raise RigError(f"{where} cannot be reached to {what}: {reason}") from None
        except (KeyError, ValueError, TypeError) as error:
            raise RigError(f"{where} gave no sensible answer to: {what}: {error!r}") from None


class _RefusalError(RigError):
    """The server answered, and the answer was no."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Proxy:
    """One of our proxies."""

    def __init__(self, owner: Toxiproxy, name: str) -> None:
        """Belong to a server; the address comes with its answer."""
        self._owner = owner
        self.name = name
        self.host = "127.0.0.1"
        self.port = 0

    async def add_toxic(
        self,
        name: str,
        *,
        type: str,  # noqa: A002 - Toxiproxy's own word
        stream: str,
        attributes: Mapping[str, int],
        toxicity: float = 1.0,
    ) -> None:
        """Put a toxic into force, on open connections too.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        _check_name(name)
        _check_integers(name, attributes)
        await self._owner.promises.give("remove_toxic", proxy=self.name, name=name)
        try:
            await self._owner.ask(
                f"add toxic {name} to {self.name}",
                lambda server: _stock_proxy(server, self.name).add_toxic(
                    name=name,
                    type=type,
                    stream=stream,
                    toxicity=toxicity,
                    attributes=dict(attributes),
                ),
            )
        except _RefusalError:
            self._owner.promises.kept("remove_toxic", self.name, name)
            raise

    async def update_toxic(
        self,
        name: str,
        *,
        attributes: Mapping[str, int] | None = None,
        toxicity: float | None = None,
    ) -> None:
        """Change some of a toxic's attributes, or its toxicity.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        body: dict[str, object] = {}
        if attributes is not None:
            _check_integers(name, attributes)
            body["attributes"] = dict(attributes)
        if toxicity is not None:
            body["toxicity"] = toxicity
        what = f"update toxic {name} of {self.name}"
        # POST and not PATCH, which servers before 2.6 do not know.
        await self._owner.ask_directly(what, "POST", self._path(name), body)

    async def remove_toxic(self, name: str) -> None:
        """Take a toxic out of force; one that is gone already is no error.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        what = f"remove toxic {name} from {self.name}"
        try:
            # The call that added it may have been given up and still be on its way.
            await self._owner.ask_directly(what, "DELETE", self._path(name), after_others=True)
        except _RefusalError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        except RigError:
            if not await self._owner.gone():
                raise
        self._owner.promises.kept("remove_toxic", self.name, name)

    async def set_enabled(self, enabled: bool) -> None:
        """Bring the proxy up, or down: connections closed, new ones refused.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        verb = "enable" if enabled else "disable"
        if not enabled:
            await self._owner.promises.give("enable_proxy", name=self.name)
        try:
            await self._owner.ask(
                f"{verb} {self.name}",
                lambda server: getattr(_stock_proxy(server, self.name), verb)(),
            )
        except RigError:
            if not enabled or not await self._owner.gone():
                raise
        if enabled:
            self._owner.promises.kept("enable_proxy", self.name)

    async def exposure(self, toxic: str | None) -> Exposure:
        """What one toxic has touched since it was added; None asks about the whole proxy.

        For the whole proxy `hits` are the connections closed by going down.

        Raises:
            RigError: the server does not answer, or knows no such toxic.
        """
        return await self._owner.exposure(self.name, toxic)

    async def toxics(self) -> tuple[str, ...]:
        """The names of the toxics in force.

        Raises:
            RigError: the server does not answer.
        """
        found = await self._owner.ask(
            f"list the toxics of {self.name}",
            lambda server: _stock_proxy(server, self.name).toxics(),
        )
        return tuple(found)

    async def delete(self) -> None:
        """Remove the proxy.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        await self._owner.delete(self.name)

    def _path(self, toxic: str) -> str:
        return f"/proxies/{quote(self.name)}/toxics/{quote(toxic)}"


def _stock_proxy(server: Any, name: str) -> Any:
    """The stock client's proxy object.

    Raises:
        _Refused: the server has none of that name.
    """
    proxy = server.get_proxy(name)
    if proxy is None:
        raise _Refused(404, f"proxy {name} not found")
    return proxy


def _is_loopback(host: str) -> bool:
    """Whether a server at this host name runs on this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_name(name: str) -> None:
    """Refuse names that the API's paths cannot carry."""
    if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise RigError(f"{name!r} cannot name a proxy or toxic: use letters, digits, - _ and .")


def _check_integers(name: str, attributes: Mapping[str, int]) -> None:
    """Refuse what the original would refuse with a riddle: 100.0 is no integer to it."""
    for key, value in attributes.items():
        if type(value) is not int:
            raise RigError(f"toxic {name}: {key} must be an int, got {value!r}")


def _read_exposure(answer: Any, proxy: str, toxic: str | None) -> Exposure:
    try:
        counts = answer["proxies"][proxy]
        if toxic is None:
            size_bytes = counts["upstream_bytes"] + counts["downstream_bytes"]
            hits = counts["closed_by_disable"]
        else:
            counts = counts["toxics"][toxic]
            size_bytes, hits = counts["bytes"], counts["hits"]
        return Exposure(
            connections=int(counts["connections"]),
            bytes=int(size_bytes),
            hits=int(hits),
            source="injector",
        )
    except (KeyError, TypeError, ValueError):
        name = proxy if toxic is None else f"{proxy}/{toxic}"
        raise RigError(f"Toxiproxy counts nothing for {name}") from None


@asynccontextmanager
async def serve(
    *, url: str | None = None, prefer_binary: bool = True, log_dir: Path | None
) -> AsyncIterator[Toxiproxy]:
    """A Toxiproxy server for the block, and none of our proxies left on it afterwards.

    With `url`, that server, which is never started, stopped or reset. Otherwise
    `toxiproxy-server` from PATH (unless `prefer_binary` is false), else the embedded one; both run
    on a free loopback port and end with the block, or with us.

    Raises:
        RigError: no server can be started or reached.
        NotHealedError: at the end, a proxy of ours cannot be shown to be gone.
    """
    async with AsyncExitStack() as stack:
        kind: ServerKind
        origin: Origin | None = None
        binary = shutil.which("toxiproxy-server") if prefer_binary else None
        wal = wals.CURRENT.get()
        if url is not None:
            kind = "external"
        elif binary is not None:
            kind = "shopify-process"
        else:
            kind = "embedded"
        kept: list[Toxiproxy] = []
        stack.push(lambda *failure: _end_of_own(kept, failure[1]))
        if kind != "external":
            standing = program(binary, log_dir) if binary is not None else embedded(log_dir)
            started = await stack.enter_async_context(standing)
            url, origin = started.url, started.origin
        assert url is not None
        server = await _connect(url.rstrip("/"), kind, stack, origin=origin, wal=wal)
        kept += [server] if kind != "external" else []
        try:
            async with _beating(server):
                yield server
        finally:
            with anyio.CancelScope(shield=True):
                await server.heal()


def _end_of_own(ended: Sequence[Toxiproxy], failure: BaseException | None) -> bool:
    """Know that what lived in a server of our own has ended with it, if that did."""
    if not isinstance(failure, NotHealedError):
        for server in ended:
            server.promises.all_kept()
    return False


@asynccontextmanager
async def _beating(server: Toxiproxy) -> AsyncIterator[None]:
    """Renew leases and look for signs of life while the block lasts."""
    failure: Exception | None = None
    # The body's error is carried past the task group, which would wrap it in a group of one.
    async with anyio.create_task_group() as group:
        group.start_soon(server.beat)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, unchanged
            failure = error
        finally:
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _connect(
    url: str, kind: ServerKind, stack: AsyncExitStack, *, origin: Origin | None, wal: Wal | None
) -> Toxiproxy:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise RigError("a Toxiproxy address takes no user and no password: its API knows neither")
    if parts.scheme != "http" or not parts.hostname or parts.path or parts.query:
        raise RigError(f"{url!r} is no Toxiproxy address; expected one like http://127.0.0.1:8474")
    library = _Library(parts.hostname, parts.port or 80)
    stack.callback(library.close)
    direct = httpx.Client(base_url=url, timeout=CALL_S, trust_env=False)
    stack.callback(direct.close)
    unknown = ToxiproxyServer(url=url, kind=kind, version="unknown")
    server = Toxiproxy(unknown, library, direct, origin=origin, wal=wal)
    answer = await server.ask_directly("tell its version", "GET", "/version")
    server.server = ToxiproxyServer(url=url, kind=kind, version=_version(answer))
    try:
        await server.ask_directly("count", "GET", "/squall/exposure")
        server.ours = True
    except _RefusalError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
    return server


def _version(answer: httpx.Response) -> str:
    """2.x gives an object, older servers bare text."""
    try:
        return str(answer.json()["version"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:40] or "unknown"
