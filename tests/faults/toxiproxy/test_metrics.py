"""The page at /metrics, beside the original's, on real servers."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.faults.toxiproxy.conftest import REAL, Server, Upstream, end, start_original, start_ours
from tests.faults.toxiproxy.peers import WAIT_S, client, echoed, take

COUNTER = re.compile(r"^toxiproxy_proxy_(\w+)_bytes_total\{direction=\"(\w+)\",.*\} (\S+)$")


@pytest.fixture(params=["ours", pytest.param("original", marks=pytest.mark.real)])
def counting(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each server in turn, with -proxy-metrics."""
    if request.param == "ours":
        server = start_ours("-proxy-metrics")
    elif REAL is None:
        pytest.skip("NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary")
    else:
        server = start_original(REAL, "-proxy-metrics")
    yield server
    end(server)


@pytest.fixture
def ours_counting() -> Iterator[Server]:
    """Ours, with -proxy-metrics."""
    server = start_ours("-proxy-metrics")
    yield server
    end(server)


def counts(server: Server) -> dict[tuple[str, str], int]:
    """Bytes by what was counted and the direction."""
    lines = server.api.get("/metrics").text.splitlines()
    found = [match.groups() for match in map(COUNTER.match, lines) if match is not None]
    return {(what, direction): int(value) for what, direction, value in found}


def page_of(server: Server, path: str = "/metrics") -> str:
    """The page as text."""
    return server.api.get(path).text


def test_the_page_is_the_originals_byte_for_byte(counting: Server, upstream: Upstream) -> None:
    """Names, help, labels and their order, numbers; before and after a connection."""
    head = (
        "# HELP promhttp_metric_handler_errors_total Total number of internal errors encountered"
        " by the promhttp metric handler.\n"
        "# TYPE promhttp_metric_handler_errors_total counter\n"
        'promhttp_metric_handler_errors_total{cause="encoding"} 0\n'
        'promhttp_metric_handler_errors_total{cause="gathering"} 0\n'
    )
    answer = counting.api.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert answer.text == head
    assert answer.headers["Content-Type"] == (
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    )
    assert len(answer.headers["X-Toxiproxy-Request-Id"]) == 20
    name = 'p"\\\n'
    host, port = counting.proxy(upstream.address, name)
    with client((host, port)) as stream:
        stream.sendall(b"12345bye")
        assert take(stream, 100) == b"12345bye"
    labels = f'listener="{host}:{port}",proxy="p\\"\\\\\\n",upstream="{upstream.address}"'
    body = "".join(
        f"# HELP toxiproxy_proxy_{what}_bytes_total \n"
        f"# TYPE toxiproxy_proxy_{what}_bytes_total counter\n"
        f'toxiproxy_proxy_{what}_bytes_total{{direction="downstream",{labels}}} 8\n'
        f'toxiproxy_proxy_{what}_bytes_total{{direction="upstream",{labels}}} 8\n'
        for what in ("received", "sent")
    )
    deadline = time.monotonic() + WAIT_S
    while (page := page_of(counting)) != head + body:
        assert time.monotonic() < deadline, page
        time.sleep(0.01)


def test_large_numbers_are_written_as_go_writes_them(counting: Server, upstream: Upstream) -> None:
    """From a million on with an exponent."""
    address = counting.proxy(upstream.address)
    with client(address) as stream:
        data = b"x" * 2_345_677 + b"bye"
        assert echoed(stream, data) == data
    deadline = time.monotonic() + WAIT_S
    while len(re.findall(r"\} 2\.34568e\+06$", page_of(counting), re.MULTILINE)) != 4:
        assert time.monotonic() < deadline, page_of(counting)
        time.sleep(0.01)


def test_any_method_shows_the_page_and_browsers_see_none(counting: Server) -> None:
    """As the original routes it."""
    for method in ("POST", "DELETE", "PUT"):
        assert counting.api.request(method, "/metrics").status_code == 200
    assert counting.api.get("/metrics", headers={"User-Agent": "Mozilla/5.0"}).status_code == 403
    assert counting.api.get("/metrics/").status_code == 404


def test_the_page_is_compressed_for_who_takes_that(counting: Server) -> None:
    """A scraper asks for gzip."""
    with counting.api.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())).startswith(b"# HELP promhttp_")


def test_an_open_connection_counts_as_it_goes(ours_counting: Server, upstream: Upstream) -> None:
    """An improvement: the original counts a stream when it has ended."""
    address = ours_counting.proxy(upstream.address)
    with client(address) as stream:
        assert echoed(stream, b"12345") == b"12345"
        assert set(counts(ours_counting).values()) == {5}
        assert echoed(stream, b"67") == b"67"
        assert set(counts(ours_counting).values()) == {7}


def test_what_a_toxic_keeps_back_is_received_and_not_sent(
    ours_counting: Server, upstream: Upstream
) -> None:
    """Held, dropped and cut off alike; what was held counts once it has gone out."""
    address = ours_counting.proxy(upstream.address)
    ours_counting.toxic("limit_data", bytes=3)
    ours_counting.toxic("bandwidth", rate=0)
    with client(address) as stream:
        stream.sendall(b"12345678")
        deadline = time.monotonic() + WAIT_S
        while counts(ours_counting).get(("received", "downstream")) != 8:
            assert time.monotonic() < deadline
        assert counts(ours_counting)["sent", "upstream"] == 8
        assert counts(ours_counting)["sent", "downstream"] == 0
        ours_counting.remove("bandwidth_downstream")
        assert take(stream, 10) == b"123"
    assert counts(ours_counting)["sent", "downstream"] == 3


def test_counts_outlive_the_proxy_and_its_address(
    ours_counting: Server, upstream: Upstream
) -> None:
    """A counter never goes back; a proxy that has moved counts under its new labels."""
    for _ in range(2):
        address = ours_counting.proxy(upstream.address)
        with client(address) as stream:
            assert echoed(stream, b"12345") == b"12345"
            ours_counting.api.post("/proxies/p", json={"upstream": "127.0.0.1:9"})
        ours_counting.api.delete("/proxies/p")
    received = [
        line for line in page_of(ours_counting).splitlines() if "received_bytes_total{" in line
    ]
    assert len(received) == 4
    assert all(line.endswith(" 5") for line in received)
    assert all(f'upstream="{upstream.address}"' in line for line in received)


def test_the_process_is_shown_where_asked(upstream: Upstream) -> None:
    """And the proxies are not, unless that was asked as well."""
    server = start_ours("-runtime-metrics")
    try:
        address = server.proxy(upstream.address)
        with client(address) as stream:
            assert echoed(stream, b"1") == b"1"
            page = page_of(server)
    finally:
        end(server)
    assert re.search(r"^process_resident_memory_bytes \d", page, re.MULTILINE)
    assert re.search(r"^python_info\{", page, re.MULTILINE)
    assert re.search(r"^python_asyncio_tasks \d+$", page, re.MULTILINE)
    assert "toxiproxy_proxy" not in page


def test_without_a_flag_there_is_no_page(server: Server) -> None:
    """404, as for any path that nobody knows."""
    answer: httpx.Response = server.api.get("/metrics")
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
