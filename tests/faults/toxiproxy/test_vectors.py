"""Our server and the original behave alike, vector by vector, save what is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.toxiproxy.conftest import REAL, Originals, Server
from tests.faults.toxiproxy.differences import DIFFERENCES
from tests.faults.toxiproxy.vectors import (
    VECTORS,
    complaint,
    complaint_of_ours,
    observe,
    observe_both,
)


@pytest.mark.parametrize("name", VECTORS)
def test_both_servers_do_the_same(ours: Server, request: pytest.FixtureRequest, name: str) -> None:
    """The same on the wire and with data, or as listed; without the original, what it must be."""
    vector = VECTORS[name]
    if REAL is None:
        told = complaint_of_ours(vector, observe(vector, ours))
    else:
        told = complaint(vector, *observe_both(vector, ours, request.getfixturevalue("original")))
    if told is not None:
        pytest.fail(told, pytrace=False)


@pytest.mark.real
def test_the_original_took_part(original: Server) -> None:
    """Without it, every vector above was held only to what is written down."""
    assert original.api.get("/version").status_code == 200


@pytest.mark.real
def test_an_original_that_dies_is_replaced_and_what_it_said_is_kept(
    originals: Originals, tmp_path: Path
) -> None:
    """The vectors after the one that made it die are played against the next."""
    assert REAL is not None
    kept = Originals(REAL, tmp_path)
    try:
        first = kept.alive()
        assert kept.last_words() is None
        first.process.kill()
        first.process.wait(10)
        assert "version" in (kept.last_words() or "")
        assert kept.alive().process.pid != first.process.pid
        assert kept.last_words() is None
    finally:
        kept.end()
    assert originals.last_words() is None


def test_every_listed_difference_is_one_of_the_vectors_and_has_its_reason() -> None:
    """A name that is misspelt would excuse nothing, and hide that."""
    assert set(DIFFERENCES) <= set(VECTORS)
    assert all(difference.reason for difference in DIFFERENCES.values())


def test_the_judge_of_vectors_can_tell_servers_apart() -> None:
    """A comparison that always agrees would be worth nothing."""
    vector = VECTORS["no proxies"]
    same = "HTTP/1.1 200 OK\n\n{}"
    assert complaint(vector, same, same) is None
    assert "the servers differ" in (complaint(vector, same, same + " ") or "")
    assert "not as expected" in (complaint(vector, "HTTP/1.1 500 \n\n", "HTTP/1.1 500 \n\n") or "")
    listed = VECTORS["bytes: two servers of one seed"]
    assert complaint(listed, "repeated: True", "repeated: False") is None
    assert "theirs is not" in (complaint(listed, "repeated: True", "repeated: True") or "")
    assert "ours is not" in (complaint(listed, "repeated: no", "repeated: False") or "")
