"""Squall's own dependency over real sockets: what it keeps, what strikes it, what it tells."""

from __future__ import annotations

import itertools
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import httpx
import pytest

from faults.levers import Programme
from harness.errors import RigError
from harness.rig import ledger
from harness.rig.dependency import control, recorded
from harness.rig.dependency.recorded import Request
from harness.scenario.marks import Marks
from harness.scenario.traces import traceparent

pytestmark = pytest.mark.anyio
BOUND_S: Final = 20
_NONCES: Final = map(Marks.of(7).nonces(1), itertools.count())
RESOURCE: Final = "http://127.0.0.1:8001/mcp"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A dependency and somebody who asks it."""

    own: control.Dependency
    http: httpx.AsyncClient

    async def asked(self, key: str) -> list[Request]:
        """What the ledger holds of one logical call."""
        await self.own.hits("")  # an answer leaves just before its line is written
        return [one for one in recorded.requests(self.own.ledger) if one.key == key]

    @asynccontextmanager
    async def struck(self, programme: Programme, *, label: str = "w1") -> AsyncIterator[None]:
        """Have a programme in force."""
        await self.own.engage(label, programme)
        try:
            yield
        finally:
            await self.own.disengage(label)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's process lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One for all tests: each asks under nonces and keys of its own."""
    folder = tmp_path_factory.mktemp("dependency")
    async with (
        control.serve(ledger=folder / "store.sqlite", log=folder / "log", ttl_s=60) as own,
        httpx.AsyncClient(base_url=own.url, trust_env=False, timeout=BOUND_S) as http,
    ):
        yield Bench(own=own, http=http)


@pytest.fixture
def nonce() -> str:
    """A call's own."""
    return next(_NONCES)


async def test_a_question_has_the_same_rows_on_every_page(bench: Bench, nonce: str) -> None:
    """Pages follow each other, their rows carry the question, and the total counts them."""
    first = (await bench.http.get("/rows", params={"match": nonce, "limit": 50})).json()
    found = list(first["rows"])
    page = first
    while page["next"] is not None:
        query = {"match": nonce, "limit": 50, "cursor": page["next"]}
        page = (await bench.http.get("/rows", params=query)).json()
        found += page["rows"]
    assert len(found) == first["total"]
    assert len({row["id"] for row in found}) == len(found)
    assert all(nonce in row["snippet"] for row in found)
    again = (await bench.http.get("/rows", params={"match": nonce, "limit": 50})).json()
    assert again == first
    one = (await bench.http.get(f"/rows/{found[0]['id']}")).json()
    assert one["title"] == found[0]["title"]
    assert (await bench.http.get("/rows/doc-211")).status_code == 404


async def test_a_write_takes_effect_once_under_its_key(bench: Bench, nonce: str) -> None:
    """The repeat is answered alike; the ledger counts one execution and two requests."""
    note = {"key": nonce, "text": nonce, "idempotency_key": nonce}
    first = await bench.http.post("/notes", json=note)
    second = await bench.http.post("/notes", json=note)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["sequence"] == second.json()["sequence"]
    kept = (await bench.http.get("/notes", params={"key": nonce})).json()
    assert [one["text"] for one in kept["notes"]] == [nonce]
    done = [one for one in ledger.read(bench.own.ledger) if one.key == nonce]
    assert [one.tool for one in done] == ["append_note"]
    assert [(one.operation, one.executed) for one in await bench.asked(nonce)] == [
        ("append", 1), ("append", 0), ("notes", 1),
    ]  # fmt: skip


