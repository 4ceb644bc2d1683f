"""What a reader needs to know about where a run came from: versions, machine, seed, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.redaction import redact_command

PACKAGES = ("locust", "mcp", "anyio", "uvloop", "httpx", "hdrhistogram", "toxiproxy-python")
GIT_S = 3.0


def gather(*, command: Sequence[str], seed: int, era: str, name: str) -> dict[str, Any]:
    """Give the facts that are known before the rig stands."""
    return {
        "squall": harness.__version__,
        "scenario": name,
        "seed": seed,
        "era": era,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact_command(shlex.join(command)),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "processors": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "git": _git(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _git() -> dict[str, Any] | None:
    """Give the revision of the working folder, which usually holds the target; None outside git."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ("git", *words),
                capture_output=True,
                text=True,
                timeout=GIT_S,
                check=False,
                cwd=Path.cwd(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    revision = ask("rev-parse", "HEAD")
    if revision is None:
        return None
    return {"revision": revision, "clean": ask("status", "--porcelain") == ""}
