from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from harness import system
from harness.cli import cli, run
from harness.errors import Exit, UsageError


@pytest.mark.parametrize(
    ("platform", "fine"), [("linux", True), ("darwin", True), ("win32", False)]
)
def test_a_platform_that_nobody_tried_is_refused(
    monkeypatch: pytest.MonkeyPatch, platform: str, fine: bool
) -> None:
    """Before anything is started."""
    monkeypatch.setattr(sys, "platform", platform)
    if fine:
        system.check()
        return
    with pytest.raises(UsageError, match="Linux and macOS, not on win32"):
        system.check()


def test_every_command_says_one_sentence_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a traceback about a module that other systems lack."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert run(["demo"]) == Exit.NOT_RUN
    said = capsys.readouterr().err
    assert said == "squall: squall runs on Linux and macOS, not on win32; use a container\n"
    assert CliRunner().invoke(cli, ["--version"]).exit_code == Exit.PASS
