"""The command line: arguments in, exit code out. The only package that prints.

Commands are imported when they are asked for, so that `squall --help` does not load Locust.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

import harness
from harness import system
from harness.cli.failing import tell
from harness.scenario.mistakes import likely

# command -> the module that holds it, in the order in which help lists them
COMMANDS: Final[dict[str, str]] = {
    "demo": "running",
    "run": "running",
    "capacity": "climbing",
    "gameday": "gaming",
    "check": "listing",
    "init": "starting",
    "judge": "reading",
    "report": "reading",
    "compare": "comparing",
    "baseline": "comparing",
    "export": "exporting",
    "shrink": "shrinking",
    "recover": "recovering",
    "selftest": "selftesting",
    "faults": "listing",
    "scenarios": "listing",
    "schema": "listing",
    "completion": "completing",
    "toxiproxy": "parts",
    "issuer": "parts",
    "reference": "parts",
}


_SENTENCE_MAX: Final = 200
_BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")  # read when it is loaded


class _Lazy(click.Group):
    """A group that imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in a useful order."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with the whole first sentence of its help."""
        found = ((name, self.get_command(ctx, name)) for name in COMMANDS)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.get_short_help_str(_SENTENCE_MAX)) for name, each in found if each]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or say which one was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            meant = likely(args[0], COMMANDS) if args else None
            if meant is None:
                raise
            raise click.UsageError(f"{error.message} Did you mean {meant}?", ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete a command's name without importing what is behind it."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command by name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        system.check()
        with _numpy_alone():
            module = importlib.import_module(f"harness.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@contextlib.contextmanager
def _numpy_alone() -> Iterator[None]:
    """Let numpy, if it is loaded in here, multiply on one thread, unless the user says how many.

    The products of a verdict are so small that threads mostly wait for each other: three times the
    processor time, and longer still where cores are shared. Children see the environment as it was.
    """
    asked = any(name in os.environ for name in _BLAS_THREADS)
    if not asked:
        os.environ[_BLAS_THREADS[0]] = "1"
    try:
        yield
    finally:
        if not asked:
            del os.environ[_BLAS_THREADS[0]]


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Start with: squall demo",
)
@click.version_option(harness.__version__, "-V", "--version", prog_name="squall")
def cli() -> None:
    """Find out what an MCP server's users would lose when things break.

    squall puts many concurrent agent sessions on a server, breaks things while
    they run, and says what was lost, with evidence and a score.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of `harness.errors.Exit`."""
    code = run(list(sys.argv[1:] if arguments is None else arguments))
    gc.freeze()  # nothing that is left needs the interpreter's last collection
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line and give its exit code."""
    try:
        code: Any = cli.main(arguments, prog_name="squall", standalone_mode=False)
    except SystemExit as done:  # a shell was told what it may complete
        return int(done.code or 0)
    except BaseException as error:  # noqa: BLE001  the last boundary: everything gets a code here
        return int(tell(error).code)
    return int(code or 0)
