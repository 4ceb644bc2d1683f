"""Batches of random changes beside the same changes one by one, on two servers of ours."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.faults.toxiproxy.conftest import Server, end, start_ours

NAMES = ("p", "q")
KINDS = ("latency", "noop", "cut", "latency", "slicer", "unknown")
LISTENS = ("127.0.0.1:0", "127.0.0.1:0", "localhost:0", "127.0.0.1:0", "localhost:0", "nonsense")
HOME = {"listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}
ROUNDS = 60

Change = dict[str, object]


@pytest.fixture
def plain() -> Iterator[Server]:
    """The server that is told one thing at a time."""
    server = start_ours("--seed", "7")
    yield server
    end(server)


def some_change(chance: random.Random) -> Change:
    """One change, often one that cannot be made."""
    op = chance.choice(("create", "update", "update", "delete", "add", "add", "change", "remove"))
    kind = chance.choice(KINDS)
    change: Change = {"op": op, "proxy": chance.choice(NAMES), "toxic": f"{kind}_downstream"}
    if op in {"create", "update"}:
        change["listen"] = chance.choice(LISTENS)
        change["upstream"] = f"127.0.0.1:{chance.randrange(1, 3)}"
        change["enabled"] = chance.random() < 0.7
        for key in ("listen", "upstream", "enabled"):
            if op == "update" and chance.random() < 0.5:
                del change[key]
    if op == "create":
        change["name"] = change.pop("proxy")
    if op in {"add", "change"}:
        change["toxicity"] = chance.choice((0, 0.5, 1))
        change["attributes"] = {chance.choice(("latency", "average_size", "after")): 5}
    if op == "add":
        change["type"] = kind
    return change


def one_by_one(server: Server, change: Change) -> httpx.Response:
    """Ask for one change by the route that is its own."""
    op, proxy, toxic = change["op"], change.get("proxy"), change.get("toxic")
    path = f"/proxies/{proxy}/toxics/{toxic}"
    if op == "create":
        return server.api.post("/proxies", json=change)
    if op == "update":
        return server.api.patch(f"/proxies/{proxy}", json=change)
    if op == "delete":
        return server.api.delete(f"/proxies/{proxy}")
    if op == "add":
        return server.api.post(f"/squall/proxies/{proxy}/toxics", json=change)
    if op == "change":
        return server.api.patch(path, json=change)
    return server.api.delete(path)


def state(server: Server) -> str:
    """Every proxy, but for ports that the system gave, and for where one that is off would be.

    A batch never binds a port that it gives up again, so there it has no number to show.
    """
    shown = re.sub(r'("listen":"127.0.0.1:)[1-9]\d*', r"\1<port>", server.api.get("/proxies").text)
    return re.sub(r'"listen":"[^"]*"(,"upstream":"[^"]*","enabled":false)', r"\1", shown)


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_is_as_good_as_its_changes_one_by_one(
    ours: Server, plain: Server, seed: int
) -> None:
    """The same state where all can be made; where not, the first that cannot, and no change."""
    chance = random.Random(seed)
    made = refused = 0
    for _ in range(ROUNDS):
        changes = [some_change(chance) for _ in range(chance.randrange(1, 4))]
        before = state(ours)
        if before == "{}":  # otherwise most would fail for want of anything to change
            changes.insert(0, {"op": "create", "name": "p", **HOME})
        assert state(plain) == before
        answer = ours.api.post("/squall/changes", json=changes)
        failed = None
        for index, change in enumerate(changes):
            single = one_by_one(plain, change)
            if single.status_code >= 400:
                failed = (index, single.status_code, single.json()["error"])
                break
        if failed is None:
            assert answer.status_code == 200, (changes, answer.text)
            assert state(plain) == state(ours), changes
            made += 1
            continue
        index, status, text = failed
        assert answer.status_code == status, (changes, text, answer.text)
        shown = answer.json()
        assert (answer.status_code, shown["index"]) == (status, index), (changes, answer.text)
        assert shown["error"] == f"{text} at index {index}"
        assert state(ours) == before, changes
        refused += 1
        ours.clear()
        plain.clear()
    assert made > 2
    assert refused > 2
