"""Runs the dependency: `python -m harness.rig.dependency --port 0 --ledger FILE`."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from pathlib import Path
from typing import Final

from harness.errors import RigError, UsageError
from harness.rig.dependency import CLIENT_VARIABLE, CONTROL_VARIABLE
from harness.rig.dependency.app import Face
from harness.rig.dependency.wires import Wire
from harness.rig.listener import address, bind, public_url, serve

HEAD_MAX_BYTES: Final = (
    256 * 1024
)  # a query is written down with its error, not cut off by a parser


def main() -> int:
    """Serve until told to end; the exit code."""
    options = _options()
    # Taken out of the environment at once: what is started from here must not inherit them.
    control, client = (os.environ.pop(name, "") for name in (CONTROL_VARIABLE, CLIENT_VARIABLE))
    try:
        named = public_url(options.url) if options.url else None
        listener = bind(options.host, options.port)
        face = _face(options, control=control, client=client)
    except (RigError, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    serve(
        face.application(),
        listener,
        url=named or address(listener),
        stdin_lease=options.stdin_lease,
        protocol=Wire,
        head_max_bytes=HEAD_MAX_BYTES,
    )
    return 0


def _face(options: argparse.Namespace, *, control: str, client: str) -> Face:
    """The whole server.

    Raises:
        RigError: the ledger cannot be written.
    """
    try:
        return Face(
            ledger=options.ledger,
            client=client,
            ttl_s=options.ttl,
            control_secret=control,
            seed=options.seed,
        )
    except sqlite3.Error as error:
        raise RigError(f"expected to write the ledger {options.ledger}, got: {error}") from error


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.rig.dependency", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--url", help="what others call this server, when that is another name")
    parser.add_argument("--ledger", type=Path, required=True, help="SQLite file, made when missing")
    parser.add_argument(
        "--ttl", type=float, default=60.0, metavar="SECONDS", help="of the tokens that it sells"
    )
    parser.add_argument("--seed", type=int, default=1, help="which requests a share of them are")
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    if options.ttl < 1:
        parser.error("--ttl is a second at least")
    return options


if __name__ == "__main__":
    sys.exit(main())
