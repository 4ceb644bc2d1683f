"""Values that one tool's answer brings and another tool's arguments ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.discovery import names
from harness.discovery.findings import Link
from harness.scenario import results

LEAVES_MAX: Final = 80  # of one answer
DEPTH_MAX: Final = 5
CANDIDATES_MAX: Final = 3  # for one argument
_KEY: Final = re.compile(r"[A-Za-z_$][\w$-]*")
_TEXT_MAX: Final = 500
_EXACT, _NAMED, _LOOSE = 3, 2, 1


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One plain value of an answer, and the path to it."""

    path: str
    keys: tuple[str, ...]
    value: str | int


def leaves(result: Mapping[str, Any]) -> tuple[Leaf, ...]:
    """Give the texts and whole numbers of an answer; of each list, those of its first member."""
    body = results.body(result)
    return () if body is results.MISSING else tuple(_walk(body))


def _walk(body: object) -> Iterator[Leaf]:
    pending: list[tuple[str, tuple[str, ...], object]] = [("", (), body)]
    left = LEAVES_MAX
    while pending and left:
        path, keys, value = pending.pop(0)
        if isinstance(value, dict) and len(keys) < DEPTH_MAX:
            pending += [
                (f"{path}.{key}".lstrip("."), (*keys, key), inner)
                for key, inner in value.items()
                if isinstance(key, str) and _KEY.fullmatch(key)
            ]
        elif isinstance(value, list) and value and path.count("[") < DEPTH_MAX:
            pending.append((f"{path}[0]", keys, value[0]))
        elif _is_plain(value) and keys:
            left -= 1
            assert isinstance(value, str | int)
            yield Leaf(path=path, keys=keys, value=value)


def _is_plain(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= _TEXT_MAX)


def candidates(
    argument: str, answers: Mapping[str, tuple[Leaf, ...]], *, loosely: bool
) -> tuple[tuple[Link, Leaf], ...]:
    """Give where an argument's value may come from, the likeliest first.

    `answers` are leaves by the tool that gave them. An argument `note_id` is the `id` of a note,
    and an `id` may be a `noteId`; `loosely` takes any name that is spelt alike.
    """
    found: list[tuple[int, int, Link, Leaf]] = []
    for tool, known in answers.items():
        for leaf in known:
            fits = _fits(argument, tool, leaf)
            if fits < (_LOOSE if loosely or names.is_reference(argument) else _EXACT + 1):
                continue
            link = Link(
                argument=argument, provider=tool, path=leaf.path, name=_kept_name(tool, leaf)
            )
            found.append((-fits, len(leaf.keys), link, leaf))
    found.sort(key=lambda one: one[:2])
    return tuple((link, leaf) for _, _, link, leaf in found[:CANDIDATES_MAX])


def _fits(argument: str, tool: str, leaf: Leaf) -> int:
    wanted, key = names.flat(argument), names.flat(leaf.keys[-1])
    if wanted == key:
        return _EXACT
    last = names.words(argument)[-1:]
    if last and last[0] == key:  # note_id, and the id of something
        what = names.words(argument)[:-1]
        around = [*names.words(tool), *(word for each in leaf.keys for word in names.words(each))]
        singular = {word.removesuffix("s") for word in around}
        return _NAMED if what and all(word.removesuffix("s") in singular for word in what) else 0
    if wanted in {"id", "uri", "path", "key"} and names.words(leaf.keys[-1])[-1:] == [wanted]:
        return _LOOSE
    return 0


def _kept_name(tool: str, leaf: Leaf) -> str:
    parts = [*names.words(tool), *names.words(leaf.keys[-1])]
    return re.sub(r"[^a-z0-9_]", "", "_".join(dict.fromkeys(parts)))[:48] or "kept"


def echo(result: Mapping[str, Any], link: Link, value: str | int) -> str:
    """Give the path at which an answer repeats the value that it was asked for; "" for nowhere."""
    source = names.flat(link.path.rpartition(".")[2])
    for leaf in leaves(result):
        key = names.flat(leaf.keys[-1])
        if leaf.value == value and key in {source, names.flat(link.argument)}:
            return leaf.path
    return ""
