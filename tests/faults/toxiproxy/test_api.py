"""Where our API is better than the original's, and what it has beyond it."""

from __future__ import annotations

import pytest

from tests.faults.toxiproxy.conftest import Server


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("slicer", {}),
        ("slicer", {"average_size": 0}),
        ("slicer", {"average_size": 5, "size_variation": 7}),
        ("slicer", {"average_size": 5, "size_variation": -5}),
        ("bandwidth", {"rate": -1}),
    ],
)
def test_attributes_that_kill_the_original_are_refused(
    ours: Server, kind: str, attributes: dict[str, int]
) -> None:
    """400, and the toxic is not there."""
    ours.proxy("127.0.0.1:9")
    body = {"type": kind, "attributes": attributes}
    answer = ours.api.post("/proxies/p/toxics", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("bad request body: ")
    assert ours.api.get("/proxies/p/toxics").json() == []


def test_a_refused_update_changes_nothing(ours: Server) -> None:
    """The original may have changed half by then."""
    ours.proxy("127.0.0.1:9")
    ours.toxic("slicer", average_size=9)
    path = "/proxies/p/toxics/slicer_downstream"
    body = {"toxicity": 0.5, "attributes": {"delay": 5, "size_variation": 90}}
    assert ours.api.patch(path, json=body).status_code == 400
    shown = ours.api.get(path).json()
    assert shown["attributes"] == {"average_size": 9, "size_variation": 0, "delay": 0}
    assert shown["toxicity"] == 1


def test_an_oversized_body_is_refused(ours: Server) -> None:
    """Memory is bounded."""
    answer = ours.api.post("/proxies", content=b" " * (9 * 1024 * 1024))
    assert answer.status_code == 413


@pytest.mark.parametrize("ttl_ms", [-1, 10**12, "5", None])
def test_a_lease_has_bounds(ours: Server, ttl_ms: object) -> None:
    """Only a sensible time to live is taken."""
    ours.proxy("127.0.0.1:9")
    answer = ours.api.post("/squall/proxies/p/lease", json={"ttl_ms": ttl_ms})
    assert answer.status_code == 400
