"""Writes a draft as a scenario file whose comments teach whoever opens one for the first time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from harness.discovery.agents import Step, rate_of, underway_of
from harness.discovery.drafting import Draft
from harness.discovery.findings import LeftOut
from harness.discovery.guessing import escaped
from harness.discovery.notation import WIDTH, comment, flow, key, mapping, quoted, word
from harness.discovery.offers import Offer
from harness.discovery.reaching import auth_lines, target_lines
from harness.scenario import units
from harness.scenario.transports import is_piped
from harness.scenario.units import counted

SMALL_BYTES: Final = 10_000  # sizes below it are written in full
NO_TOOL: Final = (
    "So no tool is called here, and a run shows little yet: see there what each one lacks."
)
WHY_MAX: Final = 300  # characters
LEFT_OUT_MAX: Final = 60  # reasons that are given
NAMED_MAX: Final = 20  # things of which one reason is given
NOISE: Final = (
    "Its standard output also holds what is no message, which a run finds: logs belong on "
    "standard error"
)
_WHO: Final = {
    "reader": "Quick questions: most agents, most of the time.",
    "slow": "What takes its time has agents of its own, or it would hold up the others' next step.",
    "writer": "What changes something at the server, or may. Each call is meant to happen once.",
}


def write(draft: Draft, *, file: str, again: str, flags: str = "", hidden: bool = False) -> str:
    """Give the file's text; `again` is the command that made it, without what is secret.

    `flags` are those that a run of it needs.

    `hidden` says that the target is another one than was named, for there was a secret in it.
    """
    sections = (
        _head(draft, file=file, again=again, flags=flags),
        _experiment(draft, hidden=hidden),
        _agents(draft),
        _load(draft),
        _faults(draft),
        _limits(draft),
        _left_out(draft.left_out, draft.findings.offer),
    )
    return "\n".join("\n".join(lines) + "\n" for lines in sections if lines)


def _head(draft: Draft, *, file: str, again: str, flags: str) -> list[str]:
    offer = draft.findings.offer
    tried = sum(one.kind == "tool" for one in draft.findings.learned)
    version = f" {offer.version}" if offer.version else ""
    lines = [
        *comment(
            f"Written by `squall init` for {offer.name}{version} (revision {offer.revision} of the "
            f"protocol). It offers {counted(len(offer.tools), 'tools')}, "
            f"{counted(len(offer.resources), 'resources')} and "
            f"{counted(len(offer.prompts), 'prompts')}; "
            f"{counted(tried, 'tools')} answered when tried, twice each."
            + (" What is not used stands at the end, and why." if _lacks(draft) else "")
            + (f" {NO_TOOL}" if offer.tools and not tried else "")
            + (f" {NOISE} ({draft.findings.noise[:60]})." if draft.findings.noise else "")
        ),
        "#",
        *_commands(
            (f"squall check {file}", "what will happen, and when; nothing is started"),
            (f"squall run {file}{flags}", "the run; its last line is the verdict"),
            ("squall schema", "what may stand here, for an editor"),
        ),
    ]
    if again:
        lines += ["#", "# This file was written, and is written anew, by:", f"#   {again}"]
    lines += [
        "#",
        *comment(
            "Half of the sessions are treated: the faults below hit them alone. The other half is "
            "the control arm, served by the same server at the same time; whatever both suffer "
            "is the server's usual day, and whatever the treated ones suffer more is the fault's."
        ),
    ]
    return lines


def _commands(*commands: tuple[str, str]) -> list[str]:
    width = max(len(command) for command, _ in commands)
    beside = [f"#   {command:<{width}}   {what}" for command, what in commands]
    if max(map(len, beside)) <= WIDTH:
        return beside
    return [line for command, what in commands for line in (f"#   {command}", f"#       {what}")]


def _experiment(draft: Draft, *, hidden: bool) -> list[str]:
    name = "".join(sign for sign in draft.findings.offer.name if sign.isprintable())[:60]
    breaks = "its processes stop and die" if is_piped(draft.target) else "the network fails them"
    question = f"Do the agents of {name} keep their work when {breaks}?"
    lines = [
        f"question: {quoted(question)}",
        "seed: 1                # the same seed plans the same calls at the same moments",
    ]
    if hidden:
        lines += comment(
            "There was a credential in the target, which is not written down: name it with "
            "--target, --launch or --stdio when you run this, or let the server find it in its "
            "environment."
        )
    lines += target_lines(draft.target)
    if draft.revision:
        lines.append(f"revision: {quoted(draft.revision)}")
    elif draft.era:
        lines.append(f"era: {draft.era}")
    if draft.auth is not None:
        lines += auth_lines(draft.auth, open_door=draft.findings.open_door)
    fields = {"deadline": units.duration(draft.deadline_s)}
    if draft.retries:
        lines += comment(
            "A call whose connection breaks is tried again. That is right here alone because all "
            "of them only read, or take a key by which the server knows a repeat."
        )
        fields["retry"] = "{attempts: 3, on: [transport_error], backoff: 200ms}"
        return lines + mapping("client", fields)
    (line,) = mapping("client", fields)
    return [*lines, line + "      # whoever has no answer by then gives up"]


# --- who works -----------------------------------------------------------------------------------


def _agents(draft: Draft) -> list[str]:
    lines = ["agents:"]
    teach = _Lessons()
    for agent in draft.agents:
        lines += comment(_WHO[agent.name], 2)
        lines += [
            f"  - name: {agent.name}",
            f"    share: {agent.share_percent}%" + teach.once("           # of the sessions"),
            f"    pace: {units.pace(agent.pace_s)}"
            + teach.once("            # of each session, whose steps go round and round"),
            "    steps:",
        ]
        if agent.lists:
            lines.append(f"      - {agent.lists}")
        for step in agent.steps:
            lines += _step(step, teach)
    return lines


class _Lessons:
    """Says each thing once, where it first comes up."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def once(self, lesson: str) -> str:
        """Give the lesson the first time, and nothing later."""
        if lesson in self._said:
            return ""
        self._said.add(lesson)
        return lesson


