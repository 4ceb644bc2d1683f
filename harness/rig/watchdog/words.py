"""What squall says to its watchdog before it ends."""

from __future__ import annotations

from typing import Final

WHOLE: Final = b"whole"  # everything is undone, and the record closed
LEFT: Final = b"left"  # something is not, squall has said so, and people take over
CLOSING_WORDS: Final = frozenset({WHOLE, LEFT})
