"""What a worker process is told on its standard input: everything it needs, secrets included.

It goes through a pipe and nowhere else, so no secret is in an argument, a file or a variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from harness.plan import Plan
from harness.session.access import Access, Doors


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One worker's part in a run."""

    folder: str
    text: str  # the scenario file's text
    file: str
    overrides: dict[str, Any]
    worker: int  # 1, 2, ...
    workers: int
    master_port: int
    doors: Doors
    access: Access
    tools: tuple[dict[str, Any], ...]

    def numbers(self, plan: Plan) -> tuple[int, ...]:
        """Give the sessions that this worker hosts: its even share of either arm.

        No worker may host one arm alone, or its own manners would pass for the arm's.
        """
        by_arm = sorted(plan.sessions, key=lambda planned: (planned.arm, planned.session))
        mine = by_arm[self.worker - 1 :: self.workers]
        return tuple(sorted(planned.session for planned in mine))


_ADAPTER: TypeAdapter[Assignment] = TypeAdapter(Assignment)


def dump(assignment: Assignment) -> bytes:
    """Write an assignment as one line."""
    return _ADAPTER.dump_json(assignment) + b"\n"


def restore(line: bytes) -> Assignment:
    """Read what `dump` wrote."""
    return _ADAPTER.validate_json(line)
