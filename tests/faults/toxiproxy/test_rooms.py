"""The memory that everybody reads into."""

from __future__ import annotations

from faults.toxiproxy.path.rooms import CROWD, CROWDED_BYTES, ROOM_BYTES, SPARE_BYTES_MAX, Rooms


def test_a_lent_room_is_nobody_elses_until_it_is_given_back() -> None:
    """What is still to be written is never read over."""
    rooms = Rooms()
    rooms.now[:4] = b"held"
    piece = rooms.lend()[:4]
    rooms.now[:4] = b"next"
    assert bytes(piece) == b"held"
    room = piece.obj
    rooms.take_back(piece)
    rooms.lend()
    assert rooms.now.obj is room
    assert len(rooms.now) == ROOM_BYTES


def test_a_crowd_takes_less_each() -> None:
    """A read is smaller while many connections are open, and large again when they have gone."""
    rooms = Rooms()
    rooms.opened()
    alone = rooms.full_reads_max
    for _ in range(CROWD):
        rooms.opened()
    assert (len(rooms.now), rooms.crowded, rooms.full_reads_max) == (CROWDED_BYTES, True, 1)
    rooms.closed()
    assert (len(rooms.now), rooms.crowded) == (ROOM_BYTES, False)
    assert 1 < rooms.full_reads_max < alone


def test_rooms_of_another_size_and_too_many_are_let_go() -> None:
    """A burst of held pieces does not keep its memory for ever."""
    rooms = Rooms()
    spare_max = SPARE_BYTES_MAX // ROOM_BYTES
    lent = [rooms.lend() for _ in range(spare_max + 5)]
    for _ in range(CROWD + 1):
        rooms.opened()
    rooms.take_back(lent[0])
    assert rooms._spare == []
    rooms.closed()
    for room in lent:
        rooms.take_back(room)
    assert len(rooms._spare) == spare_max
