"""Which databases this machine has; a test that needs one it lacks is skipped loudly."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Final

import pytest

from harness.rig.databases.database import Kind
from harness.rig.databases.postgres import find_programs
from harness.rig.databases.redis import PROGRAMS

LACKING: Final[Mapping[Kind, str]] = {
    "postgres": "NO POSTGRESQL: install Debian's package postgresql, or put initdb on the path",
    "redis": "NO REDIS: install Debian's package redis-server",
}


def is_installed(kind: Kind) -> bool:
    """Whether it could be started here."""
    if kind == "postgres":
        return find_programs() is not None
    return any(map(shutil.which, PROGRAMS))


def need(kind: Kind) -> None:
    """Skip the test where there is none."""
    if not is_installed(kind):
        pytest.skip(LACKING[kind])
