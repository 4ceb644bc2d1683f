"""Whether every value that a step uses has been kept before, and every path and name is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from harness.scenario import expressions
from harness.scenario.conditions import ConditionError, parse_rows
from harness.scenario.expressions import BUILTINS, ExpressionError
from harness.scenario.mistakes import Mistakes, Trail, nearest, shown
from harness.scenario.records import (
    Agent,
    Answers,
    AnyStep,
    CallStep,
    Expect,
    ListStep,
    ParallelStep,
    PromptStep,
    ReadStep,
    Scenario,
    SingleStep,
    SubscribeStep,
)
from harness.scenario.results import parse_path

ANSWERS: Final = ("session", "agent")  # what a client knows of itself when it is asked
_PATH_MEND: Final = "write for example result[0].id"


def examine(scenario: Scenario, mistakes: Mistakes) -> None:
    """Note every value that cannot be there when it is needed."""
    for number, agent in enumerate(scenario.agents):
        _agent(agent, ("agents", number), mistakes)
    _answers(scenario.client.answers, mistakes)


def _answers(answers: Answers, mistakes: Mistakes) -> None:
    trail: Trail = ("client", "answers")
    own = _Known(set(ANSWERS), set(), complete=True)
    asked = _Known({*ANSWERS, "asked"}, set(), complete=True)
    if answers.sampling is not None:
        _text(answers.sampling.text, (*trail, "sampling", "text"), asked, mistakes)
    if answers.elicitation is not None:
        _arguments(answers.elicitation.content, (*trail, "elicitation", "content"), asked, mistakes)
    for number, root in enumerate(answers.roots or ()):
        place: Trail = (*trail, "roots", number)
        _text(root, place, own, mistakes)
        if not root.startswith("file://"):
            mistakes.add(place, "a URI that begins with file://", shown(root), "name a folder")


def _agent(agent: Agent, trail: Trail, mistakes: Mistakes) -> None:
    everything = {name for step in agent.steps for single in singles(step) for name in kept(single)}
    known: set[str] = set(BUILTINS)
    kept_before: set[str] = set()
    complete = True
    for number, step in enumerate(agent.steps):
        place: Trail = (*trail, "steps", number)
        unread = any(_may_keep(way) for way in mistakes.inside(place))
        # Steps in flight together do not see what their neighbours keep.
        fresh: set[str] = set()
        for member, single in enumerate(singles(step)):
            where = (*place, "parallel", member) if isinstance(step, ParallelStep) else place
            _step(single, where, _Known(known, everything, complete=complete), mistakes)
            for name, path in kept(single).items():
                _keep(name, path, (*where, "keep", name), kept_before | fresh, mistakes)
                fresh.add(name)
        kept_before |= fresh
        known |= fresh
        complete = complete and not unread


def _may_keep(way: Trail) -> bool:
    """Whether a mistake may have hidden what a step keeps; then no later name is missed."""
    return way[:1] not in {(key,) for key in ("with", "expect", "effect", "deadline")}


def singles(step: AnyStep) -> tuple[SingleStep, ...]:
    """Give the steps that are in flight together; one, unless they are declared parallel."""
    return step.parallel if isinstance(step, ParallelStep) else (step,)


def kept(step: SingleStep) -> Mapping[str, str]:
    """Give what a step keeps of its result: name -> path."""
    return step.keep if isinstance(step, CallStep | ReadStep) else {}


class _Known:
    """The names that are there by now, and those that some other step keeps."""

    def __init__(self, now: set[str], ever: set[str], *, complete: bool) -> None:
        self.now = frozenset(now)
        self.ever = frozenset(ever)
        self.complete = complete

    def missing(self, needs: frozenset[str]) -> list[str]:
        return sorted(needs - self.now) if self.complete else []

    def mend(self, name: str) -> str:
        if name in self.ever:
            return "move the step that keeps it before this one"
        return nearest(name, self.now | self.ever, what="known")


def _keep(name: str, path: str, trail: Trail, before: set[str], mistakes: Mistakes) -> None:
    spot = mistakes.key_spot(trail)
    if name in BUILTINS:
        mend = "choose another name"
        mistakes.add(trail, "a name of its own", f"the built-in {name}", mend, spot)
    elif not expressions.NAME.fullmatch(name):
        mend = "use letters, digits and _"
        mistakes.add(trail, "a name", shown(name), mend, spot)
    elif name in before:
        mend = "choose another name"
        mistakes.add(trail, "each name kept once", f"{name} again", mend, spot)
    _path(path, trail, mistakes)


def _path(path: str, trail: Trail, mistakes: Mistakes) -> None:
    try:
        parse_path(path)
    except ValueError:
        mistakes.add(trail, "a path into the result", shown(path), _PATH_MEND)


def _step(step: SingleStep, trail: Trail, known: _Known, mistakes: Mistakes) -> None:
    match step:
        case CallStep():
            _arguments(step.arguments, (*trail, "with"), known, mistakes)
            _effect(step, trail, mistakes)
            _label(step.call, (*trail, "call"), mistakes)
        case PromptStep():
            _arguments(step.arguments, (*trail, "with"), known, mistakes)
            _label(step.prompt, (*trail, "prompt"), mistakes)
        case ReadStep():
            _text(step.read, (*trail, "read"), known, mistakes)
        case ListStep() | SubscribeStep():
            pass
    _expect(step.expect, (*trail, "expect"), known, mistakes)


def _label(name: str, trail: Trail, mistakes: Mistakes) -> None:
    if "${" in name:
        mistakes.add(trail, "a name that is the same in every call", shown(name), "write it out")


def _effect(step: CallStep, trail: Trail, mistakes: Mistakes) -> None:
    if step.effect is None or mistakes.touch((*trail, "with")):
        return
    if "nonce" not in expressions.names(step.arguments):
        mistakes.add(
            (*trail, "effect"),
            "an argument with ${nonce}, by which the ledger knows the call",
            "none",
            'add one to with:, such as text: "${nonce}"',
        )


def _arguments(
    arguments: Mapping[str, object], trail: Trail, known: _Known, mistakes: Mistakes
) -> None:
    for key, value in arguments.items():
        if "${" in key:
            place = (*trail, key)
            mend = "use ${…} in values only"
            mistakes.add(place, "a plain key", shown(key), mend, mistakes.key_spot(place))
        for place, text in _texts(value, (*trail, key)):
            _text(text, place, known, mistakes)


def _texts(value: object, trail: Trail) -> Iterator[tuple[Trail, str]]:
    if isinstance(value, str):
        yield trail, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts(member, (*trail, key))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _texts(member, (*trail, number))


def _text(text: str, trail: Trail, known: _Known, mistakes: Mistakes) -> None:
    try:
        needs = expressions.names(text)
    except ExpressionError as error:
        mend = "write $${ for a plain ${"
        mistakes.add(trail, "${name}, closed", f'"{error}"', mend)
        return
    for name in known.missing(needs):
        mistakes.add(trail, "a value that an earlier step keeps", f"${{{name}}}", known.mend(name))


def _expect(expect: Expect, trail: Trail, known: _Known, mistakes: Mistakes) -> None:
    if expect.rows is not None:
        _check(parse_rows, expect.rows, (*trail, "rows"), mistakes)
    if expect.progress is not None:
        _check(parse_rows, expect.progress, (*trail, "progress"), mistakes)
    if expect.contains is not None:
        _text(expect.contains, (*trail, "contains"), known, mistakes)
    if expect.fresh is not None:
        _text(expect.fresh, (*trail, "fresh"), known, mistakes)
    for path, value in expect.equals.items():
        place: Trail = (*trail, "equals", path)
        _path(path, place, mistakes)
        for where, text in _texts(value, place):
            _text(text, where, known, mistakes)


def _check(parse: Callable[[str], object], text: str, trail: Trail, mistakes: Mistakes) -> None:
    try:
        parse(text)
    except ConditionError as error:
        mistakes.add(trail, error.expected, f'"{text}"', error.mend)
