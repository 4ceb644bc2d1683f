from __future__ import annotations

import pytest

from harness.errors import TargetError
from harness.wire.endpoint import Endpoint


def test_an_endpoint_connects_where_its_url_says() -> None:
    """Host, port, path and query come from the URL."""
    endpoint = Endpoint.from_url("http://127.0.0.1:8001/mcp?tenant=a")
    assert (endpoint.connect_host, endpoint.connect_port) == ("127.0.0.1", 8001)
    assert (endpoint.authority, endpoint.path) == ("127.0.0.1:8001", "/mcp?tenant=a")


def test_a_proxy_changes_the_door_and_not_the_authority() -> None:
    """Servers check `Host`: it stays the target's."""
    endpoint = Endpoint.from_url("http://example.test/mcp", via=("127.0.0.1", 9))
    assert (endpoint.connect_host, endpoint.connect_port) == ("127.0.0.1", 9)
    assert endpoint.authority == "example.test"


def test_a_url_without_port_or_path_has_the_usual_ones() -> None:
    """Port 80 and the root; brackets stay around an IPv6 authority."""
    endpoint = Endpoint.from_url("http://[::1]")
    assert (endpoint.connect_host, endpoint.connect_port) == ("::1", 80)
    assert (endpoint.authority, endpoint.path) == ("[::1]", "/")
    assert endpoint.context is None


def test_an_https_url_asks_for_the_name_it_verifies() -> None:
    """Port 443, and the name is the target's, whatever door leads to it."""
    endpoint = Endpoint.from_url("https://mcp.example.test/mcp", via=("127.0.0.1", 9))
    assert (endpoint.server_name, endpoint.authority) == ("mcp.example.test",) * 2
    assert endpoint.context is not None
    assert Endpoint.from_url("https://mcp.example.test/").connect_port == 443


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://127.0.0.1/", "write the scheme http://"),
        ("127.0.0.1:8001/mcp", "write the scheme http://"),
        ("http:///mcp", "a URL with a host"),
        ("http://127.0.0.1:99999/", "http://127.0.0.1:8001/mcp"),
        ("http://127.0.0.1:port/", "http://127.0.0.1:8001/mcp"),
        ("http://[::1/", "http://127.0.0.1:8001/mcp"),
        ("http://127.0.0.1/a b", "percent-encode"),
        ("http://127.0.0.1/\r\nX: y", "percent-encode"),
        ("", "write the scheme http://"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, says: str) -> None:
    """One sentence: what was expected, what came."""
    with pytest.raises(TargetError, match=says):
        Endpoint.from_url(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    """A credential never reaches a message."""
    with pytest.raises(TargetError) as raised:
        Endpoint.from_url("http://me:hunter2@127.0.0.1/mcp")
    assert "hunter2" not in str(raised.value)
