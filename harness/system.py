"""Whether this is a system on which any of it has been tried."""

from __future__ import annotations

import sys

from harness.errors import UsageError

SYSTEMS = ("linux", "darwin")


def check() -> None:
    """Return on Linux and macOS; asked before anything is imported that only they have.

    Raises:
        UsageError: anywhere else.
    """
    if sys.platform not in SYSTEMS:
        raise UsageError(f"squall runs on Linux and macOS, not on {sys.platform}; use a container")
