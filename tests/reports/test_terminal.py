from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from faults.network import TcpLatency
from harness.evidence.phases import evidence as lay
from harness.judge import judge
from reports.report import Report, make
from reports.terminal import summary, wants_color
from tests.journals import healthy, plan, scenario, storm, window
from tests.reports.samples import (
    FACTS,
    HOSTILE,
    evidence_of_a_storm,
    judgement_of_a_calm,
    judgement_of_a_storm,
)

SCREEN = 24
SGR = re.compile(r"\x1b\[[0-9;]*m")


def failed() -> Report:
    """Report the storm."""
    return make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Whatever was found, nothing wraps by itself."""
    text = summary(failed(), width=width, color=False, folder="runs/first_storm")
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_wide_letters_are_counted_as_wide() -> None:
    """A name in wide letters is cut by columns, not by characters."""
    judgement = replace(judgement_of_a_storm(), scenario="嵐" * 60, headline="嵐" * 60)
    text = summary(make(evidence_of_a_storm(), judgement), width=80, color=False)
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_the_verdict_is_the_last_line() -> None:
    """`tail -1` is the verdict."""
    text = summary(failed(), color=False, folder="runs/x")
    assert text.splitlines()[-1].startswith("FAIL  61.4 of 100")
    assert text.endswith("\n")


def test_a_clean_run_fits_on_one_screen() -> None:
    """With the real judge and with every limit shown, nothing scrolls away."""
    evidence = storm(TcpLatency())
    report = make(evidence, judge(evidence, name="slow_network"), FACTS)
    for one in (report, make(evidence, judgement_of_a_calm(), FACTS)):
        text = summary(one, color=False, folder="runs/x")
        assert len(text.splitlines()) <= SCREEN
        assert text.splitlines()[-1].startswith("PASS")


def test_the_worst_comes_first() -> None:
    """Hard failures stand before soft ones, failed limits before kept ones, failed faults first."""
    text = summary(failed(), color=False)
    order = ["✗ expired-is-403", "✗ session-lost", "✗ answered", "? recovery", "✓ latency_p99"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.index("✗ 2:token-expire") < text.index("✓ 1:tcp-latency")


def test_limits_stand_beside_what_was_measured() -> None:
    """A reader sees both figures on one line."""
    lines = summary(failed(), color=False).splitlines()
    line = next(line for line in lines if "answered" in line and "wanted" in line)
    assert "95.3%" in line
    assert ">= 99.5%" in line


def test_a_reason_is_never_cut() -> None:
    """The sentence that says what is wrong is broken into lines, not shortened."""
    text = " ".join(summary(failed(), width=60, color=False).split())
    assert "so agents cannot know that a refresh would help" in text


def test_the_command_can_be_pasted_even_when_it_is_long() -> None:
    """A broken command line is joined again by the shell."""
    words = ["squall", "run", *(f"scenarios/number_{n}.yaml" for n in range(9)), "--seed", "7"]
    report = make(evidence_of_a_storm(), judgement_of_a_storm(), {"command": words})
    text = summary(report, color=False)
    block = text[text.index("again") + len("again") :].split("\n\n")[0]
    assert block.replace("\\\n", " ").split() == words


def test_what_the_server_said_cannot_drive_the_terminal() -> None:
    """Escape sequences, control and direction marks are gone, with colour or without."""
    evidence = evidence_of_a_storm(tool=HOSTILE, text=HOSTILE)
    judgement = judgement_of_a_storm(tool=HOSTILE, why=f"{HOSTILE}\x1b]0;owned\x07\x9b31m\r")
    report = make(
        evidence, replace(judgement, headline=f"FAIL {HOSTILE}\n\n"), {"command": HOSTILE}
    )
    for color in (True, False):
        text = SGR.sub("", summary(report, color=color)) if color else summary(report, color=color)
        assert not [sign for sign in text if ord(sign) < 32 and sign != "\n"]
        assert not set(text) & {"\x7f", "\x9b", "\u202e"}
        assert "owned" not in text


def test_colour_is_only_there_when_asked_for() -> None:
    """Without colour there is not one escape sequence; with it the words are the same."""
    plain, coloured = summary(failed(), color=False), summary(failed(), color=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert SGR.sub("", coloured) == plain


def test_the_environment_does_not_change_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns, terminal and colour variables of the shell leave the bytes alone."""
    before = summary(failed(), color=True)
    for name, value in (("COLUMNS", "40"), ("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    assert summary(failed(), color=True) == before


def test_the_path_of_the_page_is_never_cut() -> None:
    """A path is there to be opened: where it is too long for its line it gets one of its own."""
    folder = "runs/" + "x" * 90
    assert f"{folder}/report.html" in summary(failed(), color=False, folder=folder).splitlines()


def test_a_short_run_shows_the_percentile_that_its_samples_support() -> None:
    """With too few calls for a p99 the arms are compared by p95, not by nothing."""
    of = scenario(window(TcpLatency()), load={"sessions": 6, "ramp": "1s"})
    by = plan(of)
    evidence = lay(of, by, healthy(of, by))
    text = summary(make(evidence, judgement_of_a_calm()), color=False)
    assert "p95 from due" in text
    assert "p99 from due" not in text


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Screen(), {}, True),
        (Screen(), {"NO_COLOR": "1"}, False),
        (Screen(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (Screen(), {"NO_COLOR": ""}, True),
        (Screen(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
    ],
)
def test_no_color_is_honoured(
    stream: io.StringIO, environment: dict[str, str], *, expected: bool
) -> None:
    """Colour needs a terminal, and NO_COLOR outranks everything."""
    assert wants_color(stream, environment) is expected
