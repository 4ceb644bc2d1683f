"""What a server offers, as it says itself: its tools, resources and prompts, and their hints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Effects = Literal["none", "adds", "destroys", "unsaid"]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool as it was listed."""

    name: str
    description: str
    schema: Mapping[str, Any]
    hints: Mapping[str, Any]  # its annotations

    @property
    def effects(self) -> Effects:
        """What a call of it does to the world, as its annotations say; hints, and no more.

        A tool that says it writes, and not how, destroys: so the specification's defaults have it.
        """
        if self.hints.get("readOnlyHint") is True:
            return "none"
        if self.hints.get("destructiveHint") is True:
            return "destroys"
        if self.hints.get("readOnlyHint") is False:
            return "adds" if self.hints.get("destructiveHint") is False else "destroys"
        return "unsaid"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as it was listed."""

    uri: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as it was listed; its arguments are texts."""

    name: str
    required: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Everything that a server offers to a client that offers nothing in return."""

    name: str
    version: str
    era: Literal["legacy", "modern"]
    revision: str
    tools: tuple[Tool, ...] = ()
    resources: tuple[Resource, ...] = ()
    templates: tuple[str, ...] = ()  # URI templates of resources
    prompts: tuple[Prompt, ...] = ()
    unread: tuple[str, ...] = ()  # lists that it declares and does not give, and why
