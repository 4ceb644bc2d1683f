"""Tries what a server offers, twice each, and keeps what both answers had in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness.clock import NS_PER_S
from harness.discovery import chains, guessing, names, places, repeating
from harness.discovery.chains import Leaf
from harness.discovery.findings import Kind, Learned, LeftOut, Link
from harness.discovery.guessing import NONCE, Guess, NoGuessError
from harness.discovery.offers import Prompt, Resource, Tool
from harness.discovery.visitor import Say, Visitor
from harness.outcome import Outcome
from harness.redaction import redact
from harness.scenario import expectations, results
from harness.scenario.marks import Marks
from harness.scenario.units import counted
from harness.wire.reply import Reply

CALL_S: Final = 10.0  # for one answer
ATTEMPTS_MAX: Final = 6  # sets of arguments for one tool
NOT_IN_TIME: Final = frozenset({Outcome.TIMEOUT, Outcome.HANG})
_SHOWN_MAX: Final = 160
_REFUSED: Final = "failed when tried: "
_ABOUT_MAX: Final = 90  # characters of a description
_ABOUT_READ: Final = 1000
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.) ")
_ASKS_BACK: Final = re.compile(r"(?i)(?=.*(?:sampling|elicit|roots))(?=.*(?:declar|capab|support))")
_METHODS: Final[dict[Kind, str]] = {
    "tool": "tools/call",
    "resource": "resources/read",
    "prompt": "prompts/get",
}


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """One way to call a tool: arguments, and where some of them come from."""

    arguments: dict[str, Any]  # a template over the nonce and the links' names
    values: Mapping[str, str | int]  # of the links, as they were found
    links: tuple[Link, ...]
    marked: bool
    repeat_key: str


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """One good answer."""

    result: Mapping[str, Any]
    rows: int
    reply_bytes: int
    latency_ms: float
    carries: bool


@dataclass(eq=False, kw_only=True)
class Trier:
    """Tries one thing after the other, within a time, and remembers what answers hold."""

    visitor: Visitor
    given: Mapping[str, str]  # values for arguments, by NAME or TOOL.NAME
    say: Say
    within_s: float
    now_ns: Any
    places: tuple[str, ...] = ()  # paths that the server was told of
    _marks: Marks = field(default_factory=lambda: Marks.of(1))
    _calls: int = 0
    _until_ns: int = 0
    _leaves: dict[str, tuple[Leaf, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin to count the time."""
        self._until_ns = self.now_ns() + round(self.within_s * NS_PER_S)

    async def tool(self, tool: Tool) -> Learned | LeftOut:
        """Try a tool.

        Raises:
            TargetError: the session is lost and cannot be opened anew.
        """
        try:
            ways = tuple(self._ways(tool))
        except NoGuessError as error:
            why = f"its arguments cannot be made up: {error}"
            innermost = str(error).partition(":")[0]
            if error.argument and not names.is_secret(innermost):
                why += f"; --argument {tool.name}.{error.argument}=VALUE gives one"
            return LeftOut(kind="tool", name=tool.name, why=why, lacking=error.argument)
        plain = Learned(
            kind="tool",
            name=tool.name,
            about=_sentence(tool.description),
            effects=tool.effects,
            open_world=tool.hints.get("openWorldHint") is True,
        )
        found = await self._twice(plain, ways, tool)
        if not isinstance(found, LeftOut) or _ASKS_BACK.search(found.why):
            return found
        had = self._given(tool).keys() | self._told(ways[0])
        missing = next((one for way in ways for one in _references(way) if one not in had), "")
        if missing:
            hint = f"--argument {tool.name}.{missing}=VALUE names one that is there"
            return replace(found, lacking=missing, why=f"{found.why}; {hint}")
        made_up = next((name for name in _texts(ways[0]) if name not in had), "")
        if made_up and found.why.startswith(_REFUSED):
            hint = f"--argument {tool.name}.{made_up}=VALUE gives another"
            return replace(found, why=f"{found.why}; {hint}")
        return found

    async def resource(self, resource: Resource) -> Learned | LeftOut:
        """Read a resource."""
        return await self._twice(Learned(kind="resource", name=resource.uri), (_NOTHING,))

    async def prompt(self, prompt: Prompt) -> Learned | LeftOut:
        """Get a prompt."""
        marked: dict[str, Any] = {
            name: NONCE if names.takes_any_text(name, {}) else names.text_for(name, {}) or "squall"
            for name in prompt.required
        }
        plain = {name: names.text_for(name, {}) or "squall" for name in prompt.required}
        ways = (
            replace(_NOTHING, arguments=marked, marked=NONCE in marked.values()),
            replace(_NOTHING, arguments=dict(plain)),
        )
        return await self._twice(Learned(kind="prompt", name=prompt.name), ways)

    async def again(self, learned: Learned) -> bool:
        """Call what was learned once more; whether it answered."""
        way = replace(_NOTHING, arguments=learned.arguments)
        return not learned.links and (await self._ask(learned, way)).outcome is Outcome.OK

    async def result_of(self, learned: Learned, visitor: Visitor) -> Mapping[str, Any]:
        """Ask in another session for what needs no value of any answer; {} where it fails."""
        params = {"name": learned.name, "arguments": learned.arguments}
        reply = await visitor.ask("tools/call", params, name=learned.name, deadline_s=CALL_S)
        ok = reply.outcome is Outcome.OK and isinstance(reply.result, dict)
        return reply.result if ok else {}

    # --- ways to call --------------------------------------------------------------------------

    def _ways(self, tool: Tool) -> Iterator[_Candidate]:
        """Give the ways to call a tool, the likeliest first: with found values, then without.

        Raises:
            NoGuessError: there is none at all.
        """
        guesses = self._guesses(tool)
        seen: list[dict[str, Any]] = []
        for loosely in (False, True):
            for one in guesses:
                ways = [*self._linked(tool, one, loosely=loosely)]
                if not loosely:
                    told = [
                        _plain_way(replace(one, arguments=arguments))
                        for arguments in places.instead(tool.name, one.arguments, self.places)
                    ]
                    ways += [*told, _plain_way(one)]
                for way in ways:
                    if way.arguments not in seen:
                        seen.append(way.arguments)
                        yield way

    def _told(self, way: _Candidate) -> set[str]:
        """The arguments for which the server's own command has a value."""
        return {name for name, value in way.arguments.items() if value in self.places}

    def _guesses(self, tool: Tool) -> list[Guess]:
        own = self._given(tool)
        found: list[Guess] = []
        failure: NoGuessError | None = None
        for style in guessing.STYLES:
            try:
                one = guessing.guess(
                    tool.schema, style=style, given=own, writes=tool.effects != "none"
                )
            except NoGuessError as error:
                failure = error
                continue
            if one not in found:
                found.append(one)
        if not found and failure is not None:
            raise failure
        return found

    def _given(self, tool: Tool) -> dict[str, str]:
        """The values that were given for a tool's arguments, by their names."""
        return {
            name.rpartition(".")[2]: text
            for name, text in self.given.items()
            if "." not in name or name.rpartition(".")[0] == tool.name
        }

    def _linked(self, tool: Tool, one: Guess, *, loosely: bool) -> Iterator[_Candidate]:
        """Give the guess with values out of other tools' answers in place of made-up ones."""
        others = {name: found for name, found in self._leaves.items() if name != tool.name}
        own = self._given(tool)
        wanted = [
            name
            for name, value in one.arguments.items()
            if name not in own and name != one.repeat_key and isinstance(value, str | int)
        ]
        sources = {
            name: candidates
            for name in wanted
            if (candidates := chains.candidates(name, others, loosely=loosely))
        }
        for turn in range(chains.CANDIDATES_MAX if sources else 0):
            arguments, links, values = dict(one.arguments), [], {}
            for name, found in sources.items():
                link, leaf = found[min(turn, len(found) - 1)]
                arguments[name] = f"${{{link.name}}}"
                links.append(link)
                values[link.name] = leaf.value
            filled = guessing.fill(arguments, {**values, "nonce": guessing.SAMPLE})
            if not guessing.breaks(tool.schema, filled):
                yield _Candidate(
                    arguments=arguments,
                    values=values,
                    links=tuple(links),
                    marked=NONCE in str(arguments),
                    repeat_key=one.repeat_key,
                )

    # --- two tries -----------------------------------------------------------------------------

    async def _twice(
        self, plain: Learned, ways: Iterable[_Candidate], tool: Tool | None = None
    ) -> Learned | LeftOut:
        """Find the way that brings the most, and see that it does so again."""
        if self.now_ns() >= self._until_ns:
            return LeftOut(
                kind=plain.kind,
                name=plain.name,
                why=f"not tried: the {self.within_s:g} s for tries were over",
            )
        best = await self._best(plain, ways)
        if isinstance(best, str):
            return LeftOut(kind=plain.kind, name=plain.name, why=f"{_REFUSED}{best}")
        way, first = best
        reply = await self._ask(plain, way)
        if reply.outcome is not Outcome.OK:
            why = f"answered once, and failed the second time: {self._shown(reply)}"
            return LeftOut(kind=plain.kind, name=plain.name, why=why)
        second = self._read(reply, self._nonce())
        learned = self._learned(plain, way, first, second)
        if tool is not None:
            learned = replace(learned, repeats=await self._repeats(tool, way, first, second))
        self.say(f"  {plain.kind} {plain.name}: {_in_words(learned)}")
        return learned

    async def _best(
        self, plain: Learned, ways: Iterable[_Candidate]
    ) -> tuple[_Candidate, _Answer] | str:
        """Give the way that brings the most, or what came of the first one."""
        best: tuple[_Candidate, _Answer] | None = None
        failed = ""
        for turn, way in enumerate(ways):
            if turn >= ATTEMPTS_MAX:
                break
            reply = await self._ask(plain, way)
            if reply.outcome is not Outcome.OK:
                failed = failed or self._shown(reply)
                if reply.outcome in NOT_IN_TIME:
                    break
                continue
            answer = self._read(reply, self._nonce())
            if best is None or _worth(way, answer) > _worth(*best):
                best = (way, answer)
            if _good_enough(way, answer):
                break
        return failed if best is None else best

    async def _repeats(
        self, tool: Tool, way: _Candidate, first: _Answer, second: _Answer
    ) -> dict[str, str]:
        async def other(arguments: dict[str, Any]) -> Mapping[str, Any]:
            plain = Learned(kind="tool", name=tool.name)
            reply = await self._ask(plain, replace(way, arguments=arguments))
            return self._read(reply, self._nonce()).result if reply.outcome is Outcome.OK else {}

        results = (first.result, second.result)
        return await repeating.sure(tool, way.arguments, results, other)

    async def _ask(self, plain: Learned, way: _Candidate) -> Reply:
        self._calls += 1
        values = {**way.values, "nonce": self._nonce()}
        filled = guessing.fill(way.arguments, values)
        params: dict[str, Any] = {"name": plain.name, "arguments": filled}
        if plain.kind == "resource":
            params = {"uri": plain.name}
        return await self.visitor.ask(
            _METHODS[plain.kind], params, name=plain.name, deadline_s=CALL_S
        )

    def _nonce(self) -> str:
        """The mark of the call that was made last."""
        return self._marks.nonce(0, self._calls)

    def _read(self, reply: Reply, nonce: str) -> _Answer:
        result = reply.result if isinstance(reply.result, dict) else {}
        return _Answer(
            result=result,
            rows=results.rows(result),
            reply_bytes=reply.reply_bytes,
            latency_ms=max(0, reply.done_ns - reply.sent_ns) / 1e6,
            carries=expectations.carries_nonce(result, nonce) is None,
        )

    def _learned(self, plain: Learned, way: _Candidate, first: _Answer, second: _Answer) -> Learned:
        if plain.kind == "tool":
            both = {leaf.path for leaf in chains.leaves(second.result)}
            self._leaves[plain.name] = tuple(
                leaf for leaf in chains.leaves(first.result) if leaf.path in both
            )
        echoes = ("", "")
        for link in way.links:
            value = way.values[link.name]
            place = chains.echo(first.result, link, value)
            if place and place == chains.echo(second.result, link, value):
                echoes = (place, link.name)
        return replace(
            plain,
            arguments=way.arguments,
            links=way.links,
            repeat_key=way.repeat_key,
            rows=min(first.rows, second.rows),
            reply_bytes=max(first.reply_bytes, second.reply_bytes),
            latency_ms=min(first.latency_ms, second.latency_ms),
            longest_ms=max(first.latency_ms, second.latency_ms),
            carries=way.marked and first.carries and second.carries,
            echoes=echoes,
        )

    def _shown(self, reply: Reply) -> str:
        """What came of a failed try, on one line."""
        if reply.outcome in NOT_IN_TIME:
            return f"no answer within {CALL_S:g} s"
        said = " ".join(self.visitor.say(reply).split())
        if len(said) > _SHOWN_MAX:
            said = f"{said[: _SHOWN_MAX - 1]}…"
        if _ASKS_BACK.search(said):
            said += "; client: {answers: …} lets it ask, as in the scenario agents_are_asked"
        return said


