"""The scenario's rules as the callbacks by which the official client answers a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ErrorData,
    ListRootsResult,
)
from pydantic import BaseModel

from harness.wire.inbox import Inbox

ResultT = TypeVar("ResultT", bound=BaseModel)


def callbacks(inbox: Inbox) -> dict[str, Any]:
    """What `mcp.Client` takes, for the kinds of request that the rules declare and no other.

    To it a callback is a declaration: it tells the server of every one that it was given.
    """
    declared = inbox.rules.declare("legacy")
    made: dict[str, Any] = {}
    if "sampling" in declared:
        made["sampling_callback"] = _asked(inbox, "sampling/createMessage", CreateMessageResult)
    if "elicitation" in declared:
        made["elicitation_callback"] = _asked(inbox, "elicitation/create", ElicitResult)
    if "roots" in declared:
        told = _answerer(inbox, "roots/list", ListRootsResult)

        async def roots(_: Any) -> ListRootsResult | ErrorData:
            return told({})

        made["list_roots_callback"] = roots
    return made


def _asked(
    inbox: Inbox, method: str, result: type[ResultT]
) -> Callable[[Any, BaseModel], Awaitable[ResultT | ErrorData]]:
    told = _answerer(inbox, method, result)

    async def callback(_: Any, params: BaseModel) -> ResultT | ErrorData:
        return told(params.model_dump(mode="json", by_alias=True, exclude_none=True))

    return callback


def _answerer(
    inbox: Inbox, method: str, result: type[ResultT]
) -> Callable[[dict[str, Any]], ResultT | ErrorData]:
    def told(params: dict[str, Any]) -> ResultT | ErrorData:
        response = inbox.answer({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
        if "error" in response:
            return ErrorData.model_validate(response["error"])
        return result.model_validate(response["result"])

    return told
