"""Runs the issuer: `python -m harness.rig.issuer --port 0`."""

from __future__ import annotations

import argparse
import os
import sys

from harness.errors import RigError
from harness.rig.issuer import CONTROL_VARIABLE
from harness.rig.issuer.app import Face
from harness.rig.listener import address, bind, serve


def main() -> int:
    """Serve until told to end; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.rig.issuer", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    try:
        listener = bind(options.host, options.port)
    except RigError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    url = address(listener)
    # Taken out of the environment at once: what is started from here must not inherit it.
    face = Face(issuer=url, control_secret=os.environ.pop(CONTROL_VARIABLE, ""))
    serve(face.application(), listener, url=url, stdin_lease=options.stdin_lease)
    return 0


if __name__ == "__main__":
    sys.exit(main())
