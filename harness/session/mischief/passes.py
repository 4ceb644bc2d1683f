"""What outsiders stand on, and whose tokens they may show: the control arm's is somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import jwt

from harness.session.access import Doors
from harness.session.credential import Credential
from harness.session.mischief.outsider import AGENT, Ground, Pass
from harness.session.stage import Stage
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook

_WHO: Final = ("iss", "sub", "client_id")


class Passes:
    """The tokens of both arms, each got when it is first asked for and renewed when it is due."""

    def __init__(
        self,
        creditor: Callable[[str], Credential | None],
        now_ns: Callable[[], int],
        *,
        clients: Mapping[str, str],
    ) -> None:
        """`creditor` makes a credential, given the arm; `clients` are the arms' client ids."""
        self._creditor = creditor
        self._now_ns = now_ns
        self._clients = clients
        self._held: dict[str, Credential | None] = {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown anywhere."""
        return tuple(held.token for held in self._held.values() if held is not None and held.token)

    async def own(self) -> Pass:
        """Give the treated arm's.

        Raises:
            TargetError: the issuer refuses or cannot be reached.
        """
        return await self._of("treated")

    async def other(self) -> Pass:
        """Give the control arm's, whose holder may be the same.

        Raises:
            TargetError: the issuer refuses or cannot be reached.
        """
        return await self._of("control")

    async def _of(self, arm: str) -> Pass:
        if arm not in self._held:
            self._held[arm] = self._creditor(arm)
        credential = self._held[arm]
        if credential is None:
            return Pass()
        await credential.obtain()
        if credential.due(self._now_ns()):
            await credential.renew()
        return Pass(token=credential.token, holder=self._holder(arm, credential.token))

    def _holder(self, arm: str, token: str) -> str:
        """Whose a token is; one that cannot be read is its client's."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return self._clients.get(arm, "")
        return "|".join(str(claims.get(name, "")) for name in _WHO)


def outsiders(stage: Stage, doors: Doors, schemas: SchemaBook, passes: Passes) -> Ground:
    """Give what outsiders stand on: the treated arm's door, and both arms' passes."""
    endpoint = Endpoint.from_url(doors.url, via=doors.treated, trust=doors.trust)
    scenario = stage.scenario

    def connect() -> WireClient:
        return WireClient(
            endpoint,
            era=scenario.spoken_era,
            revision=scenario.revision or "",
            now_ns=stage.clock.now_ns,
            schemas=schemas,
            resume=False,
            agent=AGENT,
        )

    return Ground(
        plan=stage.plan,
        clock=stage.clock,
        writer=stage.writer,
        endpoint=endpoint,
        connect=connect,
        own=passes.own,
        other=passes.other,
        steps=stage.steps,
    )
