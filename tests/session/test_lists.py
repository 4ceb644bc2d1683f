"""What sessions remember of the lists that they are given, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.journal import ListEntry
from harness.session.lists import APART_NS, ENTRIES_A_SECOND, NAMED_MAX, Lists, Watch, offer
from harness.wire.reply import Reply
from tests.session.staged import Asked, Client, Play, Target, fine, refused, scenario
from tests.virtual import Backend, backend

S = 1_000_000_000
LIST = {"method": "tools/list"}


@pytest.fixture
def anyio_backend() -> Backend:
    """Twenty seconds in a blink."""
    return backend()


def tools(*names: str, **schema: Any) -> list[dict[str, Any]]:
    """A list of tools that take nothing, or what `schema` says."""
    return [{"name": name, "inputSchema": {"type": "object", **schema}} for name in names]


async def play(
    folder: Path, answer: Any, *, sessions: int = 1, scenes: Any = ()
) -> list[ListEntry]:
    """Let sessions list once a second; what was written down of it."""
    made = scenario(LIST, load={"sessions": sessions, "ramp": "0s"}, client={"listen": True})
    played = Play(folder, made, target=Target(answer=answer))

    def tell() -> None:
        for client in played.clients:
            client.inbox.hear({"method": "notifications/tools/list_changed"})

    await played.run(scenes=tuple((at_s, tell) for at_s in scenes))
    return list(played.lists.entries(all_=True))


# --- what a list comes down to ------------------------------------------------------------------


def test_order_and_schemas_make_a_list_and_praise_does_not() -> None:
    """A description may say what day it is."""
    plain = offer(tools("a", "b"))
    praised = offer([{**tool, "description": "new!"} for tool in tools("a", "b")])
    turned = offer(tools("b", "a"))
    wider = offer(tools("a", "b", properties={"q": {"type": "string"}}))
    assert praised == plain
    assert (turned.content, turned.digest != plain.digest) == (plain.content, True)
    assert wider.content != plain.content
    assert offer(tools("a", required=["p", "q"])) == offer(tools("a", required=["q", "p"]))
    assert offer(["no tool", *tools("a")]) == offer(tools("a"))


# --- what is written down -----------------------------------------------------------------------


@pytest.mark.anyio
async def test_equal_lists_are_written_down_once_an_arm(tmp_path: Path) -> None:
    """Whoever is given the usual list has nothing to tell."""
    entries = await play(tmp_path, lambda _: fine(tools=tools("a", "b")), sessions=4)
    assert len(entries) == len({entry.treated for entry in entries}) == 2
    assert [entry.names for entry in entries] == [("a", "b"), ()]  # each list is named once
    assert {entry.was for entry in entries} == {""}


@pytest.mark.anyio
@pytest.mark.parametrize("told", [True, False])
async def test_a_list_that_changed_is_told_with_the_word_of_it(tmp_path: Path, told: bool) -> None:
    """Also where the word comes after the list that shows it."""

    def answer(asked: Asked) -> Reply:
        return fine(tools=tools("a", "b", "c") if asked.at_ns > 8 * S else tools("a", "b"), ttlMs=5)

    first, changed = await play(tmp_path, answer, scenes=(9.3,) if told else ())
    assert (changed.was, changed.was_content) == (first.digest, first.content)
    assert (changed.count, changed.names, changed.ttl_ms) == (3, ("a", "b", "c"), 5)
    assert changed.hears
    assert 8 * S < changed.at_ns < 9.3 * S
    assert (changed.told_ns > changed.was_ns) is told


@pytest.mark.anyio
async def test_a_new_session_has_no_list_before_its_first(tmp_path: Path) -> None:
    """There is nobody who could have been told."""
    lost = [False]

    def answer(asked: Asked) -> Reply:
        if asked.session_id == "id-0-1" and asked.at_ns > 8 * S:
            lost[0] = True
            return refused(404)
        return fine(tools=tools("a", "b") if lost[0] else tools("a"))

    first, second = await play(tmp_path, answer)
    assert (first.count, second.count, second.was) == (1, 2, "")


@pytest.mark.anyio
async def test_the_pages_of_a_list_are_put_together(tmp_path: Path) -> None:
    """Asked for between the steps; a list with other pages is no other list."""
    asked_on: list[str] = []

    def answer(asked: Asked) -> Reply:
        cursor = asked.params.get("cursor")
        if cursor is None:
            return fine(tools=tools("a", "b"), nextCursor="on")
        asked_on.append(cursor)
        return fine(tools=tools("c"))

    (entry,) = await play(tmp_path, answer)
    assert (entry.count, entry.names) == (3, ("a", "b", "c"))
    assert set(asked_on) == {"on"}


@pytest.mark.anyio
async def test_a_list_whose_further_pages_fail_says_nothing(tmp_path: Path) -> None:
    """Half a list is no change."""

    def answer(asked: Asked) -> Reply:
        if "cursor" in asked.params:
            return refused(500)
        return fine(tools=tools("a", "b"), nextCursor="on")

    assert await play(tmp_path, answer) == []


# --- bounds -------------------------------------------------------------------------------------


def watched(lists: Lists, *, session: int = 0) -> Watch:
    """A session's watch, open at a server that declares its changes."""
    client: Any = Client(Target(), session)
    watch = Watch(lists, client, session=session, treated=False, hears=False)
    watch.opened({"capabilities": {"tools": {"listChanged": True}}})
    return watch


def test_what_a_server_says_of_itself_is_kept() -> None:
    """Or that it said nothing."""
    lists = Lists(lambda: 0)
    for said, declares in (
        ({"capabilities": {"tools": {"listChanged": True}}}, True),
        ({"capabilities": {"tools": {}}}, False),
        ({"capabilities": {}}, False),
        (None, None),
    ):
        watch = watched(lists)
        watch.opened(said)
        assert watch.entry(offer(tools("a")), (), 0).declares is declares


def test_lists_without_end_cost_a_bounded_number_of_entries() -> None:
    """So many a second, and names for so many of them."""
    now = [0]
    lists = Lists(lambda: now[0])
    watch = watched(lists)
    told: list[ListEntry] = []
    for second in range(NAMED_MAX):
        for turn in range(50):
            now[0] += 10 * APART_NS
            watch.add({"tools": tools(f"tool-{second}-{turn}")}, turn)
        told += lists.entries(all_=True)
    assert len(told) == NAMED_MAX * ENTRIES_A_SECOND
    assert sum(bool(entry.names) for entry in told) == NAMED_MAX


def test_an_entry_waits_a_second_for_the_word_of_it() -> None:
    """The books come by once a second."""
    now = [0]
    lists = Lists(lambda: now[0])
    watched(lists).add({"tools": tools("a")}, 0)
    assert list(lists.entries()) == []
    now[0] = 2 * S
    assert len(list(lists.entries())) == 1
