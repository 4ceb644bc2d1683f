"""Every trial there is: each flaw under its faults, and every stage on servers that are sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from harness.flaws import MANNERS, Flaw
from harness.selftest import (
    calls,
    dependency,
    health,
    identity,
    lifecycle,
    offers,
    sessions,
    storms,
)
from harness.selftest.cases import Case, Era, Trial
from harness.selftest.stage import eras_of, stages

CASES: Final[tuple[Case, ...]] = (
    *dependency.CASES,
    *identity.CASES,
    *sessions.CASES,
    *storms.CASES,
    *calls.CASES,
    *lifecycle.CASES,
    *offers.CASES,
    *health.CASES,
)
# Flaws that nothing exposes yet: the lever each waits for.
WAITING: Final[dict[Flaw, str]] = {Flaw.RAM_STATE: "a balancer over two replicas"}


def flawed(cases: Iterable[Case], *, eras: Iterable[Era], seeds: Iterable[int]) -> Iterator[Trial]:
    """Give a trial for each case, in the eras in which it can be found."""
    wanted = tuple(eras)
    for seed in seeds:
        for case in cases:
            for era in wanted:
                if era in case.eras:
                    yield Trial(
                        server=case.flaw,
                        stage=case.stage,
                        era=era,
                        seed=seed,
                        faults=case.faults,
                        verdict=case.verdict,
                        also=case.also,
                    )


def sound(
    names: Iterable[str],
    *,
    eras: Iterable[Era],
    seeds: Iterable[int],
    manners: Iterable[str] = ("", *MANNERS),
) -> Iterator[Trial]:
    """Give the trials in which nothing may be found: all faults of a stage, on sound servers.

    The hardened server meets every stage in every era; the others in one era a seed, in turns.
    """
    wanted, kinds = tuple(eras), tuple(manners)
    for seed in seeds:
        for place, name in enumerate(names):
            spoken = [era for era in wanted if era in eras_of(name)]
            for turn, manner in enumerate(kinds):
                met = [spoken[(seed + place + turn) % len(spoken)]] if manner and spoken else spoken
                for era in met:
                    yield Trial(server="hardened", stage=name, era=era, seed=seed, manner=manner)


def of(
    *,
    flaws: Iterable[str] = (),
    names: Iterable[str] = (),
    eras: Iterable[Era],
    seeds: Iterable[int],
) -> tuple[Trial, ...]:
    """Give the trials of these flaws on these stages, and of all where none is named.

    Sound servers are played where no flaw is named.
    """
    picked, on, spoken, numbers = set(flaws), set(names), tuple(eras), tuple(seeds)
    cases = [c for c in CASES if (not picked or c.flaw in picked) and (not on or c.stage in on)]
    played = [name for name in stages() if not picked and (not on or name in on)]
    return (
        *sound(played, eras=spoken, seeds=numbers),
        *flawed(cases, eras=spoken, seeds=numbers),
    )
