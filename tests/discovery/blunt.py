"""A server without any framework, over pipes: `python blunt.py chats` logs where messages belong.

`python blunt.py mumbles` lists its tools in a way that nobody can read.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOOLS = [
    {
        "name": "echo",
        "inputSchema": {
            "type": "object",
            "properties": {"words": {"type": "string"}},
            "required": ["words"],
        },
        "annotations": {"readOnlyHint": True},
    }
]


def answer(message: dict[str, Any], manner: str) -> dict[str, Any] | None:
    """The result of a request; None where there is none."""
    params = message.get("params", {})
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "blunt", "version": "1"},
            }
        case "tools/list":
            return {"tools": "several" if manner == "mumbles" else TOOLS}
        case "tools/call":
            return {"content": [{"type": "text", "text": json.dumps(params["arguments"])}]}
        case _:
            return None


def main() -> None:
    """Serve until the input ends."""
    manner = sys.argv[1]
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        if manner == "chats":
            sys.stdout.write("INFO somebody asks\n")
        result = answer(message, manner)
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": "no such method"}
        else:
            reply["result"] = result
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
