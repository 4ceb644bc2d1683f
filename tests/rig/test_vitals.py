"""What a process tree costs."""

from __future__ import annotations

import os
import subprocess
import sys

import anyio
import pytest

from harness.rig.vitals import Vitals, sample

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
