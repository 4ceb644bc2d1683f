"""Agents beside the planned ones, on real sockets, towards servers that are scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.journal import FloodEntry
from harness.session.mischief import outsider, thefts
from tests.differing.playing import play, window
from tests.differing.stacks import Stack
from tests.wire.scripted import Peer, Request, http, serving

pytestmark = pytest.mark.anyio


class Busy(Stack):
    """Asks outsiders for patience when they begin, so many times."""

    def __init__(self, refusal: str, times: int) -> None:
        """Refuse with a status."""
        super().__init__()
        self._refusal, self._times = refusal, times
        self.begun = 0

    async def answer(self, peer: Peer, request: Request) -> None:
        """Refuse the first who come."""
        begins = b"squall-outsider" in request.body and b'"initialize"' in request.body
        self.begun += begins
        if begins and self.begun <= self._times:
            await peer.send(http(status=self._refusal))
        else:
            await super().answer(peer, request)


@pytest.mark.parametrize(
    ("refusal", "times", "poured"),
    [
        ("503 Service Unavailable", 2, True),
        ("429 Too Many Requests", 2, True),
        ("429 Too Many Requests", outsider.GREETINGS_MAX, False),
        ("403 Forbidden", 1, False),
    ],
)
async def test_who_is_asked_for_patience_when_it_begins_has_some(
    tmp_path: Path, refusal: str, times: int, poured: bool
) -> None:
    """And takes a refusal for what it is."""
    async with serving(Busy(refusal, times).serve) as server:
        flood = window("session-flood", "5s", sessions=10, rate="100/s", rest="1s")
        played = await play(tmp_path, server.url, faults=[flood])
    floods = played.evidence.journal.of(FloodEntry)
    assert bool(floods) is poured
    assert ("not-let-in" in {probe.variant for probe in played.probes}) is not poured


async def test_streams_are_not_resumed_where_the_scenario_has_no_call_for_it(
    tmp_path: Path,
) -> None:
    """A call without a nonce shows nothing: that is said of the scenario, and nobody is asked."""
    unmarked = [{"name": "lister", "pace": "4/s", "steps": [{"method": "tools/list"}]}]
    async with serving(Stack().serve) as server:
        probe = window("resume-probe", "1s")
        played = await play(tmp_path, server.url, faults=[probe], agents=unmarked)
    (told,) = {(each.variant, each.sent) for each in played.probes}
    assert told == ("no-call", thefts.NO_CALL)
