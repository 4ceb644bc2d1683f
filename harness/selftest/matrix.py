"""The matrix of flaws, faults and verdicts as a page: what `harness/selftest/README.md` holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.flaws import MANNERS, Flaw
from harness.selftest import suite
from harness.selftest.cases import ERAS, Case

HEAD: Final = """\
# What squall finds, and how that is proven

Written by `squall selftest --matrix`; a test holds this page to the code.
Each flaw is one switch of the bundled server. `squall selftest` plays every row here: the flaw must be found under its faults by its verdict, with evidence and nothing unrelated beside it. The sound servers below must come out clean under every fault of every stage: the hardened one in both eras with each seed, the others in one era a seed, in turns.
A stage is an ordinary scenario in `stages/`; a row keeps only the faults that it names. *Nothing* means that the flaw shows with nothing broken.
"""  # noqa: E501  a line of the page is a paragraph


def page() -> str:
    """Give the whole page, in Markdown."""
    return "\n".join([HEAD, *_rows(), *_waiting(), *_sound()]) + "\n"


def _rows() -> Iterator[str]:
    yield "| flaw | what the server does wrong | fault | verdict | era |"
    yield "|---|---|---|---|---|"
    order = {flaw: number for number, flaw in enumerate(Flaw)}
    for case in sorted(suite.CASES, key=lambda case: order[case.flaw]):
        faults = ", ".join(f"`{kind}`" for kind in case.faults) or "nothing"
        eras = "both" if set(case.eras) == set(ERAS) else case.eras[0]
        cells = (f"`{case.flaw}`", case.flaw.meaning, faults, _verdicts(case), eras)
        yield f"| {' | '.join(cells)} |"


def _verdicts(case: Case) -> str:
    return ", ".join(f"`{verdict}`" for verdict in (case.verdict, *case.also))


def _waiting() -> Iterator[str]:
    if suite.WAITING:
        yield "\n## Not exposed yet\n"
        yield "| flaw | what the server does wrong | waits for |"
        yield "|---|---|---|"
        for flaw, lever in suite.WAITING.items():
            yield f"| `{flaw}` | {flaw.meaning} | {lever} |"


def _sound() -> Iterator[str]:
    yield "\n## Sound servers\n"
    yield "| server | what it is |"
    yield "|---|---|"
    yield "| `hardened` | every flaw off |"
    for manner, meaning in MANNERS.items():
        yield f"| `{manner}` | {meaning} |"
