"""`squall toxiproxy`, `issuer` and `reference`: the rig's parts, usable alone."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

_ALONE = {"ignore_unknown_options": True, "help_option_names": []}
_WORDS = click.argument("words", nargs=-1, type=click.UNPROCESSED)


def _become(module: str, words: tuple[str, ...]) -> NoReturn:
    """Replace this process by the part, which has a help of its own."""
    os.execv(sys.executable, [sys.executable, "-m", module, *words])  # noqa: S606  no shell is meant


@click.command(context_settings=_ALONE)
@_WORDS
def toxiproxy(words: tuple[str, ...]) -> None:
    """Serve Toxiproxy's API and toxics, from Python."""
    _become("faults.toxiproxy", words)


@click.command(context_settings=_ALONE)
@_WORDS
def issuer(words: tuple[str, ...]) -> None:
    """Serve an OAuth 2.1 authorization server for tests."""
    _become("harness.rig.issuer", words)


@click.command(context_settings=_ALONE)
@_WORDS
def reference(words: tuple[str, ...]) -> None:
    """Serve the bundled MCP server, hardened or with flaws."""
    _become("harness.reference", words)
