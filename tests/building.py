"""The wheel, built from a copy of the sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("harness", "faults", "reports", "scenarios")
SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", *PACKAGES)
BUILD_S: Final = 300


def build(folder: Path) -> Path:
    """Build the wheel into a folder, and give its path."""
    # A copy, since a build leaves files behind and would take in those of the build before.
    sources = folder / "sources"
    sources.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, sources / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, sources)
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*words, str(sources)], check=True, timeout=BUILD_S, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
