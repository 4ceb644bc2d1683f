"""How the servers of a target that is spoken to over pipes are started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.rig import server
from harness.rig.servers import promised
from harness.scenario.records import ReferenceTarget, StdioTarget, Target
from harness.scenario.transports import is_shared
from harness.session.access import Command


async def command_of(
    target: Target, *, run_id: str, folder: Path, ledger: Path | None, told: Mapping[str, str]
) -> Command:
    """The command of a run's servers, once it is written down that they must all be ended.

    `told` is what they find in their environment beside our own.

    Raises:
        RigError: there is no such program, or the promise cannot be written down.
    """
    environment = dict(told)
    ready_s = server.READY_S
    if isinstance(target, ReferenceTarget):
        assert ledger is not None
        argv = server.piped_reference(ledger=ledger, flaws=target.flaws, manner=target.manner)
    else:
        assert isinstance(target, StdioTarget)
        argv, ready_s = target.stdio, target.ready_s
        environment = target.environment | environment
    server.check_program(argv, {**os.environ, **environment})
    await promised(run_id, folder)
    return Command(
        argv=argv,
        environment=environment,
        shared=is_shared(target),
        run_id=run_id,
        folder=str(folder),
        ready_s=ready_s,
    )
