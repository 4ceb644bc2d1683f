"""Looks into a few answers for the fields they hold: what rows and bytes do not tell.

A handful of sessions of each kind look, at a few answers a second. Every other session, and every
other answer, pays nothing for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness.journal import ContentEntry
from harness.outcome import Reason
from harness.plan import PlannedSession
from harness.scenario import results
from harness.session.steps import Step

SESSIONS_MAX: Final = 8  # that look, of one agent and arm in one process
LOOKS_MAX: Final = 10  # a second, of one call and arm
VALUES_MAX: Final = 1000  # of one answer
FIELDS_MAX: Final = 40  # of one call
DEPTH_MAX: Final = 6
NAME_MAX: Final = 60
_EXAMPLES_MAX: Final = 3

Expect = Callable[[Mapping[str, Any], Mapping[str, Any]], Reason | None]
Counts = tuple[int, int]  # values, and how many of them are null


def fields(body: object) -> dict[str, Counts]:
    """Give the leaves of an answer by path, as `[].title`, with their values and nulls counted.

    A list of values is one leaf. No more than the first thousand values are looked at.
    """
    found: dict[str, Counts] = {}
    pending: list[tuple[str, object, int]] = [("", body, 0)]
    left = VALUES_MAX
    while pending and left:
        path, value, depth = pending.pop()
        if isinstance(value, dict) and depth < DEPTH_MAX:
            inner = ((f"{path}.{str(key)[:NAME_MAX]}", each) for key, each in value.items())
        elif isinstance(value, list) and depth < DEPTH_MAX:
            inner = ((f"{path}[]", each) for each in value[:left])
        else:
            left -= 1
            values, nulls = found.get(path, (0, 0))
            if path in found or len(found) < FIELDS_MAX:
                found[path] = (values + 1, nulls + (value is None))
            continue
        pending.extend((where, each, depth + 1) for where, each in inner)
    return found


@dataclass(eq=False)
class _Second:
    """What was seen of one kind of call since the books were last kept."""

    from_ns: int
    at_ns: int = 0
    answers: int = 0
    held: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str]] = field(default_factory=list)  # nulls, call id

    def add(self, body: object, name: str, at_ns: int) -> None:
        """Count one answer."""
        self.at_ns = at_ns
        self.answers += 1
        seen = fields(body)
        for path, (values, nulls) in seen.items():
            if path in self.held or len(self.held) < FIELDS_MAX:
                self.held[path] += 1
                self.values[path] += values
                self.nulls[path] += nulls
        self.examples.append((sum(nulls for _, nulls in seen.values()), name))


class Inspector:
    """All looks of one process; the books take them once a second."""

    def __init__(self, now_ns: Callable[[], int], *, worker: int = 0) -> None:
        """Look by this clock."""
        self._now_ns = now_ns
        self._worker = worker
        self._looking: Counter[tuple[int, bool]] = Counter()  # sessions by agent and arm
        # By call and arm; in a list of its own each, which costs a step least to look at.
        self._left: dict[tuple[int, bool], list[int]] = {}
        self._seen: dict[tuple[int, bool], _Second] = {}

    def equip(self, steps: tuple[Step, ...], planned: PlannedSession) -> tuple[Step, ...]:
        """Give a session's steps; those of the first few sessions of an agent and arm look."""
        treated = planned.arm == "treated"
        if planned.engine != "wire" or self._looking[planned.agent, treated] >= SESSIONS_MAX:
            return steps
        self._looking[planned.agent, treated] += 1
        return tuple(self._looks(step, planned.session, treated=treated) for step in steps)

    def _looks(self, step: Step, session: int, *, treated: bool) -> Step:
        """Give a step that looks into its answers as often as the second allows."""
        if not step.counts_rows:
            return step
        place, expect = (step.call, treated), step.expect
        left = self._left.setdefault(place, [LOOKS_MAX])

        def looked(result: Mapping[str, Any], values: Mapping[str, Any]) -> Reason | None:
            if left[0]:
                self._look(place, result, f"s{session}.{values.get('index', 0)}.1")
            return expect(result, values)

        return replace(step, expect=looked)

    def _look(self, place: tuple[int, bool], result: Mapping[str, Any], name: str) -> None:
        body = results.body(result)
        if body is results.MISSING or result.get("isError") or not results.rows(result):
            return
        self._left[place][0] -= 1
        at_ns = self._now_ns()
        self._seen.setdefault(place, _Second(from_ns=at_ns)).add(body, name, at_ns)

    def entries(self) -> Iterator[ContentEntry]:
        """Give what was seen since the last time, and allow as many looks again."""
        seen, self._seen = self._seen, {}
        for (call, treated), second in seen.items():
            self._left[call, treated][0] = LOOKS_MAX
            worst = sorted(second.examples, key=lambda pair: -pair[0])[:_EXAMPLES_MAX]
            yield ContentEntry(
                at_ns=second.at_ns,
                from_ns=second.from_ns,
                worker=self._worker,
                call=call,
                treated=treated,
                answers=second.answers,
                fields={
                    path.removeprefix("."): (held, second.values[path], second.nulls[path])
                    for path, held in sorted(second.held.items())
                },
                examples=tuple(name for _, name in worst),
            )
