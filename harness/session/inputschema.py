"""Reads a tool's inputSchema: its members, their types, and whether arguments break it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs


def members(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the arguments that a schema describes, each with its own schema."""
    found = schema.get("properties")
    if not isinstance(found, dict):
        return {}
    return {name: inner for name, inner in found.items() if isinstance(inner, dict)}


def required_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Give the names that may not be left out."""
    found = schema.get("required")
    return (
        frozenset(name for name in found if isinstance(name, str))
        if isinstance(found, list)
        else frozenset()
    )


def named_types(schema: Mapping[str, Any]) -> list[str]:
    """Give the types that a schema names outright; none where it says it in another way."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    return [one for one in kind if isinstance(one, str)] if isinstance(kind, list) else []


def named_values(schema: Mapping[str, Any]) -> list[Any]:
    """Give the values that a schema names."""
    named = [schema[word] for word in ("const", "default") if word in schema]
    listed = schema.get("enum")
    return [*named, *(listed if isinstance(listed, list) else ())]


def breaker(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Give what tells whether arguments break the schema; never, where it cannot be used."""
    try:
        validator = jsonschema_rs.validator_for(dict(schema), offline=True)
    except (ValueError, jsonschema_rs.ReferencingError):
        return lambda _: False

    def breaks(value: Mapping[str, Any]) -> bool:
        try:
            return not validator.is_valid(value)
        except ValueError:
            return False

    return breaks
