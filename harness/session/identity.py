"""One session's identity over its life: tokens taken, renewed by policy, and what each is worth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple

from harness.clock import NS_PER_S, Clock
from harness.errors import SquallError
from harness.journal import JournalWriter, TokenEntry
from harness.outcome import Auth, Outcome
from harness.plan import Plan, PlannedSession
from harness.redaction import redact
from harness.session.conduct import Conduct
from harness.session.credential import Credential
from harness.session.policy import FORBIDDEN
from harness.session.turn import Turn
from harness.wire.reading import CREDENTIAL_STATUSES
from harness.wire.reply import Reply

DEFAULT_LEEWAY_S: Final = 1.0  # clock skew granted before a token counts as expired
SHOWN_MAX: Final = 4  # a late reply may quote a token that others have replaced meanwhile


class Standing(NamedTuple):
    """What the credential is worth at a moment, and the behaviour and window behind it."""

    auth: Auth
    behaviour: str = ""
    window: int = 0


OPEN_TARGET: Final = Standing(Auth.NONE_NEEDED)
GOOD: Final = Standing(Auth.VALID)


@dataclass(eq=False, slots=True)
class Identity:
    """A session's credential, its renewals, and its treatment by the identity faults."""

    credential: Credential | None
    planned: PlannedSession
    plan: Plan
    conduct: Conduct
    clock: Clock
    writer: JournalWriter
    present: Callable[[str], None]  # puts a token on every further request
    needed: bool = field(init=False)  # the target asks for a token
    _treated: bool = field(init=False)
    _reauthorized: int = field(init=False, default=0)
    _widened: int = field(init=False, default=-1)  # the token that a wider one is replacing
    _renewing: Turn = field(init=False, default_factory=Turn)
    _shown: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Begin without a token."""
        self._treated = self.planned.arm == "treated"
        self.needed = self.credential is not None

    @property
    def serial(self) -> int:
        """How many tokens there have been; tells the caller's token from a newer one."""
        return self.credential.serial if self.credential else 0

    def renews_on_refusal(self) -> bool:
        """Whether the policy answers a 401 with a renewal."""
        return self.credential is not None and self.credential.renews_on_refusal()

    async def have(self) -> bool:
        """Have a token, where the target wants one."""
        credential = self.credential
        if credential is None:
            return True
        if credential.token:
            self._reauthorized = self.conduct.reauthorize_serial
            self._show(credential.token)
            return True
        return await self._take(credential.obtain, "minted")

    async def renew(self, serial: int) -> bool:
        """Replace token number `serial`; another call of this session may have done so already."""
        credential = self.credential
        if credential is None or not credential.renewable:
            return False
        async with self._renewing:
            if credential.serial != serial:
                return True
            return await self._take(credential.renew, "renewed")

    async def race(self, count: int) -> None:
        """Renew the token `count` times at once, as agents do that share it and do not know."""
        credential = self.credential
        if credential is not None and credential.renewable:
            async with self._renewing:
                await self._take(partial(credential.race, count), "renewed")

    async def mend(self, reply: Reply, serial: int) -> bool:
        """Answer a refusal of token number `serial`; False when that is none, or nothing helps."""
        credential = self.credential
        if credential is None or reply.status not in CREDENTIAL_STATUSES:
            return False
        if reply.status == FORBIDDEN and not self.can_widen(reply, serial):
            return False
        if credential.serial == serial:
            if reply.status != FORBIDDEN:
                credential.note_refusal(reply.challenge)
            elif credential.lacks(reply.challenge):
                credential.widen(reply.challenge)
                self._widened = serial
        return await self.renew(serial)

    def can_widen(self, reply: Reply, serial: int) -> bool:
        """Whether a 403 can be answered: by scopes not yet asked for, or by a token on its way."""
        credential = self.credential
        if credential is None or reply.status != FORBIDDEN:
            return False
        on_its_way = credential.serial != serial or self._widened == serial
        return on_its_way or credential.lacks(reply.challenge)

    def wants_renewal(self) -> bool:
        """Whether the refresh policy, or a fault, asks for a new token before the next call."""
        credential = self.credential
        if credential is None or not credential.renewable:
            return False
        if self._treated and self._reauthorized != self.conduct.reauthorize_serial:
            return True
        return credential.due(self.clock.now_ns()) and not (self._treated and self._sloppy())

    def _sloppy(self) -> bool:
        """Whether this session is one of those that use their token until it is refused."""
        overdue = self.conduct.get("overdue_token")
        if overdue is None:
            return False
        return self.plan.draw(overdue.kind, self.planned.session, 0) < overdue.share

    async def _take(
        self, obtain: Callable[[], Awaitable[None]], edge: Literal["minted", "renewed"]
    ) -> bool:
        credential = self.credential
        assert credential is not None
        session = self.planned.session
        self._reauthorized = self.conduct.reauthorize_serial
        try:
            await obtain()
        except SquallError as error:
            self.writer.append(
                TokenEntry(
                    at_ns=self.clock.now_ns(), session=session, edge="failed", why=str(error)[:200]
                )
            )
            return False
        self._show(credential.token)
        self.writer.append(
            TokenEntry(
                at_ns=self.clock.now_ns(),
                session=session,
                edge=edge,
                expires_ns=credential.expires_ns,
                serial=credential.serial,
            )
        )
        return True

    def _show(self, token: str) -> None:
        self._shown = (*self._shown, token)[-SHOWN_MAX:]
        self.present(token)

    def hush(self, reply: Reply) -> None:
        """Take this session's tokens out of a server's words, those just replaced as well."""
        if not self._shown:
            return
        reply.detail = redact(reply.detail, self._shown)
        reply.challenge = redact(reply.challenge, self._shown)
        if reply.error is not None:
            reply.error = {
                name: redact(value, self._shown) if isinstance(value, str) else value
                for name, value in reply.error.items()
            }

    def standing(self, *, leeway: bool = True, at_ns: int | None = None) -> Standing:
        """Judge the credential at this moment, or at `at_ns`.

        With `leeway`, it counts as invalid only once nobody may trust it any longer.
        """
        credential = self.credential
        if credential is None:
            return OPEN_TARGET
        if not self.conduct.active and credential.expires_ns < 0:
            return GOOD
        now_ns = self.clock.now_ns() if at_ns is None else at_ns
        overdue = self.conduct.get("overdue_token") if self._treated else None
        leeway_s = (overdue.after_s if overdue else DEFAULT_LEEWAY_S) if leeway else 0.0
        if 0 <= credential.expires_ns < now_ns - leeway_s * NS_PER_S:
            if overdue is None:
                return Standing(Auth.EXPIRED)
            return Standing(Auth.EXPIRED, "overdue_token", overdue.window)
        revoked = self.conduct.get("revoked_token") if self._treated else None
        if revoked is not None and credential.minted_ns < self.conduct.since_ns("revoked_token"):
            grace_s = revoked.after_s if leeway else 0.0
            if now_ns > self.conduct.since_ns("revoked_token") + grace_s * NS_PER_S:
                return Standing(Auth.REVOKED, "revoked_token", revoked.window)
        return GOOD

    def standing_after(self, reply: Reply, before: Standing) -> Standing:
        """Judge the credential again in the light of a reply that was not what was asked for.

        Within the leeway a server may accept a token that has just run out and may refuse it, and
        a refusal then is one of an invalid token. A 401 or 403 says itself that it is one, even if
        the token ran out on the way. Any other failure is one only where the token had run out
        before it was sent: else a server whose tool failed for being slow would be accused.
        """
        if before.auth is not Auth.VALID or reply.outcome is Outcome.OK or not reply.status:
            return before
        refused = reply.status in CREDENTIAL_STATUSES
        strict = self.standing(leeway=False, at_ns=None if refused else reply.sent_ns)
        return before if strict.auth is Auth.VALID else strict
