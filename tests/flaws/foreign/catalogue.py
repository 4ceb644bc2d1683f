"""The library's catalogue: three books for whatever words; standard library alone.

`python catalogue.py` prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Catalogue(BaseHTTPRequestHandler):
    """Answers a search."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Give three books."""
        words = parse_qs(urlsplit(self.path).query).get("words", [""])[0]
        books = [
            {"title": f"{words}, volume {number}", "year": 1990 + number} for number in (1, 2, 3)
        ]
        body = json.dumps({"books": books}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Catalogue) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
