"""`squall completion`, and what a shell completes beside commands and flags."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from faults.catalogue import CATALOGUE
from harness.errors import Exit, UsageError
from harness.scenario.records import FLAWS, HARDENED
from scenarios import shipped

VARIABLE: Final = "_SQUALL_COMPLETE"  # as click derives it from the program's name
SHELLS: Final = ("bash", "zsh", "fish")
Item = CompletionItem[str]


@click.command(
    epilog="\b\n"
    "Example: squall completion bash > ~/.squall.bash\n"
    "In bash, in ~/.bashrc: source ~/.squall.bash\n"
    'In zsh, in ~/.zshrc: eval "$(squall completion zsh)"\n'
    "In fish: squall completion fish > ~/.config/fish/completions/squall.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script that makes a shell complete squall's words.

    Commands, flags, files and folders, and the names of shipped scenarios,
    faults and flaws. Bash has to be 4.4 or newer.
    """
    if shell == "bash" and shutil.which("bash") is None:
        raise UsageError("expected a bash on the path, found none; name the shell that is there")
    found = get_completion_class(shell)
    assert found is not None
    root = ctx.find_root()
    click.echo(found(root.command, {}, "squall", VARIABLE).source(), nl=False)
    return int(Exit.PASS)


def scenario_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete shipped scenarios by name, and else files."""
    del ctx, param
    return _those(shipped(), incomplete) or [CompletionItem(incomplete, type="file")]


def fault_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete the names of faults."""
    del ctx, param
    return _those(CATALOGUE, incomplete)


def flaw_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete the last of several flaws, which commas join."""
    del ctx, param
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{item.value}") for item in _those((HARDENED, *FLAWS), last)
    ]


def _those(names: Iterable[str], incomplete: str) -> list[Item]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
