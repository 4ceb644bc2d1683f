"""What makes every call and session of a run recognisable: nonces, marks and seeded draws.

A nonce is `n`, three hexadecimal digits that all nonces of the run share, and thirteen that no
other call of the run has: they are (session, index) put through a keyed permutation of 52 bits. A
session's mark, which steps write as `${session}`, is `s`, the same three digits, and its number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

Sessions = NDArray[np.uint32]

INDEX_BITS: Final = 36
# What precedes a call or goes on beside it draws its nonces from where no planned step does, and
# several requests of one act are told apart above that.
PRELUDE_INDEX: Final = 2**31
TURN_BITS: Final = 32
_NONCE_MASK: Final = (1 << 52) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """What a seed becomes; everything else follows by integer arithmetic."""

    seed: int
    run: str  # three hexadecimal digits
    whiten: int
    first: int  # odd, so that multiplying by it modulo a power of two loses nothing
    second: int

    @classmethod
    def of(cls, seed: int) -> Marks:
        """Derive the constants of a run from its seed."""
        words = [_hash(seed, "marks", number) for number in range(4)]
        return cls(
            seed=seed,
            run=f"{words[0] & 0xFFF:03x}",
            whiten=words[1] & _NONCE_MASK,
            first=words[2] & _NONCE_MASK | 1,
            second=words[3] & _NONCE_MASK | 1,
        )

    def nonce(self, session: int, index: int) -> str:
        """Give the nonce of one logical call; sessions below 2**16, indices below 2**36."""
        return self.nonces(session)(index)

    def nonces(self, session: int) -> Callable[[int], str]:
        """Give what gives the nonce of each of a session's calls, from its index."""
        # All bound once: a session asks for thousands, one between any two calls.
        whitened, first, second = session << INDEX_BITS ^ self.whiten, self.first, self.second
        mask, start = _NONCE_MASK, f"n{self.run}%013x"

        def nonce(index: int) -> str:
            mixed = (whitened ^ index) * first & mask
            mixed = (mixed ^ mixed >> 27) * second & mask
            return start % (mixed ^ mixed >> 25)

        return nonce

    def numbers(self, session: Sessions, index: Sessions) -> NDArray[np.uint64]:
        """Give the thirteen digits of many calls' nonces, as numbers."""
        mask = np.uint64(_NONCE_MASK)
        mixed = session.astype(np.uint64) << np.uint64(INDEX_BITS) | index
        mixed = (mixed ^ np.uint64(self.whiten)) * np.uint64(self.first) & mask
        mixed ^= mixed >> np.uint64(27)
        mixed = mixed * np.uint64(self.second) & mask
        return mixed ^ mixed >> np.uint64(25)

    def mark(self, session: int) -> str:
        """Give the text that names a session to the target; no mark is part of another."""
        return f"s{self.run}-{session:05d}"

    def word(self, purpose: str, number: int) -> int:
        """Give 64 reproducible bits for a purpose."""
        return _hash(self.seed, purpose, number)

    def draw(self, purpose: str, session: int, index: int) -> float:
        """Give a reproducible number in [0, 1) for a decision about one call."""
        return (_hash(self.seed, purpose, session << INDEX_BITS | index) >> 11) * 2.0**-53


@lru_cache(maxsize=1024)
def _prefix(seed: int, purpose: str) -> bytes:
    return blake2b(purpose.encode(), digest_size=16, key=seed.to_bytes(8, "little")).digest()


def _hash(seed: int, purpose: str, number: int) -> int:
    number_bytes = number.to_bytes(8, "little")
    digest = blake2b(number_bytes, digest_size=8, key=_prefix(seed, purpose)).digest()
    return int.from_bytes(digest, "little")
