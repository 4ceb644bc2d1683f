from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.agent import ClientVanish, PayloadRequest
from faults.fault import Fault
from faults.network import TcpBandwidth, TcpBlackhole, TcpLatency, TcpReset, TcpSlice, TcpTruncate
from harness.checks import answers
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls
from harness.outcome import EndedBy, Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import NOTE, Spoil, end, journal, plan, scenario, storm

HANG_MS = 15_000.0


def wrong(
    reason: Reason, within: tuple[float, float], count: int = 3, treated: int = 1, **columns: int
) -> Spoil:
    """Let some searches claim a success that is not true."""

    def spoil(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, within, treated), count)
        end(made, chosen, Outcome.WRONG, reason, status=200)
        for name, value in columns.items():
            made[name][chosen] = value

    return spoil


def hanging(within: tuple[float, float], treated: int = 1) -> Spoil:
    """Let two searches have no outcome at all."""

    def spoil(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, within, treated), 2)
        end(
            made,
            chosen,
            Outcome.HANG,
            Reason.HANG,
            took_ms=HANG_MS,
            ended_by=EndedBy.DEADLINE,
        )

    return spoil


@pytest.mark.parametrize("check", answers.CHECKS)
def test_a_healthy_run_passes(check: Callable[[Evidence], tuple[Finding, ...]]) -> None:
    """Every question gets an answer, and says on how many calls."""
    finding = cases.one(check(storm(TcpLatency(), TcpSlice())))
    assert finding.ruling == "pass"
    assert "none of" in finding.why


@pytest.mark.parametrize("check", answers.CHECKS)
def test_an_empty_journal_is_unknown(check: Callable[[Evidence], tuple[Finding, ...]]) -> None:
    """What never ran never passes."""
    of = scenario()
    finding = cases.one(check(evidence(of, plan(of), journal())))
    assert finding.ruling == "unknown"


# --- hang -----------------------------------------------------------------------------------


def test_a_call_without_any_outcome_is_a_hang() -> None:
    """Two calls of the untouched arm that nobody ended are two too many."""
    finding = cases.one(answers.hang(cases.run(spoil=hanging(cases.BASELINE, treated=0))))
    assert (finding.ruling, finding.observed, finding.fault) == ("fail", 2.0, "")
    assert len(finding.evidence) == 2


def test_a_timeout_is_not_a_hang() -> None:
    """A transport that fails in the grace after the deadline has ended the wait."""

    def late(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.BASELINE), 5)
        end(made, chosen, Outcome.TIMEOUT, Reason.DEADLINE, took_ms=11_000)

    assert cases.one(answers.hang(cases.run(spoil=late))).ruling == "pass"


@pytest.mark.parametrize("fault", [TcpBlackhole(), TcpReset()])
def test_a_wait_while_nothing_could_pass_is_the_networks(fault: Fault) -> None:
    """A treated call that overlapped a fault which stops the service is left out."""
    assert cases.one(answers.hang(cases.run(fault, spoil=hanging((11.0, 21.0))))).ruling == "pass"


def test_a_hang_leaves_no_stamp_and_is_still_known_to_have_lasted() -> None:
    """Sent before the blackhole came and never answered: it waited through the fault."""

    def unstamped(made: Calls) -> None:
        hanging((11.0, 11.9))(made)
        hung = made["outcome"] == Outcome.HANG
        made["first_ns"][hung] = made["done_ns"][hung] = -1

    assert cases.one(answers.hang(cases.run(TcpBlackhole(), spoil=unstamped))).ruling == "pass"
    finding = cases.one(answers.hang(cases.run(TcpLatency(), spoil=unstamped)))
    assert (finding.ruling, finding.fault) == ("fail", "1:tcp-latency")


def test_a_hang_that_begins_after_the_fault_is_the_servers() -> None:
    """What outlives the blackhole is not its doing."""
    finding = cases.one(answers.hang(cases.run(TcpBlackhole(), spoil=hanging(cases.RECOVERY))))
    assert (finding.ruling, finding.fault) == ("fail", "")


def test_the_control_arm_has_no_network_to_blame() -> None:
    """A blackhole on the treated arm explains no hang on the other."""
    of = cases.run(TcpBlackhole(), spoil=hanging(cases.WINDOW, treated=0))
    assert cases.one(answers.hang(of)).ruling == "fail"


