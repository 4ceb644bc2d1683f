from __future__ import annotations

from pydantic_core import from_json

from harness.wire.modern import add_meta

_META = b'{"version":1}'


def test_meta_joins_whatever_the_parameters_are() -> None:
    """Empty or not, the rest stays as it was."""
    assert from_json(add_meta(b"{}", _META)) == {"_meta": {"version": 1}}
    assert from_json(add_meta(b"", _META)) == {"_meta": {"version": 1}}
    assert from_json(add_meta(b'{"a":[1]}', _META)) == {"_meta": {"version": 1}, "a": [1]}


def test_an_own_meta_is_kept_and_cannot_change_the_version() -> None:
    """A progress token of the caller's stands beside what the era requires."""
    merged = add_meta(b'{"_meta":{"progressToken":5,"version":0},"a":1}', _META)
    assert from_json(merged) == {"_meta": {"progressToken": 5, "version": 1}, "a": 1}


def test_the_word_inside_an_argument_is_no_meta() -> None:
    """Only the top level counts."""
    params = b'{"arguments":{"_meta":{"x":1}}}'
    assert from_json(add_meta(params, _META)) == {
        "_meta": {"version": 1},
        "arguments": {"_meta": {"x": 1}},
    }
