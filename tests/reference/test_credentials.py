"""What the server shows its dependency, for whom, and what becomes of that under each flaw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest

from faults.levers import Programme
from harness.flaws import Flaw
from harness.reference.callers import Caller
from harness.reference.downstream import StoreError, on_errand
from harness.reference.flawed_credentials import CarelessDownstream
from harness.rig.dependency import control, recorded

pytestmark = pytest.mark.anyio
USERS: Final = ("ann", "bob")
BEARER: Final = "Bearer callers-own"


def caller(subject: str) -> Caller:
    """Somebody who calls."""
    return Caller(client=subject, subject=subject, holder=subject, bearer=BEARER)


async def ask(downstream: CarelessDownstream, subject: str, match: str) -> None:
    """One call of somebody's, which asks for rows."""
    with on_errand(caller(subject), ""):
        await downstream.read("/rows", {"match": match, "limit": "3"})


async def seen(folder: Path, *flaws: Flaw) -> list[recorded.Request]:
    """What the dependency saw of six calls of two users, two at a time."""
    async with control.serve(ledger=folder / "l.sqlite", log=None) as own:
        downstream = CarelessDownstream(
            own.url.replace("//", f"//{own.client}@"), flaws=frozenset(flaws)
        )
        for number in range(3):
            async with anyio.create_task_group() as group:
                for user in USERS:
                    group.start_soon(ask, downstream, user, f"{user}-{number}")
        await downstream.close()
    return list(recorded.requests(folder / "l.sqlite"))


async def test_a_sound_server_acts_for_whoever_asked_by_one_token_of_its_own(
    tmp_path: Path,
) -> None:
    """Two users at once, and one token for all of it."""
    requests = await seen(tmp_path)
    asked = [one for one in requests if one.operation == "rows"]
    assert Counter(one.subject for one in asked) == {"ann": 3, "bob": 3}
    assert {one.credential for one in asked} == {"own"}
    assert sum(one.operation == "token" for one in requests) == 1


async def test_the_flaw_ambient_user_acts_for_whoever_was_there_last(tmp_path: Path) -> None:
    """Of two calls at once, both are the second one's."""
    requests = await seen(tmp_path, Flaw.AMBIENT_USER)
    asked = [one for one in requests if one.operation == "rows"]
    assert Counter(one.subject for one in asked) == {"bob": 6}
    assert {one.credential for one in asked} == {"own"}


async def test_the_flaw_token_passthrough_shows_the_callers_token(tmp_path: Path) -> None:
    """And buys none of its own."""
    requests = await seen(tmp_path, Flaw.TOKEN_PASSTHROUGH)
    assert {one.credential for one in requests} == {"other"}, "no caller of this dependency's"
    assert all(one.operation == "rows" for one in requests)


async def test_the_flaw_refresh_stampede_buys_a_token_for_every_request(tmp_path: Path) -> None:
    """Six and six."""
    requests = await seen(tmp_path, Flaw.REFRESH_STAMPEDE)
    assert Counter(one.operation for one in requests) == {"rows": 6, "token": 6}


@pytest.mark.parametrize("flawed", [False, True])
async def test_a_renewal_that_failed_is_tried_again_unless_the_flaw_refresh_once(
    tmp_path: Path, flawed: bool
) -> None:
    """The dependency sells again, and one of the two never asks."""
    flaws = frozenset({Flaw.REFRESH_ONCE}) if flawed else frozenset[Flaw]()
    refused = Programme(kind="refuse", operations="tokens", status=500)
    async with control.serve(ledger=tmp_path / "l.sqlite", log=None) as own:
        downstream = CarelessDownstream(own.url.replace("//", f"//{own.client}@"), flaws=flaws)
        await own.engage("w", refused)
        with pytest.raises(StoreError, match="token"):
            await ask(downstream, "ann", "x")
        await own.disengage("w")
        with anyio.move_on_after(5):  # the breaker may be open for a moment
            while True:
                try:
                    await ask(downstream, "ann", "y")
                except StoreError as error:
                    if "could not be renewed" in str(error):
                        assert flawed
                        break
                    await anyio.sleep(0.1)
                else:
                    assert not flawed
                    break
        await downstream.close()
    rows = [one for one in recorded.requests(tmp_path / "l.sqlite") if one.operation == "rows"]
    assert bool(rows) is not flawed


def test_a_callers_token_is_no_part_of_who_that_is() -> None:
    """It is renewed, and is not shown in a traceback."""
    ann = caller("ann")
    assert ann == Caller(client="ann", subject="ann", holder="ann")
    assert BEARER not in repr(ann)
    assert httpx.Headers({"authorization": ann.bearer})["authorization"] == BEARER
