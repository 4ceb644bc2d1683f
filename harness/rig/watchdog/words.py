"""What squall says to its watchdog before it ends."""

from __future__ import annotations

from typing import Final

# Everything is undone, or people have been told what is not: nobody has to be watched any more.
CLOSING_WORD: Final = b"over"
