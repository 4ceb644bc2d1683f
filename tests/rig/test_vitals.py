"""What a process tree costs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import anyio
import pytest

from harness.rig.vitals import Vitals, connections_to, sample

pytestmark = pytest.mark.anyio


async def test_a_tree_is_counted_with_its_children() -> None:
    """Memory, descriptors, threads and processor time of the whole, and how many there are."""
    before = await sample(os.getpid())
    program = "import sys; kept = bytearray(64 << 20); print('up', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", program]
    with anyio.fail_after(20):
        async with await anyio.open_process(argv, stdin=subprocess.PIPE) as child:
            assert child.stdout is not None
            await child.stdout.receive()
            during = await sample(os.getpid())
            child.kill()
            await child.wait()
    assert before.rss_bytes is not None
    assert during.rss_bytes is not None
    assert during.rss_bytes - before.rss_bytes > 60 << 20
    assert (during.children or 0) == (before.children or 0) + 1
    assert (during.threads or 0) > (before.threads or 0)
    assert (during.open_files or 0) > (before.open_files or 0)
    assert (during.cpu_s or 0) > 0


async def test_a_process_that_has_gone_has_no_vitals() -> None:
    """Every field is unknown, and asking is no error."""
    ended = await anyio.run_process([sys.executable, "-c", "import os; print(os.getpid())"])
    assert await sample(int(ended.stdout)) == Vitals()


async def test_connections_to_an_address_are_counted_over_the_tree() -> None:
    """A child's, by a socket of either family; not those elsewhere, nor those that were ended."""
    program = (
        "import socket, sys; a, b = map(int, sys.argv[1:]); kept = [socket.create_connection("
        "('127.0.0.1', port)) for port in (a, a, b)]; six = socket.socket(socket.AF_INET6); "
        "six.connect(('::ffff:127.0.0.1', a)); print('up', flush=True); sys.stdin.read()"
    )
    with anyio.fail_after(20), ExitStack() as stack:
        near, far = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "ab")
        port = near.getsockname()[1]
        argv = [sys.executable, "-c", program, str(port), str(far.getsockname()[1])]
        async with await anyio.open_process(argv, stdin=subprocess.PIPE) as child:
            assert child.stdout is not None
            await child.stdout.receive()
            taken = [stack.enter_context(near.accept()[0]) for _ in range(3)]
            held = await connections_to(os.getpid(), host="127.0.0.1", port=port)
            elsewhere = await connections_to(os.getpid(), host="127.0.0.9", port=port)
            taken[0].close()
            left = await connections_to(os.getpid(), host="127.0.0.1", port=port)
            child.kill()
            await child.wait()
            gone = await connections_to(child.pid, host="127.0.0.1", port=port)
    assert (held.count, elsewhere.count, left.count, gone.count) == (3, 0, 2, None)
    assert held.cost_s > 0
