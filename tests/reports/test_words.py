from __future__ import annotations

import pytest

from reports.words import clean, cut, measured, milliseconds, share, size


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "n/a"), (0.0, "0.00 ms"), (0.4234, "0.42 ms"), (18.34, "18.3 ms"),
        (999.4, "999 ms"), (999.9, "1.00 s"), (1250, "1.25 s"), (15_000, "15.0 s"),
        (123_456, "123 s"), (12_345_678, "12,346 s"),
    ],
)  # fmt: skip
def test_a_duration_has_three_digits_and_a_unit(value: float | None, expected: str) -> None:
    """No exponent, no false precision."""
    assert milliseconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "n/a"), (1.0, "100%"), (0.0, "0%"), (0.5, "50.0%"), (0.9999, "99.99%"),
        (0.99999, "99.999%"), (0.00001, "0.001%"), (1 - 1e-9, "99.9999999%"),
    ],
)  # fmt: skip
def test_a_share_never_rounds_a_loss_away(value: float | None, expected: str) -> None:
    """One lost call in a hundred thousand does not read as 100 %."""
    assert share(value) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "ms", "not measured"), (612.4, "ms", "612 ms"), (0.953, "share", "95.3%"),
        (95.3, "%", "95.3%"), (132.0, "calls", "132 calls"), (1.0, "sessions", "1 session"),
        (1.0, "s", "1 s"), (2.4, "s", "2.4 s"), (1234.0, "", "1,234"),
    ],
)  # fmt: skip
def test_a_measured_value_has_its_unit(value: float | None, unit: str, expected: str) -> None:
    """Units everywhere, in the singular where there is one."""
    assert measured(value, unit) == expected


def test_sizes_are_binary() -> None:
    """Bytes as operators read them."""
    assert [size(n) for n in (None, 12, 2048, 5 * 2**20, 3 * 2**30)] == [
        "n/a", "12 B", "2.0 KiB", "5.0 MiB", "3.0 GiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, ünïcode 嵐", "plain text, ünïcode 嵐"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq...\x1b\\after", "after"),
        ("\x9b31mred", "31mred"),
        ("a\tb\nc\rd", "a b c d"),
        ("\x00\x07\x08\x7f", ""),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("lone\ud800", "lone"),
        ("\x1b", ""),
    ],
)
def test_text_from_outside_is_made_safe(text: str, expected: str) -> None:
    """Escape sequences and marks that hide or reorder text are gone, the words stay."""
    assert clean(text) == expected


def test_a_cut_shows() -> None:
    """Shortened text says so."""
    assert cut("abcdef", 4) == "abc…"
    assert cut("abc", 3) == "abc"
