"""The page's charts as plotly specifications: plain JSON, coloured by the page's own theme.

A colour that starts with `$` is a variable of the style sheet, so that one specification serves
light, dark and paper.
"""

from __future__ import annotations

from math import log10
from typing import Any, Final

from reports.report import Report
from reports.series import ArmSeries, HeatMap
from reports.words import clean

Chart = dict[str, Any]  # plotly's own JSON

_ROWS: Final = (
    ("answered", "answered, calls/s"),
    ("failed", "failed, share of due"),
    ("latency", "latency from due"),
    ("alive", "sessions alive"),
)
_ROW_GAP: Final = 0.07
# Where 1 / (1 - quantile) gets a tick, and what it is called.
_TICKS: Final = {
    1: "0%",
    2: "50%",
    4: "75%",
    10: "90%",
    20: "95%",
    100: "99%",
    1000: "99.9%",
    10_000: "99.99%",
    100_000: "99.999%",
    1_000_000: "99.9999%",
}
_TIMES: Final = {
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


def charts(report: Report) -> dict[str, Chart]:
    """Give every chart by the id of its place in the page."""
    made = {"timeline": timeline_chart(report)}
    if report.spectra:
        made["spectrum"] = spectrum_chart(report)
    if report.heat:
        made["heat"] = heat_chart(report)
    return made


def _layout(**parts: Any) -> Chart:
    return {
        "margin": {"l": 62, "r": 14, "t": 30, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": "$ink"},
        "hoverlabel": {"font": {"size": 12}},
        "showlegend": False,
        **parts,
    }


def _axis(**parts: Any) -> Chart:
    return {
        "gridcolor": "$grid",
        "linecolor": "$rule",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "$rule",
        **parts,
    }


# --- timeline -------------------------------------------------------------------------------


def timeline_chart(report: Report) -> Chart:
    """Draw rate, failures, latency and sessions of both arms on one time axis."""
    height = (1 - _ROW_GAP * (len(_ROWS) - 1)) / len(_ROWS)
    layout = _layout(
        height=720,
        hovermode="x",
        margin={"l": 62, "r": 14, "t": 46, "b": 44},
        xaxis=_axis(
            title={"text": "seconds since the run began", "standoff": 8},
            range=[0, report.length_s],
            anchor=f"y{len(_ROWS)}",
            hoverformat=".0f",
            ticksuffix=" s",
        ),
        shapes=_bands(report),
        annotations=[*_row_titles(height), *_band_names(report, shift=18)],
    )
    for row in range(len(_ROWS)):
        top = 1 - row * (height + _ROW_GAP)
        layout[_yaxis(row)] = _axis(
            domain=[max(top - height, 0), top], rangemode="tozero", nticks=5
        )
    layout[_yaxis(1)] |= {"tickformat": ".0%"}
    if not any(value for arm in report.timeline.arms for value in arm.failed_share):
        layout[_yaxis(1)] |= {"range": [0, 0.05]}
    layout[_yaxis(2)] |= _log_ms()
    traces = [trace for arm in report.timeline.arms for trace in _arm_traces(report, arm)]
    return {"data": traces, "layout": layout}


def _log_ms() -> Chart:
    return {"type": "log", "tickvals": list(_TIMES), "ticktext": list(_TIMES.values())}


def _yaxis(row: int) -> str:
    return "yaxis" if row == 0 else f"yaxis{row + 1}"


def _arm_traces(report: Report, arm: ArmSeries) -> list[Chart]:
    lines = (
        (0, "due", arm.offered_per_s, "dot", "%{y:.1f}/s"),
        (0, "answered", arm.answered_per_s, "solid", "%{y:.1f}/s"),
        (1, "failed", arm.failed_share, "solid", "%{y:.1%}"),
        (2, "p99", arm.p99_ms, "dot", "%{y:.3s} ms"),
        (2, "p50", arm.p50_ms, "solid", "%{y:.3s} ms"),
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


def _bands(report: Report) -> list[Chart]:
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


def _band_names(report: Report, *, shift: int = 2) -> list[Chart]:
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
            "text": _text(name),
            "name": "band",
            "showarrow": False,
            "yanchor": "bottom",
            "yshift": shift,
            "font": {"size": 11, "color": "$faint"},
        }
        for at_s, name in named
    ]


def _row_titles(height: float) -> list[Chart]:
    return [
        {
            "x": 0,
            "y": 1 - row * (height + _ROW_GAP),
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "text": title,
            "showarrow": False,
            "font": {"size": 12, "color": "$ink"},
        }
        for row, (_, title) in enumerate(_ROWS)
    ]


def _text(text: str) -> str:
    """Escape text for plotly, which reads a little markup in what it draws."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- spectrum -------------------------------------------------------------------------------


def spectrum_chart(report: Report) -> Chart:
    """Draw latency at every percentile; the page shows one phase at a time, by `meta`."""
    deepest = max(1 / min(spectrum.tails) for spectrum in report.spectra)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "meta": spectrum.phase,
            "name": f"{spectrum.arm} from {spectrum.origin}",
            "x": [float(f"{1 / tail:.5g}") for tail in spectrum.tails],
            "y": [max(value, 0.001) for value in spectrum.values_ms],
            "customdata": [f"{(1 - tail) * 100:.6g}" for tail in spectrum.tails],
            "line": {
                "color": f"${spectrum.arm}",
                "width": 2 if spectrum.origin == "due" else 1.3,
                "dash": "solid" if spectrum.origin == "due" else "dot",
            },
            "hovertemplate": (
                f"{spectrum.arm} {_text(clean(spectrum.phase))} from {spectrum.origin}, "
                f"{spectrum.count:,} calls: "
                "p%{customdata} %{y:.3s} ms<extra></extra>"
            ),
        }
        for spectrum in report.spectra
    ]
    traces += [
        trace | {"meta": "", "line": {"color": "$faint", "width": 1.3, "dash": "dash"}}
        for trace in traces
        if trace["meta"] == "baseline" and trace["name"] == "treated from due"
    ]
    layout = _layout(
        height=420,
        hovermode="closest",
        xaxis=_axis(
            type="log",
            range=[0, log10(deepest) * 1.02],
            tickvals=list(_TICKS),
            ticktext=list(_TICKS.values()),
            title={"text": "percentile", "standoff": 8},
        ),
        yaxis=_axis(title={"text": "latency"}, **_log_ms()),
    )
    return {"data": traces, "layout": layout}


# --- heat map -------------------------------------------------------------------------------


def heat_chart(report: Report) -> Chart:
    """Draw where the calls' latencies lay over time, each arm on the same grid and scale."""
    count = len(report.heat)
    height = (1 - 0.09 * (count - 1)) / count
    layout = _layout(
        height=130 + 230 * count,
        xaxis=_axis(
            title={"text": "due, seconds since the run began", "standoff": 8},
            range=[0, report.length_s],
            anchor="y" if count == 1 else f"y{count}",
            ticksuffix=" s",
            showgrid=False,
        ),
        coloraxis={
            "colorscale": "$heat",
            "cmin": 0,
            "colorbar": {
                "title": {"text": "calls", "side": "right"},
                "tickvals": [0, 1, 2, 3, 4, 5],
                "ticktext": ["1", "10", "100", "1k", "10k", "100k"],
                "thickness": 10,
                "outlinewidth": 0,
            },
        },
        shapes=_bands(report),
        annotations=_band_names(report),
    )
    traces = []
    for row, heat in enumerate(report.heat):
        top = 1 - row * (height + 0.09)
        layout[_yaxis(row)] = _axis(
            domain=[max(top - height, 0), top],
            title={"text": heat.arm},
            showgrid=False,
            **_log_ms(),
        )
        traces.append(_heat_trace(heat, "y" if row == 0 else f"y{row + 1}"))
    return {"data": traces, "layout": layout}


def _heat_trace(heat: HeatMap, axis: str) -> Chart:
    ratio = heat.edges_ms[1] / heat.edges_ms[0] if len(heat.edges_ms) > 1 else 2.0
    return {
        "type": "heatmap",
        "x0": heat.middles_s[0],
        "dx": heat.width_s,
        "y": [*heat.edges_ms, heat.edges_ms[-1] * ratio],
        "z": [[round(log10(cell), 2) if cell else None for cell in line] for line in heat.counts],
        "customdata": heat.counts,
        "yaxis": axis,
        "coloraxis": "coloraxis",
        "hoverongaps": False,
        "hovertemplate": (
            f"{heat.arm}: %{{customdata:,}} calls due at %{{x:.0f}} s took about "
            "%{y:.3s} ms<extra></extra>"
        ),
    }
