from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.document import SIZE_MAX_BYTES, read, resolve
from harness.scenario.load import load_text
from harness.scenario.mistakes import Spot

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "y", "n", "2026-01-01", "1:30", "1_000"]
)
def test_what_other_yaml_versions_see_in_a_word_stays_text(word: str) -> None:
    """YAML 1.2's core schema knows neither `on` nor dates nor sixties."""
    assert read(f"a: {word}", "x").value == {"a": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1f", 31),
        ("010", 10),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e", "1e"),
        ("${x}", "${x}"),
    ],
)
def test_a_plain_word_is_what_the_core_schema_says(word: str, value: object) -> None:
    """Numbers, truth and nothing are recognised; everything else is text."""
    found = resolve(word)
    assert found == value
    assert type(found) is type(value)


def test_a_quoted_word_is_text() -> None:
    """Quotes settle it, whatever the word looks like."""
    assert read("a: 'true'\nb: \"12\"\nc: |\n  null\n", "x").value == {
        "a": "true",
        "b": "12",
        "c": "null\n",
    }


@given(PLAIN)
def test_json_is_read_as_json(value: object) -> None:
    """JSON is YAML, so whatever JSON says comes out the same."""
    document = read(json.dumps({"it": value}), "x")
    assert document.mistakes.in_order() == ()
    assert document.value == {"it": value}


def test_every_value_and_key_has_its_place() -> None:
    """Line and column count from 1, for keys and values alike."""
    mistakes = read("a:\n  - b: 1\n    c: [2, 3]\n", "x").mistakes
    assert mistakes.spot(("a", 0, "b")) == Spot(2, 8)
    assert mistakes.key_spot(("a", 0, "b")) == Spot(2, 5)
    assert mistakes.spot(("a", 0, "c", 1)) == Spot(3, 12)
    assert mistakes.spot(("a", 0, "missing")) == Spot(2, 5)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (SIZE_MAX_BYTES + 1),
        "[" * 30_000,
        "{a: " * 10_000,
        "- " * 30_000,
        "a: &a [b]\n" + "".join(f"x{n}: [*a, *a]\n" for n in range(1000)),
        'a: "\\ud800"',
        "a: \x00",
        "a: " + "9" * 5000 + "\n? [b]\n: c",
        "%YAML 9.9\n---\na: 1\n*b",
    ],
    ids=range(9),
)
def test_a_hostile_file_is_refused_with_a_sentence(text: str) -> None:
    """Too large, too deep, too clever: a refusal, and nothing else comes out."""
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "x")
    assert str(caught.value).startswith("x:")
