from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.outcome import Reason
from harness.wire.http import BrokenReplyError
from harness.wire.sse import SseParser

_LINE_ENDS = st.sampled_from([b"\r\n", b"\n", b"\r"])
_TEXT = st.text(
    st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20
).map(str.encode)


def _feed(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bytes, int, int]:
    parser = SseParser(1_000_000)
    events: list[bytes] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        events += parser.feed(stream[start:end])
    return events, parser.last_id, parser.retry_ms, parser.ignored


@given(
    data=st.lists(st.lists(_TEXT, min_size=1, max_size=3), max_size=4),
    line_end=_LINE_ENDS,
    comment=_TEXT,
    cuts=st.lists(st.integers(min_value=0), max_size=12),
)
def test_any_cutting_of_a_stream_gives_the_same_events(
    data: list[list[bytes]], line_end: bytes, comment: bytes, cuts: list[int]
) -> None:
    """Segments are the network's business: they change nothing."""
    lines = []
    for number, parts in enumerate(data):
        lines += [b":" + comment, b"id: %d" % number, b"event: message"]
        lines += [b"data: " + part for part in parts]
        lines.append(b"")
    stream = b"".join(line + line_end for line in lines)
    expected = [b"\n".join(parts) for parts in data if any(parts) or len(parts) > 1]
    events, last_id, _, _ = _feed(stream, cuts)
    assert events == expected
    assert last_id == (b"%d" % (len(data) - 1) if data else b"")


@given(stream=st.binary(max_size=200), cuts=st.lists(st.integers(min_value=0), max_size=12))
def test_any_bytes_are_read_without_a_crash_and_alike_however_cut(
    stream: bytes, cuts: list[int]
) -> None:
    """A hostile stream has one meaning, and never an exception."""
    assert _feed(stream, cuts) == _feed(stream, [])


def test_a_priming_event_gives_an_id_and_no_data() -> None:
    """Id with empty data: the place to resume from, and nothing to read."""
    parser = SseParser(1000)
    assert parser.feed(b"id: 7\ndata: \n\n") == []
    assert parser.last_id == b"7"


def test_an_id_counts_once_its_event_is_whole() -> None:
    """Until the blank line, the last event is still the one before."""
    parser = SseParser(1000)
    parser.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert parser.last_id == b"1"
    assert parser.in_event
    parser.feed(b"\n")
    assert parser.last_id == b"2"
    assert not parser.in_event


def test_a_retry_that_is_no_number_is_ignored_and_a_huge_one_is_bounded() -> None:
    """Only digits count, and ten minutes is the most a server may ask for."""
    parser = SseParser(1000)
    parser.feed(b"retry: soon\n\nretry: 12\n\nretry: 99999999999999999999\n\n")
    assert parser.retry_ms == 12
    parser.feed(b"retry: 999999999\n\n")
    assert parser.retry_ms == 600_000


def test_other_types_are_counted_and_not_read() -> None:
    """MCP's events are of type `message`, or of none."""
    parser = SseParser(1000)
    assert parser.feed(b"event: ping\ndata: 1\n\ndata: 2\n\nevent: message\ndata: 3\n\n") == [
        b"2",
        b"3",
    ]
    assert parser.ignored == 1


def test_a_byte_order_mark_is_skipped() -> None:
    """The standard allows one at the beginning."""
    assert SseParser(1000).feed(b"\xef\xbb\xbfdata: x\n\n") == [b"x"]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: xx\n" * 20, b"id: y\n" * 30])
def test_an_event_over_the_limit_is_refused(stream: bytes) -> None:
    """Whether in one line, in many, or in fields that carry no data."""
    with pytest.raises(BrokenReplyError) as raised:
        SseParser(100).feed(stream)
    assert raised.value.reason is Reason.EVENT_TOO_LARGE


def test_comments_do_not_add_up() -> None:
    """A keep-alive may go on for hours."""
    parser = SseParser(100)
    for _ in range(100):
        assert parser.feed(b": ping\n") == []
    assert parser.feed(b"data: x\n\n") == [b"x"]
