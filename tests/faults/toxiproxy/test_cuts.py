"""The cut: a connection that ends while data flows, on real sockets."""

from __future__ import annotations

import random
import time

import pytest

from faults.toxiproxy.path.cuts import IDLE_LOOKS, Idle
from faults.toxiproxy.path.toxics import objection
from tests.faults.toxiproxy.bench import Bench, toxic
from tests.faults.toxiproxy.conftest import Server, Upstream
from tests.faults.toxiproxy.peers import SLACK_S, WAIT_S, client, echoed, last_of, quiet, take

ROUTE = "/squall/proxies/p/toxics"
TOXIC = "/proxies/p/toxics/cut_downstream"
LONG_MS = 3_600_000


class IdleBench(Bench):
    """A link that remembers whether it was closed."""

    aborted = False

    def abort(self) -> None:
        """Remember it."""
        self.aborted = True


def cut(server: Server, toxicity: float = 1.0, **attributes: int) -> None:
    """Put a cut on proxy p."""
    body = {"type": "cut", "toxicity": toxicity, "attributes": attributes}
    answer = server.api.post(ROUTE, json=body)
    assert answer.status_code == 200, answer.text


def touched(server: Server) -> int:
    """How many connections have been cut."""
    proxies = server.api.get("/squall/exposure").json()["proxies"]
    return int(proxies["p"]["toxics"]["cut_downstream"]["connections"])


@pytest.mark.parametrize(("reset", "end"), [(0, "end"), (1, "reset")])
def test_a_flowing_connection_ends_at_its_time(
    ours: Server, upstream: Upstream, reset: int, end: str
) -> None:
    """Not before, although data never stops, and by FIN or RST as asked."""
    address = ours.proxy(upstream.address)
    cut(ours, after=300, reset=reset)
    began_s = time.monotonic()
    with client(address) as stream:
        stream.sendall(b"flood")
        got, how = last_of(stream)
        assert how == end
        assert len(got) > 100_000
        assert 0.3 <= time.monotonic() - began_s < 0.3 + SLACK_S
    assert touched(ours) == 1


def test_a_client_that_does_not_read_is_cut_as_well(ours: Server, upstream: Upstream) -> None:
    """What waits to be written does not delay the end."""
    address = ours.proxy(upstream.address)
    cut(ours, after=200)
    with client(address) as stream:
        stream.sendall(b"flood")
        deadline = time.monotonic() + WAIT_S
        while ours.api.get("/squall/exposure").json()["proxies"]["p"]["open"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_cut_on_an_open_connection_counts_from_its_adding(
    ours: Server, upstream: Upstream
) -> None:
    """A connection that is older than the cut is not cut at once."""
    address = ours.proxy(upstream.address)
    with client(address) as stream:
        assert echoed(stream, b"before") == b"before"
        time.sleep(0.2)
        cut(ours, after=150)
        began_s = time.monotonic()
        assert last_of(stream) == (b"", "end")
        assert time.monotonic() - began_s >= 0.1


def test_a_changed_cut_counts_from_the_same_start(ours: Server, upstream: Upstream) -> None:
    """To a time that has passed it ends the connection now."""
    address = ours.proxy(upstream.address)
    cut(ours, after=LONG_MS)
    with client(address) as stream:
        assert echoed(stream, b"before") == b"before"
        ours.api.patch(TOXIC, json={"attributes": {"after": 1, "reset": 1}})
        assert last_of(stream) == (b"", "reset")


def test_a_removed_cut_harms_nobody(ours: Server, upstream: Upstream) -> None:
    """The countdown is called off, and the connection goes on."""
    address = ours.proxy(upstream.address)
    cut(ours, after=400)
    with client(address) as stream:
        assert echoed(stream, b"before") == b"before"
        assert ours.api.delete(TOXIC).status_code == 204
        assert quiet(stream, 0.5)
        assert echoed(stream, b"after") == b"after"


def test_toxicity_spares_connections_from_the_cut(ours: Server, upstream: Upstream) -> None:
    """At 0 nobody is hit, and a raised toxicity hits those that are open."""
    address = ours.proxy(upstream.address)
    cut(ours, toxicity=0.0, after=0)
    with client(address) as stream:
        assert echoed(stream, b"spared") == b"spared"
        ours.api.patch(TOXIC, json={"toxicity": 1})
        assert last_of(stream) == (b"", "end")


def test_a_connection_that_ends_first_is_no_cut(ours: Server, upstream: Upstream) -> None:
    """The end passes at once, and nothing is counted later."""
    address = ours.proxy(upstream.address)
    cut(ours, after=100)
    with client(address) as stream:
        stream.sendall(b"bye")
        assert take(stream, 10) == b"bye"
    time.sleep(0.2)
    assert touched(ours) == 0


@pytest.mark.parametrize("attributes", [{"after": -1}, {"reset": 2}, {"after": "1"}])
def test_a_cut_that_cannot_be_is_refused(ours: Server, attributes: dict[str, object]) -> None:
    """400, and nothing is there."""
    ours.proxy("127.0.0.1:9")
    answer = ours.api.post(ROUTE, json={"type": "cut", "attributes": attributes})
    assert answer.status_code == 400
    assert ours.api.get("/proxies/p/toxics").json() == []


def test_a_connection_that_lies_idle_is_cut_and_one_that_moves_is_not() -> None:
    """Silence is counted in both directions, and anew after every byte."""
    bench = IdleBench()
    stage = Idle(toxic("idle", after=1000), bench, bench, random.Random)
    for look in range(3 * IDLE_LOOKS):
        bench.moved_bytes += look % 4 == 0
        bench.bell.ring()
    assert not bench.aborted
    stage.feed(b"x", 0.0)
    assert bench.got == [b"x"]
    for _ in range(2 * IDLE_LOOKS):
        if bench.bell.set:
            bench.bell.ring()
    assert bench.aborted
    assert stage.hits == 1


def test_an_idle_toxic_that_is_called_off_cuts_nothing() -> None:
    """Its alarm is taken back."""
    bench = IdleBench()
    stage = Idle(toxic("idle", after=1000), bench, bench, random.Random)
    bench.bell.ring()
    stage.release()
    while bench.bell.set:
        bench.bell.ring()
    assert not bench.aborted
    assert "at least 1" in str(objection("idle", {"after": 0}))
