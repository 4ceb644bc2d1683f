"""The issuer's signing keys and everything it signs with them."""

from __future__ import annotations

import base64
import json
import secrets
import time
import zlib
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ALGORITHM = "ES256"
ACCESS_TYPE = "at+jwt"  # RFC 9068
STATUS_TYPE = "statuslist+jwt"
RETIRED_MAX: Final = 64  # keys that are no longer published, and whose tokens are still read
# The group that faults strike has a key of its own from the start, so that a rotation leaves the
# others' alone. From the start, because a target may read the key set before anybody registers.
STRUCK: Final = "treated"


class Key:
    """One ES256 key pair with its identifier, made anew by every issuer process."""

    def __init__(self) -> None:
        """Make a key; it lives in memory only."""
        self.kid = secrets.token_hex(8)
        self._private = ec.generate_private_key(ec.SECP256R1())

    def sign(self, claims: dict[str, Any], *, kind: str) -> str:
        """A compact JWT over `claims` whose header names `kind` and this key."""
        return jwt.encode(
            claims, self._private, algorithm=ALGORITHM, headers={"kid": self.kid, "typ": kind}
        )

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this key signed, expired or not; None for anything else."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._private.public_key(),
                algorithms=[ALGORITHM],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        return claims

    def jwk(self) -> dict[str, Any]:
        """The public half as one member of a JSON Web Key Set."""
        public: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self._private.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}


class Keys:
    """Every key there is: which one signs for whom, and which ones are published now."""

    def __init__(self) -> None:
        """Make the keys that a target finds when it first looks."""
        self.main = Key()  # signs for everybody else, and the list of revoked tokens
        self._struck = Key()
        self._retired: list[tuple[float, Key]] = []  # with when each leaves the key set

    def of(self, group: str) -> Key:
        """The key that signs this group's tokens from now on."""
        return self._struck if group == STRUCK else self.main

    def rotate(self, *, keep_s: float) -> None:
        """Sign the struck group's tokens with a new key; the old one stays published for a while.

        The main key is never rotated: its group is what the struck one is compared with.
        """
        self._retired.append((time.monotonic() + keep_s, self._struck))
        del self._retired[:-RETIRED_MAX]
        self._struck = Key()

    def withdraw(self) -> None:
        """Publish none of the old keys any longer."""
        self._retired = [(0.0, key) for _, key in self._retired]

    def withdrawn(self) -> Key | None:
        """The last key that was published once and is no longer; None before there is one."""
        now_s = time.monotonic()
        gone = [key for until_s, key in self._retired if until_s <= now_s]
        return gone[-1] if gone else None

    def published(self) -> list[dict[str, Any]]:
        """The JSON Web Key Set's members as they are now."""
        return [key.jwk() for key in (self.main, self._struck, *self.old())]

    def old(self) -> list[Key]:
        """Those that sign nothing any more, and are published yet."""
        now_s = time.monotonic()
        return [key for until_s, key in self._retired if now_s < until_s]

    def read(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that any of these keys signed, expired or not; else None."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            return None
        known = (self.main, self._struck, *(key for _, key in self._retired))
        return next((key.read(token) for key in known if key.kid == kid), None)


def status_list(bits: bytes) -> dict[str, Any]:
    """One bit per token, set when it is revoked, packed as the OAuth Token Status List packs it."""
    packed = base64.urlsafe_b64encode(zlib.compress(bits, level=6)).rstrip(b"=")
    return {"bits": 1, "lst": packed.decode("ascii")}