async def test_a_cell_is_not_overwritten_by_whoever_read_it_before(
    bench: Bench, nonce: str
) -> None:
    """A put names the version that it read; without one it overwrites whatever there is."""
    http = bench.http
    empty = (await http.get(f"/cells/{nonce}")).json()
    assert (empty["value"], empty["version"]) == (None, 0)
    assert (await http.put(f"/cells/{nonce}", json={"value": 1, "version": 0})).status_code == 200
    late = await http.put(f"/cells/{nonce}", json={"value": 2, "version": 0})
    assert (late.status_code, late.json()["version"]) == (409, 1)
    assert (await http.put(f"/cells/{nonce}", json={"value": 3})).json()["version"] == 2
    assert (await http.get(f"/cells/{nonce}")).json()["value"] == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/rows?limit=51", None, 400),
        ("GET", "/rows?limit=ten", None, 400),
        ("GET", "/notes?key=k&cursor=-1", None, 400),
        ("POST", "/notes", b"[]", 400),
        ("POST", "/notes", b"{", 400),
        ("POST", "/notes", b'{"key": 1, "text": "t"}', 400),
        ("PUT", "/cells/c", b'{"version": 1}', 400),
        ("PUT", "/cells/c", b'{"value": 1, "version": "1"}', 400),
        ("POST", "/control/engage", b"{}", 403),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(
    bench: Bench, method: str, path: str, body: bytes | None, status: int
) -> None:
    """A target that asks wrongly hears so; nobody without the secret drives the dependency."""
    reply = await bench.http.request(method, path, content=body)
    assert reply.status_code == status
    assert reply.json()["error"]


async def test_a_query_that_is_too_long_is_written_down(bench: Bench, nonce: str) -> None:
    """A refusal has its line in the ledger, however long the question is."""
    reply = await bench.http.get("/rows", params={"match": nonce + "x" * 40 * 1024})
    assert reply.status_code == 400
    assert [one.status for one in await bench.asked(nonce)] == [400]


# --- whose credential -----------------------------------------------------------------------


def _token(**claims: object) -> str:
    """A token as an issuer would sign it, but for the signature."""
    parts = (json.dumps(part).encode() for part in ({"alg": "ES256"}, claims))
    return ".".join((*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "x"))


async def test_the_ledger_says_whose_credential_came_and_never_which(
    bench: Bench, nonce: str
) -> None:
    """None, the target's own, a caller's that was passed on, and anybody else's."""
    await bench.own.know_callers(RESOURCE)
    client_id, secret = bench.own.client.split(":")
    asked = {"grant_type": "client_credentials"}
    sold = await bench.http.post("/token", data=asked, auth=(client_id, secret))
    own = sold.json()["access_token"]
    callers = _token(sub="agent-7", aud=RESOURCE)
    others = _token(sub="agent-8", aud=["https://elsewhere.example", "b"])
    for token in ("", own, callers, others):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        await bench.http.get("/rows", params={"match": nonce}, headers=headers)
    assert [(one.credential, one.subject, one.audience) for one in await bench.asked(nonce)] == [
        ("none", "", ""),
        ("own", "target", ""),
        ("caller", "agent-7", RESOURCE),
        ("other", "agent-8", "https://elsewhere.example b"),
    ]
    files = bench.own.ledger.parent.iterdir()
    held = b"".join(file.read_bytes() for file in files)
    assert not any(one.encode() in held for one in (secret, own, callers, others))


async def test_tokens_are_sold_to_the_target_alone_and_renewed_once(bench: Bench) -> None:
    """A wrong secret buys nothing; a refresh token serves once."""
    client = tuple(bench.own.client.split(":"))
    asked = {"grant_type": "client_credentials"}
    wrong = await bench.http.post("/token", data=asked, auth=("target", "guess"))
    assert wrong.status_code == 401
    sold = (await bench.http.post("/token", data=asked, auth=(client[0], client[1]))).json()
    renewal = {"grant_type": "refresh_token", "refresh_token": sold["refresh_token"]}
    renewal |= {"client_id": client[0], "client_secret": client[1]}
    assert (await bench.http.post("/token", data=renewal)).status_code == 200
    again = await bench.http.post("/token", data=renewal)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    bearer = {"authorization": f"Bearer {sold['access_token']}"}
    assert (await bench.http.get("/whoami", headers=bearer)).json()["credential"] == "own"
    assert (await bench.http.get("/whoami")).status_code == 401


