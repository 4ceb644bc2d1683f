"""A server in a process of its own, which a tool can bring down and a signal ends in uvicorn's way.

Standard library only, and started by its path, so that it is up in a moment.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DEADLY = "panic"  # the tool that kills the process
SHORT_S, LONG_S = 0.01, 0.5


class Answers(BaseHTTPRequestHandler):
    """Speaks the modern era, in which there is nothing to remember."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Be there."""
        self._send({}, status=405)

    def do_POST(self) -> None:
        """Answer a call with its nonce."""
        body = self.rfile.read(int(self.headers["content-length"]))
        message = json.loads(body)
        if message["method"] == "server/discover":
            result: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
        else:
            name = message["params"]["name"]
            if name == DEADLY:
                os._exit(2)
            time.sleep(LONG_S if name == "long" else SHORT_S)
            found = re.search(rb"n[0-9a-f]{16}", body)
            text = found[0].decode() if found else ""
            result = {"content": [{"type": "text", "text": text}]}
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _send(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until told to end; then answer what is under way, and end by that very signal."""
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers)
    server.daemon_threads = True
    signal.signal(
        signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
    )
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    time.sleep(2 * LONG_S)  # for what is under way
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
