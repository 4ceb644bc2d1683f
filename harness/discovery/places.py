"""Places that a server's own command names: a folder, and a file in it, that its tools may see."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from harness.discovery import names
from harness.scenario.records import LaunchTarget, StdioTarget, Target

HERE: Final = "."  # what is made up for a path
FOLDERS_MAX: Final = 2
ENTRIES_MAX: Final = 200  # of a folder, that are looked at
FILE_BYTES_MAX: Final = 64 * 1024
_FILES: Final = frozenset(("file", "files"))
_FOLDERS: Final = frozenset(("list", "search", "find", "tree", "directory", "folder"))


def named_by(target: Target) -> tuple[str, ...]:
    """Give the folders that a command is told of, each followed by a small plain file in it."""
    command: tuple[str, ...] = ()
    if isinstance(target, StdioTarget):
        command = target.stdio
    elif isinstance(target, LaunchTarget):
        command = target.launch
    found: list[str] = []
    for word in command[1:]:
        place = Path(word.partition("=")[2] if word.startswith("-") else word)
        if len(found) < 2 * FOLDERS_MAX and place.is_absolute() and place.is_dir():
            found += [str(place), *_first_file(place)]
    return tuple(dict.fromkeys(found))


def instead(tool: str, arguments: dict[str, Any], known: tuple[str, ...]) -> Iterator[Any]:
    """Give the arguments with each known place where a path was made up, the likeliest first."""
    for place in sorted(known, key=os.path.isdir if reads_files(tool) else os.path.isfile):
        changed = {name: _changed(value, place) for name, value in arguments.items()}
        if changed != arguments:
            yield changed


def reads_files(tool: str) -> bool:
    """Whether a tool reads files, so that the folder it stands in is none of its business."""
    parts = set(names.words(tool))
    return bool(parts & _FILES) and not parts & _FOLDERS


def _changed(value: object, place: str) -> object:
    if value == HERE:
        return place
    return [place] if value == [HERE] else value


def _first_file(folder: Path) -> Iterator[str]:
    """Give the first file that is plain, small, shown, and no secret by its name."""
    try:
        with os.scandir(folder) as listed:
            entries = sorted(entry.name for entry in islice(listed, ENTRIES_MAX))
    except OSError:
        return
    for name in entries:
        if name.startswith(".") or names.is_secret(name) or not name.isprintable():
            continue
        try:
            found = (folder / name).lstat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= FILE_BYTES_MAX:
            yield str(folder / name)
            return
