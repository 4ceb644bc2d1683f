"""A client of the dependency that is hard to hurt: deadlines, few retries, a breaker, one token.

One call has `BUDGET_S` for everything it does there, waiting for a connection and for second
attempts included. Reads are tried again, writes never, unless they surely did not arrive.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import anyio
import httpx

from harness.errors import UsageError
from harness.reference.breaker import Breaker, OpenError
from harness.reference.callers import Caller

BUDGET_S: Final = 2.0  # of one call; agents wait longer than that
CONNECTIONS_MAX: Final = 16
WAIT_S: Final = 0.5  # how long a request may wait for one of them
RETRIES_MAX: Final = 2  # of a read
BACKOFF_S: Final = 0.05  # before the first one; doubled, and half of it is chance
RENEW_SHARE: Final = 0.7  # of a token's life that it is used for
HEALTH_S: Final = 1.0
ANSWER_LIMIT_BYTES: Final = 8 * 1024 * 1024


class StoreError(Exception):
    """The dependency did not do it; the message is for the caller to read."""


class UnknownOutcomeError(StoreError):
    """It may have done it."""


class BusyError(StoreError):
    """It did not, for it had too much to do, and said when to come again."""


class FailedAttemptError(Exception):
    """This attempt came to nothing."""

    def __init__(self, why: str, *, arrived: bool, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.arrived = arrived  # whether it may have been done
        self.after_s = after_s  # how long it is told to wait


@dataclass(frozen=True, kw_only=True)
class Errand:
    """For whom requests are made, which call they belong to, and when that must be over."""

    caller: Caller
    trace: str = ""  # `traceparent`, as the caller gave it
    end_s: float = field(default_factory=lambda: time.monotonic() + BUDGET_S)

    def headers(self) -> dict[str, str]:
        """What goes with every request of it."""
        headers = {"X-Squall-Subject": self.caller.subject}
        return headers | ({"traceparent": self.trace} if self.trace else {})


# Of the call in this task, and of no other.
_ERRAND: Final[ContextVar[Errand]] = ContextVar("errand")


@contextmanager
def on_errand(caller: Caller, trace: str) -> Iterator[None]:
    """Make the requests of this block for this caller's call; its time begins now."""
    before = _ERRAND.set(Errand(caller=caller, trace=trace))
    try:
        yield
    finally:
        _ERRAND.reset(before)


def errand() -> Errand:
    """The call that is being served."""
    return _ERRAND.get()


