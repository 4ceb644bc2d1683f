"""Each flaw differs from the hardened server in exactly its own way, in both eras."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final

import anyio
import pytest

from harness.flaws import Flaw
from harness.rig.issuer import control
from harness.rig.ledger import read as executions
from harness.session.tokens import spoil
from tests.reference.calls import ERAS, Answer, Bench, Caller, Era, bench

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HARDENED: Final = "hardened"
MIB: Final = 1024 * 1024
REST_S: Final = 2.0  # of a slow call; whoever is held up by it waits for most of that

Profile = dict[str, str]

SOUND: Final[Profile] = {
    "no token": "401 challenged",
    "damaged token": "401 challenged",
    "expired token": "401 challenged",
    "revoked token": "401 challenged",
    "renewed token": "kept",
    "failing database": "error",
    "repeated call": "1 effect",
    "six mebibytes": "413",
    "neighbours of a slow call": "served",
}
# What a flaw changes; everything else stays as it is.
CHANGES: Final[dict[tuple[Flaw, Era], Profile]] = {
    (Flaw.EMPTY_ON_ERROR, "legacy"): {"failing database": "empty"},
    (Flaw.EMPTY_ON_ERROR, "modern"): {"failing database": "empty"},
    (Flaw.AUTH_AT_INIT_ONLY, "legacy"): {
        "no token": "200",
        "damaged token": "200",
        "expired token": "200",
        "revoked token": "200",
    },
    (Flaw.AUTH_AT_INIT_ONLY, "modern"): {"expired token": "200", "revoked token": "200"},
    (Flaw.EXPIRED_IS_403, "legacy"): {"expired token": "403"},
    (Flaw.EXPIRED_IS_403, "modern"): {"expired token": "403"},
    (Flaw.SESSION_BOUND_TO_TOKEN, "legacy"): {"renewed token": "404"},
    (Flaw.SESSION_BOUND_TO_TOKEN, "modern"): {"renewed token": "lost"},
    (Flaw.NO_DEDUP, "legacy"): {"repeated call": "2 effects"},
    (Flaw.NO_DEDUP, "modern"): {"repeated call": "2 effects"},
    (Flaw.UNBOUNDED_REQUEST, "legacy"): {"six mebibytes": "200"},
    (Flaw.UNBOUNDED_REQUEST, "modern"): {"six mebibytes": "200"},
    (Flaw.SYNC_BLOCKS_LOOP, "legacy"): {"neighbours of a slow call": "held up"},
    (Flaw.SYNC_BLOCKS_LOOP, "modern"): {"neighbours of a slow call": "held up"},
}
# The others' tests stand beside the code of their own.
OURS: Final = sorted({flaw for flaw, _ in CHANGES})


def status(answer: Answer) -> str:
    """The status, and whether a challenge came with it."""
    return f"{answer.status} challenged" if answer.challenge else str(answer.status)


async def settled(caller: Caller) -> str:
    """What a caller gets once the server has had the time that it may take to notice."""
    seen = "200"
    with anyio.move_on_after(2.5):
        while seen == "200":
            seen = status(await caller.call("fetch", {"id": "doc-1"}))
            await anyio.sleep(0.1)
    return seen


async def tokens(running: Bench, era: Era) -> Profile:
    """How the server treats tokens that a live session presents."""
    session = await running.caller(era, await running.token(f"{era}-a"))
    good = session.token
    seen: Profile = {}
    for name, token in (("no token", ""), ("damaged token", spoil(good))):
        session.token = token
        seen[name] = status(await session.call("fetch", {"id": "doc-1"}))
    session.token = good
    await session.call("remember", {"key": "k", "value": "v", "session": "s"})
    session.token = await running.token(f"{era}-a")
    recalled = await session.call("recall", {"key": "k", "session": "s"})
    kept = "kept" if recalled.value else "lost"
    seen["renewed token"] = kept if recalled.status == 200 else str(recalled.status)

    async with anyio.create_task_group() as group:
        group.start_soon(revoked, running, era, seen)
        group.start_soon(expired, running, era, seen)
    return seen


async def revoked(running: Bench, era: Era, seen: Profile) -> None:
    """How the server treats a token that is revoked amid its session."""
    outcast = await running.caller(era, await running.token(f"{era}-outcast"))
    await outcast.call("fetch", {"id": "doc-1"})
    await running.revoke(f"{era}-outcast")
    seen["revoked token"] = await settled(outcast)


async def expired(running: Bench, era: Era, seen: Profile) -> None:
    """How the server treats a token that expires amid its session."""
    mayfly = await running.caller(era, await running.token(f"{era}-mayfly", ttl_s=1))
    await mayfly.call("fetch", {"id": "doc-1"})
    await anyio.sleep(math.ceil(time.time() + 1) - time.time() + 0.01)
    seen["expired token"] = status(await mayfly.call("fetch", {"id": "doc-1"}))


async def deeds(running: Bench, era: Era) -> Profile:
    """How the server treats failures, repeats, sizes and neighbours."""
    caller = await running.caller(era, await running.token(f"{era}-b"))
    failing = await caller.call("search", {"query": "q" * 64 * 1024})
    note = {"key": "k", "text": f"note-{era}", "idempotency_key": f"once-{era}"}
    for _ in range(2):
        assert (await caller.call("append_note", note)).status == 200
    effects = [row for row in executions(running.ledger) if row.key == f"note-{era}"]
    large = await caller.call("search", {"query": "q" * 6 * MIB})

    neighbour = await running.caller(era, await running.token(f"{era}-b"))
    longest_s, resting = 0.0, anyio.Event()

    async def rest() -> None:
        assert (await caller.call("slow", {"seconds": REST_S})).status == 200
        resting.set()

    async with anyio.create_task_group() as group:
        group.start_soon(rest)
        while not resting.is_set():
            sent_s = anyio.current_time()
            assert (await neighbour.call("search", {"query": "quick"})).status == 200
            longest_s = max(longest_s, anyio.current_time() - sent_s)
            await anyio.sleep(0.05)
    return {
        "failing database": "error" if failing.failed else "empty",
        "repeated call": f"{len(effects)} effect" + "s" * (len(effects) > 1),
        "six mebibytes": str(large.status),
        "neighbours of a slow call": "served" if longest_s < REST_S / 2 else "held up",
    }


@pytest.fixture(scope="module")
async def profiles(
    issuer: control.Issuer, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, Era], Profile]:
    """What every server does, each alone with its own issuer's clients; all at the same time."""
    folder = tmp_path_factory.mktemp("flaws")
    seen: dict[tuple[str, Era], Profile] = {}
    with anyio.fail_after(90):
        async with anyio.create_task_group() as group:
            for name in (HARDENED, *OURS):
                group.start_soon(observe, issuer, folder, name, seen)
    return seen


