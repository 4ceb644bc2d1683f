from __future__ import annotations

import click
import pytest

from harness.cli.arguments import flags_of, overrides_of
from harness.cli.running import run
from harness.overrides import Overrides

URL = "https://127.0.0.1:9/mcp"


@pytest.mark.parametrize(
    "overrides",
    [
        Overrides(),
        Overrides(reference=("no-dedup", "expired-is-403"), seed=0, era="modern", aa=True),
        Overrides(target_url=URL, transport="sse", revision="2025-06-18"),
        Overrides(target_url=URL, launch=("serve", "--name", "two words", "it's")),
        Overrides(target_url=URL, unix_socket="/run/x.sock", tls={"ca": "a.pem", "key": "k.pem"}),
        Overrides(stdio=("python", "-m", "notes"), engine="sdk"),
        Overrides(target_url=URL, tls={"certificate": "c.pem"}),
    ],
)
def test_the_flags_of_a_run_s_changes_make_the_same_changes_again(overrides: Overrides) -> None:
    """Read by the command itself, so that a try is what the run was."""
    with run.make_context("run", ["storm.yaml", *flags_of(overrides)]) as context:
        assert isinstance(context, click.Context)
        given = dict(context.params)
    assert overrides_of(given, given["era"]) == overrides