_NOTHING: Final = _Candidate(arguments={}, values={}, links=(), marked=False, repeat_key="")


def _plain_way(one: Guess) -> _Candidate:
    return replace(_NOTHING, arguments=one.arguments, marked=one.marked, repeat_key=one.repeat_key)


def _references(way: _Candidate) -> Iterator[str]:
    """The arguments for which something that exists would have been needed."""
    linked = {link.argument for link in way.links}
    yield from (name for name in way.arguments if names.is_reference(name) and name not in linked)


def _texts(way: _Candidate) -> Iterator[str]:
    yield from (name for name, value in way.arguments.items() if isinstance(value, str))


def _sentence(text: str) -> str:
    """The first sentence of a description, on one line; without what looks like a credential."""
    line = " ".join(redact(text[:_ABOUT_READ]).split())
    first = _SENTENCE_END.split(line, maxsplit=1)[0].rstrip(".")
    return first if len(first) <= _ABOUT_MAX else f"{first[: _ABOUT_MAX - 1]}…"


def _worth(way: _Candidate, answer: _Answer) -> tuple[bool, bool, bool, bool]:
    """What an answer is worth; a mark that does not come back is worth less than a plain word."""
    return (way.marked and answer.carries, answer.rows > 0, bool(way.links), not way.marked)


def _good_enough(way: _Candidate, answer: _Answer) -> bool:
    return answer.rows != 0 and (answer.carries if way.marked else True)


def _in_words(learned: Learned) -> str:
    parts = [f"{learned.latency_ms:.1f} ms", f"{learned.reply_bytes} B"]
    if learned.rows >= 0:
        parts.append(counted(learned.rows, "rows"))
    if learned.carries:
        parts.append("carries the nonce back")
    if learned.repeats:
        parts.append(f"repeats {', '.join(learned.repeats.values())}")
    parts += [f"{link.argument} from {link.provider}" for link in learned.links]
    return ", ".join(parts)
