"""The order of tries: what only reads, then what writes, then what lacked a value until then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, TypeVar

from harness.discovery.counting import Count
from harness.discovery.findings import Findings, Kind, Learned, LeftOut
from harness.discovery.offers import Offer, Prompt, Resource, Tool
from harness.discovery.permits import Permit, refusal
from harness.discovery.trying import Trier
from harness.discovery.visitor import Say
from harness.errors import TargetError
from harness.session.inputschema import required_names

LISTED_MAX: Final = 3  # resources that are read, and prompts
T = TypeVar("T", Tool, Resource, Prompt)


async def try_all(offer: Offer, trier: Trier, permit: Permit, say: Say) -> Findings:
    """Try everything that may be tried; when the server is lost by it, the rest is left out."""
    rounds = _Rounds(offer, trier, say)
    readers, writers = rounds.sort(permit)
    await rounds.tools(readers)
    await rounds.lacking(last=not writers)
    if writers:
        await rounds.writers(writers)
        await rounds.lacking(last=True)
    await rounds.lists()
    return Findings(
        offer=offer,
        learned=tuple(rounds.learned),
        left_out=tuple(rounds.left_out),
        counter=rounds.count.counter if rounds.count is not None else None,
    )


class _Rounds:
    """What has come of the tries so far."""

    def __init__(self, offer: Offer, trier: Trier, say: Say) -> None:
        self._offer, self._trier, self._say = offer, trier, say
        self.learned: list[Learned] = []
        self.left_out: list[LeftOut] = []
        self.count: Count | None = None
        self._lacking: list[tuple[Tool, LeftOut]] = []
        self._lost = ""  # what was tried when the server was lost

    def sort(self, permit: Permit) -> tuple[list[Tool], list[Tool]]:
        """Give the tools that may be tried, those that only read apart from the others."""
        allowed = []
        for tool in self._offer.tools:
            refused = refusal(tool, permit)
            if refused is None:
                allowed.append(tool)
            else:
                self._leave(refused)
        readers = [tool for tool in allowed if tool.effects == "none"]
        return readers, [tool for tool in allowed if tool.effects != "none"]

    async def tools(self, tools: Iterable[Tool]) -> None:
        """Try tools; those that lack a value are kept for later."""
        for tool in tools:
            self._take(tool, await self._try(self._trier.tool, tool))

    async def writers(self, tools: list[Tool]) -> None:
        """Try tools that may write; first those that need nothing, for one of them may count."""
        plain = [tool for tool in tools if not required_names(tool.schema)]
        await self.tools(plain)
        with suppress(TargetError):  # one that takes no second session cannot be audited
            self.count = await Count.begin(self._trier, self.learned)
        for tool in tools:
            if tool in plain:
                continue
            found = await self._try(self._trier.tool, tool)
            if isinstance(found, Learned) and self.count is not None:
                found = await self._counted(self.count, found)
            self._take(tool, found)

    async def _counted(self, count: Count, learned: Learned) -> Learned:
        try:
            return await count.after(learned)
        except TargetError:
            return learned

    async def lacking(self, *, last: bool) -> None:
        """Try again what lacked a value that others may have brought meanwhile."""
        again, self._lacking = self._lacking, []
        for tool, before in again:
            found = await self._try(self._trier.tool, tool)
            if last and isinstance(found, LeftOut):
                self._leave(before)
            else:
                self._take(tool, found)

    async def lists(self) -> None:
        """Read a few resources and get a few prompts."""
        resources, prompts = self._offer.resources, self._offer.prompts
        for resource in resources[:LISTED_MAX]:
            self._keep(await self._try(self._trier.resource, resource))
        for prompt in prompts[:LISTED_MAX]:
            self._keep(await self._try(self._trier.prompt, prompt))
        self._leave_the_rest("resource", [one.uri for one in resources[LISTED_MAX:]])
        self._leave_the_rest("prompt", [one.name for one in prompts[LISTED_MAX:]])

    def _leave_the_rest(self, kind: Kind, names: list[str]) -> None:
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            why = "not tried: a few are enough"
            self.left_out.append(LeftOut(kind=kind, name=names[0][:60] + more, why=why))

    async def _try(
        self, ask: Callable[[T], Awaitable[Learned | LeftOut]], what: T
    ) -> Learned | LeftOut:
        """Try one thing; whatever comes after the one that ends the server is not tried."""
        kind: Kind = "tool"
        if not isinstance(what, Tool):
            kind = "prompt" if isinstance(what, Prompt) else "resource"
        if self._lost:
            why = f"not tried: the server was lost with {self._lost}"
            return LeftOut(kind=kind, name=what.name, why=why)
        try:
            return await ask(what)
        except TargetError as error:
            self._lost = f"{kind} {what.name}"
            return LeftOut(kind=kind, name=what.name, why=f"the server was lost by it: {error}")

    def _take(self, tool: Tool, found: Learned | LeftOut) -> None:
        if isinstance(found, LeftOut) and found.lacking:
            self._lacking.append((tool, found))
        else:
            self._keep(found)

    def _keep(self, found: Learned | LeftOut) -> None:
        if isinstance(found, Learned):
            self.learned.append(found)
        else:
            self._leave(found)

    def _leave(self, found: LeftOut) -> None:
        self.left_out.append(found)
        self._say(f"  {found.kind} {found.name}: left out, {found.why}")
