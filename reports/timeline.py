"""The timeline: what both arms went through, on one time axis with the faults shaded."""

from __future__ import annotations

from typing import Final

from reports.axes import Chart, axis, band_names, bands, layout, log_ms, row_title, yaxis
from reports.report import Report
from reports.series import ArmSeries

_ROWS: Final = (
    ("answered", "answered, calls/s"),
    ("failed", "failed, share of due"),
    ("latency", "latency from due"),
    ("alive", "sessions alive"),
)
_ROW_GAP: Final = 0.07


def timeline_chart(report: Report) -> Chart:
    """Draw rate, failures, latency and sessions of both arms on one time axis."""
    height = (1 - _ROW_GAP * (len(_ROWS) - 1)) / len(_ROWS)
    look = layout(
        height=720,
        hovermode="x",
        margin={"l": 62, "r": 14, "t": 46, "b": 44},
        xaxis=axis(
            title={"text": "seconds since the run began", "standoff": 8},
            range=[0, report.length_s],
            anchor=f"y{len(_ROWS)}",
            hoverformat=".0f",
            ticksuffix=" s",
        ),
        shapes=bands(report),
        annotations=[*_row_titles(height), *band_names(report, shift=18)],
    )
    for row in range(len(_ROWS)):
        top = 1 - row * (height + _ROW_GAP)
        look[yaxis(row)] = axis(domain=[max(top - height, 0), top], rangemode="tozero", nticks=5)
    look[yaxis(1)] |= {"tickformat": ".0%"}
    if not any(value for arm in report.timeline.arms for value in arm.failed_share):
        look[yaxis(1)] |= {"range": [0, 0.05]}
    arms = report.timeline.arms
    look[yaxis(2)] |= log_ms(value for arm in arms for value in (*arm.p50_ms, *arm.p99_ms))
    traces = [trace for arm in arms for trace in _arm_traces(report, arm)]
    return {"data": traces, "layout": look}


def _arm_traces(report: Report, arm: ArmSeries) -> list[Chart]:
    lines = (
        (0, "due", arm.offered_per_s, "dot", "%{y:.1f}/s"),
        (0, "answered", arm.answered_per_s, "solid", "%{y:.1f}/s"),
        (1, "failed", arm.failed_share, "solid", "%{y:.1%}"),
        (2, "p99", arm.p99_ms, "dot", "%{y:,.3~r} ms"),
        (2, "p50", arm.p50_ms, "solid", "%{y:,.3~r} ms"),
        (3, "alive", arm.alive, "solid", "%{y:.0f}"),
    )
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{arm.arm} {name}",
            "x": report.timeline.middles_s,
            "y": values,
            "yaxis": "y" if row == 0 else f"y{row + 1}",
            "line": {
                "color": f"${arm.arm}",
                "width": 1.8 if dash == "solid" else 1.2,
                "dash": dash,
                "shape": "hvh" if name == "alive" else "linear",
            },
            "opacity": 1 if dash == "solid" else 0.75,
            "hovertemplate": f"{arm.arm} {name} {form}<extra></extra>",
        }
        for row, name, values, dash, form in lines
    ]


def _row_titles(height: float) -> list[Chart]:
    return [row_title(title, 1 - row * (height + _ROW_GAP)) for row, (_, title) in enumerate(_ROWS)]
