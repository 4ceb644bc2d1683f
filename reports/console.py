"""Styled lines as text for a terminal: the same bytes wherever they are rendered."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.text import Text

from harness.verdict import Ruling

STYLES: Final[dict[Ruling, str]] = {"pass": "green", "fail": "bold red", "unknown": "yellow"}


def rendered(lines: Iterable[Text], width: int, *, color: bool) -> str:
    """Give the lines as text; whoever wants them no wider has cut them."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        legacy_windows=False,
        _environ={},  # not this machine's
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)
    return out.getvalue()
