from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenario import expressions
from harness.scenario.expressions import ExpressionError, Hole

# What JSON parsers of servers may hand back, halves of surrogate pairs included.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
WRITTEN = st.text(st.characters(codec="utf-8"))


@given(JSON)
def test_a_text_that_is_only_a_name_becomes_the_value_itself(value: object) -> None:
    """A kept number stays a number, a kept list a list."""
    template = expressions.compile({"it": "${x}", "other": 1})
    assert template.needs == {"x"}
    assert json.loads(template.render_json({"x": value})) == {"it": value, "other": 1}
    assert template.render({"x": value}) == {"it": value, "other": 1}


@given(WRITTEN, WRITTEN, st.text(st.characters(exclude_categories=[])))
def test_a_name_inside_a_text_becomes_text(before: str, after: str, value: str) -> None:
    """Whatever the value holds, the JSON around it stays whole."""
    before, after = before.replace("$", "%"), after.replace("$", "%")
    template = expressions.compile([f"{before}<${{x}}>{after}", {"k": "${y}"}])
    filled = json.loads(template.render_json({"x": value, "y": None}))
    assert filled == [f"{before}<{value}>{after}", {"k": None}]
    assert template.render({"x": value, "y": None}) == filled


@given(JSON.filter(lambda value: "${" not in json.dumps(value)))
def test_a_value_without_names_is_rendered_as_it_is(value: object) -> None:
    """And needs nothing."""
    try:
        template = expressions.compile(value)
        rendered = template.render_json({})
    except UnicodeEncodeError:
        return  # half a surrogate pair cannot come out of a file
    assert template.needs == frozenset()
    assert json.loads(rendered) == value


def test_a_number_inside_a_text_is_written_as_json_writes_it() -> None:
    """So are truth, nothing and whole structures."""
    template = expressions.compile("${a}/${b}/${c}/${d}")
    values = {"a": 1, "b": True, "c": None, "d": {"e": [1]}}
    assert template.render_text(values) == '1/true/null/{"e":[1]}'
    assert json.loads(template.render_json(values)) == '1/true/null/{"e":[1]}'


def test_a_missing_value_is_named() -> None:
    """The caller learns which step has to be looked at."""
    template = expressions.compile({"a": "${doc}"})
    for render in (template.render_json, template.render, template.render_text):
        with pytest.raises(KeyError, match="doc"):
            render({"nonce": "n"})


def test_two_dollars_stand_for_one_without_meaning() -> None:
    """Templates of other languages can be sent."""
    assert expressions.split("a $${x} ${y} $5") == ("a ${x} ", Hole("y"), " $5")
    assert json.loads(expressions.compile("$${x}").render_json({})) == "${x}"


@pytest.mark.parametrize("text", ["${", "${}", "${a", "${a b}", "${1}", "${a.b}", "x ${a-b} y"])
def test_a_hole_without_a_name_is_refused(text: str) -> None:
    """A typing error never reaches a server as text."""
    with pytest.raises(ExpressionError):
        expressions.compile({"a": [text]})
    with pytest.raises(ExpressionError):
        expressions.names({"a": [text]})


def test_names_are_found_at_any_depth() -> None:
    """In lists and mappings, in values alone."""
    value = {"a": ["${x}", {"b": "${y} ${x}"}], "${z}": 1}
    assert expressions.names(value) == {"x", "y"}
    assert expressions.compile(value).needs == {"x", "y"}