async def observe(
    issuer: control.Issuer, folder: Path, name: str, seen: dict[tuple[str, Era], Profile]
) -> None:
    """Start one server and see how it treats both eras; a blocked loop must not blur the rest."""
    flaws = () if name == HARDENED else (name,)

    async def of_tokens(era: Era) -> None:
        seen[name, era] = await tokens(running, era)

    async def of_deeds(era: Era) -> None:
        seen[name, era] |= await deeds(running, era)

    async with bench(issuer, folder, *flaws) as running:
        for part in (of_tokens, of_deeds):
            async with anyio.create_task_group() as group:
                for era in ERAS:
                    group.start_soon(part, era)


@pytest.mark.parametrize("era", ERAS)
async def test_the_hardened_server_is_sound_in_every_respect(
    profiles: dict[tuple[str, Era], Profile], era: Era
) -> None:
    """With every switch off nothing is wrong."""
    assert profiles[HARDENED, era] == SOUND


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("flaw", OURS)
async def test_a_flaw_changes_what_it_names_and_nothing_else(
    profiles: dict[tuple[str, Era], Profile], flaw: Flaw, era: Era
) -> None:
    """So a verdict that names it can be right, and any other one is wrong."""
    assert profiles[flaw, era] == {**SOUND, **CHANGES[flaw, era]}


async def test_every_flaw_says_what_it_does() -> None:
    """The catalogue can be printed from the switches alone."""
    assert all(len(flaw.meaning.split()) > 5 for flaw in Flaw)
    assert all(flaw.value == flaw.name.lower().replace("_", "-") for flaw in Flaw)