def test_a_body_that_cannot_pass_a_throttled_wire_in_time_is_no_hang() -> None:
    """5 MB at 32 kB/s take longer than any deadline here."""

    def big(made: Calls) -> None:
        hanging(cases.WINDOW)(made)
        made["request_bytes"][made["outcome"] == Outcome.HANG] = 5_000_000

    assert cases.one(answers.hang(cases.run(TcpBandwidth(), spoil=big))).ruling == "pass"
    small = cases.run(TcpBandwidth(), spoil=hanging(cases.WINDOW))
    assert cases.one(answers.hang(small)).ruling == "fail"


def test_a_client_that_left_does_not_hang() -> None:
    """An abandoned call is its client's own doing."""
    of = cases.run(
        ClientVanish(),
        more=lambda made: [
            cases.preludes(
                made,
                cases.kind(made, 0, cases.WINDOW),
                "vanish",
                Outcome.ABANDONED,
                reason=Reason.VANISHED,
                status=0,
            )
        ],
    )
    assert cases.failed(of) == set()


# --- silent-empty ---------------------------------------------------------------------------


def test_an_empty_list_where_the_author_expects_rows_is_silent_empty_and_nothing_else() -> None:
    """One call, one charge: the missing nonce of an empty list is no second finding."""
    for reason in (Reason.ROWS, Reason.NONCE_MISSING):
        of = cases.run(
            TcpLatency(),
            steps=(cases.ROWS, NOTE),
            spoil=wrong(reason, cases.WINDOW, rows=0),
        )
        assert cases.failed(of) == {("silent-empty", "1:tcp-latency")}
        assert cases.one(answers.silent_empty(of)).hard


def test_an_oversized_query_answered_with_an_empty_list_is_silent_empty() -> None:
    """The prelude of a fault counts: the failure is hidden whoever asked."""
    of = cases.run(
        PayloadRequest(size="64KiB"),
        steps=(cases.ROWS, NOTE),
        more=lambda made: [
            cases.preludes(
                made,
                cases.some(cases.kind(made, 0, cases.WINDOW), 4),
                "payload_request",
                Outcome.WRONG,
                reason=Reason.ROWS,
                rows=0,
            )
        ],
    )
    finding = cases.one(answers.silent_empty(of))
    assert (finding.ruling, finding.fault) == ("fail", "1:payload-request")
    assert finding.evidence[0].endswith(".0")


def test_an_oversized_query_refused_by_the_tool_is_fine() -> None:
    """`isError` with a cause is what a resilient server says."""
    of = cases.run(
        PayloadRequest(size="64KiB"),
        steps=(cases.ROWS, NOTE),
        more=lambda made: [
            cases.preludes(
                made, cases.kind(made, 0, cases.WINDOW), "payload_request", Outcome.TOOL_ERROR
            )
        ],
    )
    assert cases.failed(of) == set()


def rows(
    usual: int, empty: int, within: tuple[float, float], background: int = 0
) -> Callable[[Calls], None]:
    """Let searches return `usual` rows, but `empty` of them none, and one in `background`."""

    def spoil(made: Calls) -> None:
        searches = made["call"] == 0
        made["rows"][searches] = usual
        made["rows"][cases.some(cases.kind(made, 0, within), empty)] = 0
        if background:
            made["rows"][searches.nonzero()[0][::background]] = 0

    return spoil


def test_an_empty_answer_out_of_character_under_a_fault_is_silent_empty() -> None:
    """No author says so, but the tool's baseline never was empty."""
    of = cases.run(TcpLatency(), spoil=rows(10, 20, cases.WINDOW))
    finding = cases.one(answers.silent_empty(of))
    assert (finding.ruling, finding.observed, finding.fault) == ("fail", 20.0, "1:tcp-latency")


def test_one_step_that_expects_rows_is_enough() -> None:
    """The same tool may be called without that claim elsewhere."""
    bare = {"call": "search", "with": {"query": "${nonce}", "limit": 5}}
    of = cases.run(steps=(cases.ROWS, bare), spoil=wrong(Reason.ROWS, cases.BASELINE, rows=0))
    assert cases.failed(of) == {("silent-empty", "")}


def test_two_empty_answers_in_hundreds_may_be_chance() -> None:
    """Nobody claims rows, and a tool may be empty one time in a few hundred."""
    of = cases.run(TcpLatency(), spoil=rows(10, 2, cases.WINDOW))
    assert cases.one(answers.silent_empty(of)).ruling == "pass"


