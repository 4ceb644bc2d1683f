"""The issuer's signing key and everything it signs with it."""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ALGORITHM = "ES256"
ACCESS_TYPE = "at+jwt"  # RFC 9068
STATUS_TYPE = "statuslist+jwt"


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


def status_list(bits: bytes) -> dict[str, Any]:
    """One bit per token, set when it is revoked, packed as the OAuth Token Status List packs it."""
    packed = base64.urlsafe_b64encode(zlib.compress(bits, level=6)).rstrip(b"=")
    return {"bits": 1, "lst": packed.decode("ascii")}
