"""One session's side of what servers start: its rules, its subscriptions, its longer calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from harness.clock import NS_PER_S
from harness.outcome import Outcome
from harness.scenario import expressions
from harness.scenario.expectations import PROGRESS_COUNT
from harness.scenario.records import Scenario
from harness.scenario.transports import is_piped
from harness.session.lists import LISTS, PAGES_MAX, Watch
from harness.session.record import Who
from harness.session.stage import Stage
from harness.session.steps import Step
from harness.session.talking import PLAIN, Conversation
from harness.wire.answering import NO_RULES, Rules, Sampled
from harness.wire.inbox import Breach
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker


class Talker:
    """Prepares a client's inbox, and holds the calls that are more than question and answer."""

    __slots__ = ("_client", "_stage", "_subscribed", "_told", "_who", "changed", "watch")

    def __init__(self, stage: Stage, who: Who, client: Speaker, values: Mapping[str, Any]) -> None:
        """`values` are what the rules' templates may name."""
        self._stage = stage
        self._who = who
        self._client = client
        self.changed = False  # the server's tools, or their list goes on: there is more to list
        self._told = False
        self.watch: Watch | None = None  # over the list of tools
        self._subscribed: dict[str, None] = {}  # a set that keeps its order
        inbox = client.inbox
        inbox.rules, inbox.counts = stage.rules, stage.said
        if stage.rules != NO_RULES:
            inbox.values = {name: values[name] for name in ("session", "agent")}
        inbox.now_ns = stage.clock.now_ns
        inbox.on_breach = self._breach
        inbox.on_list_changed = self._note_change

    async def ask(
        self, step: Step, values: dict[str, Any], *, attempt: int = 1, lose_reply: bool = False
    ) -> Reply:
        """Perform one attempt of any step, to its very end."""
        talk = step.talk or PLAIN
        params = step.params.render_json(values)
        clock = self._stage.clock
        deadline_ns = clock.now_ns() + step.deadline_ns
        if talk.subscription:
            return await self._subscribe(step.name, talk.subscription == "subscribe", deadline_ns)
        progress = None
        if talk.progress:
            token = str(values["nonce"])
            if attempt > 1:  # a token must not be used again while its call may still be running
                fresh = f"{token}-{attempt}"
                old, new = (b'"progressToken":"%b"' % each.encode() for each in (token, fresh))
                params, token = params.replace(old, new), fresh
            progress = self._client.inbox.watch_progress(token, int(values["index"]))
        conversation = Conversation(
            client=self._client,
            clock=clock,
            method=step.method,
            params=params,
            name=step.name if step.named is None else step.named.render_text(values),
            deadline_ns=deadline_ns,
            talk=talk,
            lose_reply=lose_reply,
            progress=progress,
        )
        try:
            return await conversation.hold()
        finally:
            if progress is not None:
                progress.ended = True
                values[PROGRESS_COUNT] = progress.seen

    async def finish(self, first: Reply, step: Step, params: bytes, name: str) -> Reply:
        """Go on from the reply to a plain step that is not the last word."""
        conversation = Conversation(
            client=self._client,
            clock=self._stage.clock,
            method=step.method,
            params=params,
            name=name,
            deadline_ns=first.sent_ns + step.deadline_ns,
        )
        return await conversation.finish(first)

    def watch_lists(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Give a session's steps; those that list tools look at what they are given."""
        lists = self._stage.lists
        if lists is None or all(step.method != LISTS for step in steps):
            return steps
        self.watch = Watch(
            lists,
            self._client,
            session=self._who.session,
            treated=self._who.treated,
            hears=is_piped(self._stage.scenario.target),
        )
        return self.watch.equip(steps, self._look_for_more)

    async def renew(self, opened: Reply, deadline_ns: int) -> None:
        """Subscribe again in a new session to what the old one was subscribed to."""
        if self.watch is not None:
            self.watch.opened(opened.result)
        for uri in self._subscribed if self._client.era == "legacy" else ():
            self._count("resubscribed", await self._send_subscription(uri, True, deadline_ns))

    async def follow_changes(self) -> None:
        """List the tools again, as an agent does that was told of a change; read a list's pages."""
        self.changed = False
        limit_ns = self._stage.clock.now_ns() + round(
            self._stage.scenario.client.deadline_s * NS_PER_S
        )
        if self.watch is not None:
            await self._read_on(self.watch, limit_ns)
        if self._told:
            self._told = False
            reply = await self._client.request(LISTS, b"{}", deadline_ns=limit_ns)
            self._count("relisted", reply)

    async def _read_on(self, watch: Watch, limit_ns: int) -> None:
        """Ask for the pages that are left of a list of tools, and put them together."""
        for _ in range(PAGES_MAX):
            if watch.cursor is None:
                return
            cursor, index = watch.cursor
            reply = await self._client.request(
                LISTS, to_json({"cursor": cursor}), deadline_ns=limit_ns
            )
            self._count("listed on", reply)
            if reply.outcome is not Outcome.OK or not isinstance(reply.result, dict):
                break
            watch.add(reply.result, index)
        watch.cursor = None

    def _look_for_more(self) -> None:
        self.changed = True

    async def _subscribe(self, uri: str, begins: bool, deadline_ns: int) -> Reply:
        reply = await self._send_subscription(uri, begins, deadline_ns)
        if not begins:
            self._subscribed.pop(uri, None)
        elif reply.outcome is Outcome.OK:
            self._subscribed[uri] = None
        return reply

    async def _send_subscription(self, uri: str, begins: bool, deadline_ns: int) -> Reply:
        if self._client.era == "modern":
            wanted = (set(self._subscribed) | {uri}) if begins else set(self._subscribed) - {uri}
            return await self._client.listen(frozenset(wanted), deadline_ns=deadline_ns)
        method = "resources/subscribe" if begins else "resources/unsubscribe"
        return await self._client.request(method, to_json({"uri": uri}), deadline_ns=deadline_ns)

    def _count(self, what: str, reply: Reply) -> None:
        well = "" if reply.outcome is Outcome.OK else ":failed"
        self._stage.said[f"{what}{well}"] += 1

    def _note_change(self, what: str) -> None:
        if what != "tools":
            return
        if self.watch is not None:
            self.watch.told()
        if self._stage.scenario.client.follow_changes:
            self.changed = self._told = True

    def _breach(self, kind: Breach, call: int) -> None:
        self._stage.recorder.breach(self._who, call, kind, self._stage.clock.now_ns())


def compile_rules(scenario: Scenario) -> Rules:
    """What a scenario's sessions answer when a server asks."""
    answers = scenario.client.answers
    sampling, elicitation = answers.sampling, answers.elicitation
    return Rules(
        sampling=None
        if sampling is None
        else "refuse"
        if sampling.refuse
        else Sampled(text=expressions.compile(sampling.text), model=sampling.model),
        elicitation=None
        if elicitation is None
        else elicitation.action
        if elicitation.action != "accept" or not elicitation.content
        else expressions.compile(elicitation.content),
        roots=None
        if answers.roots is None
        else tuple(expressions.compile(root) for root in answers.roots),
        after_ns=round(answers.after_s * NS_PER_S),
        tasks=any(
            getattr(single, "task", False)
            for agent in scenario.agents
            for step in agent.steps
            for single in getattr(step, "parallel", (step,))
        ),
    )
