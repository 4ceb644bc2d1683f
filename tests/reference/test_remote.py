"""The bundled server over a dependency: what it does right, and that it says so when it cannot."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest

from faults.levers import Programme
from harness.reference.downstream import BUDGET_S, RETRIES_MAX
from harness.rig import ledger
from harness.rig.dependency import control, recorded
from harness.rig.dependency.recorded import Request
from harness.rig.issuer import control as issuers
from harness.rig.server import Target, reference
from harness.scenario.marks import Marks
from tests.ports import free_port
from tests.reference.calls import ERAS, Answer, Caller, Era

pytestmark = pytest.mark.anyio
BOUND_S: Final = 30
_NONCES: Final = map(Marks.of(3).nonces(1), itertools.count())
every_era = pytest.mark.parametrize("era", ERAS)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A dependency, a server over it, and what speaks to both."""

    own: control.Dependency
    target: Target
    http: httpx.AsyncClient
    log: Path

    async def caller(self, era: Era, token: str = "") -> Caller:
        """An agent with an open session, once the server is at ease with its dependency."""
        caller = Caller(http=self.http, url=self.target.url, token=token, era=era)
        await caller.open()
        with anyio.fail_after(BOUND_S):
            while (await caller.call("search", {"query": "well?"})).failed:  # noqa: ASYNC110 - a breaker tells nobody
                await anyio.sleep(0.1)
        return caller

    async def asked(self, key: str) -> list[Request]:
        """What the ledger holds of one logical call."""
        await self.own.hits("")  # an answer leaves just before its line is written
        return [one for one in recorded.requests(self.own.ledger) if one.key == key]

    def done(self, key: str) -> int:
        """How often a call took effect."""
        return sum(one.key == key for one in ledger.read(self.own.ledger))

    @asynccontextmanager
    async def struck(self, programme: Programme) -> AsyncIterator[None]:
        """Have a programme in force."""
        await self.own.engage("w1", programme)
        try:
            yield
        finally:
            await self.own.disengage("w1")


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One for all tests: each asks under nonces of its own."""
    folder = tmp_path_factory.mktemp("remote")
    async with control.serve(ledger=folder / "s.sqlite", log=None, ttl_s=2) as own:
        log = folder / "reference.log"
        async with (
            reference(issuer=None, ledger=None, dependency=with_client(own), log=log) as target,
            httpx.AsyncClient(timeout=BOUND_S, trust_env=False) as http,
        ):
            yield Bench(own=own, target=target, http=http, log=log)


def with_client(own: control.Dependency) -> str:
    """The dependency's URL as a target is told it, its own credential included."""
    return own.url.replace("://", f"://{own.client}@")


@pytest.fixture
def nonce() -> str:
    """A call's own."""
    return next(_NONCES)


def said(answer: Answer) -> str:
    """What a tool's error says; it is one, and nothing else is in the result."""
    assert answer.failed, answer
    assert answer.value is None
    return str(answer.result["content"][0]["text"])


@every_era
async def test_every_tool_of_it_goes_to_the_dependency(bench: Bench, nonce: str, era: Era) -> None:
    """Rows over all pages, a document, a note once, and the note again; under its own token."""
    caller = await bench.caller(era)
    rows = (await caller.call("search", {"query": nonce, "limit": 50})).value["result"]
    asked = await bench.asked(nonce)
    assert len(rows) == asked[0].total
    assert sum(one.rows for one in asked) == len(rows)
    assert all(nonce in row["snippet"] for row in rows)
    document = await caller.call("fetch", {"id": rows[0]["id"]})
    assert document.value["title"] == rows[0]["title"]
    note = {"key": nonce, "text": nonce, "idempotency_key": nonce}
    first, again = await caller.call("append_note", note), await caller.call("append_note", note)
    assert first.value == again.value
    assert bench.done(nonce) == 1
    kept = await caller.call("read_notes", {"key": nonce})
    assert [one["text"] for one in kept.value["result"]] == [nonce]
    assert {one.credential for one in await bench.asked(nonce)} == {"own"}


