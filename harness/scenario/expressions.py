"""Templates: values with `${name}` in them, taken apart once and filled in fast.

Inside a longer text, `${name}` becomes the value's text. A text that is nothing but `${name}`
becomes the value itself, with its own JSON type. `$${` stands for a plain `${`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Final, NamedTuple, cast

from harness.scenario.traces import traceparent

BUILTINS: Final = frozenset({"nonce", "session", "agent", "index"})
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TOKEN: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]{0,63})\}|\$\{[^}]*\}?")


class ExpressionError(ValueError):
    """A `${` that does not hold a name."""


class Hole(NamedTuple):
    """A place that a named value fills."""

    name: str


def split(text: str) -> tuple[str | Hole, ...]:
    """Take a text apart into plain pieces and holes; empty pieces are left out.

    Raises:
        ExpressionError: when a `${` is not closed or does not hold a name.
    """
    parts: list[str | Hole] = []
    plain = ""
    end = 0
    for match in _TOKEN.finditer(text):
        plain += text[end : match.start()]
        end = match.end()
        if match[0] == "$${":
            plain += "${"
        elif match[1] is None:
            raise ExpressionError(match[0])
        else:
            parts += [plain, Hole(match[1])] if plain else [Hole(match[1])]
            plain = ""
    plain += text[end:]
    return (*parts, plain) if plain else tuple(parts)


def names(value: object) -> frozenset[str]:
    """Collect the names that a value needs.

    Raises:
        ExpressionError: when a `${` in it does not hold a name.
    """
    if isinstance(value, str):
        return frozenset(part.name for part in split(value) if isinstance(part, Hole))
    if isinstance(value, Mapping):
        return frozenset[str]().union(*map(names, value.values()))
    if isinstance(value, list | tuple):
        return frozenset[str]().union(*map(names, value))
    return frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class Template:
    """A value with holes; `needs` names what fills them."""

    value: object
    needs: frozenset[str]
    _head: bytes
    _tail: tuple[tuple[str, Callable[[object], bytes], bytes], ...]

    def render_json(self, values: Mapping[str, object]) -> bytes:
        """Give the filled value as JSON.

        Raises:
            KeyError: naming a value that is missing.
        """
        rendered = self._head
        for name, write, after in self._tail:
            rendered += write(values[name]) + after
        return rendered

    def render(self, values: Mapping[str, object]) -> object:
        """Give the filled value itself.

        Raises:
            KeyError: naming a value that is missing.
        """
        return _fill(self.value, values)

    def render_text(self, values: Mapping[str, object]) -> str:
        """Give the filled value as text, for a URI or a name.

        Raises:
            KeyError: naming a value that is missing.
        """
        return as_text(_fill(self.value, values))


def compile(value: object) -> Template:  # noqa: A001  what `re` calls it too
    """Take a value apart; texts anywhere in it may hold `${name}`, keys may not.

    Raises:
        ExpressionError: when a `${` in it does not hold a name.
    """
    pieces: list[bytes | tuple[str, Callable[[object], bytes]]] = []
    _flatten(value, pieces)
    head = b""
    tail: list[tuple[str, Callable[[object], bytes], bytes]] = []
    for piece in pieces:
        if not isinstance(piece, bytes):
            tail.append((*piece, b""))
        elif tail:
            name, write, after = tail[-1]
            tail[-1] = (name, write, after + piece)
        else:
            head += piece
    return Template(
        value=value, needs=frozenset(hole[0] for hole in tail), _head=head, _tail=tuple(tail)
    )


def as_text(value: object) -> str:
    """Give a value's text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _flatten(value: object, out: list[bytes | tuple[str, Callable[[object], bytes]]]) -> None:
    if isinstance(value, str):
        parts = split(value)
        if len(parts) == 1 and isinstance(parts[0], Hole) and parts[0].name not in _PLAIN:
            out.append((parts[0].name, _whole))
            return
        out.append(b'"')
        out.extend(
            (_MADE_OF.get(part.name, part.name), _PLAIN.get(part.name, _inside))
            if isinstance(part, Hole)
            else _dump(part)[1:-1]
            for part in parts
        )
        out.append(b'"')
    elif isinstance(value, Mapping):
        out.append(b"{")
        for number, (key, member) in enumerate(value.items()):
            out.append((b"," if number else b"") + _dump(key) + b":")
            _flatten(member, out)
        out.append(b"}")
    elif isinstance(value, list | tuple):
        out.append(b"[")
        for number, member in enumerate(value):
            out.append(b"," if number else b"")
            _flatten(member, out)
        out.append(b"]")
    else:
        out.append(_dump(value))


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# A nonce, the commonest of all, is letters and digits by its making: nothing in it to escape.
_PLAIN: Final = {
    "nonce": cast("Callable[[object], bytes]", str.encode),
    "traceparent": cast("Callable[[object], bytes]", traceparent),
}
_MADE_OF: Final = {"traceparent": "nonce"}  # what a session itself puts in is made of another


# What a server sent may hold half a surrogate pair, which UTF-8 cannot; escapes always can.
def _whole(value: object) -> bytes:
    if isinstance(value, str):
        if value.isalnum() and value.isascii():  # quicker than to look for what needs escaping
            return b'"%b"' % value.encode()
        return encode_basestring_ascii(value).encode()
    return json.dumps(value, separators=(",", ":")).encode()


def _inside(value: object) -> bytes:
    if isinstance(value, str) and value.isalnum() and value.isascii():
        return value.encode()
    return encode_basestring_ascii(as_text(value))[1:-1].encode()


def _fill(value: object, values: Mapping[str, object]) -> object:
    if isinstance(value, str):
        parts = split(value)
        if len(parts) == 1 and isinstance(parts[0], Hole):
            return values[parts[0].name]
        return "".join(
            as_text(values[part.name]) if isinstance(part, Hole) else part for part in parts
        )
    if isinstance(value, Mapping):
        return {key: _fill(member, values) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(member, values) for member in value]
    return value