async def test_a_token_past_its_life_is_refused_with_a_challenge(tmp_path: Path) -> None:
    """The target has to renew it, in time or then."""
    async with (
        control.serve(ledger=tmp_path / "l.sqlite", log=None, ttl_s=1) as own,
        httpx.AsyncClient(base_url=own.url, trust_env=False) as http,
    ):
        client_id, _, secret = own.client.partition(":")
        asked = {"grant_type": "client_credentials"}
        sold = await http.post("/token", data=asked, auth=(client_id, secret))
        bearer = {"authorization": f"Bearer {sold.json()['access_token']}"}
        with anyio.fail_after(BOUND_S):
            reply = await http.get("/rows", headers=bearer)
            while reply.is_success:
                await anyio.sleep(0.05)
                reply = await http.get("/rows", headers=bearer)
    assert reply.status_code == 401
    assert "invalid_token" in reply.headers["www-authenticate"]


# --- what strikes it ------------------------------------------------------------------------


async def test_a_refusal_says_when_to_come_again(bench: Bench, nonce: str) -> None:
    """429 with its Retry-After, and nothing is done."""
    async with bench.struck(Programme(kind="refuse", retry_after_s=3600), label=nonce):
        reply = await bench.http.post("/notes", json={"key": "k", "text": nonce})
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "3600")
        assert await bench.own.hits(nonce) == 1
    (seen,) = await bench.asked(nonce)
    assert (seen.programme, seen.executed, seen.retry_after_s) == ("refuse", 0, 3600)
    assert (await bench.http.post("/notes", json={"key": "k", "text": nonce})).status_code == 201


async def test_no_token_is_sold_for_a_while_and_everything_else_is_answered(
    bench: Bench, nonce: str
) -> None:
    """The target lives by what it has; each try is counted and written down."""
    client_id, secret = bench.own.client.split(":")
    asked = {"grant_type": "client_credentials"}
    programme = Programme(kind="refuse", operations="tokens", status=500)
    async with bench.struck(programme, label=nonce):
        tries = [await bench.http.post("/token", data=asked, auth=(client_id, secret))]
        assert (await bench.http.get("/rows", params={"match": nonce})).status_code == 200
        assert await bench.own.hits(nonce) == 1
    tries.append(await bench.http.post("/token", data=asked, auth=(client_id, secret)))
    assert [reply.status_code for reply in tries] == [500, 200]


async def test_what_was_asked_for_by_somebody_who_left_is_not_done(
    bench: Bench, nonce: str
) -> None:
    """A slow dependency does not begin what nobody waits for; the ledger says so."""
    async with bench.struck(Programme(kind="slow", delay_s=30), label=nonce):
        with pytest.raises(httpx.ReadTimeout):
            await bench.http.post("/notes", json={"key": "k", "text": nonce}, timeout=0.2)
        with anyio.fail_after(BOUND_S):
            while not await bench.asked(nonce):  # noqa: ASYNC110 - another process writes it
                await anyio.sleep(0.02)
    assert [(one.executed, one.answered) for one in await bench.asked(nonce)] == [(0, 0)]


