"""Reads what a server offers: every page of its lists, as far as it declares them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from harness.discovery.offers import Offer, Prompt, Resource, Tool
from harness.discovery.visitor import Visitor
from harness.outcome import Outcome

PAGES_MAX: Final = 50
LISTED_MAX: Final = 2000  # of each kind
READ_S: Final = 15.0
T = TypeVar("T")


async def read(visitor: Visitor) -> Offer:
    """Read everything that the server declares; a list that it does not give is named, with why.

    Raises:
        TargetError: the session is lost and cannot be opened anew.
    """
    able = _mapping(visitor.opened.get("capabilities"))
    lists = _Lists(visitor)
    tools = await lists.of("tools/list", "tools", _tool) if "tools" in able else ()
    resources: tuple[Resource, ...] = ()
    templates: tuple[str, ...] = ()
    if "resources" in able:
        resources = await lists.of("resources/list", "resources", _resource)
        templates = await lists.of("resources/templates/list", "resourceTemplates", _template)
    prompts = await lists.of("prompts/list", "prompts", _prompt) if "prompts" in able else ()
    client = visitor.client
    named = _mapping(visitor.opened.get("serverInfo"))
    if not named:  # of the modern era
        meta = _mapping(visitor.opened.get("_meta"))
        named = _mapping(meta.get("io.modelcontextprotocol/serverInfo"))
    return Offer(
        name=_text(named.get("title")) or _text(named.get("name")) or "the server",
        version=_text(named.get("version")),
        era="modern" if client.era == "modern" else "legacy",
        revision=client.protocol_version,
        tools=tools,
        resources=resources,
        templates=templates,
        prompts=prompts,
        unread=tuple(lists.unread),
    )


class _Lists:
    """Reads lists one after the other, and keeps in mind which there was none of."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self.unread: list[str] = []

    async def of(
        self, method: str, member: str, make: Callable[[Mapping[str, Any]], T | None]
    ) -> tuple[T, ...]:
        """Give what a list holds, whatever cannot be used left out; each thing once."""
        found: dict[Any, T] = {}
        async for listed in self._pages(method, member):
            for one in listed:
                made = make(one) if isinstance(one, dict) else None
                if made is not None and len(found) < LISTED_MAX:
                    found.setdefault(getattr(made, "name", made), made)
        return tuple(found.values())

    async def _pages(self, method: str, member: str) -> AsyncIterator[Iterable[object]]:
        params: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            reply = await self._visitor.ask(method, params, deadline_s=READ_S)
            if reply.outcome is not Outcome.OK or not isinstance(reply.result, dict):
                self.unread.append(f"{method}: {self._visitor.say(reply)}")
                return
            if method == "tools/list":
                self._visitor.schemas.learn(reply.result)
            listed = reply.result.get(member)
            yield listed if isinstance(listed, list) else ()
            cursor = reply.result.get("nextCursor")
            if not isinstance(cursor, str) or not cursor:
                return
            params = {"cursor": cursor}


def _tool(listed: Mapping[str, Any]) -> Tool | None:
    name, schema = listed.get("name"), listed.get("inputSchema")
    if not isinstance(name, str) or not name:
        return None
    return Tool(
        name=name,
        description=_text(listed.get("description")),
        schema=schema if isinstance(schema, dict) else {},
        hints=_mapping(listed.get("annotations")),
    )


def _resource(listed: Mapping[str, Any]) -> Resource | None:
    uri = listed.get("uri")
    return Resource(uri=uri, name=uri) if isinstance(uri, str) and uri else None


def _template(listed: Mapping[str, Any]) -> str | None:
    return _text(listed.get("uriTemplate")) or None


def _prompt(listed: Mapping[str, Any]) -> Prompt | None:
    name, arguments = listed.get("name"), listed.get("arguments")
    if not isinstance(name, str) or not name:
        return None
    listed_ones = arguments if isinstance(arguments, list) else []
    known = [one for one in listed_ones if isinstance(one, dict)]
    wanted = tuple(_text(one.get("name")) for one in known if one.get("required") is True)
    return Prompt(name=name, required=tuple(filter(None, wanted)))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
