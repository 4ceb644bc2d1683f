"""What each method's result must hold before anyone may call it a success."""

from __future__ import annotations

from typing import Any

from harness.wire.jsonrpc import DETAIL_CHARACTERS

_LISTS = {
    "tools/call": "content",
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "resources/read": "contents",
    "prompts/list": "prompts",
    "prompts/get": "messages",
    "server/discover": "supportedVersions",
}
_OBJECTS = {"completion/complete": "completion"}
_NAMED = {
    "tools/list": ("name", "inputSchema"),
    "resources/list": ("name", "uri"),
    "resources/templates/list": ("name", "uriTemplate"),
    "prompts/list": ("name",),
    "tools/call": ("type",),
    "resources/read": ("uri",),
    "prompts/get": ("role", "content"),
}


def is_plain_call(result: object) -> bool:
    """Whether this is the commonest success: one piece of content and nothing to look into."""
    if type(result) is not dict or "content" not in result:
        return False
    others = len(result) - 1
    if "isError" in result:
        if result["isError"] is not False:
            return False
        others -= 1
    if "resultType" in result:
        if result["resultType"] != "complete":
            return False
        others -= 1
    content = result["content"]
    return (
        others == 0
        and type(content) is list
        and len(content) == 1
        and type(content[0]) is dict
        and "type" in content[0]
    )


def is_unfinished(result: dict[str, Any]) -> bool:
    """Whether a result says that it is not the last word: more is asked for, or a task is made."""
    if "resultType" in result:
        return result["resultType"] in ("input_required", "task")
    return isinstance(result.get("task"), dict)


def misshape(method: str, result: object) -> str | None:
    """What is missing from `result`, in a few words; None when its shape is right."""
    if not isinstance(result, dict):
        return "the result is not an object"
    kind = result.get("resultType", "complete")
    if kind != "complete":
        shown = str(kind)[:DETAIL_CHARACTERS]
        return f"the result is of type {shown!r}, which needs a capability this client never gave"
    wanted = _LISTS.get(method)
    if wanted is not None:
        return _misshapen_list(method, wanted, result)
    wanted = _OBJECTS.get(method)
    if wanted is not None and not isinstance(result.get(wanted), dict):
        return f"{wanted!r} is not an object"
    if method == "initialize":
        return _misshapen_initialize(result)
    return None


def _misshapen_list(method: str, wanted: str, result: dict[str, Any]) -> str | None:
    items = result.get(wanted)
    if not isinstance(items, list):
        return f"{wanted!r} is not a list" if wanted in result else f"{wanted!r} is missing"
    if method == "server/discover":
        if not all(isinstance(item, str) for item in items):
            return "'supportedVersions' holds something that is not a string"
        return None if isinstance(result.get("capabilities"), dict) else "no 'capabilities'"
    if method == "tools/call" and not isinstance(result.get("isError", False), bool):
        return "'isError' is not true or false"
    return _misshapen_entries(wanted, items, _NAMED[method])


def _misshapen_entries(wanted: str, items: list[Any], members: tuple[str, ...]) -> str | None:
    for item in items:
        if not isinstance(item, dict):
            return f"{wanted!r} holds something that is not an object"
        for member in members:
            if member not in item:
                return f"an entry of {wanted!r} has no {member!r}"
    return None


def _misshapen_initialize(result: dict[str, Any]) -> str | None:
    if not isinstance(result.get("protocolVersion"), str):
        return "'protocolVersion' is not a string"
    if not isinstance(result.get("capabilities"), dict):
        return "'capabilities' is not an object"
    if not isinstance(result.get("serverInfo"), dict):
        return "'serverInfo' is not an object"
    return None
