from __future__ import annotations

from dataclasses import replace

from faults.agent import ClientVanish
from harness.journal import Journal, SessionEntry
from tests.checks import cases


def test_sessions_that_never_got_in_do_not_say_which_era_was_spoken() -> None:
    """They still ask for either: a run of one era stays one, and its checks are made."""

    def refused(made: Journal) -> Journal:
        asking = SessionEntry(at_ns=2 * 10**9, session=3, edge="closed", era="auto")
        return replace(made, entries=(*made.entries, asking))

    assert cases.run(ClientVanish(), ledger=refused, era="legacy").era == "legacy"
