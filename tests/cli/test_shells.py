"""Completion in the shells themselves: installed as `--help` says, typed on a terminal."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests import command

pytestmark = pytest.mark.timeout(180)
ANSWER_S: Final = 60.0  # a shell asks squall, which may have to wait for a processor
REPORT: Final = "\x18"  # Ctrl-X writes the line that stands there into a file
CLEAR: Final = "\x15"

# What is typed before the tab, and what the line is then; each is its only completion.
TYPED: Final[Mapping[str, str]] = {
    "squall sel": "squall selftest ",
    "squall run fir": "squall run first_storm ",
    "squall run --era=l": "squall run --era=legacy ",
    "squall capacity steady --fault token-e": "squall capacity steady --fault token-expire ",
    "squall demo --reference no-dedup,exp": "squall demo --reference no-dedup,expired-is-403 ",
    "squall run --json=ba": "squall run --json=baseline.json ",
    "squall compare ba": "squall compare baseline.json ",
    "squall run --out ru": "squall run --out runs/",
}


def needs(shell: str) -> pytest.MarkDecorator:
    """Skip, loudly, where a shell is not installed."""
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"NO {shell.upper()} HERE")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of its own, with the command on the path and something to name in it."""
    place = tmp_path / "home"
    (place / "bin").mkdir(parents=True)
    squall = place / "bin" / "squall"
    squall.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n', encoding="utf-8")
    squall.chmod(0o755)
    (place / "runs").mkdir()
    for name in ("mine.yaml", "baseline.json"):
        (place / name).write_text("", encoding="utf-8")
    return place


def environment(home: Path) -> dict[str, str]:
    """Nothing of whoever runs the tests."""
    return {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(command.ROOT),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "REPORT": str(home / "report"),
    }


def installed(home: Path, shell: str) -> list[str]:
    """The lines of `squall completion --help` that are for one shell, without its name."""
    done = command.squall("completion", "--help", cwd=home)
    lines = [line.strip() for line in done.out.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.startswith(f"In {shell}"))
    first = lines[at].split(": ", 1)[1]
    return [first, *(line for line in lines[at + 1 :] if line and not line.startswith("In "))]


class Terminal:
    """A shell on a terminal, as somebody sits at it."""

    def __init__(self, near: int, report: Path) -> None:
        self._near = near
        self._report = report

    def until(self, holds: Callable[[str], bool]) -> str:
        """Read what is shown until something holds of it."""
        shown = ""
        end_s = time.monotonic() + ANSWER_S
        while not holds(shown):
            left_s = end_s - time.monotonic()
            assert left_s > 0, f"the shell still shows: {shown!r}"
            if select.select([self._near], [], [], min(left_s, 0.05))[0]:
                shown += os.read(self._near, 65536).decode(errors="replace")
        return shown

    def complete(self, line: str) -> str:
        """Type a line and a tab, and give the line that then stands there."""
        self._report.unlink(missing_ok=True)
        os.write(self._near, f"{line}\t{REPORT}".encode())
        self.until(lambda _: self._report.exists() and self._report.read_text().endswith("\n"))
        os.write(self._near, CLEAR.encode())
        return self._report.read_text(encoding="utf-8").removesuffix("\n")


@contextmanager
def sat_at(shell: Sequence[str], home: Path) -> Iterator[Terminal]:
    """Sit down at a shell that says READY when it is."""
    near, far = os.openpty()
    started = subprocess.Popen(
        shell,
        stdin=far,
        stdout=far,
        stderr=far,
        env=environment(home),
        cwd=home,
        start_new_session=True,
    )
    os.close(far)
    try:
        terminal = Terminal(near, home / "report")
        terminal.until(lambda shown: "READY" in shown)
        yield terminal
    finally:
        started.kill()
        started.wait(ANSWER_S)
        os.close(near)


def same(terminal: Terminal) -> None:
    """Everything that is typed is completed as it should be."""
    assert {line: terminal.complete(line) for line in TYPED} == TYPED


