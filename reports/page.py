"""The run as one HTML file that opens anywhere, without a network and without trust.

Everything that came from the server or the scenario is escaped by the template engine, and the
page's own policy lets nothing run or load but the two scripts it was written with.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.aa import sentence
from harness.evidence.readiness import by_area
from reports import words
from reports.charts import charts
from reports.courtesy import pauses
from reports.meanings import effect_meanings, meaning
from reports.report import Report
from reports.said import sentences

_TEXT_CHARS_MAX: Final = 1000
_TEXT_CHARS_CROWDED: Final = 200  # where hundreds of rows each have one
_ROWS_CROWDED: Final = 200
# In JSON inside a script element these could end it, or a line of it.
_UNFIT: Final = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def page(report: Report) -> str:
    """Give the whole page; the same report gives the same bytes."""
    phases = list(dict.fromkeys(spectrum.phase for spectrum in report.spectra))
    return rendered(
        "page.html",
        charts(report),
        chars_max=_chars_max(report),
        report=report,
        judgement=report.judgement,
        phases=phases,
        shown_phase=_worst_phase(report, phases),
    )


def rendered(
    template: str, figures: object, *, chars_max: int = _TEXT_CHARS_MAX, **values: object
) -> str:
    """Give a page of its own from a template: style, script and charts are in it."""
    plotly = get_plotlyjs().replace("\r", "")
    script = _resource("page.js")
    return (
        _environment(chars_max)
        .get_template(template)
        .render(
            **values,
            by_area=by_area,
            meaning=meaning,
            effect_meanings=effect_meanings,
            said=sentences,
            words=words,
            pauses=pauses,
            sentence=sentence,
            policy=_policy(plotly, script),
            style=Markup(_resource("page.css")),  # noqa: S704  ours
            figures=Markup(embedded(figures)),  # noqa: S704  cannot leave its element
            plotly=Markup(plotly),  # noqa: S704  the library's own bundle
            script=Markup(script),  # noqa: S704  ours
        )
    )


def embedded(value: object) -> str:
    """Give JSON that a script element can hold: nothing in it can end the element.

    Raises:
        ValueError: when a figure in it is not finite.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_UNFIT)


def _worst_phase(report: Report, phases: list[str]) -> str:
    """Choose what the spectrum shows first: the fault that cost most."""
    scored = [
        (101.0 if band.verdict.score is None else band.verdict.score, band.verdict.id)
        for band in report.bands
        if band.verdict.id in phases
    ]
    return min(scored)[1] if scored else (phases[0] if phases else "")


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


@cache
def _resource(name: str) -> str:
    return (files("reports") / name).read_text(encoding="utf-8")


@cache
def _environment(chars_max: int) -> Environment:
    return Environment(
        loader=PackageLoader("reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=partial(_clean, chars_max=chars_max),
    )


def _chars_max(report: Report) -> int:
    """Bound texts the more the more of them there are: a page must stay small."""
    rows = len(report.bands) + len(report.findings) + len(report.judgement.soundness)
    return _TEXT_CHARS_MAX if rows <= _ROWS_CROWDED else _TEXT_CHARS_CROWDED


def _clean(value: object, *, chars_max: int) -> object:
    """Bound whatever text the template prints, and strip its control characters."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return words.cut(words.clean(value), chars_max)
