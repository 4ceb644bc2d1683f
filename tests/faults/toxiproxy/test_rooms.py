"""The memory that everybody reads into."""

from __future__ import annotations

from faults.toxiproxy.rooms import CROWD, CROWDED_BYTES, ROOM_BYTES, SPARE_MAX, Rooms


def test_a_lent_room_is_nobody_elses_until_it_is_given_back() -> None:
    """What is still to be written is never read over."""
    rooms = Rooms()
    rooms.now[:4] = b"held"
    lent = [rooms.lend()]
    rooms.now[:4] = b"next"
    assert bytes(lent[0][:4]) == b"held"
    room = lent[0]
    rooms.take_back(lent)
    assert lent == []
    rooms.lend()
    assert rooms.now is room


def test_a_crowd_takes_less_each() -> None:
    """A read is smaller while many connections are open, and large again when they have gone."""
    rooms = Rooms()
    for _ in range(CROWD + 1):
        rooms.opened()
    assert len(rooms.now) == CROWDED_BYTES
    rooms.closed()
    assert len(rooms.now) == ROOM_BYTES


def test_rooms_of_another_size_and_too_many_are_let_go() -> None:
    """A burst of stalled connections does not hold its memory for ever."""
    rooms = Rooms()
    lent = [rooms.lend() for _ in range(SPARE_MAX + 5)]
    for _ in range(CROWD + 1):
        rooms.opened()
    rooms.take_back(lent[:1])
    assert rooms._spare == []
    rooms.closed()
    rooms.take_back(lent)
    assert len(rooms._spare) == SPARE_MAX