_NONCE_LESSON: Final = "      # ${nonce} is another text in every call ..."
_LESSONS: Final = {  # by what a step expects, the most telling first
    "carries": "      # ... and a true answer carries it back",
    "equals": "      # it must be what was asked for",
    "rows": "      # an empty answer is a wrong one, whatever its status",
}
_KEEP_LESSON: Final = "      # taken out of the answer, for a later step"
_EFFECT_LESSON: Final = "      # done exactly once: the server itself counts, see audit"


def _step(step: Step, teach: _Lessons) -> Iterator[str]:
    learned = step.learned
    yield from comment(_measured(step), 6)
    match learned.kind:
        case "tool":
            yield f"      - call: {word(learned.name)}"
        case "prompt":
            yield f"      - prompt: {word(learned.name)}"
        case "resource":
            yield f"      - read: {quoted(escaped(learned.name))}"
    if learned.arguments:
        yield from _arguments(step, teach)
    expected = _expected(step)
    if expected:
        line = "        expect: {" + ", ".join(f"{k}: {v}" for k, v in expected.items()) + "}"
        telling = next(name for name in _LESSONS if name in expected)
        yield from _beside(line, teach.once(_LESSONS[telling]))
    if step.keep:
        kept = ", ".join(f"{name}: {quoted(path)}" for name, path in step.keep.items())
        yield from _beside(f"        keep: {{{kept}}}", teach.once(_KEEP_LESSON))
    if step.effect_once:
        yield from _beside("        effect: once", teach.once(_EFFECT_LESSON))


def _beside(line: str, lesson: str) -> tuple[str, ...]:
    """Put a lesson behind its line, or above it where there is no room."""
    if not lesson or len(line) + len(lesson) <= WIDTH:
        return (line + lesson,)
    return (f"        {lesson.strip()}", line)


def _measured(step: Step) -> str:
    learned = step.learned
    said = [f"{_milliseconds(learned.latency_ms)} ms", units_of(learned.reply_bytes)]
    if learned.rows > 1:
        said.append(f"{learned.rows} rows")
    elif learned.rows == 0:
        said.append("no rows, so that none are demanded")
    words = f"When tried: {', '.join(said)}."
    if learned.about:
        words = f"{learned.about}. {words}"
    if learned.effects == "unsaid":
        words += " It does not say whether it only reads."
    if learned.open_world:
        words += " It says that it reaches beyond the server (openWorldHint): think of whom."
    return words


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004  as people say it


def units_of(size_bytes: int) -> str:
    """Write a size for people, rounded."""
    return f"{size_bytes} bytes" if size_bytes < SMALL_BYTES else f"{size_bytes / 1024:.0f} KiB"


def _arguments(step: Step, teach: _Lessons) -> Iterator[str]:
    line = f"        with: {flow(step.learned.arguments)}"
    lesson = teach.once(_NONCE_LESSON) if step.learned.carries else ""
    if len(line) <= WIDTH:
        yield from _beside(line, lesson)
        return
    yield "        with:" + lesson
    for name, value in step.learned.arguments.items():
        yield f"          {key(name)}: {flow(value)}"


