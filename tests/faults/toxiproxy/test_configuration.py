"""Proxies from a file, and what a person is told about a file that cannot be used."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.toxiproxy.conftest import ROOT, Upstream, end, start_ours
from tests.faults.toxiproxy.peers import client, echoed

SERVER = [sys.executable, "-m", "faults.toxiproxy", "--port", "0", "--stdin-lease"]


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Start with a file and end at once."""
    return subprocess.run(
        [*SERVER, "--config", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        cwd=ROOT,
        check=False,
    )


def written(tmp_path: Path, content: object) -> Path:
    """A file that holds this as JSON, or as it is."""
    path = tmp_path / "toxiproxy.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content))
    return path


def test_a_server_begins_with_the_proxies_of_its_file(tmp_path: Path, upstream: Upstream) -> None:
    """As if they had been populated: enabled unless said otherwise."""
    proxies = [
        {"name": "b", "listen": "127.0.0.1:0", "upstream": upstream.address},
        {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9", "enabled": False},
    ]
    server = start_ours("-config", str(written(tmp_path, proxies)))
    try:
        shown = server.api.get("/proxies").json()
        assert [proxy["enabled"] for proxy in shown.values()] == [False, True]
        host, _, port = shown["b"]["listen"].rpartition(":")
        with client((host, int(port))) as stream:
            assert echoed(stream, b"hello") == b"hello"
        assert server.process.stdout is not None
        lines = [server.process.stdout.readline().decode() for _ in shown]
    finally:
        end(server)
    assert lines == [
        "proxy a: disabled, 127.0.0.1:0 -> 127.0.0.1:9\n",
        f"proxy b: {shown['b']['listen']} -> {upstream.address}\n",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON: the file is empty (line 1, column 1)"),
        (b'[{"name": "p",}]', "(line 1, column 15)"),
        (b'[\n  {"name": p}\n]', "(line 2, column 12)"),
        (b"\xff\xfe", "expected a JSON array of proxies"),
        (b"[" * 100_000, "expected a JSON array of proxies"),
        ({"proxies": []}, "expected a JSON array of proxies"),
        ("p", "expected a JSON array of proxies"),
        ([5], "at proxy 1"),
        ([{"name": "p", "upstream": "a:1"}, {"name": "q"}], "missing required field: upstream at"),
        ([{"upstream": "a:1"}], "missing required field: name at proxy 1"),
        ([{"name": 5, "upstream": "a:1"}], "name"),
        ([{"name": "p", "upstream": "a:1", "enabled": "no"}], "enabled"),
        ([{"name": "p", "upstream": "a:1"}] * 2, "proxy 2 has the name of proxy 1: p"),
        ([{"name": "p", "upstream": "a:1", "listen": "x"}], "missing port in address"),
        ([{"name": "p", "upstream": "a:1", "listen": "192.0.2.1:0"}], "cannot assign"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_is_wrong(
    tmp_path: Path, content: object, words: str
) -> None:
    """One sentence with the file and the place, exit 2, and no server."""
    path = written(tmp_path, content)
    ended = run(path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"squall toxiproxy: error: {path}: ")
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The original says so in its log and goes on without."""
    ended = run(tmp_path / "nowhere.json")
    assert ended.returncode == 2
    assert ended.stderr == (
        f"squall toxiproxy: error: {tmp_path}/nowhere.json: No such file or directory\n"
    )


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """Before anybody is told that the server listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run(written(tmp_path, [{"name": "p", "upstream": "a:1", "listen": where}]))
    assert ended.returncode == 2
    assert f"listen tcp {where}: bind: address already in use" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("content", [b"[]", b"null", b" [ ] trailing"])
def test_an_empty_list_is_a_file_too(tmp_path: Path, content: bytes) -> None:
    """As for the original, except that a person's slip is shown."""
    ended = run(written(tmp_path, content))
    assert ended.returncode == (2 if b"trailing" in content else 0)


def test_toxics_in_a_file_are_said_to_have_no_effect(tmp_path: Path) -> None:
    """The original is silent about them, and people wonder."""
    proxy = {"name": "p", "listen": "127.0.0.1:0", "upstream": "a:1", "toxics": [{"type": "noop"}]}
    ended = run(written(tmp_path, [proxy]))
    assert ended.returncode == 0
    assert "toxics of proxy 1 are not read from a file" in ended.stderr
