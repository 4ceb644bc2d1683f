"""A scenario's `dependencies`: what the target depends on, each behind a proxy of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, StrictInt, WithJsonSchema

from faults.quantities import Duration, refuse
from harness.scenario.record import Record

# What the bundled server offers only beside a dependency.
DEPENDENT_TOOLS: Final = ("read_notes",)
NAME: Final = r"[a-z][a-z0-9_-]*"
_ADDRESS: Final = r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@]+):[0-9]{1,5}"
_WORD: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE: Final = "the target's environment variable that says where the dependency is"


def _address(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(_ADDRESS, value):
        raise refuse("a host and a port", "write for example 127.0.0.1:5432")
    return value


def _variable(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(_WORD, value):
        raise refuse("the name of an environment variable", "write for example DATABASE_URL")
    return value


Address = Annotated[str, BeforeValidator(_address), WithJsonSchema({"type": "string"})]
Variable = Annotated[str, BeforeValidator(_variable), WithJsonSchema({"type": "string"})]


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
    variable: Variable = Field("", description=f"{_VARIABLE}, as http://ID:SECRET@HOST:PORT")


class UpstreamDependency(Record):
    """A dependency that runs already; what its proxy can do to a connection can strike it."""

    upstream: Address = Field(
        description="where it listens, as host:port", examples=["127.0.0.1:5432"]
    )
    variable: Variable = Field(
        description=f"{_VARIABLE}; in its value host and port become the proxy's",
        examples=["DATABASE_URL"],
    )


class Database(Record):
    """A database of the run's own, empty, on a folder and a port that nobody else has."""

    connections: StrictInt = Field(
        100, ge=10, le=10_000, description="how many it takes at the same time"
    )


class PostgresDependency(Record):
    """A PostgreSQL that squall starts; it has to be installed."""

    postgres: Database = Database()
    variable: Variable = Field(
        "",
        description=f"{_VARIABLE}, as postgresql://USER:PASSWORD@HOST:PORT/NAME",
        examples=["DATABASE_URL"],
    )


class RedisDependency(Record):
    """A Redis that squall starts; it has to be installed."""

    redis: Database = Database()
    variable: Variable = Field(
        "",
        description=f"{_VARIABLE}, as redis://:PASSWORD@HOST:PORT/0",
        examples=["REDIS_URL"],
    )


Dependency = EmbeddedDependency | UpstreamDependency | PostgresDependency | RedisDependency
# By the key that tells which it is.
KINDS: Final[Mapping[str, type[Dependency]]] = {
    "embedded": EmbeddedDependency,
    "upstream": UpstreamDependency,
    "postgres": PostgresDependency,
    "redis": RedisDependency,
}
