"""`squall completion`, and what a shell completes beside commands and flags."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

import click
from click.shell_completion import CompletionItem

from faults.catalogue import CATALOGUE
from harness.errors import Exit
from harness.scenario.records import FLAWS, HARDENED
from scenarios import shipped

SHELLS: Final = ("bash", "zsh", "fish")
Item = CompletionItem[str]


@click.command(
    epilog="\b\n"
    "Example: squall completion bash > ~/.squall.bash\n"
    "In bash, in ~/.bashrc: source ~/.squall.bash\n"
    'In zsh, in ~/.zshrc, after compinit: eval "$(squall completion zsh)"\n'
    "In fish: mkdir -p ~/.config/fish/completions\n"
    "         squall completion fish > ~/.config/fish/completions/squall.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the script that makes a shell complete squall's words.

    Commands, flags and their values, files and folders, and the names of
    shipped scenarios, faults and flaws. Bash has to be 4.4 or newer.
    """
    click.echo(files(__package__).joinpath(f"completion.{shell}").read_text("utf-8"), nl=False)
    return int(Exit.PASS)


def scenario_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete shipped scenarios by name, and else files."""
    del ctx, param
    return words_of(shipped(), incomplete) or [CompletionItem(incomplete, type="file")]


def fault_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete the names of faults."""
    del ctx, param
    return words_of(CATALOGUE, incomplete)


def flaw_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete the last of several flaws, which commas join."""
    del ctx, param
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{item.value}")
        for item in words_of((HARDENED, *FLAWS), last)
    ]


def words_of(names: Iterable[str], incomplete: str) -> list[Item]:
    """Complete one of some names."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
