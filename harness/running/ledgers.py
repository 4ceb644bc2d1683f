"""Brings what the dependencies saw into the journal, once nothing is under way any longer."""

from __future__ import annotations

from typing import Final

from harness.clock import RunClock
from harness.errors import RigError
from harness.journal import EffectEntry, JournalWriter, NoteEntry, append_all
from harness.rig import ledger
from harness.rig.ledger import Execution
from harness.running import dependencies
from harness.running.assembly import Rig

KEY_MAX: Final = 128  # an inflated argument may have been the key; its nonce stands at the front


async def copy(rig: Rig, clock: RunClock, writer: JournalWriter) -> None:
    """Write down every effect and every request at a dependency, on the run's clock."""
    try:
        executions = await _executions(rig)
    except RigError as error:
        writer.append(NoteEntry(at_ns=clock.now_ns(), text=f"the ledger cannot be read: {error}"))
        executions = ()
    append_all(
        writer,
        [
            EffectEntry(
                at_ns=execution.at_ns - clock.origin_ns,
                key=execution.key[:KEY_MAX],
                tool=execution.tool,
                subject=execution.subject,
            )
            for execution in executions
        ],
    )
    for name, file in rig.dependency_ledgers.items():
        try:
            append_all(writer, dependencies.seen(file, name, origin_ns=clock.origin_ns))
        except RigError as error:
            text = f"what {name} was asked cannot be read: {error}"
            writer.append(NoteEntry(at_ns=clock.now_ns(), text=text))


async def _executions(rig: Rig) -> tuple[Execution, ...]:
    """What the bundled server did, as its store holds it; nothing where there is another server.

    Raises:
        RigError: the store cannot be read.
    """
    if rig.notes_url:
        # Here, so that the driver is needed only where there is a database.
        from harness.reference.postgres import executions  # noqa: PLC0415

        return await executions(rig.notes_url)
    return () if rig.ledger is None else ledger.read(rig.ledger)
