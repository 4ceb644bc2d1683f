"""What happens to connections that a toxic ends: probes by name, with what they must see."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from functools import partial
from typing import Final

from tests.faults.toxiproxy.delay_vectors import STREAMS, Probe, Seen
from tests.faults.toxiproxy.peers import (
    END,
    RESET,
    Bench,
    cut_off,
    echoed,
    heard_by,
    in_time,
    last_of,
    quiet,
    take,
)


def _slow_close(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("slow_close", delay=300)
    stream = bench.connect(address)
    began = time.monotonic()
    stream.sendall(b"bye")
    words = take(stream, 3)
    at_once = in_time(began, 0)
    began = time.monotonic()
    return {
        "words": words,
        "at once": at_once,
        "end": last_of(stream),
        "late": in_time(began, 0.29),
    }


def _slow_close_upstream(bench: Bench) -> Seen:
    address, heard = bench.sink()
    bench.server.toxic("slow_close", "upstream", delay=300)
    with bench.connect(address) as stream:
        stream.sendall(b"words")
    began = time.monotonic()
    one = heard_by(heard)
    return {"words": bytes(one.data), "end": one.end, "late": in_time(began, 0.29)}


def _slow_close_ended(bench: Bench, *, change: bool) -> Seen:
    address = bench.echo()
    bench.server.toxic("slow_close", delay=60_000)
    stream = bench.connect(address)
    stream.sendall(b"bye")
    words = take(stream, 3)
    open_yet = quiet(stream, 0.15)
    if change:
        bench.change("slow_close_downstream", delay=10)
    else:
        bench.server.remove("slow_close_downstream")
    return {"words": words, "open yet": open_yet, "end": last_of(stream)}


def _timeout(bench: Bench, direction: str) -> Seen:
    address = bench.echo()
    bench.server.toxic("timeout", direction, timeout=300)
    stream = bench.connect(address)
    began = time.monotonic()
    stream.sendall(b"x")
    return {"end": last_of(stream), "after": in_time(began, 0.29, 0.3)}


def _timeout_restarts(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("timeout", timeout=350)
    stream = bench.connect(address)
    began = time.monotonic()
    for _ in range(6):
        stream.sendall(b"x")
        time.sleep(0.1)
    return {"end": last_of(stream), "after": in_time(began, 0.8, 1.0)}


def _timeout_zero(bench: Bench) -> Seen:
    address, heard = bench.sink()
    bench.server.toxic("timeout", "upstream", timeout=0)
    stream = bench.connect(address)
    stream.sendall(b"lost")
    open_yet = quiet(stream, 0.4)
    return {"open yet": open_yet, "heard": bytes(heard[0].data)}


def _timeout_other_way(bench: Bench) -> Seen:
    """Data of the other direction passes."""
    address, heard = bench.sink()
    bench.server.toxic("timeout", "downstream", timeout=0)
    with bench.connect(address) as stream:
        stream.sendall(b"words")
    one = heard_by(heard)
    return {"heard": bytes(one.data)}


def _timeout_removed(bench: Bench, toxicity: float, direction: str) -> Seen:
    address = bench.echo()
    bench.server.toxic("timeout", direction, toxicity=toxicity, timeout=0)
    stream = bench.connect(address)
    stream.sendall(b"x")
    passed = take(stream, 1) if toxicity == 0 else quiet(stream, 0.2)
    bench.server.remove(f"timeout_{direction}")
    return {"passed": passed, "end": last_of(stream)}


def _timeout_reset(bench: Bench) -> Seen:
    """Resetting the server removes the toxic, which closes the connection."""
    address = bench.echo()
    bench.server.toxic("timeout", timeout=0)
    stream = bench.connect(address)
    stream.sendall(b"x")
    dropped = quiet(stream, 0.2)
    bench.server.api.post("/reset")
    return {"dropped": dropped, "end": last_of(stream), "new": echoed(bench.connect(address), b"y")}


def _timeout_update(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("timeout", timeout=60_000)
    stream = bench.connect(address)
    stream.sendall(b"x")
    dropped = quiet(stream, 0.15)
    began = time.monotonic()
    bench.change("timeout_downstream", timeout=200)
    return {"dropped": dropped, "end": last_of(stream), "after": in_time(began, 0.2)}


def _limit(bench: Bench, limit: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", bytes=limit)
    data = random.Random(3).randbytes(200_000)
    stream = bench.connect(address)
    with suppress(OSError):
        stream.sendall(data)
    got, _ = last_of(stream)  # bytes that nobody reads any more may make the end a reset
    return {"exactly": got == data[: max(limit, 0)]}


def _limit_upstream(bench: Bench) -> Seen:
    address, heard = bench.sink()
    bench.server.toxic("limit_data", "upstream", bytes=1234)
    data = random.Random(4).randbytes(5000)
    stream = bench.connect(address)
    stream.sendall(data)
    one = heard_by(heard)
    return {"exactly": bytes(one.data) == data[:1234], "client": last_of(stream)[0]}


def _limit_update(bench: Bench, limit: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", bytes=10)
    stream = bench.connect(address)
    before = echoed(stream, b"12345")
    bench.change("limit_data_downstream", bytes=limit)
    stream.sendall(b"abcdefghijk")
    return {"before": before, "after": last_of(stream)}


def _limit_anew(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", bytes=10)
    stream = bench.connect(address)
    before = echoed(stream, b"12345")
    bench.server.remove("limit_data_downstream")
    between = echoed(stream, b"67890abcde")
    bench.server.toxic("limit_data", bytes=10)
    stream.sendall(b"0123456789")
    return {"before": before, "between": between, "after": last_of(stream)}


def _limit_per_connection(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", bytes=5)
    seen = set()
    for _ in range(3):
        stream = bench.connect(address)
        stream.sendall(b"1234567")
        seen.add(last_of(stream)[0])
    return {"each": seen}


def _limit_in_pieces(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", bytes=5)
    stream = bench.connect(address)
    first, second = echoed(stream, b"12"), echoed(stream, b"34")
    stream.sendall(b"56")
    return {"pieces": (first, second), "last": last_of(stream)}


def _reset(bench: Bench, direction: str, timeout_ms: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("reset_peer", direction, timeout=timeout_ms)
    stream = bench.connect(address)
    began = time.monotonic()
    stream.sendall(b"x")
    return {"end": last_of(stream), "after": in_time(began, timeout_ms / 1000)}


def _reset_both_sides(bench: Bench) -> Seen:
    """The upstream gets its reset too."""
    address, heard = bench.sink()
    bench.server.toxic("reset_peer", "upstream", timeout=100)
    stream = bench.connect(address)
    stream.sendall(b"x")
    client = last_of(stream)
    one = heard_by(heard)
    return {"client": client, "heard": bytes(one.data), "upstream": one.end}


def _reset_at_the_end(bench: Bench) -> Seen:
    """A source that ends without a byte sets it off as well."""
    address = bench.speaker(b"")
    bench.server.toxic("reset_peer", timeout=100)
    return {"client": last_of(bench.connect(address))}


def _reset_idle(bench: Bench) -> Seen:
    """Without a byte nothing happens."""
    address = bench.echo()
    bench.server.toxic("reset_peer", timeout=0)
    stream = bench.connect(address)
    open_yet = quiet(stream, 0.25)
    stream.sendall(b"x")
    return {"open yet": open_yet, "then": last_of(stream)}


def _reset_live(bench: Bench) -> Seen:
    stream = bench.live(bench.echo())
    bench.server.toxic("reset_peer", timeout=0)
    stream.sendall(b"x")
    return {"end": last_of(stream)}


def _reset_spared(bench: Bench) -> Seen:
    """What a connection that toxicity spared sees of a normal close."""
    address = bench.echo()
    bench.server.toxic("reset_peer", toxicity=0.0, timeout=0)
    stream = bench.connect(address)
    echo = echoed(stream, b"words")
    stream.sendall(b"bye")
    take(stream, 3)
    return {"echo": echo, "end": last_of(stream)}


def _reset_removed_in_time(bench: Bench) -> Seen:
    """Whether taking it away during the countdown waits for it."""
    address = bench.echo()
    bench.server.toxic("reset_peer", timeout=700)
    stream = bench.connect(address)
    stream.sendall(b"kept")
    time.sleep(0.1)
    began = time.monotonic()
    bench.server.remove("reset_peer_downstream")
    waited = time.monotonic() - began > 0.4
    stream.settimeout(0.3)
    return {"control waited": waited, "then": last_of(stream)}


def _toxicity(bench: Bench, toxicity: float, count: int, least: int, most: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", toxicity=toxicity, bytes=0)
    hit = sum(cut_off(address) for _ in range(count))
    return {"hit": "as many as due" if least <= hit <= most else hit}


def _toxicity_stays(bench: Bench) -> Seen:
    """One draw decides for a connection's whole life."""
    address = bench.echo()
    bench.server.toxic("timeout", toxicity=0.5, timeout=0)
    seen = set()
    for _ in range(24):
        stream = bench.connect(address)
        stream.sendall(b"x")
        spared = not quiet(stream, 0.03)
        if spared:
            seen.add(echoed(stream, b"x" * 20) == b"x" * 20)
        else:
            stream.sendall(b"y")
            seen.add(not quiet(stream, 0.01))
    return {"both kinds, each throughout": seen == {True, False}}


