"""What the page's charts share: their look, their axes, and the bands where faults were in force.

A colour that starts with `$` is a variable of the style sheet, so that one specification serves
light, dark and paper.
"""

from __future__ import annotations

from typing import Any, Final

from reports.report import Report
from reports.words import clean

Chart = dict[str, Any]  # plotly's own JSON

TIMES: Final = {
    0.01: "10 µs",
    0.1: "0.1 ms",
    1.0: "1 ms",
    10.0: "10 ms",
    100.0: "100 ms",
    1e3: "1 s",
    1e4: "10 s",
    1e5: "100 s",
    1e6: "1000 s",
}


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


def log_ms() -> Chart:
    """Give the part of an axis that shows milliseconds on a log scale, with units."""
    return {"type": "log", "tickvals": list(TIMES), "ticktext": list(TIMES.values())}


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
        ((band.verdict.start_s + band.verdict.end_s) / 2, clean(band.verdict.id))
        for band in report.bands
    ]
    start_s, end_s = report.baseline_s
    if end_s > start_s:
        named.append(((start_s + end_s) / 2, "baseline"))
    return [
        {
            "x": at_s,
            "y": 1,
            "xref": "x",
            "yref": "paper",
            "text": text(name),
            "name": "band",
            "showarrow": False,
            "yanchor": "bottom",
            "yshift": shift,
            "font": {"size": 11, "color": "$faint"},
        }
        for at_s, name in named
    ]


def text(text: str) -> str:
    """Escape text for plotly, which reads a little markup in what it draws."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
