"""The page's charts as plotly specifications: plain JSON, coloured by the page's own theme."""

from __future__ import annotations

from math import log10
from typing import Final

from reports.axes import Chart, axis, band_names, bands, escape, layout, log_ms, row_title, yaxis
from reports.report import Report
from reports.series import HeatMap
from reports.timeline import timeline_chart
from reports.words import clean

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


def charts(report: Report) -> dict[str, Chart]:
    """Give every chart by the id of its place in the page."""
    made = {"timeline": timeline_chart(report)}
    if report.spectra:
        made["spectrum"] = spectrum_chart(report)
    if report.heat:
        made["heat"] = heat_chart(report)
    return made


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
                f"{spectrum.arm} {escape(clean(spectrum.phase))} from {spectrum.origin}, "
                f"{spectrum.count:,} calls: "
                "p%{customdata} %{y:,.3~r} ms<extra></extra>"
            ),
        }
        for spectrum in report.spectra
    ]
    traces += [
        trace | {"meta": "", "line": {"color": "$faint", "width": 1.3, "dash": "dash"}}
        for trace in traces
        if trace["meta"] == "baseline" and trace["name"] == "treated from due"
    ]
    look = layout(
        height=420,
        hovermode="closest",
        xaxis=axis(
            type="log",
            range=[0, log10(deepest) * 1.02],
            tickvals=list(_TICKS),
            ticktext=list(_TICKS.values()),
            title={"text": "percentile", "standoff": 8},
        ),
        yaxis=axis(**log_ms(value for one in report.spectra for value in one.values_ms)),
        annotations=[row_title("latency", 1)],
    )
    return {"data": traces, "layout": look}


# --- heat map -------------------------------------------------------------------------------


def heat_chart(report: Report) -> Chart:
    """Draw where the calls' latencies lay over time, each arm on the same grid and scale."""
    count = len(report.heat)
    height = (1 - 0.09 * (count - 1)) / count
    titles = [
        row_title(f"latency, {heat.arm}", 1 - row * (height + 0.09), f"${heat.arm}")
        for row, heat in enumerate(report.heat)
    ]
    look = layout(
        height=130 + 230 * count,
        xaxis=axis(
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
        shapes=bands(report),
        annotations=[*titles, *band_names(report, shift=18)],
        margin={"l": 62, "r": 14, "t": 46, "b": 44},
    )
    traces = []
    for row, heat in enumerate(report.heat):
        top = 1 - row * (height + 0.09)
        look[yaxis(row)] = axis(
            domain=[max(top - height, 0), top],
            showgrid=False,
            **log_ms((heat.edges_ms[0], heat.edges_ms[-1] * _step(heat))),
        )
        traces.append(_heat_trace(heat, "y" if row == 0 else f"y{row + 1}"))
    return {"data": traces, "layout": look}


def _step(heat: HeatMap) -> float:
    return heat.edges_ms[1] / heat.edges_ms[0] if len(heat.edges_ms) > 1 else 2.0


def _heat_trace(heat: HeatMap, axis: str) -> Chart:
    return {
        "type": "heatmap",
        "x0": heat.middles_s[0],
        "dx": heat.width_s,
        "y": [*heat.edges_ms, heat.edges_ms[-1] * _step(heat)],
        "z": [[round(log10(cell), 2) if cell else None for cell in line] for line in heat.counts],
        "customdata": heat.counts,
        "yaxis": axis,
        "coloraxis": "coloraxis",
        "hoverongaps": False,
        "hovertemplate": (
            f"{heat.arm}: %{{customdata:,}} calls due at %{{x:.0f}} s took about "
            "%{y:,.3~r} ms<extra></extra>"
        ),
    }
