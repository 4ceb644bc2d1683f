"""What the issuer remembers: clients, access tokens that still live, refresh families, codes."""

from __future__ import annotations

import hashlib
import heapq
import hmac
import math
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.rig.issuer.statistics import Counts, Statistics

CLIENTS_MAX = 20_000
FAMILIES_MAX = 200_000
CODES_MAX = 10_000
LIVE_MAX = 1_000_000
SPENT_MAX = 64  # refresh tokens of one family that are recognised as spent
CODE_TTL_S = 60.0


class FullError(Exception):
    """A bound of the registry is reached; the issuer answers with 503 instead of growing."""


@dataclass(kw_only=True)
class Client:
    """A confidential client; its secret is kept as a digest only."""

    client_id: str
    group: str
    scopes: frozenset[str]
    digest: bytes
    odd: bool = False  # may ask for tokens that are wrong on purpose
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(kw_only=True)
class Family:
    """All refresh tokens that descend from one grant; one is current, the others are spent."""

    family_id: str
    client_id: str
    subject: str
    scopes: tuple[str, ...]
    resource: str
    current: bytes = b""
    spent: deque[bytes] = field(default_factory=lambda: deque(maxlen=SPENT_MAX))
    access: deque[str] = field(default_factory=lambda: deque(maxlen=SPENT_MAX))
    revoked: bool = False
    rotated_s: float = -math.inf  # when its current token took another's place


@dataclass(frozen=True, kw_only=True)
class Access:
    """An access token that was issued; the token itself is not kept."""

    jti: str
    index: int  # its bit in the status list
    client_id: str
    expires_s: int  # wall clock, seconds of the epoch