def _expected(step: Step) -> dict[str, str]:
    learned = step.learned
    expected: dict[str, str] = {}
    if learned.kind == "tool" and learned.rows >= 1:
        expected["rows"] = '">= 1"'
    if learned.carries:
        expected["carries"] = "nonce"
    place, name = learned.echoes
    equal = {quoted(place): quoted("${" + name + "}")} if place else {}
    equal |= {
        quoted(path): flow(learned.arguments[argument])
        for path, argument in learned.repeats.items()
    }
    if equal:
        expected["equals"] = f"{{{', '.join(f'{path}: {value}' for path, value in equal.items())}}}"
    return expected


# --- load, faults, limits ------------------------------------------------------------------------


def _load(draft: Draft) -> list[str]:
    piped = is_piped(draft.target)
    why = (
        f"Gentle: {rate_of(draft.agents, draft.sessions):.0f} calls a second, of which on average "
        f"{underway_of(draft.agents, draft.sessions):.2f} are under way at a time."
    )
    if piped:
        why = "Each session has a server process of its own, so there are few."
    if draft.remote:
        why = "The server is not on this machine and may have other users, so there are few."
    times = (
        f"warmup: {units.duration(draft.warmup_s)}, "
        f"baseline: {units.duration(draft.baseline_s)}, "
        f"recovery: {units.duration(draft.recovery_s)}"
    )
    return [
        *comment(
            f"{why} `squall capacity` finds how much more it takes. What happens later is compared "
            "with the baseline, in which nothing breaks."
        ),
        f"load: {{sessions: {draft.sessions}, ramp: {units.duration(draft.ramp_s)}, treated: 50%}}",
        f"phases: {{{times}}}",
    ]


def _faults(draft: Draft) -> list[str]:
    lines = [
        *comment(
            "One after the other, each followed by a recovery. `squall faults` lists the others, "
            "`squall faults NAME` says what one looks for."
        ),
        "faults:",
    ]
    for fault in draft.faults:
        given = ", ".join(f"{name}: {text}" for name, text in fault.parameters.items())
        lines += comment(fault.why, 2)
        lines.append(f"  - {fault.kind}: {{{given}}}" if given else f"  - {fault.kind}:")
        lines.append(f"    for: {units.duration(fault.for_s)}")
    if draft.unkeyed:
        lines += comment(
            f"No reply is lost, for {', '.join(draft.unkeyed)[:WHY_MAX]} would do its work twice "
            "when asked again: there is no key by which a repeat is known. Without such steps "
            "(--skip) `response-lost` shows whether what takes a key keeps its promise.",
            2,
        )
    return lines


def _limits(draft: Draft) -> list[str]:
    lines = [
        *comment(
            "What the exit code is decided by; what was measured above leaves much room. Tighten "
            "them as you learn what is usual. Calls that no server could have answered under a "
            "fault are not counted."
        ),
        "limits:",
    ]
    lines += [f"  {name}: {quoted(text)}" for name, text in draft.limits.items()]
    if draft.counter is not None:
        counter = draft.counter
        given = f", with: {flow(counter.arguments)}" if counter.arguments else ""
        lines += [
            "",
            *comment(
                "This tool's number grew by one with each try of what has effect: once, so it can "
                "be held against the calls: none lost, none done twice."
            ),
            f"audit: {{call: {word(counter.tool)}{given}, counts: {quoted(counter.path)}}}",
        ]
    lines += [
        "",
        *comment("When the untreated half fails, the faults end first, then the load."),
        'abort: {control_errors: "> 50% for 5s"}',
    ]
    return lines


def _lacks(draft: Draft) -> bool:
    offer = draft.findings.offer
    return bool(draft.left_out or offer.templates or offer.unread)


def _left_out(left_out: Iterable[LeftOut], offer: Offer) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        reasons.setdefault((one.kind, one.why[:WHY_MAX]), []).append(one.name[:80])
    named = [f"{_listed(kind, names)}: {why}" for (kind, why), names in reasons.items()]
    named += [
        f"resource template {uri[:80]}: fill it in, and add it as read: URI"
        for uri in offer.templates
    ]
    named += [f"list not read: {why}" for why in offer.unread]
    if not named:
        return []
    lines = ["# Left out:"]
    for text in named[:LEFT_OUT_MAX]:
        lines += comment(f"- {text}")
    if len(named) > LEFT_OUT_MAX:
        lines.append(f"# - and {len(named) - LEFT_OUT_MAX} more")
    return lines


def _listed(kind: str, names: list[str]) -> str:
    """Name things of one kind, the first of many."""
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names[:NAMED_MAX])}{more}"
