"""Starting the server under test."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import pytest

from harness.errors import RigError
from harness.rig import server
from tests.ports import free_port

pytestmark = pytest.mark.anyio

# A whole web server in one line: `python -c PROGRAM port`.
PROGRAM = (
    "import sys, http.server as h; "
    "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler)"
    ".serve_forever()"
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's servers live."""
    return "asyncio"


@pytest.fixture(scope="module")
async def open_target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[server.Target]:
    """The bundled server, open to everybody."""
    folder = tmp_path_factory.mktemp("open")
    async with server.reference(issuer=None, ledger=folder / "ledger.db") as target:
        yield target


# --- starting it ----------------------------------------------------------------------------


async def test_a_launched_program_answers_and_is_gone_afterwards(tmp_path: Path) -> None:
    """Ready when it answers HTTP; its words are kept; no process of its group survives."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    log = tmp_path / "target.log"
    argv = (sys.executable, "-c", PROGRAM, str(port))
    with anyio.fail_after(30):
        async with server.launch(argv, url=url, log=log) as target:
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(url)).status_code == 404
            assert target.pid is not None
        assert not server._is_alive(target.pid)
    assert "GET /mcp" in log.read_text()


async def test_a_launched_program_is_told_to_end_and_waited_for(tmp_path: Path) -> None:
    """What it does on SIGTERM is done before it is gone."""
    program = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.2)\n"
        "    pathlib.Path(sys.argv[1]).write_text('put away')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('listening http://127.0.0.1:1/', flush=True)\n"
        "time.sleep(60)\n"
    )
    argv = (sys.executable, "-c", program, str(tmp_path / "file"))
    with anyio.fail_after(30):
        async with server.launch(argv, url=None):
            assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_text() == "put away"


async def test_a_program_that_says_where_it_listens_needs_no_url(tmp_path: Path) -> None:
    """And what it needs from the environment is added to ours."""
    program = "import os, time; print('listening', os.environ['WHERE'], flush=True); time.sleep(60)"
    argv = (sys.executable, "-c", program)
    env = {"WHERE": "http://127.0.0.1:1/mcp"}
    with anyio.fail_after(30):
        async with server.launch(argv, url=None, env=env, log=tmp_path / "l") as target:
            assert target.url == env["WHERE"]


async def test_a_taken_address_is_refused_before_anything_starts(
    open_target: server.Target,
) -> None:
    """Otherwise somebody else's server would be tested."""
    with pytest.raises(RigError, match="something listens there"):
        async with server.launch(("true",), url=open_target.url):
            pytest.fail("launched")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ((sys.executable, "-c", "raise SystemExit(7)"), "ended with status"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), r"did not answer at .* within 1 s"),
        (("no-such-program",), "'no-such-program' is none"),
    ],
)
async def test_a_program_that_does_not_come_up_says_so(
    argv: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    """It ended, it is mute, it does not exist."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    with anyio.fail_after(30), pytest.raises(RigError, match=sentence):
        async with server.launch(argv, url=url, log=tmp_path / "log", ready_s=1):
            pytest.fail("launched")


async def test_a_port_in_use_is_the_reference_servers_own_sentence(
    open_target: server.Target, tmp_path: Path
) -> None:
    """With the mend, through the error of the one who started it."""
    port = httpx.URL(open_target.url).port or 0
    with anyio.fail_after(30), pytest.raises(RigError, match="choose another port"):
        async with server.reference(issuer=None, ledger=tmp_path / "l.db", port=port):
            pytest.fail("started")


async def test_the_reference_server_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that dies by SIGKILL takes it along: nobody else would."""
    program = (
        "import anyio, sys, pathlib\n"
        "from harness.rig import server\n"
        "async def main():\n"
        "    ledger = pathlib.Path(sys.argv[1])\n"
        "    async with server.reference(issuer=None, ledger=ledger, flaws=['sync-blocks-loop'])"
        " as target:\n"
        "        print(target.pid, flush=True)\n"
        "        await anyio.sleep(60)\n"
        "anyio.run(main)\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "l.db")]
    with anyio.fail_after(30):
        async with await anyio.open_process(argv, stderr=None) as parent:
            assert parent.stdout is not None
            pid = int(await parent.stdout.receive())
            parent.kill()
            await parent.wait()
        # Not our child, so there is nothing to wait for but its absence.
        while server._is_alive(pid):
            await anyio.lowlevel.checkpoint()
