"""What a successful reply must show, compiled once per step and asked of every reply.

A call's nonce looks like `n`, three hexadecimal digits of the run and thirteen of the call (see
`harness.scenario.marks`). So a reply that carries another call's nonce can be told from one that
carries none: the first is someone else's answer, the second an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from harness.outcome import Reason
from harness.scenario.conditions import parse_rows
from harness.scenario.expressions import compile as compile_template
from harness.scenario.records import Expect
from harness.scenario.results import MISSING, find, parse_path, rows, texts

Result = Mapping[str, object]
Values = Mapping[str, object]
Check = Callable[[Result, Values], Reason | None]
Keeper = Callable[[Result], dict[str, object]]

PROGRESS_COUNT: Final = "progress count"  # among a call's values; no template can name it
RUN_DIGITS: Final = 3  # of a nonce, after its `n`
_DIGITS: Final = re.compile(r"[0-9a-f]{13}")


def compile(expect: Expect) -> Check:  # noqa: A001  what `re` calls it too
    """Give a function that finds the first thing wrong with a result, or None.

    It wants the parsed result and the values that the call was made with. A tool error is wrong
    unless the step expects one, and then the absence of it is.

    Raises:
        ConditionError, ExpressionError, ValueError: never for a loaded scenario.
    """
    if expect.error:
        return _expect_error(_parts(expect))
    return _expect_success(_parts(expect))


def compile_keep(keep: Mapping[str, str]) -> Keeper:
    """Give a function that takes the kept values out of a result; absent ones are left out.

    Raises:
        ValueError: never for a loaded scenario.
    """
    wanted = tuple((name, parse_path(text)) for name, text in keep.items())

    def take(result: Result) -> dict[str, object]:
        found = ((name, find(result, steps)) for name, steps in wanted)
        return {name: value for name, value in found if value is not MISSING}

    return take


def carries_nonce(result: Result, nonce: str) -> Reason | None:
    """Tell whether a result carries this call's nonce, another call's, or none."""
    others = False
    run = nonce[: 1 + RUN_DIGITS]
    for text in texts(result):
        if nonce in text:
            return None
        others = others or _has_nonce(text, run)
    return Reason.FOREIGN_NONCE if others else Reason.NONCE_MISSING


def _has_nonce(text: str, run: str) -> bool:
    at = text.find(run)
    while at >= 0:
        if _DIGITS.match(text, at + len(run)):
            return True
        at = text.find(run, at + 1)
    return False


def _expect_success(parts: tuple[Check, ...]) -> Check:
    def check(result: Result, values: Values) -> Reason | None:
        if result.get("isError") is True:
            return Reason.TOOL_ERROR
        for part in parts:
            reason = part(result, values)
            if reason is not None:
                return reason
        return None

    return check


def _expect_error(parts: tuple[Check, ...]) -> Check:
    def check(result: Result, values: Values) -> Reason | None:
        if result.get("isError") is not True:
            return Reason.EXPECTATION
        for part in parts:
            reason = part(result, values)
            if reason is not None:
                return reason
        return None

    return check


def _parts(expect: Expect) -> tuple[Check, ...]:
    parts: list[Check] = []
    if expect.carries == "nonce":
        parts.append(lambda result, values: carries_nonce(result, str(values["nonce"])))
    elif expect.carries == "session":
        parts.append(_carries_session)
    if expect.rows is not None:
        count = parse_rows(expect.rows)
        parts.append(lambda result, _: None if count.holds(rows(result)) else Reason.ROWS)
    if expect.progress is not None:
        heard = parse_rows(expect.progress)
        parts.append(lambda _, values: None if heard.holds(_heard(values)) else Reason.EXPECTATION)
    if expect.contains is not None:
        parts.append(_contains(expect.contains))
    if expect.fresh is not None:
        parts.append(_fresh(expect.fresh))
    parts.extend(_equals(text, value) for text, value in expect.equals.items())
    return tuple(parts)


def _heard(values: Values) -> int:
    count = values.get(PROGRESS_COUNT, 0)
    return count if isinstance(count, int) else 0


def _carries_session(result: Result, values: Values) -> Reason | None:
    session = str(values["session"])
    return None if any(session in text for text in texts(result)) else Reason.EXPECTATION


def _contains(text: str) -> Check:
    template = compile_template(text)

    def check(result: Result, values: Values) -> Reason | None:
        try:
            wanted = template.render_text(values)
        except KeyError:
            return Reason.VALUE_MISSING
        return None if any(wanted in text for text in texts(result)) else Reason.EXPECTATION

    return check


def _fresh(text: str) -> Check:
    """Tell a result that shows an earlier state of this session's from one that is another's."""
    template = compile_template(text)

    def check(result: Result, values: Values) -> Reason | None:
        try:
            wanted = template.render_text(values)
        except KeyError:
            return None  # nothing was written yet
        found = tuple(texts(result))
        if any(wanted in one for one in found):
            return None
        nonce, session = str(values["nonce"]), str(values["session"])
        own = any(session in one or nonce in one for one in found)
        others = any(_has_nonce(one, nonce[: 1 + RUN_DIGITS]) for one in found)
        return Reason.FOREIGN_NONCE if others and not own else Reason.STALE

    return check


def _equals(place: str, value: object) -> Check:
    steps = parse_path(place)
    template = compile_template(value)

    def check(result: Result, values: Values) -> Reason | None:
        try:
            wanted = template.render(values)
        except KeyError:
            return Reason.VALUE_MISSING
        return None if _same(find(result, steps), wanted) else Reason.EXPECTATION

    return check


def _same(found: object, wanted: object) -> bool:
    # To JSON, true is not 1, although Python says so.
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return found == wanted
