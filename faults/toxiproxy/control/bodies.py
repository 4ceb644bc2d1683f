"""Reads and writes JSON the way the original's encoding/json does, since clients depend on it.

Keys match without regard to case and count in the order in which they stand, a second one as well;
unknown ones and whatever follows the first value are ignored, `null` leaves a field as it was, and
an integer must be written as one: `100.0` is refused.
"""

from __future__ import annotations

import codecs
import json
import re
import struct
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NoReturn

Kind = Literal["string", "bool", "int", "float32", "float64", "object"]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
FLOAT32_MAX = 3.4028234663852886e38
FLOAT64_MAX = sys.float_info.max
INTEGER_DIGITS_MAX = 400  # more than a float can hold, and fewer than Python refuses to read

# Where the original changes from plain decimals to an exponent.
PLAIN_MIN, PLAIN_MAX = 1e-6, 1e21


class BodyError(Exception):
    """A request's body cannot be read; the text follows `bad request body: `."""


class Members(list[tuple[str, object]]):
    """A JSON object's members in the order in which they stand."""


def _refuse_constant(text: str) -> NoReturn:
    raise BodyError(f"invalid character '{text[0]}' looking for beginning of value")


def _number(digits: str) -> float:
    """An integer; one that is longer than any field can hold comes back as a float."""
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else float(digits)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """One sign for each byte that is no UTF-8, where Python's own way gives one for several."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("toxiproxy", _replace)

# A quote within a string is escaped, so this only ever matches a field of its own.
_FLOAT = re.compile(r'"(toxicity|loss_rate|correlation)":(-?[\d.]+(?:e[+-]?\d+)?)')
_HALF_PAIR = re.compile("[\ud800-\udfff]")

_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_number, object_pairs_hook=Members
)


def decode(body: bytes) -> object:
    """The first JSON value of a body.

    Raises:
        BodyError: there is none.
    """
    text = body.decode("utf-8", "toxiproxy").lstrip(" \t\r\n")
    if not text:
        raise BodyError("EOF")
    try:
        value: object
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            raise BodyError("unexpected EOF") from None
        raise BodyError(f"invalid character {text[error.pos]!r} at offset {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise BodyError(type(error).__name__) from None
    return value


def fields(value: object, kinds: Mapping[str, Kind]) -> dict[str, object]:
    """The named fields that an object carries, each checked against its kind.

    Raises:
        BodyError: the value is no object, or a field is of another kind.
    """
    if value is None:
        return {}
    if not isinstance(value, Members):
        raise BodyError(f"json: cannot unmarshal {_kind_of(value)} into Go value of type struct")
    found: dict[str, object] = {}
    for key, held in value:
        name = key.lower().replace("\u017f", "s")  # Go folds the long s, Python's lower() does not
        kind = kinds.get(name)
        if kind is None or held is None:
            continue
        if not _fits(held, kind):
            text = f"json: cannot unmarshal {_kind_of(held)} into Go struct field {name} of type "
            raise BodyError(text + kind)
        if isinstance(held, str):
            found[name] = _HALF_PAIR.sub("\ufffd", held)
        elif isinstance(held, Members):  # a second object is read over the first
            found[name] = Members([*_members(found.get(name)), *held])
        else:
            found[name] = held
    return found


def _members(value: object) -> Members:
    return value if isinstance(value, Members) else Members()


def array(value: object) -> list[object]:
    """The elements of an array; `null` has none.

    Raises:
        BodyError: the value is no array.
    """
    if value is None:
        return []
    if isinstance(value, Members) or not isinstance(value, list):
        raise BodyError(f"json: cannot unmarshal {_kind_of(value)} into Go value of type []struct")
    return value


def numbers(value: object, kinds: Mapping[str, Kind]) -> dict[str, int | float]:
    """The named numbers that an attributes object carries, each of its kind.

    Raises:
        BodyError: the value is no object, or one of them is of another kind.
    """
    found = fields(value, kinds)
    return {name: held for name, held in found.items() if isinstance(held, int | float)}


def _fits(held: object, kind: Kind) -> bool:
    if kind == "string":
        return isinstance(held, str)
    if kind == "bool":
        return isinstance(held, bool)
    if kind == "object":
        return isinstance(held, Members)
    if isinstance(held, bool):
        return False
    if kind == "int":
        return isinstance(held, int) and INT64_MIN <= held <= INT64_MAX
    most = FLOAT32_MAX if kind == "float32" else FLOAT64_MAX
    return isinstance(held, int | float) and abs(held) <= most


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "object" if isinstance(value, Members) else "array"


def narrow(value: float) -> float:
    """The nearest 32-bit float's shortest decimal, which is what the API shows of a toxicity."""
    exact: float = struct.unpack("f", struct.pack("f", value))[0]
    for digits in range(1, 10):
        shorter = float(f"{exact:.{digits}g}")
        if struct.unpack("f", struct.pack("f", shorter))[0] == exact:
            return shorter
    return exact


def _as_go_writes(match: re.Match[str]) -> str:
    """A field as the original writes it: a toxicity has 32 bits, the others 64."""
    name, text = match.groups()
    value = narrow(float(text)) if name == "toxicity" else float(text)
    return f'"{name}":{_go_float(value)}'


def _go_float(value: float) -> str:
    if value == 0 or PLAIN_MIN <= abs(value) < PLAIN_MAX:
        plain = f"{Decimal(repr(value)):f}"
        return plain.removesuffix(".0")
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent):+d}"


def encode(value: object) -> bytes:
    """Compact JSON with the characters that Go escapes escaped, and floats as Go writes them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for plain in "<>&\u2028\u2029":
        text = text.replace(plain, f"\\u{ord(plain):04x}")
    return _FLOAT.sub(_as_go_writes, text).encode("utf-8", "replace")
