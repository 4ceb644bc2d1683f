"""The scenarios that come with squall: data only, one question a file, named after it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["shipped"]


def shipped() -> dict[str, Path]:
    """Give every shipped scenario by name; the files are on disk, from a wheel as from a clone."""
    folder = Path(str(files(__name__)))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}
