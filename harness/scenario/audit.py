"""A scenario's `audit`: how the target itself can be asked how many effects there were."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.scenario.record import Record


class Audit(Record):
    """A tool or an address that counts effects, for targets whose ledger squall cannot read."""

    call: str = Field("", description="the tool that counts; called by a session beside the load")
    arguments: dict[str, Any] = Field(default_factory=dict, alias="with")
    http: str = Field(
        "",
        pattern=r"^$|^https?://\S+$",
        description="or the URL that counts: a GET gives JSON",
        examples=["http://127.0.0.1:9000/count"],
    )
    counts: str = Field(
        "result", description="path to the number in the answer", examples=["result.count"]
    )
    of: tuple[str, ...] = Field(
        (), description="tools whose calls it counts; left out, those with effect: once"
    )