@every_era
@pytest.mark.parametrize(
    ("programme", "words"),
    [
        (Programme(kind="refuse", retry_after_s=3600), "busy; it says to try again in 3600 s"),
        (Programme(kind="slow", delay_s=30), f"did not answer within {BUDGET_S:g} s"),
        (Programme(kind="pool", slots=0), "all 0 connections are in use"),
        (Programme(kind="drift", field="title", change="renamed"), "rows.0.title: Field required"),
        (Programme(kind="drift", field="title", change="null"), "not understood: rows.0.title"),
        (Programme(kind="drift", field="rows", change="removed"), "rows: Field required"),
        (Programme(kind="partial", lost="body"), "did not come whole"),
        (Programme(kind="partial", lost="page"), "not complete: 0 of"),
        (Programme(kind="empty", says="empty"), "not complete: 0 of"),
        (Programme(kind="empty", says="error"), "the query timed out"),
        (Programme(kind="reset"), "did not come whole"),
    ],
    ids=lambda value: value.kind if isinstance(value, Programme) else None,
)
async def test_a_search_that_the_dependency_fails_is_an_error_in_words(
    bench: Bench, nonce: str, era: Era, programme: Programme, words: str
) -> None:
    """Never an empty answer, and never more attempts than are any use."""
    caller = await bench.caller(era)
    began = anyio.current_time()
    async with bench.struck(programme):
        answer = await caller.call("search", {"query": nonce})
    assert words in said(answer)
    assert anyio.current_time() - began < 2 * BUDGET_S
    asked = await bench.asked(nonce)
    assert 1 <= len(asked) <= 1 + RETRIES_MAX


@pytest.mark.parametrize(
    ("programme", "done"),
    [
        (Programme(kind="reset"), 1),
        (Programme(kind="slow", delay_s=30), 0),
        (Programme(kind="slow", delay_s=30, after=True), 1),
        (Programme(kind="partial", lost="body"), 1),
    ],
    ids=["reset", "before the work", "after the work", "cut"],
)
async def test_a_write_is_never_sent_again(
    bench: Bench, nonce: str, programme: Programme, done: int
) -> None:
    """Its outcome is not known, the error says so, and the ledger has it once at most."""
    caller = await bench.caller("modern")
    async with bench.struck(programme):
        answer = await caller.call("append_note", {"key": nonce, "text": nonce})
    assert "not known whether the store did what it was asked" in said(answer)
    with anyio.fail_after(BOUND_S):
        while not (asked := await bench.asked(nonce)):  # noqa: ASYNC110 - the dependency's process writes it
            await anyio.sleep(0.05)
    assert (len(asked), bench.done(nonce)) == (1, done)


async def test_it_waits_as_it_is_told_only_while_its_caller_would(bench: Bench, nonce: str) -> None:
    """A second is waited out, and the call then succeeds; an hour is not."""
    caller = await bench.caller("modern")
    await bench.own.engage("w1", Programme(kind="refuse", retry_after_s=1))
    answers: list[Answer] = []

    async def search() -> None:
        answers.append(await caller.call("search", {"query": nonce}))

    async with anyio.create_task_group() as group:
        group.start_soon(search)
        with anyio.fail_after(BOUND_S):
            while not await bench.asked(nonce):  # noqa: ASYNC110 - the dependency's process writes it
                await anyio.sleep(0.02)
        await bench.own.disengage("w1")
    assert not answers[0].failed
    first, second, *_ = await bench.asked(nonce)
    assert (first.status, second.status) == (429, 200)
    assert second.at_ns - first.done_ns >= 1e9


async def test_whoever_wrote_a_note_reads_it_whatever_a_replica_says(
    bench: Bench, nonce: str
) -> None:
    """An answer from before the write is noticed, and the primary asked."""
    caller = await bench.caller("modern")
    async with bench.struck(Programme(kind="stale", operations="reads", lag_s=600)):
        await caller.call("append_note", {"key": nonce, "text": nonce})
        kept = await caller.call("read_notes", {"key": nonce})
    assert [one["text"] for one in kept.value["result"]] == [nonce]
    reads = [one for one in await bench.asked(nonce) if one.operation == "notes"]
    assert [(one.programme, one.rows) for one in reads] == [("stale", 0), ("", 1)]