@pytest.mark.parametrize(
    ("usual", "background"),
    [(10, 30), (0, 0), (-1, 0)],
    ids=["now-and-then", "always", "uncounted"],
)
def test_a_tool_that_is_empty_by_nature_is_not_accused(usual: int, background: int) -> None:
    """Zero rows are an answer where zero rows occur without any fault."""
    of = cases.run(TcpLatency(), spoil=rows(usual, 0, cases.WINDOW, background))
    assert cases.one(answers.silent_empty(of)).ruling == "pass"


def test_an_oversized_prelude_owes_no_true_answer() -> None:
    """What it asks for is odd, so only an empty list or another's data counts against it."""
    of = cases.run(
        PayloadRequest(size="64KiB"),
        more=lambda made: [
            cases.preludes(
                made,
                cases.kind(made, 0, cases.WINDOW),
                "payload_request",
                Outcome.WRONG,
                reason=Reason.NONCE_MISSING,
            )
        ],
    )
    assert cases.failed(of) == set()


# --- wrong-answer, crosstalk, truncated -----------------------------------------------------


@pytest.mark.parametrize(
    "reason", [Reason.NONCE_MISSING, Reason.EXPECTATION, Reason.RESULT_SHAPE, Reason.WRONG_ID]
)
def test_a_success_that_is_not_true_is_a_wrong_answer(reason: Reason) -> None:
    """Each way of being untrue counts, and one breach is enough."""
    of = cases.run(TcpSlice(), spoil=wrong(reason, cases.WINDOW, count=1))
    assert cases.failed(of) == {("wrong-answer", "1:tcp-slice")}
    assert cases.one(answers.wrong_answer(of)).hard


def test_fewer_rows_than_expected_are_a_wrong_answer_not_an_empty_one() -> None:
    """Two rows where three are due is not silence."""
    of = cases.run(steps=(cases.ROWS, NOTE), spoil=wrong(Reason.ROWS, cases.BASELINE, rows=2))
    assert cases.failed(of) == {("wrong-answer", "")}


def test_another_calls_data_is_crosstalk_and_one_is_enough() -> None:
    """Crosstalk outranks every other charge and tolerates nothing."""
    of = cases.run(spoil=wrong(Reason.FOREIGN_NONCE, cases.BASELINE, count=1, rows=0))
    assert cases.failed(of) == {("crosstalk", "")}
    assert cases.one(answers.crosstalk(of)).hard


def test_an_answer_cut_short_and_taken_for_whole_is_truncated() -> None:
    """Ten rows always, four while the wire is cut."""

    def cut(made: Calls) -> None:
        made["rows"][made["call"] == 0] = 10
        made["rows"][cases.some(cases.kind(made, 0, cases.WINDOW), 2)] = 4

    of = cases.run(TcpTruncate(), spoil=cut)
    assert cases.failed(of) == {("truncated", "1:tcp-truncate")}


def test_half_the_bytes_are_truncated_where_rows_cannot_be_counted() -> None:
    """A text result is measured by its size."""

    def cut(made: Calls) -> None:
        made["reply_bytes"][cases.some(cases.kind(made, 0, cases.WINDOW), 2)] = 150

    of = cases.run(TcpBandwidth(), spoil=cut)
    assert cases.failed(of) == {("truncated", "1:tcp-bandwidth")}


def test_results_that_vary_are_not_called_truncated() -> None:
    """The least row count ever seen is not much above what comes next."""

    def vary(made: Calls) -> None:
        searches = (made["call"] == 0).nonzero()[0]
        made["rows"][searches] = 5 + searches % 7
        made["rows"][cases.some(cases.kind(made, 0, cases.WINDOW), 2)] = 4

    assert cases.failed(cases.run(TcpTruncate(), spoil=vary)) == set()


def test_a_reply_that_does_not_parse_under_a_cut_is_an_honest_error() -> None:
    """Malformed JSON on a cut wire is the wire's, and no truncation."""

    def cut(made: Calls) -> None:
        chosen = cases.kind(made, 0, cases.WINDOW)
        end(made, chosen, Outcome.PROTOCOL_ERROR, Reason.MALFORMED_JSON, status=200)

    assert cases.failed(cases.run(TcpTruncate(), spoil=cut)) == set()


def test_a_slow_but_correct_server_comes_out_clean() -> None:
    """Two seconds a call, every call true: nothing to say against it."""
    of = cases.run(TcpLatency(), latency_ms=2000.0)
    assert cases.failed(of) == set()
