"""What the target's tools promised: output schemas to hold them to, headers they ask for."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs
from pydantic_core import to_json

from harness.wire.jsonrpc import DETAIL_CHARACTERS

TOOLS_MAX: Final = 10_000
HEADER_ANNOTATION: Final = "x-mcp-header"
_NESTING_MAX = 16
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, section 5.6.2
_HEADER_TYPES: Final = frozenset({"string", "integer", "boolean"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ParamHeader:
    """One argument that the server wants repeated as a header."""

    line_start: bytes  # b"Mcp-Param-Region: "
    place: tuple[str, ...]  # the path of members inside the arguments


@dataclass(frozen=True, kw_only=True, slots=True)
class _Promise:
    listed: Mapping[str, Any]
    headers: tuple[ParamHeader, ...]


class SchemaBook:
    """All sessions' common memory of `tools/list`; each distinct schema is compiled once."""

    def __init__(self) -> None:
        self._promises: dict[str, _Promise] = {}
        self._compiled: dict[bytes, Any] = {}
        self.validators: dict[str, Any] = {}  # of the tools that promise an output
        self.unusable: dict[str, str] = {}  # tool -> why its outputSchema cannot be used
        self.refused: dict[str, str] = {}  # tool -> why no client of the modern era may call it

    def learn(self, tools_list_result: Mapping[str, Any]) -> None:
        """Take in one page of `tools/list`; what is already known costs one comparison."""
        tools = tools_list_result.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
                continue
            known = self._promises.get(tool["name"])
            if known is not None and known.listed == tool:
                continue
            if known is None and len(self._promises) >= TOOLS_MAX:
                continue
            validator = self._compile(tool["name"], tool.get("outputSchema"))
            if validator is None:
                self.validators.pop(tool["name"], None)
            else:
                self.validators[tool["name"]] = validator
            try:
                headers = _checked_headers(tool.get("inputSchema"))
                self.refused.pop(tool["name"], None)
            except ValueError as error:
                headers = ()
                self.refused[tool["name"]] = str(error)[:DETAIL_CHARACTERS]
            self._promises[tool["name"]] = _Promise(listed=tool, headers=headers)

    def violation(self, tool: str, structured_content: Any) -> str | None:
        """How `structured_content` breaks what `tool` promised; None when it does not.

        None as content means the reply had none, which breaks the promise of an output schema.
        """
        validator = self.validators.get(tool)
        if validator is None:
            return None
        if structured_content is None:
            return "structuredContent is missing, though the tool has an outputSchema"
        try:
            validator.validate(structured_content)
        except jsonschema_rs.ValidationError as error:
            place = "/".join(str(step) for step in error.instance_path)
            return f"structuredContent/{place}: {error.message}"[:DETAIL_CHARACTERS]
        except ValueError as error:
            return f"structuredContent cannot be checked: {error}"[:DETAIL_CHARACTERS]
        return None

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """What `tool` says that it takes; None of one that was never listed or does not say."""
        promise = self._promises.get(tool)
        schema = None if promise is None else promise.listed.get("inputSchema")
        return schema if isinstance(schema, dict) else None

    def asks_headers(self, tool: str) -> bool:
        """Whether `tool` wants some of its arguments repeated as headers."""
        promise = self._promises.get(tool)
        return promise is not None and bool(promise.headers)

    def param_headers(self, tool: str, arguments: Mapping[str, Any]) -> bytes:
        """The `Mcp-Param-*` lines of a call of `tool`, each ended by CRLF; empty when none."""
        promise = self._promises.get(tool)
        if promise is None or not promise.headers:
            return b""
        lines = []
        for header in promise.headers:
            value = _member(arguments, header.place)
            if value is not None:
                lines.append(b"%b%b\r\n" % (header.line_start, header_value(value)))
        return b"".join(lines)

    def _compile(self, tool: str, schema: object) -> Any:
        if not isinstance(schema, dict):
            return None
        key = to_json(schema)
        if key not in self._compiled:
            try:
                # Offline: a hostile schema must not make this process fetch anything.
                validator = jsonschema_rs.validator_for(schema, offline=True)
            except (ValueError, jsonschema_rs.ReferencingError) as error:
                self.unusable[tool] = str(error)[:DETAIL_CHARACTERS]
                validator = None
            self._compiled[key] = validator
        return self._compiled[key]


def header_value(value: str | float) -> bytes:
    """A value as the modern era carries it in a header: plain, or base64 in its sentinel."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = value if isinstance(value, str) else str(value)
    plain = text.isascii() and text.isprintable() and text == text.strip()
    if plain and not (text.startswith("=?base64?") and text.endswith("?=")):
        return text.encode("ascii")
    return b"=?base64?%b?=" % base64.b64encode(text.encode())


def _member(arguments: Mapping[str, Any], place: tuple[str, ...]) -> str | float | None:
    value: Any = arguments
    for step in place:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value if isinstance(value, (str, int, float)) else None


def header_mistake(tool: Mapping[str, Any]) -> str:
    """Why a listed tool's header annotations make it unusable; "" when they do not."""
    try:
        _checked_headers(tool.get("inputSchema"))
    except ValueError as error:
        return str(error)[:DETAIL_CHARACTERS]
    return ""


def _checked_headers(schema: object) -> tuple[ParamHeader, ...]:
    """All headers that an input schema asks for.

    Raises:
        ValueError: one of them cannot be sent, or not told from another.
    """
    headers = tuple(_param_headers(schema))
    known: set[bytes] = set()
    for header in headers:
        line_start = header.line_start.lower()
        if line_start in known:
            raise ValueError(f"two arguments want the header {header.line_start[:-2].decode()}")
        known.add(line_start)
    return headers


def _param_headers(
    schema: object, place: tuple[str, ...] = (), depth: int = 0
) -> Iterator[ParamHeader]:
    if not isinstance(schema, dict) or depth > _NESTING_MAX:
        return
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(inner, dict):
            continue
        if HEADER_ANNOTATION in inner:
            header = _checked_name(name, inner)
            yield ParamHeader(line_start=b"Mcp-Param-%b: " % header, place=(*place, name))
        yield from _param_headers(inner, (*place, name), depth + 1)


def _checked_name(argument: str, schema: Mapping[str, Any]) -> bytes:
    name, kind = schema[HEADER_ANNOTATION], schema.get("type", "string")
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(
            f"{HEADER_ANNOTATION} of the argument {argument!r} is no header name: {name!r}"
        )
    kinds = kind if isinstance(kind, list) else [kind]
    if not all(one in _HEADER_TYPES for one in kinds):
        raise ValueError(
            f"{HEADER_ANNOTATION} stands on the argument {argument!r}, which is neither text nor "
            "an integer nor true or false"
        )
    return name.encode("ascii")