@dataclass(frozen=True, kw_only=True)
class Code:
    """An authorization code that waits to be exchanged once."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    resource: str
    challenge: str
    method: str
    expires_s: float


def digest(secret: str) -> bytes:
    """What is kept of a secret: enough to recognise it, not enough to use it."""
    return hashlib.sha256(secret.encode()).digest()


class Registry:
    """The issuer's memory, bounded in every direction."""

    def __init__(self) -> None:
        """Start empty."""
        self.clients: dict[str, Client] = {}
        self.ttl_s: dict[str, float] = {}
        self._families: OrderedDict[str, Family] = OrderedDict()
        self._codes: OrderedDict[str, Code] = OrderedDict()
        self._live: dict[str, Access] = {}
        self._expiries: list[tuple[int, str]] = []
        self._issued = 0
        self.revoked_bits = bytearray()
        self.refused_unknown = 0
        self.reads: Counter[str] = Counter()

    # clients

    def add_client(
        self,
        *,
        client_id: str,
        group: str,
        scopes: str,
        ttl_s: float,
        secret: str | None = None,
        odd: bool = False,
    ) -> str:
        """Register a client, or give a known one a new secret; returns the secret, once.

        `secret` is one that was agreed upon elsewhere; without it one is made here.
        """
        if client_id not in self.clients and len(self.clients) >= CLIENTS_MAX:
            raise FullError(f"more than {CLIENTS_MAX} clients")
        secret = secret or secrets.token_urlsafe(32)
        known = self.clients.get(client_id)
        self.clients[client_id] = Client(
            client_id=client_id,
            group=group,
            scopes=frozenset(scopes.split()),
            digest=digest(secret),
            odd=odd,
            counts=known.counts if known is not None else Counter(),
        )
        self.ttl_s[group] = ttl_s
        return secret

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client that owns this secret, or None."""
        client = self.clients.get(client_id)
        if client is None or not hmac.compare_digest(client.digest, digest(secret)):
            return None
        return client

    # access tokens

    def issue(self, client: Client, *, expires_s: int | None = None) -> Access:
        """Account for a new access token of `client`; it lives for its group's TTL or a bit longer.

        The expiry is a whole second, rounded up, because many verifiers drop the fraction: then
        every one of them agrees with the issuer about when the token dies.
        """
        now_s = time.time()
        self.forget_expired(now_s)
        if len(self._live) >= LIVE_MAX:
            raise FullError(f"more than {LIVE_MAX} live tokens")
        access = Access(
            jti=secrets.token_hex(12),
            index=self._issued,
            client_id=client.client_id,
            expires_s=expires_s or math.ceil(now_s + self.ttl_s[client.group]),
        )
        self._issued += 1
        self._live[access.jti] = access
        heapq.heappush(self._expiries, (access.expires_s, access.jti))
        client.counts["minted"] += 1
        return access

    def live(self, jti: str) -> Access | None:
        """The access token with this id while it is neither expired nor revoked."""
        access = self._live.get(jti)
        return access if access is not None and time.time() < access.expires_s else None

    def revoke_access(self, jti: str) -> bool:
        """Revoke one access token; True when it was still good."""
        access = self._live.pop(jti, None)
        if access is None or time.time() >= access.expires_s:
            return False
        byte, bit = divmod(access.index, 8)
        if len(self.revoked_bits) <= byte:
            self.revoked_bits.extend(bytes(byte + 1 - len(self.revoked_bits)))
        self.revoked_bits[byte] |= 1 << bit
        self.clients[access.client_id].counts["revoked"] += 1
        return True

    def forget_expired(self, now_s: float) -> None:
        """Drop what no verifier accepts any more."""
        while self._expiries and self._expiries[0][0] <= now_s:
            self._live.pop(heapq.heappop(self._expiries)[1], None)

    def revoke_group(self, group: str) -> int:
        """Revoke every access token and refresh family of a group; how many live tokens died."""
        members = {c.client_id for c in self.clients.values() if c.group == group}
        for family in self._families.values():
            if family.client_id in members:
                family.revoked = True
        doomed = [a.jti for a in self._live.values() if a.client_id in members]
        return sum(self.revoke_access(jti) for jti in doomed)

    # refresh families

    def open_family(
        self, client: Client, *, subject: str, scopes: tuple[str, ...], resource: str
    ) -> Family:
        """Begin a chain of refresh tokens; the oldest chain gives way when there are too many."""
        family = Family(
            family_id=secrets.token_hex(8),
            client_id=client.client_id,
            subject=subject,
            scopes=scopes,
            resource=resource,
        )
        self._families[family.family_id] = family
        if len(self._families) > FAMILIES_MAX:
            self._families.popitem(last=False)
        return family

    def rotate(self, family: Family) -> str:
        """The family's next refresh token; the one before is spent from now on."""
        token = f"{family.family_id}.{secrets.token_urlsafe(32)}"
        if family.current:
            family.spent.append(family.current)
            family.rotated_s = time.monotonic()
        family.current = digest(token)
        return token

    def family_of(self, refresh_token: str) -> tuple[Family, bool] | None:
        """The family that this token belongs to, and whether it is the current one.

        None when the token was never issued: a guess must not be able to revoke a family.
        """
        family = self._families.get(refresh_token.partition(".")[0])
        if family is None:
            return None
        mark = digest(refresh_token)
        if hmac.compare_digest(mark, family.current):
            return family, True
        return (family, False) if mark in family.spent else None

    def is_forgiven(self, family: Family, refresh_token: str, leeway_s: float) -> bool:
        """Whether a spent token is the one before the current, and that not for long."""
        mark = digest(refresh_token)
        last = bool(family.spent) and hmac.compare_digest(mark, family.spent[-1])
        return last and time.monotonic() - family.rotated_s < leeway_s

    def revoke_family(self, family: Family) -> None:
        """End a chain of refresh tokens together with the access tokens it has bought."""
        family.revoked = True
        for jti in family.access:
            self.revoke_access(jti)

    # authorization codes

    def keep_code(self, value: str, code: Code) -> None:
        """Remember a code until it is taken or a minute has passed."""
        self._codes[value] = code
        while len(self._codes) > CODES_MAX:
            self._codes.popitem(last=False)

    def code(self, value: str) -> Code | None:
        """The code with this value while it is fresh."""
        code = self._codes.get(value)
        return code if code is not None and time.monotonic() < code.expires_s else None

    def drop_code(self, value: str) -> None:
        """A code buys one token."""
        self._codes.pop(value, None)

    # counters

    def statistics(self, struck: Mapping[str, int]) -> Statistics:
        """Every counter as it stands now; `struck` is what mishaps have hit."""
        self.forget_expired(time.time())
        live = Counter(access.client_id for access in self._live.values())
        groups: dict[str, Counter[str]] = {group: Counter() for group in self.ttl_s}
        clients = {}
        for client in self.clients.values():
            counts = client.counts + Counter(live=live[client.client_id])
            clients[client.client_id] = Counts(**counts)
            groups[client.group] += counts
        return Statistics(
            groups={group: Counts(**counts) for group, counts in groups.items()},
            clients=clients,
            refused_unknown=self.refused_unknown,
            key_reads=self.reads["keys"],
            status_reads=self.reads["status"],
            struck=dict(struck),
        )