class Downstream:
    """The dependency at one URL, which may name a client and its secret."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            UsageError: the URL is none; it is not quoted, for it may hold a secret.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError("expected the dependency's URL, such as http://127.0.0.1:9100")
        self._client = (unquote(parts.username or ""), unquote(parts.password or ""))
        place = parts._replace(netloc=parts.netloc.rpartition("@")[2], path="", query="")
        limits = httpx.Limits(
            max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX
        )
        self._http = httpx.AsyncClient(
            base_url=place.geturl(),
            limits=limits,
            timeout=httpx.Timeout(BUDGET_S, pool=WAIT_S),
            trust_env=False,
        )
        self._breaker = Breaker()
        self._token, self._renew_s = "", 0.0
        self._renewing = anyio.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """Where it is."""
        place = self._http.base_url
        return place.host, place.port or (443 if place.scheme == "https" else 80)

    async def close(self) -> None:
        """Give every connection back."""
        await self._http.aclose()

    async def check(self) -> None:
        """Return if it is there.

        Raises:
            StoreError: it is not.
        """
        try:
            with anyio.fail_after(HEALTH_S):
                reply = await self._http.get("/health")
        except (TimeoutError, httpx.HTTPError) as error:
            raise StoreError(f"the store does not answer: {_cause(error)}") from error
        if not reply.is_success:
            raise StoreError(f"the store is not well: HTTP {reply.status_code}")

    async def read(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Read something; tried again where that may help.

        Raises:
            StoreError: there is no answer that can be used.
        """
        return await self._within("GET", path, query=query)

    async def write(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write something, at most once.

        Raises:
            UnknownOutcomeError: it may have been written.
            StoreError: it was not.
        """
        return await self._within(method, path, body=body)

    async def _within(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Try, and try again while that is of use and there is time."""
        of = errand()
        tries = 0
        while True:
            tries += 1
            try:
                return await self._once(method, path, of, query, body)
            except OpenError as error:
                raise StoreError(
                    f"the store has not answered lately; try again in {error.left_s:.1f} s"
                ) from None
            except FailedAttemptError as error:
                unsure = error.arrived and body is not None
                pause_s = max(error.after_s, _backoff(tries))
                if unsure:
                    raise UnknownOutcomeError(
                        f"{error}; it is not known whether the store did what it was asked"
                    ) from None
                if tries > RETRIES_MAX or time.monotonic() + pause_s >= of.end_s:
                    raise (BusyError if error.after_s else StoreError)(str(error)) from None
            await anyio.sleep(pause_s)

    async def _once(
        self,
        method: str,
        path: str,
        of: Errand,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        what: dict[str, Any] = {"params": query} if body is None else {"json": body}
        async with self._attempt():
            headers = of.headers() | await self._credential(of.end_s)
            reply = await self._send(method, path, end_s=of.end_s, headers=headers, **what)
            if reply.status_code == httpx.codes.UNAUTHORIZED and "Authorization" in headers:
                self._token = ""  # refused before anything was done: once more is safe
                headers |= await self._credential(of.end_s)
                reply = await self._send(method, path, end_s=of.end_s, headers=headers, **what)
            return _answer(reply)

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[None]:
        """Tell the breaker how an attempt went."""
        probe = self._breaker.enter()
        known = False
        try:
            yield
            self._breaker.succeed()
            known = True
        except FailedAttemptError as error:
            # Who says that he is busy is there: that is no failure.
            if error.after_s:
                self._breaker.succeed()
            else:
                self._breaker.fail(probe=probe)
            known = True
            raise
        except StoreError:
            self._breaker.succeed()
            known = True
            raise
        finally:
            if not known:
                self._breaker.leave(probe=probe)

    async def _send(self, method: str, path: str, *, end_s: float, **what: Any) -> httpx.Response:
        """Send one request and have its whole answer, before the call's time is over."""
        try:
            with anyio.fail_after(max(0.0, end_s - time.monotonic())):
                return await self._http.request(method, path, **what)
        except TimeoutError:
            raise FailedAttemptError(
                f"the store did not answer within {BUDGET_S:g} s", arrived=True
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise FailedAttemptError(
                f"the store cannot be reached: {_cause(error)}", arrived=False
            ) from None
        except httpx.HTTPError as error:
            words = f"the store's answer did not come whole: {_cause(error)}"
            raise FailedAttemptError(words, arrived=True) from None

    # the credential

    async def _credential(self, end_s: float) -> dict[str, str]:
        """Our own, never the caller's; one renewal serves all who wait for it."""
        if not self._client[0]:
            return {}
        if not self._token or time.monotonic() >= self._renew_s:
            with anyio.move_on_after(max(0.0, end_s - time.monotonic())) as scope:
                async with self._renewing:
                    if not self._token or time.monotonic() >= self._renew_s:
                        await self._renew(end_s)
            if scope.cancelled_caught:
                raise FailedAttemptError("the store did not give a token in time", arrived=False)
        return {"Authorization": f"Bearer {self._token}"}

    async def _renew(self, end_s: float) -> None:
        fields = {"grant_type": "client_credentials"}
        try:
            reply = await self._send("POST", "/token", end_s=end_s, data=fields, auth=self._client)
        except FailedAttemptError as error:
            raise FailedAttemptError(str(error), arrived=False) from None
        try:
            told = reply.json() if reply.is_success else {}
            token, life_s = str(told["access_token"]), float(told["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise FailedAttemptError(
                f"the store gave no token: HTTP {reply.status_code}", arrived=False
            ) from None
        self._token, self._renew_s = token, time.monotonic() + RENEW_SHARE * life_s


def _answer(reply: httpx.Response) -> dict[str, Any]:
    """The body of a good answer.

    Raises:
        FailedAttemptError: another attempt may fare better.
        StoreError: none will.
    """
    status = reply.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        after_s = _retry_after(reply)
        words = f"the store is busy; it says to try again in {after_s:g} s"
        raise FailedAttemptError(words, arrived=False, after_s=max(after_s, BACKOFF_S))
    body = _json(reply)
    told = body.get("message") if body is not None else None
    said = str(told)[:200] if told else httpx.codes.get_reason_phrase(status) or "no reason"
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        # Said before it was begun: nothing was done.
        refused = status == httpx.codes.SERVICE_UNAVAILABLE
        raise FailedAttemptError(f"the store failed: {said} (HTTP {status})", arrived=not refused)
    if not reply.is_success:
        raise StoreError(f"the store refused: {said} (HTTP {status})")
    if body is None:
        raise FailedAttemptError("the store's answer is no JSON object", arrived=True)
    return body


def _json(reply: httpx.Response) -> dict[str, Any] | None:
    if len(reply.content) > ANSWER_LIMIT_BYTES:
        return None
    try:
        body = reply.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _retry_after(reply: httpx.Response) -> float:
    try:
        return max(0.0, float(reply.headers.get("retry-after", "0")))
    except ValueError:  # a date: too far away to wait for
        return BUDGET_S


def _backoff(tries: int) -> float:
    return float(BACKOFF_S * 2 ** (tries - 1) * (0.5 + random.random()))


def _cause(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
