from __future__ import annotations

from faults.identity import TokenExpire
from faults.network import TcpLatency
from harness.checks.consumers import misled
from harness.evidence.phases import evidence
from harness.journal import Calls
from harness.outcome import Auth, Outcome, Reason
from tests.checks import cases
from tests.journals import NOTE, between, end, journal, plan, scenario


def emptied(within: tuple[float, float], sessions: tuple[int, ...]) -> object:
    """Let every search of some sessions in a stretch be empty where rows are expected."""

    def spoil(made: Calls) -> None:
        chosen = cases.kind(made, 0, within, None)
        mine = chosen & [int(session) in sessions for session in made["session"]]
        end(made, mine, Outcome.WRONG, Reason.ROWS, status=200)
        made["rows"][mine] = 0

    return spoil


def test_agents_that_go_on_from_an_empty_answer_are_counted_once_each() -> None:
    """Two agents, many answers, and how soon after the fault's start the first was believed."""
    treated = (1, 3)
    of = cases.run(
        TcpLatency(),
        steps=(cases.ROWS, NOTE),
        spoil=emptied((15.0, 18.0), treated),  # type: ignore[arg-type]
    )
    row = cases.only(misled(of))
    assert (row.fault, row.empty, row.masked, row.untrue) == ("1:tcp-latency", 2, 0, 0)
    assert row.agents == 10
    assert row.answers > 2
    assert row.first_s is not None
    assert 2.9 < row.first_s < 4.0


def test_an_agent_that_asks_for_nothing_more_was_not_misled() -> None:
    """The last word of a run has no sequel."""

    def last(made: Calls) -> None:
        mine = made["session"] == 1
        final = mine & (made["index"] == made["index"][mine].max())
        end(made, final, Outcome.WRONG, Reason.FOREIGN_NONCE, status=200)

    assert misled(cases.run(spoil=last)) == ()


def test_without_a_fault_in_force_the_server_misleads_by_itself() -> None:
    """What shows in the untouched arm in the baseline is blamed on nothing."""
    of = cases.run(
        TcpLatency(),
        steps=(cases.ROWS, NOTE),
        spoil=emptied(cases.BASELINE, (0, 2, 4)),  # type: ignore[arg-type]
    )
    row = cases.only(misled(of))
    assert (row.fault, row.empty) == ("", 3)


def test_an_answer_that_says_it_is_an_error_misleads_nobody() -> None:
    """`isError` is for the model to read."""

    def honest(made: Calls) -> None:
        end(made, cases.kind(made, 0, cases.WINDOW), Outcome.TOOL_ERROR, Reason.TOOL_ERROR)

    assert misled(cases.run(TcpLatency(), spoil=honest)) == ()


def test_a_refusal_in_the_words_of_a_result_is_masked() -> None:
    """200 under an expired token, with a text where the rows should be."""

    def mask(made: Calls) -> None:
        chosen = (made["treated"] == 1) & between(made, 16, 18)
        end(made, chosen, Outcome.WRONG, Reason.NONCE_MISSING, status=200)
        made["auth"][chosen] = Auth.EXPIRED

    of = cases.run(TokenExpire(), spoil=mask, auth={"issuer": "embedded"})
    row = cases.only(misled(of))
    assert (row.empty, row.masked, row.untrue) == (0, 10, 0)


def test_false_answers_of_other_kinds_are_counted_apart() -> None:
    """Another's data is untrue, and no empty answer."""

    def mix(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW), 1)
        end(made, chosen, Outcome.WRONG, Reason.FOREIGN_NONCE, status=200)

    row = cases.only(misled(cases.run(TcpLatency(), spoil=mix)))
    assert (row.empty, row.masked, row.untrue, row.answers) == (0, 0, 1, 1)


def test_an_empty_journal_counts_nobody() -> None:
    """Where nothing was asked, nobody was told anything."""
    of = scenario()
    assert misled(evidence(of, plan(of), journal())) == ()
