"""What passed through the proxies, as Prometheus reads it: the original's two counters, live.

The original adds a connection's bytes when its end has come; here they count as they pass, so a
stream that has been open for an hour is seen.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from faults.toxiproxy.ledger import Ledger, Way
from faults.toxiproxy.path.link import Connection

Open = Callable[[], Iterable[tuple[Way, Connection]]]

_LABELS = ("direction", "listener", "proxy", "upstream")
# Go writes a whole number without a fraction.
_WHOLE = re.compile(rb"^([^#\n].* -?\d+)\.0$", re.MULTILINE)


class _ProxyBytes(Collector):
    """The original's two counters."""

    def __init__(self, ledger: Ledger, still_open: Open) -> None:
        self._ledger = ledger
        self._open = still_open

    def collect(self) -> Iterator[Metric]:
        """Both families, once there has been a connection."""
        totals = sorted(self._ledger.totals(self._open()).items())
        for position, name in enumerate(("received", "sent")):
            family = CounterMetricFamily(f"toxiproxy_proxy_{name}_bytes", "", labels=_LABELS)
            for (direction, (proxy, listener, upstream)), counts in totals:
                family.add_metric((direction, listener, proxy, upstream), counts[position])
            if family.samples:
                yield family


class _PageErrors(Collector):
    """What the original's library counts of itself; building this page has no way to fail."""

    def collect(self) -> Iterator[Metric]:
        """Two zeros."""
        text = "Total number of internal errors encountered by the promhttp metric handler."
        family = CounterMetricFamily("promhttp_metric_handler_errors", text, labels=("cause",))
        for cause in ("encoding", "gathering"):
            family.add_metric((cause,), 0)
        yield family


class _Tasks(Collector):
    """The loop's tasks, which is where a leak would show."""

    def collect(self) -> Iterator[Metric]:
        """One number."""
        text = "Number of tasks that currently exist."
        yield GaugeMetricFamily("python_asyncio_tasks", text, value=len(asyncio.all_tasks()))


class Metrics:
    """The page at /metrics."""

    def __init__(self, *, ledger: Ledger | None, still_open: Open, runtime: bool) -> None:
        """Show the proxies' bytes where there is a ledger, and the process where asked."""
        self._registry = CollectorRegistry()
        if runtime:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)
            self._registry.register(_Tasks())
        self._registry.register(_PageErrors())
        if ledger is not None:
            self._registry.register(_ProxyBytes(ledger, still_open))

    def page(self) -> bytes:
        """Every metric in the text format, as Go writes it."""
        return _WHOLE.sub(rb"\1", generate_latest(self._registry))

    def page_compressed(self) -> bytes:
        """The same for a client that takes gzip."""
        return gzip.compress(self.page(), compresslevel=1, mtime=0)