def _toxicity_update(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", toxicity=0.0, bytes=0)
    path = "/proxies/p/toxics/limit_data_downstream"
    spared = bench.live(address)
    echo = echoed(spared, b"words")
    bench.server.api.patch(path, json={"toxicity": 1})
    spared.sendall(b"x")
    hit = last_of(spared)
    bench.server.api.patch(path, json={"toxicity": 0})
    return {"spared": echo, "hit": hit, "new": echoed(bench.connect(address), b"words")}


CUT_VECTORS: Final[dict[str, Probe]] = {
    "slow_close downstream": (
        _slow_close,
        {"words": b"bye", "at once": "in time", "end": END, "late": "in time"},
    ),
    "slow_close upstream": (
        _slow_close_upstream,
        {"words": b"words", "end": "end", "late": "in time"},
    ),
    "slow_close taken away": (
        partial(_slow_close_ended, change=False),
        {"words": b"bye", "open yet": True, "end": END},
    ),
    "slow_close changed": (
        partial(_slow_close_ended, change=True),
        {"words": b"bye", "open yet": True, "end": END},
    ),
    **{
        f"timeout {direction}": (
            partial(_timeout, direction=direction),
            {"end": END, "after": "in time"},
        )
        for direction in STREAMS
    },
    "timeout restarts with every piece": (_timeout_restarts, {"end": END, "after": "in time"}),
    "timeout 0 never closes": (_timeout_zero, {"open yet": True, "heard": b""}),
    "timeout leaves the other way alone": (_timeout_other_way, {"heard": b"words"}),
    **{
        f"timeout {direction} of toxicity {toxicity} taken away": (
            partial(_timeout_removed, toxicity=toxicity, direction=direction),
            {"passed": b"x" if toxicity == 0 else True, "end": END},
        )
        for toxicity in (0.0, 1.0)
        for direction in STREAMS
    },
    "timeout and a reset of the server": (
        _timeout_reset,
        {"dropped": True, "end": END, "new": b"y"},
    ),
    "timeout changed": (_timeout_update, {"dropped": True, "end": END, "after": "in time"}),
    **{
        f"limit_data {limit}": (partial(_limit, limit=limit), {"exactly": True})
        for limit in (0, 1, 1000, 32 * 1024, 100_000)
    },
    "limit_data below zero": (partial(_limit, limit=-5), {"exactly": True}),
    "limit_data upstream": (_limit_upstream, {"exactly": True, "client": b""}),
    "limit_data raised": (
        partial(_limit_update, limit=12),
        {"before": b"12345", "after": (b"abcdefg", "end")},
    ),
    "limit_data lowered below its count": (
        partial(_limit_update, limit=2),
        {"before": b"12345", "after": END},
    ),
    "limit_data lowered to its count": (
        partial(_limit_update, limit=5),
        {"before": b"12345", "after": END},
    ),
    "limit_data counts anew when added anew": (
        _limit_anew,
        {"before": b"12345", "between": b"67890abcde", "after": (b"0123456789", "end")},
    ),
    "limit_data is per connection": (_limit_per_connection, {"each": {b"12345"}}),
    "limit_data over several pieces": (
        _limit_in_pieces,
        {"pieces": (b"12", b"34"), "last": (b"5", "end")},
    ),
    "reset_peer downstream": (
        partial(_reset, direction="downstream", timeout_ms=0),
        {"end": RESET, "after": "in time"},
    ),
    "reset_peer upstream": (
        partial(_reset, direction="upstream", timeout_ms=0),
        {"end": RESET, "after": "in time"},
    ),
    "reset_peer after its timeout": (
        partial(_reset, direction="downstream", timeout_ms=200),
        {"end": RESET, "after": "in time"},
    ),
    "reset_peer resets both sides": (
        _reset_both_sides,
        {"client": RESET, "heard": b"", "upstream": "reset"},
    ),
    "reset_peer at the end of the source": (_reset_at_the_end, {"client": RESET}),
    "reset_peer without a byte": (_reset_idle, {"open yet": True, "then": RESET}),
    "reset_peer on a live connection": (_reset_live, {"end": END}),
    "reset_peer of toxicity 0": (_reset_spared, {"echo": b"words", "end": RESET}),
    "reset_peer taken away in time": (
        _reset_removed_in_time,
        {"control waited": True, "then": RESET},
    ),
    "toxicity 0": (
        partial(_toxicity, toxicity=0.0, count=100, least=0, most=0),
        {"hit": "as many as due"},
    ),
    "toxicity 1": (
        partial(_toxicity, toxicity=1.0, count=100, least=100, most=100),
        {"hit": "as many as due"},
    ),
    "toxicity 0.3, within four deviations of 400": (
        partial(_toxicity, toxicity=0.3, count=400, least=84, most=156),
        {"hit": "as many as due"},
    ),
    "toxicity beyond 1": (
        partial(_toxicity, toxicity=5.0, count=30, least=30, most=30),
        {"hit": "as many as due"},
    ),
    "toxicity below 0": (
        partial(_toxicity, toxicity=-1.0, count=30, least=0, most=0),
        {"hit": "as many as due"},
    ),
    "toxicity is per connection": (_toxicity_stays, {"both kinds, each throughout": True}),
    "toxicity changed on a live connection": (
        _toxicity_update,
        {"spared": b"words", "hit": END, "new": b"words"},
    ),
}
