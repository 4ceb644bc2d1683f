"""Where a target is: the address its URL names, and the address the bytes really go to."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

from harness.errors import TargetError
from harness.trust import SYSTEM, Trust

HTTP_PORT = 80
HTTPS_PORT = 443
_UNSAFE = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """An MCP endpoint and the door to it.

    `connect_host` and `connect_port` may name a proxy; the `Host` header keeps the authority of
    `url`, because servers refuse foreign ones, and TLS asks for and verifies `server_name`.
    """

    url: str
    connect_host: str
    connect_port: int
    context: ssl.SSLContext | None = None  # None: plain HTTP
    server_name: str | None = None

    @property
    def authority(self) -> str:
        """The target's `host[:port]`, as the `Host` header carries it."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def path(self) -> str:
        """The path with its query, never empty."""
        parts = urlsplit(self.url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.path or '/'}{query}"

    @classmethod
    def from_url(
        cls, url: str, *, via: tuple[str, int] | None = None, trust: Trust = SYSTEM
    ) -> Self:
        """The endpoint at `url`, reached through the host and port `via` when given.

        Raises:
            TargetError: the URL is not one this client can speak to.
            UsageError: a file of `trust` is not what it should be.
        """
        host, port = address_of(url)
        connect_host, connect_port = via or (host, port)
        tls = urlsplit(url).scheme == "https"
        return cls(
            url=url,
            connect_host=connect_host,
            connect_port=connect_port,
            context=trust.context() if tls else None,
            server_name=host.rstrip(".") if tls else None,
        )


def address_of(url: str) -> tuple[str, int]:
    """Host and port that a URL names, the port of its scheme when it names none.

    Raises:
        TargetError: it is not a URL this client can speak to.
    """
    shown = url if len(url) <= 200 else f"{url[:200]}…"  # noqa: PLR2004 - a screen's line or two
    if _UNSAFE.search(url):
        raise TargetError(
            f"expected a URL of printable ASCII without blanks, got {shown!r}; "
            "percent-encode what is not"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise TargetError(
            f"expected a URL such as http://127.0.0.1:8001/mcp, got {shown!r}: {error}"
        ) from error
    _refuse_unspoken(parts, shown)
    if not host:
        raise TargetError(
            f"expected a URL with a host, such as http://127.0.0.1:8001/mcp, got {shown!r}"
        )
    if port is None:
        port = HTTPS_PORT if parts.scheme == "https" else HTTP_PORT
    return host, port


def _refuse_unspoken(parts: SplitResult, shown: str) -> None:
    if parts.scheme not in {"http", "https"}:
        raise TargetError(
            f"expected an http URL such as http://127.0.0.1:8001/mcp, got {shown!r}; "
            "write the scheme http:// or https://"
        )
    if parts.username is not None or parts.password is not None:
        # The text of the URL is not repeated: it holds a credential.
        raise TargetError(
            "a URL must not carry a user name or password; "
            "give credentials through the scenario's auth section"
        )
