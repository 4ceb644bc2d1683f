"""The command line of the server: what it takes, what it refuses, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.faults.toxiproxy.conftest import ROOT, Server, end, start_ours

COMMAND = [sys.executable, "-m", "faults.toxiproxy"]


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Start the server with nothing on its standard input."""
    return subprocess.run(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        cwd=ROOT,
        env={**os.environ, **env},
        check=False,
    )


@pytest.mark.parametrize("flag", ["--version", "-version"])
def test_the_version_is_the_one_it_is_the_same_as(flag: str) -> None:
    """In the original's words, so that scripts may read them."""
    ended = run(flag)
    assert (ended.returncode, ended.stdout) == (0, "toxiproxy-server version 2.12.0\n")


@pytest.mark.parametrize("flag", ["--help", "-h", "-help"])
def test_help_fits_a_terminal(flag: str) -> None:
    """Eighty columns, and every flag of the original is there."""
    ended = run(flag, COLUMNS="80")
    assert ended.returncode == 0
    assert max(map(len, ended.stdout.splitlines())) <= 80
    for name in ("host", "port", "config", "seed", "proxy-metrics", "runtime-metrics", "version"):
        assert f"--{name}" in ended.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-port", "abc"), "expected a number from 0 to 65535, got 'abc'"),
        (("--port=65536",), "expected a number from 0 to 65535, got '65536'"),
        (("--port", "-1"), "expected a number from 0 to 65535, got '-1'"),
        (("--port", "²"), "expected a number from 0 to 65535"),
        (("-seed", "1.5"), "expected a whole number of 64 bits, got '1.5'"),
        (("-seed", str(2**63)), "expected a whole number of 64 bits"),
        (("-proxy-metrics=perhaps",), "expected true or false, got 'perhaps'"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("-host", "192.0.2.1", "-port", "0"), "192.0.2.1:0: bind: cannot assign"),
        (("-host", "a..b", "-port", "0"), "lookup a..b: no such host"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], said: str) -> None:
    """Exit 2, and the sentence names what was given."""
    ended = run(*words)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_port_that_is_taken_is_named() -> None:
    """The original logs it and stays, without an API."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"squall toxiproxy: error: listen tcp 127.0.0.1:{port}: bind: address already in use\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("-host", "localhost", "-port=0", "-seed=-5", "-proxy-metrics=false"),
        ("--host=127.0.0.1", "--seed", str(-(2**63)), "--runtime-metrics"),
        ("-proxy-metrics", "-runtime-metrics=true"),
    ],
)
def test_flags_are_taken_in_both_spellings(words: tuple[str, ...]) -> None:
    """One dash or two, with a space or an equals sign."""
    server = start_ours(*words)
    try:
        page = server.api.get("/metrics").status_code
        assert page == (404 if "-proxy-metrics=false" in words else 200)
    finally:
        end(server)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(number: signal.Signals) -> None:
    """Exit 0 with open proxies, nothing said, and its ports are free."""
    server: Server = start_ours()
    try:
        address = server.proxy("127.0.0.1:9")
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)
    finally:
        end(server)


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ""),
        ("WARN", ""),
        ("", ""),
        ("loud", 'squall toxiproxy: unknown LOG_LEVEL value: "loud"\n'),
    ],
)
def test_a_log_level_is_taken(level: str, said: str) -> None:
    """An unknown one is named, and the server starts all the same, as the original does."""
    ended = run("--port", "0", "--stdin-lease", LOG_LEVEL=level)
    assert (ended.returncode, ended.stderr) == (0, said)
    assert ended.stdout.startswith("listening 127.0.0.1:")
