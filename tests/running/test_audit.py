from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest

from harness.errors import TargetError
from harness.running import assembly, audit
from harness.scenario.audit import Audit
from harness.scenario.load import load_text
from tests.ports import free_port
from tests.scenario.broken import SOUND

pytestmark = pytest.mark.anyio
AUDITED = SOUND.replace(
    "seed: 7\n", 'seed: 7\naudit: {http: "http://203.0.113.7/count", counts: count}\n'
)


@contextmanager
def counting(status: int, body: bytes) -> Iterator[str]:
    """An address that answers so, until the block ends."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the standard library's name
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/count"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("body", "counts", "number"),
    [
        (b'{"count": 17}', "count", 17),
        (b'{"count": 17}', "result.count", 17),
        (b'{"rows": [{"n": "18"}]}', "rows[0].n", 18),
        (b"19", "result", 19),
        (b"20.0", "result", 20),
    ],
)
async def test_a_count_is_found_where_the_path_says(body: bytes, counts: str, number: int) -> None:
    """A number, or a text that is one, anywhere in the answer or the answer itself."""
    with anyio.fail_after(20), counting(200, body) as url:
        assert await audit._by_http(Audit(http=url, counts=counts)) == number


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (503, b'{"count": 17}', "HTTP 503"),
        (200, b"<html>", "no JSON"),
        (200, b'{"count": true}', "expected a whole number at count, found bool"),
        (200, b'{"count": 1.5}', "found float"),
        (200, b'{"counts": 17}', "found nothing"),
        (200, b'"' + b"9" * 70_000 + b'"', "more than 65536 bytes"),
    ],
)
async def test_what_is_no_count_says_so(status: int, body: bytes, why: str) -> None:
    """In words for the person who wrote the scenario."""
    with (
        anyio.fail_after(20),
        counting(status, body) as url,
        pytest.raises(audit._NoCountError, match=why),
    ):
        await audit._by_http(Audit(http=url, counts="count"))


async def test_an_address_that_nobody_listens_at_gives_no_count() -> None:
    """The kind of failure, and not the address, which may hold what must not be shown."""
    url = f"http://user:hidden@127.0.0.1:{free_port()}/count"
    with anyio.fail_after(20), pytest.raises(audit._NoCountError, match="ConnectError") as caught:
        await audit._by_http(Audit(http=url))
    assert "hidden" not in str(caught.value)


async def test_an_audit_outside_this_machine_has_to_be_allowed(tmp_path: Path) -> None:
    """As a target has to be; nothing is started before that is known."""
    scenario = load_text(AUDITED, "storm.yaml").scenario
    with anyio.fail_after(20), pytest.raises(TargetError, match=r"--allow-target 203\.0\.113\.7"):
        async with assembly.build(
            scenario, run_id="1a2b3c4d", toxiproxy_url=None, allowed=(), folder=tmp_path
        ):
            pytest.fail("it must not be built")
