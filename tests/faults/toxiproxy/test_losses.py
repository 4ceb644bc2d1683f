"""Packets that are lost, on real sockets: the toxic that was merged after 2.12."""

from __future__ import annotations

import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream, end, start_ours
from tests.faults.toxiproxy.peers import client, quiet, take

PATH = "/proxies/p/toxics"
PIECES = 200


def lossy(server: Server, **attributes: float) -> dict[str, object]:
    """Put the toxic on the way to the client; gives it as it is shown."""
    answer = server.api.post(PATH, json={"type": "packet_loss", "attributes": attributes})
    assert answer.status_code == 200, answer.text
    shown: dict[str, object] = answer.json()
    return shown


def arrived(server: Server, address: tuple[str, int], pieces: int = PIECES) -> str:
    """Which of many pieces, sent one by one, came back: a plus for each that did."""
    seen = ""
    with client(address) as stream:
        for _ in range(pieces):
            before = lost(server)
            stream.sendall(b".")
            while lost(server) == before:
                if not quiet(stream, 0.005):
                    assert take(stream, 1) == b"."
                    seen += "+"
                    break
            else:
                seen += "-"
    return seen


def lost(server: Server) -> int:
    """How many pieces the toxic has dropped."""
    proxies = server.api.get("/squall/exposure").json()["proxies"]
    return int(proxies["p"]["toxics"]["packet_loss_downstream"]["hits"])


def test_a_rate_of_one_lets_nothing_through_but_the_end(ours: Server, upstream: Upstream) -> None:
    """Every piece is dropped, silently, and a close is still a close."""
    address = ours.proxy(upstream.address)
    lossy(ours, loss_rate=1)
    with client(address) as stream:
        stream.sendall(b"bye")
        assert take(stream, 1) == b""
    assert lost(ours) == 1


def test_a_rate_of_zero_loses_nothing(ours: Server, upstream: Upstream) -> None:
    """The zero value is no loss, whatever the correlation: it only follows a drop."""
    address = ours.proxy(upstream.address)
    lossy(ours, correlation=1.0)
    with client(address) as stream:
        stream.sendall(b"all of it, bye")
        assert take(stream, 100) == b"all of it, bye"


def test_a_rate_between_loses_about_so_many(ours: Server, upstream: Upstream) -> None:
    """Within five standard deviations of what was asked for."""
    address = ours.proxy(upstream.address)
    lossy(ours, loss_rate=0.3)
    assert abs(arrived(ours, address).count("-") - 60) < 33


def test_full_correlation_loses_everything_after_the_first_loss(
    ours: Server, upstream: Upstream
) -> None:
    """The chance after a drop is the sum of both, and no more than one."""
    address = ours.proxy(upstream.address)
    lossy(ours, loss_rate=0.2, correlation=5)
    seen = arrived(ours, address)
    first = seen.index("-")
    assert seen == "+" * first + "-" * (PIECES - first)


def test_a_seed_repeats_every_loss_of_a_connection(upstream: Upstream) -> None:
    """Connection by connection; another seed loses others."""
    patterns = []
    for seed in ("5", "5", "6"):
        server = start_ours("--seed", seed)
        try:
            address = server.proxy(upstream.address)
            lossy(server, loss_rate=0.5)
            patterns.append([arrived(server, address, 40) for _ in range(2)])
        finally:
            end(server)
    assert patterns[0] == patterns[1]
    assert patterns[0] != patterns[2]
    assert patterns[0][0] != patterns[0][1]


def test_a_changed_rate_holds_on_an_open_connection(ours: Server, upstream: Upstream) -> None:
    """Hot, as any other toxic; and its removal ends it."""
    address = ours.proxy(upstream.address)
    lossy(ours, loss_rate=1.0)
    with client(address) as stream:
        stream.sendall(b"lost")
        assert quiet(stream, 0.1)
        path = f"{PATH}/packet_loss_downstream"
        answer = ours.api.patch(path, json={"attributes": {"loss_rate": 0}})
        assert answer.json()["attributes"] == {"loss_rate": 0, "correlation": 0}
        stream.sendall(b"kept")
        assert take(stream, 4) == b"kept"
        assert ours.api.delete(path).status_code == 204
        stream.sendall(b"kept too")
        assert take(stream, 8) == b"kept too"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("0.1", "0.1"),
        ("-0.0", "-0"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("9007199254740993", "9007199254740992"),
    ],
)
def test_a_share_is_written_as_go_writes_it(ours: Server, written: str, shown: str) -> None:
    """An integer is as good as a float, and every float comes back in its shortest form."""
    ours.proxy("127.0.0.1:9")
    body = f'{{"type":"packet_loss","attributes":{{"loss_rate":{written}}}}}'
    answer = ours.api.post(PATH, content=body)
    assert f'"attributes":{{"loss_rate":{shown},"correlation":0}}' in answer.text


@pytest.mark.parametrize("written", ['"0.5"', "true", "[]", "1e400", "9" * 500, "NaN"])
def test_what_is_no_share_is_refused(ours: Server, written: str) -> None:
    """400, and the toxic is not there."""
    ours.proxy("127.0.0.1:9")
    body = f'{{"type":"packet_loss","attributes":{{"loss_rate":{written}}}}}'
    assert ours.api.post(PATH, content=body).status_code == 400
    assert ours.api.get(PATH).json() == []
