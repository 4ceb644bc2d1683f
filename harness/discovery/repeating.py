"""Arguments that an answer repeats: what it was asked for stands in it again, by the same name.

A made-up text that stands there twice was repeated. A number, or a word that the schema itself
names, may stand there by chance: those count only if the answer follows them to another value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from harness.discovery import chains, guessing, names
from harness.discovery.offers import Tool
from harness.session.inputschema import members, named_values

REPEATED_MAX: Final = 4  # of one answer
_COUNTS: Final = {"count", "length", "size", "total"}  # asked for, and there: not the same
_TEXT_MAX: Final = 60
Repeats = Mapping[str, str]  # a path of the answer -> the argument that stands there
Ask = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]  # arguments -> result; {}: it failed


async def sure(
    tool: Tool,
    arguments: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    other: Ask,
) -> dict[str, str]:
    """Give what is surely repeated; a tool that only reads is asked for `other` values too.

    Raises:
        TargetError: the session is lost and cannot be opened anew.
    """
    found = repeats(arguments, *results)
    doubtful = _doubtful(tool.schema, arguments, found)
    follow: Repeats = {}
    changed: set[str] = set()
    made = _varied(tool.schema, arguments, doubtful)
    if made != arguments and tool.effects == "none":
        follow = repeats(made, await other(made))
        changed = {name for name in doubtful if made[name] != arguments[name]}
    return {
        path: name
        for path, name in found.items()
        if name not in doubtful or (name in changed and follow.get(path) == name)
    }


def repeats(arguments: Mapping[str, Any], *results: Mapping[str, Any]) -> dict[str, str]:
    """Give where all of these answers hold what they were asked for; lists are left aside.

    What is in a list depends on what there is, and a value with `${...}` is another in each call.
    """
    wanted = {
        names.flat(name): name
        for name, value in arguments.items()
        if _is_plain(value) and names.flat(name) not in _COUNTS
    }
    found: dict[str, str] = {}
    for leaf in chains.leaves(results[0]) if results else ():
        name = wanted.get(names.flat(leaf.keys[-1]))
        if name is None or name in found.values() or "[" in leaf.path:
            continue
        if all(_holds(result, leaf.path, arguments[name]) for result in results):
            found[leaf.path] = name
    return dict(list(found.items())[:REPEATED_MAX])


def _doubtful(schema: Mapping[str, Any], arguments: Mapping[str, Any], found: Repeats) -> set[str]:
    """Name the arguments whose value may stand in an answer by chance."""
    known = members(schema)
    return {
        name
        for name in found.values()
        if not isinstance(arguments[name], str)
        or arguments[name] in named_values(known.get(name, {}))
    }


def _varied(
    schema: Mapping[str, Any], arguments: Mapping[str, Any], which: set[str]
) -> dict[str, Any]:
    """Give the arguments with other values for some, as far as the schema takes them."""
    known, made = members(schema), dict(arguments)
    for name in which:
        value = arguments[name]
        others = (
            [value + 1, value - 1]
            if isinstance(value, int)
            else [
                one
                for one in named_values(known.get(name, {}))
                if isinstance(one, str) and one != value and names.flat(one) not in names.HARMFUL
            ]
        )
        for other in others:
            filled = guessing.fill(made | {name: other}, {"nonce": guessing.SAMPLE})
            if not guessing.breaks(schema, filled):
                made[name] = other
                break
    return made


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _TEXT_MAX and "${" not in value
    return isinstance(value, int) and not isinstance(value, bool)


def _holds(result: Mapping[str, Any], path: str, value: object) -> bool:
    return any(leaf.path == path and leaf.value == value for leaf in chains.leaves(result))
