"""Flaws that a storm of tokens, payloads, lost replies and slow calls brings to light."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

CASES: Final = (
    Case(
        flaw=Flaw.EMPTY_ON_ERROR,
        stage="payloads",
        faults=("payload-request",),
        verdict="silent-empty",
    ),
    Case(
        flaw=Flaw.UNBOUNDED_REQUEST,
        stage="payloads",
        faults=("payload-request",),
        verdict="unbounded-size",
    ),
    Case(
        flaw=Flaw.AUTH_AT_INIT_ONLY,
        stage="expiry",
        faults=("token-expire",),
        verdict="authn-bypass",
    ),
    Case(
        flaw=Flaw.EXPIRED_IS_403,
        stage="expiry",
        faults=("token-expire",),
        verdict="wrong-status",
    ),
    Case(
        flaw=Flaw.SESSION_BOUND_TO_TOKEN,
        stage="expiry",
        faults=("token-expire",),
        verdict="no-recovery",
    ),
    Case(flaw=Flaw.NO_DEDUP, stage="repeats", faults=("response-lost",), verdict="double-exec"),
    Case(flaw=Flaw.SYNC_BLOCKS_LOOP, stage="neighbours", faults=(), verdict="hol-block"),
)
