"""What a server is told when it starts: flags, a file of proxies, metrics; and what comes of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

from tests.faults.toxiproxy.asking import Request, ask, exchange
from tests.faults.toxiproxy.conftest import REAL, ROOT, NotStartedError, Server
from tests.faults.toxiproxy.delay_vectors import Probe, Seen
from tests.faults.toxiproxy.peers import WAIT_S, Bench, client, echoed

PROXIES: Final[list[dict[str, object]]] = [
    {"name": "p", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"},
    {"name": "off", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:1", "enabled": False},
    {"NAME": "q", "Upstream": "127.0.0.1:9", "toxics": [{"type": "latency"}], "x": 1},
]
METRICS: Final = ask("GET", "/metrics")


def _bodies(server: Server, *requests: Request) -> list[str]:
    """The status and the body of each answer, less the ports."""
    answers = (answer.shown() for answer in exchange(server.address, *requests))
    parts = (shown.partition("\n\n") for shown in answers)
    ports = re.compile(r"((?:127\.0\.0\.1|\[::\]):)\d{2,5}")
    return [ports.sub(r"\1PORT", f"{head.split()[1]} {body}") for head, _, body in parts]


def _config(bench: Bench, content: str | None) -> Seen:
    """What a server has after it was given a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proxies.json"
        if content is not None:
            path.write_text(content)
        try:
            with bench.server.another("-config", str(path)) as fresh:
                return {"proxies": _bodies(fresh, ask("GET", "/proxies"))}
        except NotStartedError:
            return {"proxies": "none, for it does not start"}


def _metrics(bench: Bench, *, still_open: bool) -> Seen:
    """What /metrics says of a connection that has carried a hundred bytes."""
    bench.echo()
    upstream = bench.server.api.get("/proxies/p").json()["upstream"]
    with bench.server.another("-proxy-metrics") as fresh:
        with client(fresh.proxy(upstream)) as stream:
            assert echoed(stream, b"x" * 100) == b"x" * 100
            if still_open:
                return {"counted": "} 100\n" in fresh.api.get("/metrics").text}
        deadline = time.monotonic() + WAIT_S
        while fresh.api.get("/metrics").text.count("} 100\n") < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        answers = exchange(fresh.address, METRICS, ask("GET", "/metrics", Accept_Encoding="gzip"))
        kinds = [
            (answer.header("content-type"), answer.header("content-encoding")) for answer in answers
        ]
        pages = _bodies(fresh, METRICS, ask("PUT", "/metrics"), ask("GET", "/metrics/"))
        return {"kinds": kinds, "pages": pages}


def _runtime_metrics(bench: Bench) -> Seen:
    """The names that any Prometheus client has for its process."""
    with bench.server.another("-runtime-metrics") as fresh:
        page = fresh.api.get("/metrics").text
    names = ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds")
    return {name: bool(re.search(rf"^{name} [\d.e+]+$", page, re.MULTILINE)) for name in names}


def _no_metrics(bench: Bench) -> Seen:
    return {"page": _bodies(bench.server, METRICS)}


def _said(bench: Bench, words: tuple[str, ...]) -> Seen:
    """What the program says and how it ends, told only this."""
    if bench.server.kind == "ours":
        command = [sys.executable, "-m", "faults.toxiproxy", *words]
    else:
        assert REAL is not None
        command = [REAL, *words]
    ran = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False, cwd=ROOT)
    said = re.sub(r"version \S+", "version V", ran.stdout.decode())
    return {"status": ran.returncode, "said": said}


def _shown(name: str, listen: str, enabled: str) -> str:
    return (
        f'"{name}":{{"name":"{name}","listen":"{listen}:PORT","upstream":"127.0.0.1:9",'
        f'"enabled":{enabled},"Logger":{{}},"toxics":[]}}'
    )


LOOPBACK: Final = _shown("p", "127.0.0.1", "true")
CONFIGURED: Final = ",".join(
    [_shown("off", "127.0.0.1", "false"), LOOPBACK, _shown("q", "[::]", "true")]
)
_WAY: Final = 'listener="127.0.0.1:PORT",proxy="p",upstream="127.0.0.1:PORT"'
PAGE: Final = """\
200 # HELP promhttp_metric_handler_errors_total Total number of internal errors encountered by the \
promhttp metric handler.
# TYPE promhttp_metric_handler_errors_total counter
promhttp_metric_handler_errors_total{cause="encoding"} 0
promhttp_metric_handler_errors_total{cause="gathering"} 0
""" + "".join(
    f"# HELP toxiproxy_proxy_{name}_bytes_total \n"
    f"# TYPE toxiproxy_proxy_{name}_bytes_total counter\n"
    f'toxiproxy_proxy_{name}_bytes_total{{direction="downstream",{_WAY}}} 100\n'
    f'toxiproxy_proxy_{name}_bytes_total{{direction="upstream",{_WAY}}} 100\n'
    for name in ("received", "sent")
)
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
NOT_FOUND: Final = "404 404 page not found\n"

START_VECTORS: Final[dict[str, Probe]] = {
    "a file of proxies": (
        partial(_config, content=json.dumps(PROXIES)),
        {"proxies": [f"200 {{{CONFIGURED}}}"]},
    ),
    "an empty file of proxies": (partial(_config, content="[]"), {"proxies": ["200 {}"]}),
    "a file that is not there": (partial(_config, content=None), {"proxies": ["200 {}"]}),
    "a file of nonsense": (partial(_config, content="nonsense"), {"proxies": ["200 {}"]}),
    "a file with a field missing": (
        partial(_config, content=json.dumps([PROXIES[0], {"name": "x"}])),
        {"proxies": ["200 {}"]},
    ),
    "a file with an address that cannot be had": (
        partial(
            _config, content=json.dumps([PROXIES[0], {**PROXIES[0], "name": "x", "listen": "x"}])
        ),
        {"proxies": [f"200 {{{LOOPBACK}}}"]},
    ),
    "metrics of what has passed": (
        partial(_metrics, still_open=False),
        {"kinds": [(_TEXT, None), (_TEXT, "gzip")], "pages": [PAGE, PAGE, NOT_FOUND]},
    ),
    "metrics of what is passing": (partial(_metrics, still_open=True), {"counted": False}),
    "metrics of the process": (
        _runtime_metrics,
        dict.fromkeys(
            ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"), True
        ),
    ),
    "no metrics": (_no_metrics, {"page": [NOT_FOUND]}),
    **{
        f"told {word}": (
            partial(_said, words=(word,)),
            {"status": 0, "said": "toxiproxy-server version V\n"},
        )
        for word in ("-version", "--version")
    },
    **{
        f"told {' '.join(words)}": (partial(_said, words=words), {"status": 2, "said": ""})
        for words in (("-nonsense",), ("-seed", "x"), ("-proxy-metrics=x",))
    },
}
