"""An MCP server that says back every credential it is shown, everywhere it can.

`PORT [METHOD]`: with a method, that one is refused, in words that hold the credential.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

WAYS = 6  # in how many ways a call may end
_turn = count()


class Echoing(BaseHTTPRequestHandler):
    """Answers one request after the other, the calls in each way in turn."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """There is no stream to listen to."""
        self._send(405, None)

    def do_DELETE(self) -> None:
        """Let a session go."""
        self._send(200, None)

    def do_POST(self) -> None:
        """Answer a message."""
        shown = self.headers.get("Authorization", "")
        sys.stdout.write(f"was shown {shown}, {shown.partition(chr(32))[2]}\n")
        sys.stdout.flush()
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message["method"] in sys.argv[2:]:
            said = f"{shown}: refused; {shown.partition(' ')[2]}: refused"
            self._answer(message, {"error": {"code": -32000, "message": said}}, status=403)
            return
        match message["method"]:
            case "initialize":
                result: dict[str, Any] = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": shown, "version": shown},
                }
                self._answer(message, {"result": result}, session=True)
            case "tools/list":
                tool = {"name": "say", "description": shown, "inputSchema": {"type": "object"}}
                self._answer(message, {"result": {"tools": [tool]}})
            case "tools/call":
                self._call(message, shown)
            case _:
                self._send(202, None)

    def _call(self, message: dict[str, Any], shown: str) -> None:
        token = shown.partition(" ")[2]
        said = f"no entry for {shown}, that is for {token}; try {token[:20]}"
        error = {"error": {"code": -32000, "message": said, "data": said}}
        match next(_turn) % WAYS:
            case 0:
                content = [{"type": "text", "text": said}]
                self._answer(message, {"result": {"content": content, "isError": True}})
            case 1:
                self._answer(message, error)
            case 2:
                self._answer(message, error, status=500)
            case 3:
                challenge = f'Bearer error="invalid_token", error_description="{said}"'
                self._answer(message, error, status=403, challenge=challenge)
            case 4:
                self._send(502, said.encode(), kind="text/plain")
            case _:
                self._answer(message, error, status=404)  # the session is lost, it says

    def _answer(
        self,
        message: dict[str, Any],
        part: dict[str, Any],
        *,
        status: int = 200,
        challenge: str = "",
        session: bool = False,
    ) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), **part}).encode()
        self._send(status, body, challenge=challenge, session=session)

    def _send(
        self,
        status: int,
        body: bytes | None,
        *,
        kind: str = "application/json",
        challenge: str = "",
        session: bool = False,
    ) -> None:
        self.send_response(status)
        if session:
            self.send_header("Mcp-Session-Id", f"s{next(_turn)}")
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        if body is not None:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Say nothing of one's own."""


def main() -> None:
    """Serve until killed."""
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echoing).serve_forever()


if __name__ == "__main__":
    main()
