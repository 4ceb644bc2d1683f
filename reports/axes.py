"""What the page's charts share: their look, their axes, and the bands where faults were in force.

A colour that starts with `$` is a variable of the style sheet, so that one specification serves
light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log10
from typing import Any, Final

from reports.report import Report
from reports.words import clean

Chart = dict[str, Any]  # plotly's own JSON

_DECADES_FINE: Final = 2.2  # up to here an axis has room for ticks at 1, 2 and 5


def layout(**parts: Any) -> Chart:
    """Give the look that all charts have, with parts of its own."""
    return {
        "margin": {"l": 62, "r": 14, "t": 30, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": "$ink"},
        "hoverlabel": {"font": {"size": 12}},
        "showlegend": False,
        **parts,
    }


def axis(**parts: Any) -> Chart:
    """Give an axis that stays in the background."""
    return {
        "gridcolor": "$grid",
        "linecolor": "$rule",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "$rule",
        **parts,
    }


def log_ms(values_ms: Iterable[float | None]) -> Chart:
    """Give the part of an axis that shows these milliseconds on a log scale, with units."""
    known = [value for value in values_ms if value is not None and value > 0]
    low = log10(min(known, default=1)) - 0.06
    high = log10(max(known, default=1000)) + 0.06
    steps = (1, 2, 5) if high - low < _DECADES_FINE else (1,)
    ticks = [step * 10.0**power for power in range(-3, 7) for step in steps]
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [_duration(tick) for tick in ticks],
    }


def _duration(value_ms: float) -> str:
    if value_ms < 0.1:  # noqa: PLR2004  a tenth of a millisecond
        return f"{value_ms * 1000:g} µs"
    return f"{value_ms:g} ms" if value_ms < 1000 else f"{value_ms / 1000:g} s"  # noqa: PLR2004


def row_title(text: str, top: float, color: str = "$ink") -> Chart:
    """Write what a row shows above its upper left corner; `top` is a share of the height."""
    return {
        "x": 0,
        "y": top,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": 12, "color": color},
    }


def yaxis(row: int) -> str:
    """Name the vertical axis of a row, from 0 at the top."""
    return "yaxis" if row == 0 else f"yaxis{row + 1}"


def bands(report: Report) -> list[Chart]:
    """Shade every fault window over the whole height, and mark the baseline's edges."""
    whole: Chart = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    shapes = [
        whole
        | {
            "x0": band.verdict.start_s,
            "x1": band.verdict.end_s,
            "fillcolor": "$band",
            "line": {"width": 0},
            "layer": "below",
        }
        for band in report.bands
    ]
    start_s, end_s = report.baseline_s
    rule: Chart = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    edges = [
        rule | {"x0": at_s, "x1": at_s, "line": {"color": "$rule", "width": 1, "dash": "dot"}}
        for at_s in (start_s, end_s)
        if end_s > start_s
    ]
    return [*shapes, *edges]


def band_names(report: Report, *, shift: int = 2) -> list[Chart]:
    """Write above each band what it is; the page shortens these where it is narrow."""
    named = [
        (band.verdict.start_s, band.verdict.end_s, clean(band.verdict.id)) for band in report.bands
    ]
    start_s, end_s = report.baseline_s
    if end_s > start_s:
        named.append((start_s, end_s, "baseline"))
    return [
        {
            "x": (from_s + to_s) / 2,
            "width": to_s - from_s,  # in seconds here; the page's script takes it away
            "y": 1,
            "xref": "x",
            "yref": "paper",
            "text": escape(name),
            "name": "band",
            "showarrow": False,
            "yanchor": "bottom",
            "yshift": shift,
            "font": {"size": 11, "color": "$faint"},
        }
        for from_s, to_s, name in named
    ]


def escape(text: str) -> str:
    """Escape text for plotly, which reads a little markup in what it draws."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
