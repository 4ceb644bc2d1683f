"""Tells an OpenTelemetry collector of a finished run, for `run` and `report`; harms neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from harness import collector
from harness.cli.conclusion import Conclusion
from harness.collector import Sent
from harness.scenario.units import counted

SPANS: Final = 20_000
_SPANS_LEAST: Final = 1000
_SPANS_MOST: Final = 200_000
_WARNING: Final = "warning: "
F = TypeVar("F", bound=Callable[..., Any])


def flags(command: F) -> F:
    """Add `--otlp` and `--otlp-spans` to a command."""
    otlp = click.option(
        "--otlp",
        metavar="URL",
        help="Send the finished run to this OpenTelemetry collector, e.g. "
        f"http://127.0.0.1:4318; its credentials stand in {collector.HEADERS}.",
    )
    spans = click.option(
        "--otlp-spans",
        type=click.IntRange(_SPANS_LEAST, _SPANS_MOST),
        default=SPANS,
        show_default=True,
        metavar="N",
        help="Send at most N spans: of calls that failed first, then a sample of the others.",
    )
    return otlp(spans(command))


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A collector that is to be told."""

    base: str
    spans_max: int


def listener(given: dict[str, Any]) -> Listener | None:
    """Give the collector that the flags name; None where they name none.

    Raises:
        UsageError: when its URL is none, or what is needed for it is not installed.
    """
    if given["otlp"] is None:
        return None
    return Listener(base=collector.check(given["otlp"]), spans_max=given["otlp_spans"])


def tell(conclusion: Conclusion, to: Listener | None, *, quiet: bool = False) -> None:
    """Send a judged run, and say on standard error what became of that; nothing depends on it."""
    if to is None:
        return
    try:
        text = _told(conclusion, to)
    except KeyboardInterrupt:
        text = f"{_WARNING}sending to {to.base} was interrupted; the verdict stands"
    except Exception as error:  # noqa: BLE001  a run's verdict stands, whatever becomes of this
        text = f"{_WARNING}nothing was sent to {to.base}: {type(error).__name__}"
    if text.startswith(_WARNING) or not quiet:
        click.echo(f"squall: {text}", err=True)


def _told(conclusion: Conclusion, to: Listener) -> str:
    # Only here: they need the extra, and most runs are told to nobody.
    from reports.otlp.telling import make  # noqa: PLC0415  an extra

    made = make(conclusion.evidence, conclusion.judgement, conclusion.facts, spans_max=to.spans_max)
    sent = collector.send(to.base, made.spans, made.metrics)
    took = _what(sent, made.share) if sent.spans or sent.metrics else "nothing"
    if sent.refusals:
        why = "; ".join(f"{signal}: {reason}" for signal, reason in sent.refusals.items())
        again = f"again by: squall report {conclusion.folder} --otlp {to.base}"
        return f"{_WARNING}the collector at {to.base} took {took} ({why}); {again}"
    told = f"sent {took} to {to.base} in {sent.took_s:.1f} s"
    if left := _left_out(sent):
        return f"{_WARNING}{told}; {left}"
    remarks = (f"; it says of {signal}: {text}" for signal, text in sent.remarks.items())
    return told + "".join(remarks)


def _left_out(sent: Sent) -> str:
    """Say what a collector took a request without; "" where it took it whole."""
    parts = []
    for signal, count in sent.rejected.items():
        what = {"traces": "spans", "metrics": "data points"}[signal]
        why = sent.remarks.get(signal, "it does not say why")
        parts.append(f"{counted(count, what)} ({why})")
    return f"it rejected {' and '.join(parts)}" if parts else ""


def _what(sent: Sent, share: str) -> str:
    return f"{counted(sent.spans, 'spans')} ({share}) and {counted(sent.metrics, 'metrics')}"
