"""Runs the issuer: `squall issuer`, or `python -m harness.rig.issuer --port 0`."""

from __future__ import annotations

import argparse
import os
import sys

from harness.errors import RigError, UsageError
from harness.rig.issuer import CONTROL_VARIABLE
from harness.rig.issuer.app import Face
from harness.rig.listener import address, bind, public_url, serve

# The names under which `squall run` looks for a client of a target's own issuer.
CLIENT_ID, CLIENT_SECRET = "SQUALL_CLIENT_ID", "SQUALL_CLIENT_SECRET"
CLIENT_SCOPES = "SQUALL_CLIENT_SCOPES"
SCOPES = "mcp:read mcp:write"


def main() -> int:
    """Serve until told to end; the exit code."""
    options = _options()
    try:
        client = _client() if options.client else None
        named = public_url(options.url) if options.url else None
        listener = bind(options.host, options.port)
    except (RigError, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    url = named or address(listener)
    # Taken out of the environment at once: what is started from here must not inherit it.
    face = Face(issuer=url, control_secret=os.environ.pop(CONTROL_VARIABLE, ""))
    if client is not None:
        client_id, secret, scopes = client
        face.admit(client_id=client_id, secret=secret, scopes=scopes, ttl_s=options.ttl)
    serve(face.application(), listener, url=url, stdin_lease=options.stdin_lease)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="squall issuer",
        description="Serve an OAuth 2.1 authorization server for tests. In a container it is told "
        "by what name others call it, and one client is known from the start: "
        "--host 0.0.0.0 --port 9000 --url http://issuer:9000 --client.",
        epilog="Example: squall issuer --port 9000",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="its port; by default a free one")
    parser.add_argument("--url", help="what others call this server, when that is another name")
    parser.add_argument(
        "--client",
        action="store_true",
        help=f"know one client from the start: {CLIENT_ID}, {CLIENT_SECRET} and, "
        f"unless it is {SCOPES!r}, {CLIENT_SCOPES} in the environment",
    )
    parser.add_argument(
        "--ttl",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="how long that client's tokens live (%(default)g)",
    )
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    if options.ttl < 1:
        parser.error("--ttl is a second at least")
    return options


def _client() -> tuple[str, str, str]:
    """Id, secret and scopes of the client in the environment, which they leave.

    Raises:
        UsageError: there is none.
    """
    client_id = os.environ.pop(CLIENT_ID, "").strip()
    secret = os.environ.pop(CLIENT_SECRET, "").strip()
    if not client_id or not secret:
        raise UsageError(
            f"expected a client in the environment variables {CLIENT_ID} and {CLIENT_SECRET}, "
            "found none; set both, or leave --client out"
        )
    return client_id, secret, os.environ.pop(CLIENT_SCOPES, "").strip() or SCOPES


if __name__ == "__main__":
    sys.exit(main())
