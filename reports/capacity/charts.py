"""The chart of a climb: what was answered and how long it took, over what was offered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10
from typing import Final

from harness.capacity.ruling import Capacity, Curve
from harness.capacity.steps import Reading
from reports.axes import Chart, axis, escape, layout, log_ms, row_title
from reports.words import clean

COLORS: Final = ("$control", "$treated", "$pass", "$unknown", "$link", "$fail")
_SYMBOLS: Final = {"kept": "circle", "limited": "circle-open", "unfinished": "circle-open"}
_DECADES_FINE: Final = 2.2  # up to here an axis has room for several ticks in each
_DECADES_FINEST: Final = 1.2


def charts(result: Capacity) -> dict[str, Chart]:
    """Give the chart by the id of its place in the page; nothing where no step was begun."""
    curves = [curve for curve in result.curves if curve.steps]
    if not curves:
        return {}
    steps = [one for curve in curves for one in curve.steps]
    rates = [one.offered_per_s for one in steps if one.offered_per_s > 0]
    served = [one.answered_per_s for one in steps if one.answered_per_s > 0]
    took = [value for one in steps for value in (one.p50_ms, one.p99_ms)]
    along = _log_rates(rates)
    look = layout(
        height=560,
        hovermode="closest",
        xaxis=axis(
            **along,
            anchor="y2",
            title={"text": "offered, calls a second", "standoff": 8},
        ),
        yaxis=axis(domain=[0.56, 1], **_log_rates([*rates, *served])),
        yaxis2=axis(domain=[0, 0.46], **log_ms(took)),
        shapes=[
            shape for place, curve in enumerate(result.curves) for shape in _knee(curve, place)
        ],
        annotations=[row_title("answered a second", 1), row_title("latency from due", 0.46)],
    )
    traces: list[Chart] = [_all_answered(rates)]
    for place, curve in enumerate(result.curves):
        traces += _traces(curve, place)
    return {"capacity": {"data": traces, "layout": look}}


def color(place: int) -> str:
    """Give a curve's colour by its number."""
    return COLORS[place % len(COLORS)]


def _log_rates(rates: Sequence[float]) -> Chart:
    low, high = log10(min(rates, default=1)) - 0.06, log10(max(rates, default=10)) + 0.06
    fine = (1, 2, 3, 5, 7) if high - low < _DECADES_FINEST else (1, 2, 5)
    steps = fine if high - low < _DECADES_FINE else (1,)
    ticks = [step * 10.0**power for power in range(-1, 6) for step in steps]
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [f"{tick:,.10g}" for tick in ticks],
    }


def _all_answered(rates: Sequence[float]) -> Chart:
    ends = [min(rates), max(rates)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": ends,
        "y": ends,
        "line": {"color": "$faint", "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _traces(curve: Curve, place: int) -> Iterator[Chart]:
    steps = sorted(curve.steps, key=lambda one: (one.offered_per_s, one.step))
    if not steps:
        return
    rows = (
        ("y", "answered", [one.answered_per_s for one in steps], "solid"),
        ("y2", "p99", [one.p99_ms for one in steps], "solid"),
        ("y2", "p50", [one.p50_ms for one in steps], "dot"),
    )
    for where, what, values, dash in rows:
        unit = "/s" if what == "answered" else " ms"
        yield {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [float(f"{one.offered_per_s:.5g}") for one in steps],
            "y": [_positive(value) for value in values],
            "yaxis": where,
            "connectgaps": True,
            "line": {"color": color(place), "width": 1.6, "dash": dash},
            "marker": {"size": 8, "symbol": [_symbol(one) for one in steps]},
            "customdata": [escape(clean(f"{one.verdict} {one.why}".strip())) for one in steps],
            "hovertemplate": (
                f"{escape(clean(curve.name))} at %{{x:,.4~r}}/s: {what} %{{y:,.4~r}}{unit}"
                "<br>%{customdata}<extra></extra>"
            ),
        }


def _positive(value: float | None) -> float | None:
    return None if value is None or value <= 0 else float(f"{value:.5g}")


def _symbol(one: Reading) -> str:
    return _SYMBOLS.get(one.verdict, "x")


def _knee(curve: Curve, place: int) -> Iterator[Chart]:
    """Shade the knee's interval over both rows, and draw the knee in it."""
    knee = curve.knee
    if knee is None or knee.estimate is None:
        return
    whole: Chart = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    if knee.high is not None:
        yield whole | {
            "type": "rect",
            "x0": knee.low,
            "x1": knee.high,
            "fillcolor": "$band",
            "line": {"width": 0},
            "layer": "below",
        }
    yield whole | {
        "type": "line",
        "x0": knee.estimate,
        "x1": knee.estimate,
        "line": {"color": color(place), "width": 1.3, "dash": "dash"},
    }
