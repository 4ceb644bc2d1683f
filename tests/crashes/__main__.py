"""Kills many runs at random moments and prints what became of each: `make crash`."""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.crashes import trial
from tests.crashes.trial import Plan, Result, Server, Victim

KILLS: Final = 100
AIMED_EVERY: Final = 3
WORKERS_EVERY: Final = 5
AIM_S: Final = 0.02  # about as long as the thing that is aimed at takes


def plans(seed: int, count: int) -> Iterator[Plan]:
    """What to kill, and when: at chance moments spread evenly over the life of a run.

    Every third moment is aimed: it falls while a proxy or a toxic is being made, or a proxy is
    being switched off, which is when a request may be on its way.
    """
    chance = random.Random(seed)
    servers: tuple[Server, ...] = ("ours", "embedded")
    if trial.ORIGINAL is not None:
        servers = ("original", "ours", "original", "embedded", "original", "path", "ours")
    victims: tuple[Victim, ...] = ("squall", "squall", "group")
    aims = itertools.cycle(("delete_proxy", "remove_toxic", "enable_proxy"))
    moments = [(number + chance.random()) * trial.LIFE_S / count for number in range(count)]
    chance.shuffle(moments)
    for number, moment in enumerate(moments):
        aimed = number % AIMED_EVERY == 1
        yield Plan(
            server=servers[number % len(servers)],
            workers=2 if number % WORKERS_EVERY == 1 else 0,
            victim=victims[number % len(victims)],
            after_s=chance.uniform(0, AIM_S) if aimed else moment,
            intent=next(aims) if aimed else "",
        )


def told(number: int, plan: Plan, result: Result) -> str:
    """One line for one trial."""
    state = "already over" if result.had_ended else f"{result.proxies} proxies, {result.toxics} on"
    left = f"  LEFT: {'; '.join(result.left)}" if result.left else ""
    return (
        f"{number:4}  {plan.server:8}  {plan.victim:6}  {plan.workers} workers  "
        f"{plan.intent or 'start':12} +{plan.after_s:6.3f} s  {result.reached:10}  {state:18}  "
        f"clean after {result.clean_s:5.2f} s{left}"
    )


def say(line: str) -> None:
    """Write a line at once: somebody may be waiting for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Make the trials; 1 when one of them left anything, or took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if trial.ORIGINAL is None:
        say("!!! without Shopify's server: set SQUALL_TOXIPROXY_SERVER to its binary")
    results: list[Result] = []
    for number, plan in enumerate(plans(given.seed, given.kills), start=1):
        folder = Path(tempfile.mkdtemp(prefix="squall-crash-"))
        result = trial.run(folder, plan)
        results.append(result)
        say(told(number, plan, result))
        if not result.left:
            shutil.rmtree(folder)
    slow = [one for one in results if one.clean_s > trial.CLEAN_S]
    left = [one for one in results if one.left]
    took_s = [one.clean_s for one in results if not one.had_ended]
    say(
        f"{len(took_s)} of {len(results)} runs were killed while they lived, "
        f"{sum(one.toxics > 0 for one in results)} of them with toxics on a server that stays; "
        f"clean after {statistics.median(took_s):.2f} s (median), {max(took_s):.2f} s (longest); "
        f"{len(left)} left something behind, {len(slow)} took more than {trial.CLEAN_S:g} s"
    )
    return 1 if left or slow else 0


if __name__ == "__main__":
    sys.exit(main())
