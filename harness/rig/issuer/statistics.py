"""What the issuer has done so far, in counts; no token and no secret ever appears in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was asked and answered for one client, or for all clients of one group."""

    minted: int = 0  # access tokens issued by any grant, refreshes included
    refreshed: int = 0  # of those, the ones that a refresh token bought
    refused: int = 0  # token requests that were answered with an error
    revoked: int = 0  # access tokens that were still good when they were revoked
    reused: int = 0  # spent refresh tokens presented again; each revoked its family
    live: int = 0  # access tokens that are neither expired nor revoked now


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The issuer's counters: per group, per client, and refusals that name no known client."""

    groups: Mapping[str, Counts] = field(default_factory=dict)
    clients: Mapping[str, Counts] = field(default_factory=dict)
    refused_unknown: int = 0
    key_reads: int = 0  # how often the key set was fetched
    status_reads: int = 0  # how often the list of revoked tokens was fetched
    struck: Mapping[str, int] = field(default_factory=dict)  # by mishap: requests that it has hit
