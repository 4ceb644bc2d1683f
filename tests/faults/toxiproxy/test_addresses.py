"""Addresses as Go reads them, and listeners on them."""

from __future__ import annotations

import socket

import pytest

from faults.toxiproxy.addresses import ListenError, format_address, open_listener, resolve
from faults.toxiproxy.lookups import Lookups


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("address", "numeric"),
    [
        ("", ":0"),
        (":80", ":80"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("127.0.0.1:", "127.0.0.1:0"),
        ("[::1]:80", "[::1]:80"),
        ("localhost:080", "127.0.0.1:80"),
    ],
)
async def test_an_address_has_one_numeric_form(address: str, numeric: str) -> None:
    """By which two of them are compared."""
    assert await resolve(address, Lookups()) == numeric


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense", "missing port"),
        ("::1:80", "too many colons"),
        ("a:http!", "unknown port"),
        ("a:²", "unknown port"),
        ("a:１", "unknown port"),
        ("a:70000", "invalid port"),
        ("a:-1", "invalid port"),
        (f"a:{'9' * 5000}", "invalid port"),
        ("a..b:80", "no such host"),
        (f"{'a' * 70}.b:80", "no such host"),
        ("a\0b:80", "no such host"),
        ("é..ü:80", "no such host"),
        ("nosuchhost.invalid:80", "no such host"),
    ],
)
async def test_what_is_no_address_is_refused_in_words(address: str, words: str) -> None:
    """Whatever Python's own functions raise about it."""
    with pytest.raises(ListenError, match=words):
        await resolve(address, Lookups())


def test_a_taken_port_is_refused_in_the_originals_words() -> None:
    """Also while the other only listens."""
    with open_listener("127.0.0.1:0") as first:
        where = format_address(*first.getsockname())
        with pytest.raises(ListenError, match="bind: address already in use") as refused:
            open_listener(where)
    assert str(refused.value) == f"listen tcp {where}: bind: address already in use"


@pytest.mark.parametrize("everywhere", [":0", "0.0.0.0:0"])
def test_no_host_is_every_interface(everywhere: str) -> None:
    """In IPv4 and, where there is one, in IPv6."""
    with open_listener(everywhere) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 5).close()
        if listener.family == socket.AF_INET6:
            socket.create_connection(("::1", port), 5).close()
