"""Where the stacks are that foreign servers stand on, and a folder in which they find them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, Literal

HERE: Final = Path(__file__).parent
# The protocol's own server brings the SDK that it stands on.
EVERYTHING: Final = Path(os.environ.get("SQUALL_EVERYTHING", ""))
FASTMCP: Final = os.environ.get("SQUALL_FASTMCP", "")  # a Python that has it

Stack = Literal["node", "fastmcp"]


def modules() -> Path | None:
    """The folder `node_modules` with the TypeScript SDK in it."""
    folders = [parent for parent in EVERYTHING.parents if parent.name == "node_modules"]
    found = [one for one in folders if (one / "@modelcontextprotocol/sdk/package.json").is_file()]
    return found[-1] if found and shutil.which("node") else None


def lacking(stack: Stack) -> str:
    """What to do to have it here; "" where it is."""
    if stack == "node":
        return "" if modules() else "NO TYPESCRIPT SDK: set SQUALL_EVERYTHING as .ci/run does"
    there = shutil.which(FASTMCP) if FASTMCP else None
    return "" if there else "NO FASTMCP: set SQUALL_FASTMCP to a Python that has fastmcp"


def lay_out(folder: Path) -> None:
    """Put the servers into a folder in which they find what they import."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*HERE.glob("*.mjs"), HERE / "desk.py", HERE / "library.py"):
        shutil.copy(file, folder)
    found = modules()
    if found is not None:
        (folder / "node_modules").symlink_to(found)