async def test_a_dependency_that_keeps_failing_is_left_alone_and_found_again(
    bench: Bench, nonce: str
) -> None:
    """Calls fail at once and unasked; soon after its return they succeed."""
    caller = await bench.caller("modern")
    broken = Programme(kind="empty", says="error")
    async with bench.struck(broken):
        texts = [said(await caller.call("search", {"query": nonce})) for _ in range(20)]
    assert "has not answered lately" in texts[-1]
    assert len(await bench.asked(nonce)) < 20
    with anyio.fail_after(BOUND_S):
        while (await caller.call("search", {"query": nonce})).failed:  # noqa: ASYNC110 - a breaker tells nobody
            await anyio.sleep(0.05)


async def test_one_token_serves_all_calls_that_wait_for_it(tmp_path: Path) -> None:
    """Twenty calls at once buy one token, and one more when it is about to run out."""
    async with (
        control.serve(ledger=tmp_path / "s.sqlite", log=None, ttl_s=60) as own,
        reference(issuer=None, ledger=None, dependency=with_client(own)) as target,
        httpx.AsyncClient(timeout=BOUND_S, trust_env=False) as http,
    ):
        caller = Caller(http=http, url=target.url, token="", era="modern")
        failed: list[bool] = []

        async def search(number: int) -> None:
            answer = await caller.call("search", {"query": "q"}, id=number)
            failed.append(answer.failed)

        async with anyio.create_task_group() as group:
            for number in range(1, 21):
                group.start_soon(search, number)
        await own.hits("")
    bought = [one for one in recorded.requests(own.ledger) if one.operation == "token"]
    assert (failed, len(bought)) == ([False] * 20, 1)


async def test_the_callers_token_goes_no_further_and_its_name_does(tmp_path: Path) -> None:
    """The dependency sees the server's own credential, and for whom it asks."""
    async with (
        issuers.serve(log_dir=None) as issuer,
        control.serve(ledger=tmp_path / "s.sqlite", log=None) as own,
        reference(issuer=issuer.url, ledger=None, dependency=with_client(own)) as target,
        httpx.AsyncClient(timeout=BOUND_S, trust_env=False) as http,
    ):
        await own.know_callers(target.url)
        for name in ("anna", "berta"):
            secret = await issuer.register(
                client_id=name, group=name, scopes="mcp:read mcp:write", ttl_s=60
            )
            asked = {"grant_type": "client_credentials", "resource": target.url}
            sold = await http.post(f"{issuer.url}/token", data=asked, auth=(name, secret))
            token = str(sold.json()["access_token"])
            caller = Caller(http=http, url=target.url, token=token, era="modern")
            answer = await caller.call("append_note", {"key": "k", "text": name})
            assert not answer.failed
        await own.hits("")
    seen = [one for one in recorded.requests(own.ledger) if one.operation == "append"]
    assert [(one.credential, one.subject) for one in seen] == [("own", "anna"), ("own", "berta")]


async def test_its_health_is_that_of_its_dependency(bench: Bench) -> None:
    """Whoever watches over it learns that it can do no work."""
    async with reference(
        issuer=None, ledger=None, dependency=f"http://127.0.0.1:{free_port()}"
    ) as lonely:
        told = [
            await bench.http.get(url.replace("/mcp", "/health"))
            for url in (bench.target.url, lonely.url)
        ]
    assert [one.status_code for one in told] == [200, 503]
    assert "the store does not answer" in told[1].text


async def test_nothing_secret_is_in_its_log(bench: Bench) -> None:
    """Neither its own credential nor the address that holds it."""
    secret = bench.own.client.partition(":")[2]
    assert secret not in bench.log.read_text(encoding="utf-8")
