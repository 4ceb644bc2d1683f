"""Children start, say they are ready, and never outlive the block that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import psutil
import pytest

from harness.errors import RigError
from harness.rig.process import child, leashed

pytestmark = pytest.mark.anyio

SLEEPER = "import sys,time; print('noise'); print('ready 7', flush=True); time.sleep(60)"


def script(text: str) -> list[str]:
    """A command that runs `text` with this interpreter."""
    return [sys.executable, "-c", text]


async def gone(pid: int) -> bool:
    """Whether a process has ended, given five seconds."""
    with anyio.move_on_after(5):
        # Another process's end is no event of ours.
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":  # noqa: ASYNC110
            await anyio.sleep(0.02)
        return True
    return False


async def test_a_child_is_ready_by_its_line_and_gone_after_the_block() -> None:
    """The ready line is handed over and the process is reaped on exit."""
    with anyio.fail_after(20):
        async with child(script(SLEEPER), ready="ready", log=None) as running:
            assert running.ready_line == "ready 7"
            assert running.returncode is None
        assert running.returncode == -signal.SIGTERM
        assert not psutil.pid_exists(running.pid)


async def test_what_a_child_writes_is_in_its_log(tmp_path: Path) -> None:
    """Both streams reach the file, before and after the ready line."""
    text = (
        "import sys; print('ready', flush=True); print('later', flush=True);"
        "print('wrong', file=sys.stderr, flush=True); sys.stdin.read()"
    )
    log = tmp_path / "logs" / "child.log"
    with anyio.fail_after(20):
        async with child(script(text), ready="ready", log=log):
            while not {"ready", "later", "wrong"} <= set(log.read_text().split()):  # noqa: ASYNC110
                await anyio.sleep(0.01)
    assert log.read_text().split().count("ready") == 1


async def test_a_child_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL follows when SIGTERM does not suffice."""
    monkeypatch.setattr("harness.rig.process.TERMINATE_S", 0.2)
    text = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
    with anyio.fail_after(20):
        async with child(script(text), ready="ready", log=None) as running:
            pass
    assert running.returncode == -signal.SIGKILL


async def test_a_child_that_ends_early_is_a_rig_error_with_its_last_words() -> None:
    """The error quotes what the child said and its status."""
    text = "import sys; sys.exit('no such configuration')"
    with anyio.fail_after(20), pytest.raises(RigError, match=r"status 1.*no such configuration"):
        async with child(script(text), ready="ready", log=None):
            pytest.fail("the block must not run")


async def test_a_silent_child_is_a_rig_error_and_is_ended() -> None:
    """Waiting for the ready line has a limit."""
    with anyio.fail_after(20), pytest.raises(RigError, match=r"did not say 'ready' within 0\.3 s"):
        async with child(["sleep", "60"], ready="ready", log=None, ready_s=0.3):
            pytest.fail("the block must not run")


async def test_a_missing_program_is_a_rig_error() -> None:
    """The program's name is in the sentence."""
    with pytest.raises(RigError, match="cannot start no-such-program"):
        async with child(["no-such-program"], ready=None, log=None):
            pytest.fail("the block must not run")


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    """The body's own exception is not wrapped, and the child is gone."""
    with anyio.fail_after(20), pytest.raises(KeyError, match="mine"):
        async with child(script(SLEEPER), ready="ready", log=None) as running:
            raise KeyError("mine")
    assert not psutil.pid_exists(running.pid)


async def test_a_cancelled_block_still_reaps_its_child() -> None:
    """Cancellation ends the child as well."""
    with anyio.fail_after(20):
        with anyio.CancelScope() as scope:
            async with child(script(SLEEPER), ready="ready", log=None) as running:
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert not psutil.pid_exists(running.pid)


async def test_a_leashed_program_dies_when_its_holder_is_killed() -> None:
    """The end of the pipe ends a program that never reads its standard input."""
    holder = (
        "import subprocess,sys,time\n"
        "from harness.rig.process import leashed\n"
        "inner = 'import os,time; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "p = subprocess.Popen(leashed([sys.executable, '-c', inner]), stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, start_new_session=True)\n"
        "print(p.stdout.readline().decode(), end='', flush=True)\n"
        "time.sleep(60)\n"
    )
    with (
        anyio.fail_after(20),
        subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [sys.executable, "-c", holder],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ) as process,
    ):
        assert process.stdout is not None
        pid = int(await anyio.to_thread.run_sync(process.stdout.readline))
        process.kill()
        assert await gone(pid)


async def test_a_leashed_program_is_ended_with_its_block() -> None:
    """The whole process group goes, not the shell alone."""
    text = "import os,time; print('ready', os.getpid(), flush=True); time.sleep(60)"
    with anyio.fail_after(20):
        began = time.monotonic()
        async with child(leashed(script(text)), ready="ready", log=None) as running:
            pid = int(running.ready_line.split()[1])
        assert await gone(pid)
        assert time.monotonic() - began < 15
