from __future__ import annotations

from typing import Any

import pytest

from harness.wire.schemas import SchemaBook, header_mistake, header_value

_OUTPUT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def _tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def _book(*tools: dict[str, Any]) -> SchemaBook:
    book = SchemaBook()
    book.learn({"tools": list(tools)})
    return book


def test_a_violation_names_the_place() -> None:
    """Right output passes, wrong output says where, missing output breaks the promise."""
    book = _book(_tool("count", outputSchema=_OUTPUT), _tool("free"))
    assert book.violation("count", {"n": 1}) is None
    assert "structuredContent/n" in (book.violation("count", {"n": "x"}) or "")
    assert "missing" in (book.violation("count", None) or "")
    assert book.violation("free", None) is None
    assert book.violation("unknown", {"n": "x"}) is None


def test_equal_schemas_are_compiled_once() -> None:
    """Two thousand sessions that list a hundred tools do not compile them again."""
    book = _book(_tool("a", outputSchema=_OUTPUT), _tool("b", outputSchema=dict(_OUTPUT)))
    assert book.validators["a"] is book.validators["b"]
    book.learn({"tools": [_tool("a", outputSchema=_OUTPUT)]})
    assert book.validators["a"] is book.validators["b"]


def test_a_tool_that_changes_its_promise_is_held_to_the_new_one() -> None:
    """The newest listing counts."""
    book = _book(_tool("a", outputSchema=_OUTPUT))
    book.learn({"tools": [_tool("a")]})
    assert book.violation("a", {"n": "x"}) is None


@pytest.mark.parametrize(
    "schema", [{"type": 7}, {"$ref": "http://127.0.0.1:1/schema"}, {"$ref": "#/nowhere"}]
)
def test_a_schema_that_cannot_be_used_is_set_aside(schema: dict[str, Any]) -> None:
    """It is named, nothing is fetched, and no reply is blamed for it."""
    book = _book(_tool("a", outputSchema=schema))
    assert "a" in book.unusable
    assert book.violation("a", {"n": 1}) is None


@pytest.mark.parametrize("listed", [None, 7, ["x", {}, {"name": 1}], {"a": 1}])
def test_a_listing_of_nonsense_teaches_nothing(listed: object) -> None:
    """A hostile list of tools is no crash."""
    book = SchemaBook()
    book.learn({"tools": listed})
    assert not book.validators


def test_annotated_arguments_become_headers() -> None:
    """Strings, numbers and truth values, nested ones too; what is absent is left out."""
    properties = {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "deep": {
            "type": "object",
            "properties": {"flag": {"type": "boolean", "x-mcp-header": "Flag"}},
        },
    }
    book = _book({"name": "a", "inputSchema": {"type": "object", "properties": properties}})
    assert book.asks_headers("a")
    arguments = {"region": "eu", "deep": {"flag": True}, "bad": "x"}
    assert book.param_headers("a", arguments) == b"Mcp-Param-Region: eu\r\nMcp-Param-Flag: true\r\n"
    assert book.param_headers("b", arguments) == b""


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"a": {"type": "string", "x-mcp-header": ""}}, "no header name"),
        ({"a": {"type": "string", "x-mcp-header": "My Region"}}, "no header name"),
        ({"a": {"type": "string", "x-mcp-header": "a: b\r\n"}}, "no header name"),
        ({"a": {"type": "string", "x-mcp-header": "Région"}}, "no header name"),
        ({"a": {"type": "string", "x-mcp-header": 7}}, "no header name"),
        ({"a": {"type": "object", "x-mcp-header": "A"}}, "neither text"),
        ({"a": {"type": "number", "x-mcp-header": "A"}}, "neither text"),
        ({"a": {"type": ["string", "null"], "x-mcp-header": "A"}}, "neither text"),
        (
            {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"x-mcp-header": "a"}},
            "two arguments want the header",
        ),
        (
            {"a": {"type": "object", "properties": {"b": {"x-mcp-header": ""}}}},
            "no header name",
        ),
    ],
)
def test_a_tool_whose_annotations_cannot_be_followed_is_refused(
    properties: dict[str, Any], sentence: str
) -> None:
    """It alone, and only for as long as it is described so."""
    tool = {"name": "a", "inputSchema": {"type": "object", "properties": properties}}
    assert sentence in header_mistake(tool)
    book = _book(tool, {"name": "b", "inputSchema": {"type": "object"}})
    assert list(book.refused) == ["a"]
    assert sentence in book.refused["a"]
    assert not book.asks_headers("a")
    mended = {"name": "a", "inputSchema": {"type": "object"}}
    assert header_mistake(mended) == ""
    book.learn({"tools": [mended]})
    assert not book.refused


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("plain text", b"plain text"),
        (7, b"7"),
        (False, b"false"),
        (" padded", b"=?base64?IHBhZGRlZA==?="),
        ("a\r\nb", b"=?base64?YQ0KYg==?="),
        ("=?base64?x?=", b"=?base64?PT9iYXNlNjQ/eD89?="),
    ],
)
def test_a_value_that_a_header_cannot_hold_is_wrapped(value: str | float, header: bytes) -> None:
    """Nothing in an argument can break the head apart."""
    assert header_value(value) == header
