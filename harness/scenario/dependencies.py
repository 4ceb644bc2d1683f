"""A scenario's `dependencies`: what the target depends on, each behind a proxy of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from faults.quantities import Duration
from harness.scenario.record import Record

# What the bundled server offers only beside a dependency.
DEPENDENT_TOOLS: Final = ("read_notes",)
NAME: Final = r"[a-z][a-z0-9_-]*"
VARIABLE: Final = r"^$|^[A-Za-z_][A-Za-z0-9_]*$"
_VARIABLE: Final = "the target's environment variable that says where the dependency is"


class Embedded(Record):
    """Squall's own downstream: rows, notes and cells over HTTP, with a ledger of its requests."""

    token_ttl_s: Duration = Field(
        60.0,
        alias="token_ttl",
        ge=1,
        description="of the access tokens that it sells to the target",
    )


class EmbeddedDependency(Record):
    """A dependency that squall starts beside the target, and that every fault can strike."""

    embedded: Embedded = Embedded()
    variable: str = Field(
        "", pattern=VARIABLE, description=f"{_VARIABLE}, as http://ID:SECRET@HOST:PORT"
    )


class UpstreamDependency(Record):
    """A dependency that runs already; what its proxy can do to a connection can strike it."""

    upstream: str = Field(
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@]+):[0-9]{1,5}$",
        description="where it listens, as host:port",
        examples=["127.0.0.1:5432"],
    )
    variable: str = Field(
        min_length=1,
        pattern=VARIABLE,
        description=f"{_VARIABLE}; in its value host and port become the proxy's",
        examples=["DATABASE_URL"],
    )


Dependency = EmbeddedDependency | UpstreamDependency
# By the key that tells which it is.
KINDS: Final[Mapping[str, type[Dependency]]] = {
    "embedded": EmbeddedDependency,
    "upstream": UpstreamDependency,
}
