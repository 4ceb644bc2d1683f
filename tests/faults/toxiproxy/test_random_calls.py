from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.faults.toxiproxy.conftest import Server
from tests.faults.toxiproxy.random_calls import first_difference


@pytest.mark.real
@pytest.mark.parametrize("seed", [1, 2])
def test_both_servers_answer_random_calls_alike(ours: Server, original: Server, seed: int) -> None:
    """Byte for byte, sense and nonsense, whatever came before."""
    statuses, told = first_difference(ours, original, calls=1500, seed=seed)
    assert told is None, told
    assert {"200", "201", "204", "301", "400", "404", "405", "409", "500"} <= set(statuses)


@pytest.mark.real
def test_a_different_answer_is_seen(ours: Server, original: Server) -> None:
    """A server that already has something else to tell is found out."""
    forgetful = SimpleNamespace(address=original.address, clear=lambda: None)
    _, told = first_difference(ours, forgetful, calls=500, seed=3)  # type: ignore[arg-type]
    assert told is not None
