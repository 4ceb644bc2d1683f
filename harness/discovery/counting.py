"""Whether a tool that only reads counts what another one does: then each effect can be audited."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Self

from harness.discovery import chains
from harness.discovery.findings import Counter, Learned
from harness.discovery.guessing import NONCE
from harness.discovery.trying import Trier

COUNTERS_MAX: Final = 3  # tools that are looked at
Numbers = dict[tuple[str, str], int]  # (tool, path of a number in its answer) -> what it says


class Count:
    """Numbers of the server's, looked at before and after each tool that writes."""

    def __init__(self, trier: Trier, tools: list[Learned], numbers: Numbers) -> None:
        """Look at these numbers, and no others."""
        self._trier, self._tools, self._steady = trier, tools, frozenset(numbers)
        self.counter: Counter | None = None

    @classmethod
    async def begin(cls, trier: Trier, learned: list[Learned]) -> Self | None:
        """Look at the numbers of what was learned; None where no tool gives any."""
        tools = [one for one in learned if _may_count(one)]
        first, numbers = await _look(trier, tools), await _look(trier, tools)
        # What moves by being looked at counts nothing.
        numbers = {place: one for place, one in numbers.items() if first.get(place) == one}
        telling = [one for one in tools if any(tool == one.name for tool, _ in numbers)]
        if not telling:
            return None
        return cls(trier, telling[:COUNTERS_MAX], numbers)

    async def after(self, learned: Learned) -> Learned:
        """Call the tool that was tried once more, and see whether a number grows by just one."""
        before = await self._read()
        if NONCE not in str(learned.arguments) or not await self._trier.again(learned):
            return learned
        now = await self._read()
        grown = [place for place, number in now.items() if number == before.get(place, number) + 1]
        moved = [place for place, number in now.items() if number != before.get(place, number)]
        known = (self.counter.tool, self.counter.path) if self.counter is not None else None
        if known is None and grown:
            known = grown[0]
            tool = next(one for one in self._tools if one.name == known[0])
            self.counter = Counter(tool=tool.name, arguments=tool.arguments, path=known[1])
        elif known is not None and known in moved and known not in grown:
            self.counter = None  # it counts something else as well
            return learned
        return replace(learned, counted=known in grown)

    async def _read(self) -> Numbers:
        now = await _look(self._trier, self._tools)
        return {place: number for place, number in now.items() if place in self._steady}


def _may_count(one: Learned) -> bool:
    fixed = not one.links and NONCE not in str(one.arguments)
    return one.kind == "tool" and fixed and one.effects in {"none", "unsaid"}


async def _look(trier: Trier, tools: list[Learned]) -> Numbers:
    """Read every whole number of these tools' answers, as an auditor does: in a session apart."""
    numbers: Numbers = {}
    async with trier.visitor.another() as auditor:
        for tool in tools:
            result = await trier.result_of(tool, auditor)
            for leaf in chains.leaves(result):
                if isinstance(leaf.value, int):
                    numbers[tool.name, leaf.path] = leaf.value
    return numbers
