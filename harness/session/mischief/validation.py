"""Calls whose arguments the tool's own schema forbids: one at a time, or many made beforehand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import anyio
from anyio import to_thread
from pydantic_core import from_json, to_json

from faults.levers import Behaviour
from harness.outcome import Outcome
from harness.session.mischief.arguments import Arguments, fuzz, spoil
from harness.session.mischief.scene import TEXT_MAX, Scene
from harness.wire.reply import Reply

FORBIDDEN: Final = "forbidden by its schema"
STACK_TRACE: Final = "stack_trace"
PAUSE_S: Final = 0.002  # between one such call and the next
AT_ONCE: Final = 10  # fuzzed calls that one of the session's own gives rise to
TOO_MANY: Final = 429
_BEFORE_TRACE: Final = 80  # characters that are shown of what precedes a trace
TRACES: Final = re.compile(
    r"Traceback \(most recent call last\)"
    r"|\n\s+at \S.*:\d+:\d+"  # JavaScript
    r"|\n\s+at [\w.$]+\([\w.]+(?::\d+)?\)"  # Java and its kin
    r"|\n\s+at \S.+ in \S+:line \d+"  # .NET
    r"|goroutine \d+ \["
    r"|thread '[^']*' panicked at"
)


async def spoilt(scene: Scene, behaviour: Behaviour) -> None:
    """Call the step's tool once with arguments that are spoilt in one way."""
    if not scene.calls_tool(behaviour.tool):
        return
    values = scene.own_values()
    cases = _cases(scene, values)
    if not cases:
        return
    draw = scene.stage.plan.draw("spoil", scene.session.session, scene.planned.index)
    case = cases[int(draw * len(cases))]
    reply = await _call(scene, case)
    _note(scene, behaviour, case, reply, nonce=str(values["nonce"]))


def _cases(scene: Scene, values: Mapping[str, Any]) -> tuple[Arguments, ...]:
    schema = scene.stage.schemas.input_schema(scene.step.name)
    if schema is None:
        return ()
    return spoil(schema, _valid(scene, values))


def _valid(scene: Scene, values: Mapping[str, Any]) -> dict[str, Any]:
    params = from_json(scene.step.params.render_json(values))
    arguments = params.get("arguments")
    return arguments if isinstance(arguments, dict) else {}


async def _call(scene: Scene, case: Arguments, *, tool: str = "") -> Reply:
    name = tool or scene.step.name
    params: dict[str, Any] = {"name": name}
    if case.value is not None:
        params["arguments"] = case.value
    return await scene.client.request(
        "tools/call", to_json(params), name=name, deadline_ns=scene.deadline_ns()
    )


def _note(
    scene: Scene,
    behaviour: Behaviour,
    case: Arguments,
    reply: Reply,
    *,
    nonce: str = "",
) -> None:
    scene.record(behaviour, reply)
    where = f" {case.place}" if case.place else ""
    text = said(reply)
    allowed = f", {FORBIDDEN}" if case.forbidden else ""
    scene.tell(
        behaviour,
        reply,
        variant=case.variant,
        sent=f"{case.variant}{where}{allowed}",
        nonce=nonce,
        text=text,
        reason=STACK_TRACE if TRACES.search(text) else "",
    )


def said(reply: Reply) -> str:
    """What the server said to a call that it did not do, from a stack trace on if it has one."""
    if reply.outcome in (Outcome.OK, Outcome.WRONG):
        return ""
    words = [reply.detail]
    if reply.error is not None:
        words += [str(reply.error.get("message", "")), str(reply.error.get("data") or "")]
    if isinstance(reply.result, dict):
        content = reply.result.get("content")
        blocks = content if isinstance(content, list) else ()
        words += [str(block.get("text", "")) for block in blocks if isinstance(block, dict)]
    whole = "\n".join(word for word in words if word)
    trace = TRACES.search(whole)
    start = max(0, trace.start() - _BEFORE_TRACE) if trace else 0
    return whole[start : start + TEXT_MAX]


# --- many, made beforehand -----------------------------------------------------------------------


async def fuzzed(scene: Scene, behaviour: Behaviour) -> None:
    """Call the step's tool with one of many sets of arguments after another, beside its calls."""
    if scene.calls_tool(behaviour.tool):
        scene.beside(behaviour, partial(_fuzz, scene, behaviour))


async def _fuzz(scene: Scene, behaviour: Behaviour) -> None:
    backstage, tool = scene.stage.backstage, scene.step.name
    mine = f"{behaviour.window}:{tool}"
    schema = scene.stage.schemas.input_schema(tool)
    if schema is None:
        return
    cases = backstage.cases.get(mine)
    if cases is None:
        # In a thread, since two hundred of them would hold up the sessions of this process.
        cases = await to_thread.run_sync(
            partial(
                fuzz,
                schema,
                _valid(scene, scene.own_values()),
                seed=scene.stage.plan.seed,
                count=behaviour.count,
            )
        )
        cases = backstage.cases.setdefault(mine, cases)
    for _ in range(AT_ONCE):
        number = backstage.turn(mine)
        engaged = scene.stage.conduct.get(behaviour.kind) is not None
        if number >= len(cases) or not engaged:
            return
        reply = await _call(scene, cases[number])
        _note(scene, behaviour, cases[number], reply)
        await anyio.sleep(PAUSE_S)


# --- an agent that does not understand -----------------------------------------------------------


async def loop(scene: Scene, behaviour: Behaviour) -> None:
    """Make a call that cannot succeed over and over, as an agent does that learns nothing."""
    if scene.calls_tool(behaviour.tool):
        scene.beside(behaviour, partial(_loop, scene, behaviour))


async def _loop(scene: Scene, behaviour: Behaviour) -> None:
    cases = [case for case in _cases(scene, scene.own_values()) if case.forbidden]
    unknown = Arguments(variant="unknown", place="", value={}, forbidden=True)
    case, tool = (cases[0], "") if cases else (unknown, f"{scene.step.name}_unknown")
    for _ in range(behaviour.count):
        reply = await _call(scene, case, tool=tool)
        scene.record(behaviour, reply)
        engaged = scene.stage.conduct.get(behaviour.kind) is not None
        if reply.outcome is Outcome.OK or reply.status == TOO_MANY or not engaged:
            return
        await anyio.sleep(PAUSE_S)