async def test_an_answer_may_come_long_after_the_work_is_done(bench: Bench, nonce: str) -> None:
    """Whoever has left by then has caused an effect that it never hears of."""
    late = Programme(kind="slow", delay_s=30, after=True, operations="writes")
    async with bench.struck(late, label=nonce):
        with pytest.raises(httpx.ReadTimeout):
            await bench.http.post("/notes", json={"key": "k", "text": nonce}, timeout=0.2)
        reads = await bench.http.get("/notes", params={"key": "k"})
    assert nonce in reads.text
    assert sum(one.key == nonce for one in ledger.read(bench.own.ledger)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before the work", "after it"])
async def test_what_is_held_up_goes_on_once_its_programme_is_over(
    bench: Bench, nonce: str, after: bool
) -> None:
    """A fault that is healed holds nobody up any more."""
    replies: list[httpx.Response] = []

    async def write() -> None:
        replies.append(await bench.http.post("/notes", json={"key": "k", "text": nonce}))

    with anyio.fail_after(BOUND_S):
        async with anyio.create_task_group() as group:
            await bench.own.engage(nonce, Programme(kind="slow", delay_s=600, after=after))
            group.start_soon(write)
            while not await bench.own.hits(nonce):  # noqa: ASYNC110 - another process counts
                await anyio.sleep(0.02)
            await bench.own.disengage(nonce)
    assert [one.status_code for one in replies] == [201]


async def test_a_pool_serves_a_few_and_refuses_the_others(bench: Bench, nonce: str) -> None:
    """As many as it has connections are served; the rest hears that there is none."""
    statuses: list[int] = []

    async def ask() -> None:
        reply = await bench.http.get("/rows", params={"match": nonce})
        statuses.append(reply.status_code)

    async with (
        bench.struck(Programme(kind="pool", slots=2, delay_s=1), label=nonce),
        anyio.create_task_group() as group,
    ):
        for _ in range(6):
            group.start_soon(ask)
    assert sorted(statuses) == [200, 200, 503, 503, 503, 503]
    assert (await bench.http.get("/rows", params={"match": nonce})).status_code == 200


async def test_a_replica_that_lags_does_not_know_the_last_write(bench: Bench, nonce: str) -> None:
    """Its position says so, and a consistent read does not go there."""
    await bench.http.post("/notes", json={"key": nonce, "text": nonce})
    async with bench.struck(Programme(kind="stale", lag_s=600, operations="reads"), label=nonce):
        old = (await bench.http.get("/notes", params={"key": nonce})).json()
        now = (await bench.http.get("/notes", params={"key": nonce, "consistent": "true"})).json()
        assert await bench.own.hits(nonce) == 1
    assert (old["notes"], now["notes"][0]["text"]) == ([], nonce)
    assert old["position"] < now["position"]


def _renamed(row: dict[str, object]) -> bool:
    return "title" not in row and "title_v2" in row


def _removed(row: dict[str, object]) -> bool:
    return "title" not in row and "title_v2" not in row


def _null(row: dict[str, object]) -> bool:
    return row["title"] is None


@pytest.mark.parametrize(
    ("programme", "drifted"),
    [
        (Programme(kind="drift", field="title", change="renamed"), _renamed),
        (Programme(kind="drift", field="title", change="removed"), _removed),
        (Programme(kind="drift", field="title", change="null"), _null),
    ],
    ids=["renamed", "removed", "null"],
)
async def test_a_field_is_not_what_it_was(
    bench: Bench, nonce: str, programme: Programme, drifted: Callable[[dict[str, object]], bool]
) -> None:
    """Renamed, removed or null, in every row, with the right status."""
    async with bench.struck(programme, label=nonce):
        reply = await bench.http.get("/rows", params={"match": nonce})
        other = await bench.http.post("/notes", json={"key": nonce, "text": nonce})
        assert await bench.own.hits(nonce) == 1
    assert reply.status_code == 200
    assert all(drifted(row) for row in reply.json()["rows"])
    assert other.json()["text"] == nonce


async def test_a_whole_list_can_be_lost_to_drift(bench: Bench, nonce: str) -> None:
    """A field of the answer itself, as a new version of an interface changes it."""
    programme = Programme(kind="drift", field="rows", change="null")
    async with bench.struck(programme, label=nonce):
        reply = await bench.http.get("/rows", params={"match": nonce})
    assert reply.json()["rows"] is None


async def test_half_a_body_is_cut_off(bench: Bench, nonce: str) -> None:
    """The head promises more than comes, and the ledger knows that it did not all leave."""
    async with bench.struck(Programme(kind="partial", lost="body"), label=nonce):
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            await bench.http.get("/rows", params={"match": nonce})
    (seen,) = await bench.asked(nonce)
    assert (seen.status, seen.answered, seen.programme) == (200, 0, "partial")


@pytest.mark.parametrize(
    ("programme", "status"),
    [
        (Programme(kind="partial", lost="page", operations="reads"), 200),
        (Programme(kind="empty", says="empty", operations="reads"), 200),
        (Programme(kind="empty", says="error", operations="reads"), 503),
    ],
    ids=["a lost page", "empty", "an error"],
)
async def test_rows_are_missing_and_only_the_rest_of_the_answer_tells(
    bench: Bench, nonce: str, programme: Programme, status: int
) -> None:
    """The total still counts them, or the status is an error's."""
    async with bench.struck(programme, label=nonce):
        reply = await bench.http.get("/rows", params={"match": nonce})
    assert (reply.status_code, reply.json()["rows"]) == (status, [])
    assert bool(reply.json()["total"]) is (status == 200)
    (seen,) = await bench.asked(nonce)
    assert (seen.rows, seen.programme) == (0, programme.kind)


async def test_a_reset_comes_after_the_work(bench: Bench, nonce: str) -> None:
    """The effect is in the ledger, its answer is not on the wire."""
    async with bench.struck(Programme(kind="reset"), label=nonce):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await bench.http.post("/notes", json={"key": "k", "text": nonce})
    (seen,) = await bench.asked(nonce)
    assert (seen.status, seen.executed, seen.answered) == (0, 1, 0)
    assert sum(one.key == nonce for one in ledger.read(bench.own.ledger)) == 1


async def test_a_share_is_of_requests_and_of_no_other_operation(bench: Bench, nonce: str) -> None:
    """About a half of the reads, and no write."""
    programme = Programme(kind="refuse", share=0.5, operations="reads")
    async with bench.struck(programme, label=nonce):
        reads = [await bench.http.get("/rows", params={"match": nonce}) for _ in range(60)]
        writes = [
            await bench.http.post("/notes", json={"key": "k", "text": nonce}) for _ in range(10)
        ]
        hits = await bench.own.hits(nonce)
    refused = sum(reply.status_code == 429 for reply in reads)
    assert 10 <= refused <= 50
    assert hits == refused
    assert all(reply.is_success for reply in writes)


# --- what it writes down --------------------------------------------------------------------


async def test_connections_are_counted_second_by_second(bench: Bench, nonce: str) -> None:
    """Open ones and busy ones; squall's own orders are nobody's connection."""
    held = Programme(kind="slow", delay_s=2.5)
    async with bench.struck(held, label=nonce):
        await bench.http.get("/rows", params={"match": nonce})
    pools = list(recorded.pools(bench.own.ledger))
    assert any(pool.busy == 1 and pool.open >= 1 for pool in pools)
    assert all(pool.busy <= pool.open <= pool.opened for pool in pools)


async def test_a_header_names_the_call_where_nothing_else_does(bench: Bench, nonce: str) -> None:
    """A fetch carries no nonce; the target passes on whose call it is, and for whom."""
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    headers = {"x-squall-key": nonce, "x-squall-subject": "agent-3", "traceparent": trace}
    await bench.http.get("/rows/doc-1", headers=headers)
    (seen,) = await bench.asked(nonce)
    assert (seen.operation, seen.subject, seen.trace) == ("row", "agent-3", "a" * 32)


async def test_a_trace_names_the_call_where_the_target_passes_it_on(
    bench: Bench, nonce: str
) -> None:
    """What squall sends in `_meta` comes through, under whatever span; a stranger's is no call."""
    ours = traceparent(nonce).decode().split("-")
    for trace, span in ((ours[1], "b" * 16), ("a" * 32, "b" * 16)):
        headers = {"traceparent": f"00-{trace}-{span}-01"}
        await bench.http.get("/rows/doc-1", headers=headers)
    (seen,) = await bench.asked(nonce)
    assert (seen.operation, seen.trace) == ("row", ours[1])


async def test_a_ledger_that_is_none_is_an_error_in_words(tmp_path: Path) -> None:
    """Whoever reads it after the run hears what was expected."""
    missing, other = tmp_path / "none.sqlite", tmp_path / "other.sqlite"
    other.write_text("no database", encoding="utf-8")
    for file in (missing, other):
        with pytest.raises(RigError, match="expected a"):
            list(recorded.requests(file))


async def test_a_ledger_that_cannot_be_written_ends_it_at_once(tmp_path: Path) -> None:
    """Without its ledger it would be worth nothing."""
    with pytest.raises(RigError, match="expected to write the ledger"):
        async with control.serve(ledger=tmp_path / "no" / "store.sqlite", log=None):
            pytest.fail("it started")