@needs("bash")
def test_bash_completes_what_is_typed(home: Path) -> None:
    """Where it takes a flag and its value apart too."""
    shown = command.squall("completion", "--help", cwd=home).out
    example = next(line for line in shown.splitlines() if line.startswith("  Example: "))
    source = installed(home, "bash")[0]
    rc = (
        f"{example.split(': ', 1)[1]}\n{source}\n"
        'report() { printf "%s\\n" "$READLINE_LINE" > "$REPORT"; }\n'
        "bind -x '\"\\C-x\": report'\nbind '\"\\C-u\": kill-whole-line'\necho READY\n"
    )
    (home / ".bashrc").write_text(rc, encoding="utf-8")
    with sat_at(["bash", "-i"], home) as terminal:
        same(terminal)


ZLE: Final = """\
report() { print -r -- "$BUFFER" > $REPORT }
zle -N report; bindkey '^X' report; bindkey '^U' kill-whole-line
print READY
"""


@needs("zsh")
@pytest.mark.parametrize("before", ["", "autoload -Uz compinit; compinit -u\n"])
def test_zsh_completes_what_is_typed(before: str, home: Path) -> None:
    """With its completions switched on, and where nothing has switched them on before."""
    evaluated = installed(home, "zsh")[0]
    (home / ".zshrc").write_text(f"{before}{evaluated}\n{ZLE}", encoding="utf-8")
    with sat_at(["zsh", "--no-global-rcs", "-i"], home) as terminal:
        if before:
            same(terminal)
        assert terminal.complete("squall sel") == "squall selftest "


@needs("zsh")
def test_zsh_loads_the_script_out_of_its_folder(home: Path) -> None:
    """As packages install it: a file in fpath, which is read when it is first needed."""
    (home / "functions").mkdir()
    script = command.squall("completion", "zsh", cwd=home).out
    (home / "functions" / "_squall").write_text(script, encoding="utf-8")
    loaded = "fpath=(~/functions $fpath); autoload -Uz compinit; compinit -u\n"
    (home / ".zshrc").write_text(loaded + ZLE, encoding="utf-8")
    with sat_at(["zsh", "--no-global-rcs", "-i"], home) as terminal:
        assert terminal.complete("squall run --era=l") == "squall run --era=legacy "
        assert terminal.complete("squall sel") == "squall selftest "


@needs("fish")
def test_fish_completes_what_is_typed(home: Path) -> None:
    """By its own completion, in a home in which it has never been started."""
    subprocess.run(
        ["sh", "-e"],
        input="\n".join(installed(home, "fish")),
        env=environment(home),
        cwd=home,
        text=True,
        check=True,
        timeout=ANSWER_S,
    )
    found = fish(home, *TYPED)
    wanted = {
        line: [whole.rpartition(" ")[2] or whole.split()[-1]] for line, whole in TYPED.items()
    }
    assert {line: [one[0] for one in told] for line, told in found.items()} == wanted


@needs("fish")
def test_fish_shows_what_a_flag_is_for(home: Path) -> None:
    """The whole of it, also beyond a comma."""
    place = home / ".config" / "fish" / "completions"
    place.mkdir(parents=True)
    script = command.squall("completion", "fish", cwd=home).out
    (place / "squall.fish").write_text(script, encoding="utf-8")
    ((flag, meaning),) = fish(home, "squall run --c")["squall run --c"][:1]
    assert flag == "--ca"
    assert meaning == "Trust these authorities too, for an https target."


def fish(home: Path, *lines: str) -> dict[str, list[tuple[str, str]]]:
    """What fish would offer for each line, and what it says beside it."""
    script = 'for line in $argv; echo "> $line"; complete --do-complete=$line; end'
    done = subprocess.run(
        ["fish", "--command", script, *lines],
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
        timeout=ANSWER_S * 2,
    )
    assert not done.stderr
    told: dict[str, list[tuple[str, str]]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("> "):
            told[line[2:]] = []
        else:
            word, _, meaning = line.partition("\t")
            told[list(told)[-1]].append((word, meaning))
    return told
