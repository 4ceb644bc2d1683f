"""What flawed servers answer in place of a refusal: HTTP 200 and the result of a tool."""

from __future__ import annotations

from typing import Any

import pydantic_core


def answer(message: dict[str, Any], *, text: str) -> dict[str, Any]:
    """A tool's result that says no more than `text`, as the answer to this message."""
    content = [{"type": "text", "text": text}] if text else []
    result = {"content": content, "isError": False, "resultType": "complete"}
    return {"jsonrpc": "2.0", "id": message.get("id"), "result": result}


def as_text(why: str, body: bytes | None) -> dict[str, Any] | None:
    """The flaw auth-error-as-text: the refusal in the tool's words; None for what calls no tool."""
    try:
        message = pydantic_core.from_json(body or b"")
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return None
    return answer(message, text=f"Error 401: {why}. Please sign in again.")
