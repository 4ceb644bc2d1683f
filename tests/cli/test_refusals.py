"""A run that cannot be is refused in one sentence, before any load, and leaves nothing."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.cli.conducting import write_file
from harness.errors import UsageError
from tests import command
from tests.ports import free_port

pytestmark = pytest.mark.timeout(60)

STEADY = """\
question: Is there anything to be tested at all?
agents:
  - name: speaker
    steps:
      - call: search
        with: {query: "${nonce}"}
load: {sessions: 4}
phases: {baseline: 5s}
"""


class Site(BaseHTTPRequestHandler):
    """A web site, which knows one page."""

    def do_GET(self) -> None:
        """Give the page."""
        self._page()

    def do_POST(self) -> None:
        """A form was sent, it believes."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._page()

    def _page(self) -> None:
        body = b"<html><body>Welcome</body></html>"
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of a web site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def mute_greeting() -> Iterator[str]:
    """The address of something that speaks first, and no HTTP."""

    def greet(server: socket.socket) -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            with peer:
                peer.sendall(b"220 mail.example.invalid ESMTP\r\n")
                peer.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/mcp"


def refused(folder: Path, *words: str, text: str = STEADY) -> str:
    """The one sentence by which a run was refused; nothing of it is left."""
    (folder / "steady.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "steady.yaml", *words, "--quiet", cwd=folder)
    assert done.code == 2, done.all
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("squall: ")
    assert "Traceback" not in line
    assert not (folder / "runs").exists()
    return line


def test_an_address_where_nothing_listens_is_refused(tmp_path: Path) -> None:
    """The most frequent mistake of all."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    line = refused(tmp_path, "--target", url)
    assert url in line
    assert "refused" in line or "nothing listens" in line


def test_a_wrong_path_is_told_by_its_404(tmp_path: Path, site: str) -> None:
    """A 404 says where the endpoint is not."""
    line = refused(tmp_path, "--target", f"{site}/mcp")
    assert "404" in line


def test_a_web_page_is_there(tmp_path: Path, site: str) -> None:
    """HTML is no MCP."""
    line = refused(tmp_path, "--target", f"{site}/")
    assert "text/html" in line or "HTML" in line


def test_what_speaks_no_http_is_refused(tmp_path: Path) -> None:
    """A mail server, perhaps."""
    with mute_greeting() as url:
        line = refused(tmp_path, "--target", url)
    assert "HTTP" in line


def test_the_name_leads_nowhere(tmp_path: Path) -> None:
    """The name has no address; it is allowed, so that the address is asked for."""
    url = "http://nowhere.invalid/mcp"
    line = refused(tmp_path, "--target", url, "--allow-target", "nowhere.invalid")
    assert "nowhere.invalid" in line


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid", "[2001:db8::1]"])
def test_another_machine_is_not_stormed_by_mistake(tmp_path: Path, host: str) -> None:
    """With the flag that allows it."""
    line = refused(tmp_path, "--target", f"http://{host}:8001/mcp")
    assert "not on this machine" in line
    assert f"--allow-target {host.strip('[]')}" in line


def test_an_https_target_is_refused_before_any_load_by_what_is_wrong_with_it(
    tmp_path: Path, site: str
) -> None:
    """Plain HTTP there, a file that is not there, a flag that does not fit the target."""
    port = site.rpartition(":")[2]
    line = refused(tmp_path, "--target", f"https://127.0.0.1:{port}/mcp")
    assert "no TLS" in line
    assert "plain http" in line
    line = refused(tmp_path, "--target", f"https://127.0.0.1:{port}/mcp", "--ca", "absent.pem")
    assert "absent.pem" in line
    line = refused(tmp_path, "--ca", "absent.pem", text=STEADY)
    assert "--target" in line


@pytest.mark.parametrize("url", ["127.0.0.1:8001/mcp", "ftp://127.0.0.1/mcp", "http:///mcp"])
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    """With an example of one."""
    line = refused(tmp_path, "--target", url)
    assert "http://" in line


def test_a_missing_tool_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    """With the tools there are, and the one that was meant."""
    text = STEADY.replace("call: search", "call: serach")
    port = free_port()
    launch = f"{sys.executable} -m harness.reference --port {port} --no-auth --ledger ledger.db"
    url = f"http://127.0.0.1:{port}/mcp"
    line = refused(tmp_path, "--launch", launch, "--target", url, text=text)
    assert "did you mean 'search'?" in line
    assert "append_note" in line


def test_the_program_to_launch_is_missing(tmp_path: Path) -> None:
    """It is named."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    line = refused(tmp_path, "--launch", "no-such-server --fast", "--target", url)
    assert "'no-such-server'" in line


def test_the_launched_program_ends_at_once_and_its_log_is_kept(tmp_path: Path) -> None:
    """The sentence names the log; that is worth a folder."""
    (tmp_path / "steady.yaml").write_text(STEADY, encoding="utf-8")
    url = f"http://127.0.0.1:{free_port()}/mcp"
    (tmp_path / "server.py").write_text("raise SystemExit('no configuration')\n", encoding="utf-8")
    words = ("--launch", f"{sys.executable} server.py", "--target", url, "--quiet")
    done = command.squall("run", "steady.yaml", *words, cwd=tmp_path)
    assert done.code == 2
    (line,) = done.err.splitlines()
    log = command.folder_of(tmp_path / "runs") / "logs" / "target.log"
    assert str(log.relative_to(tmp_path)) in line
    assert "no configuration" in log.read_text(encoding="utf-8")


def test_the_scenario_is_missing(tmp_path: Path) -> None:
    """Neither a file nor a shipped one."""
    done = command.squall("run", "frist_storm", cwd=tmp_path)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "frist_storm" in line
    assert line.endswith("did you mean first_storm?")
    assert "Traceback" not in line


def test_a_file_beside_the_missing_one_may_have_been_meant(tmp_path: Path) -> None:
    """So may those in a folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "storm.yaml").write_text(STEADY, encoding="utf-8")
    slip, folder = (
        command.squall("run", word, cwd=tmp_path) for word in ("mine/strom.yaml", "mine")
    )
    assert slip.code == folder.code == 2
    assert slip.err.rstrip().endswith("did you mean mine/storm.yaml?")
    assert folder.err.rstrip().endswith("name the files in it, as in mine/*.yaml")


def test_every_mistake_of_a_scenario_is_told(tmp_path: Path) -> None:
    """One line each, with its place."""
    text = STEADY.replace("4}", "four}").replace("5s", "5 parsecs")
    text = text.replace("agents:", "colour: blue\nagents:")
    (tmp_path / "steady.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "steady.yaml", cwd=tmp_path)
    assert done.code == 2
    lines = [line.removeprefix("squall: ") for line in done.err.splitlines()]
    assert len(lines) >= 3
    assert all(line.startswith("steady.yaml:") for line in lines)
    for part in ("colour", "sessions", "baseline"):
        assert any(part in line for line in lines)


def test_the_flaw_is_unknown(tmp_path: Path) -> None:
    """With the one that was meant, or those there are."""
    line = refused(tmp_path, "--reference", "no-dedpu")
    assert "'no-dedpu'" in line
    assert line.endswith("did you mean no-dedup?")
    assert "no-dedup, " in refused(tmp_path, "--reference", "xyz")


def test_the_bearer_variable_is_empty(tmp_path: Path) -> None:
    """It is named."""
    text = STEADY + "auth: {issuer: target, grant: bearer, token_variable: NO_SUCH_TOKEN}\n"
    url = f"http://127.0.0.1:{free_port()}/mcp"
    line = refused(tmp_path, "--target", url, text=text)
    assert "NO_SUCH_TOKEN" in line


def test_the_toxiproxy_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    url = f"http://127.0.0.1:{free_port()}"
    line = refused(tmp_path, "--toxiproxy", url)
    assert url in line
    assert "leave that out" in line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--target", "http://127.0.0.1:1/mcp", "--reference", "hardened"), "one of them"),
        (("--launch", "server"), "needs --target"),
        (("--workers", "-1"), "--workers"),
        (("--web", "0"), "--web"),
        (("--era", "stone"), "--era"),
        (("--no-such-flag",), "--no-such-flag"),
        (("--json", "no/such/folder/out.json"), "no/such/folder"),
        (("--junit", "no/such/folder/out.xml"), "no/such/folder"),
        (("--junit", "-"), "--junit -: expected a file"),
        (("--markdown", "-"), "--markdown -: expected a file"),
        (("--target", "http://127.0.0.1:1/mcp", "--launch", "serve 'it"), "close its quotes"),
    ],
)
def test_the_flags_make_no_sense(tmp_path: Path, words: tuple[str, ...], part: str) -> None:
    """Said before anything is started."""
    (tmp_path / "steady.yaml").write_text(STEADY, encoding="utf-8")
    done = command.squall("run", "steady.yaml", *words, cwd=tmp_path)
    assert done.code == 2
    assert part in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()


def test_the_folder_for_runs_cannot_be_made(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "taken").write_text("", encoding="utf-8")
    line = refused(tmp_path, "--out", "taken/runs")
    assert "--out" in line


def test_a_refused_scenario_does_not_keep_the_next_from_being_tried(tmp_path: Path) -> None:
    """Each says its own sentence; the exit code is that of the worst."""
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(STEADY, encoding="utf-8")
    url = f"http://127.0.0.1:{free_port()}/mcp"
    done = command.squall("run", "one.yaml", "two.yaml", "--target", url, "--quiet", cwd=tmp_path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 2


@pytest.mark.parametrize("flag", ["--json", "--junit", "--markdown"])
def test_a_place_that_is_a_folder_is_refused_before_anything_runs(
    flag: str, tmp_path: Path
) -> None:
    """Not after it, when the result is lost on whoever waits for the file."""
    place = tmp_path / "reports"
    place.mkdir()
    assert refused(tmp_path, flag, str(place)).endswith("is a folder; name a file in it")


def test_a_file_that_cannot_be_written_is_told_without_a_traceback(tmp_path: Path) -> None:
    """What was possible at first need not be so at the end."""
    place = tmp_path / "gone" / "verdict.json"
    with pytest.raises(UsageError, match=r"cannot be written: .*; what was found is in the run"):
        write_file("{}", str(place))


def test_a_server_over_pipes_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Its log goes with the run's folder, and status 2 alone tells nobody what to mend."""
    line = refused(tmp_path, "--stdio", f"{sys.executable} no_such_server.py")
    assert "ended with status 2; it said: " in line
    assert "can't open file" in line
    assert "no_such_server.py" in line
