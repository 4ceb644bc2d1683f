"""Addresses as Go reads and writes them, and the listening sockets opened on them."""

from __future__ import annotations

import os
import socket

from faults.toxiproxy.lookups import Lookups

BACKLOG = 4096
UNIX = "unix:"  # begins an upstream that is a Unix socket, which the original does not know
PORT_MAX = 65535
PORT_DIGITS_MAX = 9  # more than any port has, and few enough to be read as a number


class ListenError(Exception):
    """A listener could not be opened; the text is the one that Go's net package gives."""


def split_address(address: str) -> tuple[str, str]:
    """Host and port of `host:port`, as Go reads it.

    Raises:
        ListenError: there is no port, or a colon too many.
    """
    host, colon, port = address.rpartition(":")
    if address and not colon:
        raise ListenError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(f"address {address}: too many colons in address")
    return host, port


def format_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve(address: str, lookups: Lookups) -> str:
    """The numeric form of an address, by which Toxiproxy compares two of them.

    Raises:
        ListenError: the name or the port means nothing.
    """
    host, port = split_address(address)
    digits = port.removeprefix("-")
    if port and not (digits.isascii() and digits.isdigit()):
        raise ListenError(f"lookup tcp/{port}: unknown port")
    if port and (len(digits) > PORT_DIGITS_MAX or not 0 <= int(port) <= PORT_MAX):
        raise ListenError(f"address {port}: invalid port")
    if not host:
        return f":{int(port or 0)}"
    try:
        hosts = await lookups.hosts(host, int(port or 0))
    except (OSError, ValueError):  # ValueError: what could never be a name, such as an empty label
        raise ListenError(f"lookup {host}: no such host") from None
    # Go prefers IPv4.
    return format_address(min(hosts, key=lambda found: ":" in found), int(port or 0))


def open_listener(resolved: str) -> socket.socket:
    """A listening socket; an empty host, or zeros, mean every interface in both families.

    Raises:
        ListenError: the system refuses the address.
    """
    host, port = split_address(resolved)
    everywhere = host in {"", "0.0.0.0", "::"}
    both = everywhere and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or (":" in host and not everywhere) else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("" if everywhere else host, int(port)))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or 0)
        text = f"listen tcp {resolved}: bind: {reason[:1].lower()}{reason[1:]}"
        raise ListenError(text) from None
    return listener
