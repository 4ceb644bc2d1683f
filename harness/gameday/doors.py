"""Who may do what: two links with different secrets, and requests that come from this page alone.

The secrets are in the links, behind a `#`: a browser sends that part to nobody, and it is in no log
and no Referer. The page hands its secret over in a header of every request. There is no cookie, so
no other page can make a browser act in an operator's name; Host and Origin are checked besides,
against names that lead here by another way.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from harness.gameday.crowd import Role
from harness.gameday.wish import RefusedError
from harness.rig.listener import bind

HOST: Final = "127.0.0.1"
KEY_BYTES: Final = 32
NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
UNSAFE: Final = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The secrets of one day; neither leads to the other."""

    operator: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(KEY_BYTES))
    viewer: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(KEY_BYTES))

    @property
    def all(self) -> tuple[str, ...]:
        """What must not be written down anywhere."""
        return (self.operator, self.viewer)


@dataclass(frozen=True, kw_only=True, eq=False)
class Doors:
    """Where a day is to be reached, and by whom."""

    listener: socket.socket = field(repr=False)
    keys: Keys = field(default_factory=Keys)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.listener.getsockname()[1])

    def link(self, role: Role) -> str:
        """Give the address for a role, with its secret; for eyes only, never for a file."""
        key = self.keys.operator if role == "operator" else self.keys.viewer
        return f"http://{HOST}:{self.port}/#key={key}"

    def role(self, headers: Mapping[str, str]) -> Role:
        """Tell who asks.

        Raises:
            RefusedError: when the secret is neither one.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key.strip().encode()
        found: Role | None = None
        if scheme.lower() == "bearer" and given:
            # Both are compared, whichever it is: how long that takes says nothing.
            operator = hmac.compare_digest(given, self.keys.operator.encode())
            viewer = hmac.compare_digest(given, self.keys.viewer.encode())
            found = "operator" if operator else "viewer" if viewer else None
        if found is None:
            raise RefusedError(
                "this link is not of this game day; open the one printed", status=401
            )
        return found

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """See that a request was meant for here and comes from our own page, or from no page.

        Raises:
            RefusedError: when it was sent to another name, or by another site's page.
        """
        host = headers.get("host", "").lower()
        if host not in self._hosts():
            raise RefusedError("this is not a name of this page", status=421)
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host}":
            raise RefusedError("requests of other sites are refused", status=403)
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise RefusedError("requests of other sites are refused", status=403)
        if method in UNSAFE and headers.get("content-type", "").split(";")[0].strip() != (
            "application/json"
        ):
            raise RefusedError("expected content-type: application/json", status=415)

    def _hosts(self) -> Iterable[str]:
        return tuple(f"{name}:{self.port}" for name in NAMES)


def open_doors(port: int) -> Doors:
    """Take a port of this machine's own, 0 for any free one; nobody else reaches it.

    Raises:
        RigError: when it cannot be had.
    """
    return Doors(listener=bind(HOST, port))
