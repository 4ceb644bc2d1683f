from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from harness.clock import RunClock
from harness.errors import RigError
from harness.gameday import desk
from harness.gameday.desk import Desk
from harness.gameday.doors import HOST, Doors, open_doors
from harness.gameday.serving import served
from harness.journal import JOURNAL, OrderEntry, RemarkEntry
from tests import journals
from tests.gameday.days import HYPOTHESIS, StagedDay, staged

pytestmark = pytest.mark.anyio
START = {"who": "Ana", "kind": "tcp-latency", "parameters": {}, "for": "5m"} | {
    "hypothesis": HYPOTHESIS
}
SCENARIO = journals.scenario(
    phases={"warmup": "0s", "baseline": "0s", "recovery": "1s"}, load={"sessions": 4, "ramp": "0s"}
)


class Held:
    """A day whose desk answers on a real socket."""

    def __init__(self, day: StagedDay, doors: Doors, client: httpx.AsyncClient) -> None:
        self.day, self.doors, self.client = day, doors, client

    def headers(self, role: str = "operator", **more: str) -> dict[str, str]:
        """Give what the page sends with every request."""
        keys = self.doors.keys
        key = {"operator": keys.operator, "viewer": keys.viewer}.get(role, role)
        return {"authorization": f"Bearer {key}"} | more

    async def ask(
        self,
        name: str,
        body: dict[str, Any] | None = None,
        *,
        role: str = "operator",
        more: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask as the page does, with more in the request's head."""
        url, headers = f"/api/{name}", self.headers(role) | (more or {})
        return await self.client.post(url, json=body or {}, headers=headers)

    @asynccontextmanager
    async def page(self, who: str = "Ana", role: str = "operator") -> AsyncIterator[Events]:
        """Have a page connected."""
        body = {"page": who, "who": who}
        async with self.client.stream(
            "POST", "/api/live", json=body, headers=self.headers(role)
        ) as answer:
            assert answer.status_code == 200
            events = Events(answer)
            await events.next("opening")
            yield events


class Events:
    """What a page hears."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self, name: str = "state") -> dict[str, Any]:
        """Give the next event of a kind."""
        with anyio.fail_after(10):
            async for line in self._lines:
                if line == f"event: {name}":
                    data = await anext(self._lines)
                    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
                    return found
        raise AssertionError(f"the stream ended before {name}")

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Give the first state of which this holds."""
        with anyio.fail_after(20):
            while not holds(found := await self.next()):
                pass
            return found


def first_is(state: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the first fault is in this state."""
    return lambda found: bool(found["faults"]) and found["faults"][0]["state"] == state


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    """A day under way in real time, without a baseline to wait for."""
    day, writer = staged(tmp_path, SCENARIO)
    day.game.clock = day.game.book.clock = day.game.attendance.clock = RunClock()
    doors = open_doors(0)
    base = f"http://{HOST}:{doors.port}"
    with writer:
        async with (
            anyio.create_task_group() as group,
            served(Desk(game=day.game, doors=doors).app(), doors),
            httpx.AsyncClient(base_url=base, timeout=10) as client,
        ):
            group.start_soon(day.game.conduct, day.stop)
            yield Held(day, doors, client)
            day.end("the test is over")


async def test_a_page_starts_a_fault_sees_it_and_halts_it(held: Held) -> None:
    """The whole way over real sockets: order, in force with its lease, halt, proof."""
    async with held.page() as events:
        started = await held.ask("start", START)
        assert (started.status_code, started.json()) == (200, {"window": 1})
        found = await events.until(first_is("in force"))
        (fault,) = found["faults"]
        assert (fault["id"], fault["who"], found["phase"]) == ("1:tcp-latency", "Ana", "fault")
        assert 25 < fault["lease_left_s"] <= 30
        assert 290 < fault["left_s"] <= 300
        assert {"lever": "network", "state": "applied", "fault": "1:tcp-latency"} in found["levers"]
        assert (await held.ask("halt", {"who": "Ben"})).status_code == 200
        await events.until(first_is("healed"))
        found = await events.until(lambda now: now["halt"]["state"] != "undoing")
        assert (found["halt"]["state"], found["halt"]["who"]) == ("proven", "Ben")
        assert {"lever": "network", "state": "healed", "fault": "1:tcp-latency"} in found["levers"]
        assert held.day.world.at_rest


async def test_a_closed_page_is_known_to_be_gone(held: Held) -> None:
    """The connection's end is the page's end: its lease is cut."""
    async with held.page("Eve", "viewer") as events:
        async with held.page():
            assert (await held.ask("start", START)).status_code == 200
            found = await events.until(first_is("in force"))
            assert {one["who"] for one in found["people"]} == {"Ana", "Eve"}
        found = await events.until(lambda now: bool(now["lease_cut"]))
        assert {one["who"] for one in found["people"]} == {"Eve"}
        assert found["faults"][0]["lease_left_s"] <= 10


async def test_who_looks_on_changes_nothing(held: Held) -> None:
    """Every deed is refused to the other link, and everything is shown to it."""
    async with held.page("Eve", "viewer") as events:
        for deed in ("start", "stop", "extend", "halt", "resume", "remark", "end"):
            refused = await held.ask(deed, START, role="viewer")
            assert (deed, refused.status_code) == (deed, 403)
            assert "looking on" in refused.json()["why"]
        shown = await held.client.get("/api/catalogue", headers=held.headers("viewer"))
        assert shown.status_code == 200
        assert (await events.next())["faults"] == []
    assert not held.day.stop.is_set()


@pytest.mark.parametrize("key", ["", "x", "Bearer", "é"])
async def test_without_the_secret_nothing_is_shown_and_nothing_done(held: Held, key: str) -> None:
    """The page itself is there for anybody, and empty."""
    headers = {b"content-type": b"application/json"}
    if key:
        headers[b"authorization"] = f"Bearer {key}".encode()
    for method, path in (
        ("GET", "catalogue"),
        ("POST", "live"),
        ("POST", "beat"),
        ("POST", "halt"),
    ):
        answer = await held.client.request(
            method,
            f"/api/{path}",
            headers=headers,
            content=b"{}",
        )
        assert (path, answer.status_code) == (path, 401)
    assert (await held.client.get("/")).status_code == 200


async def test_nothing_changes_by_get(held: Held) -> None:
    """Whatever is asked for by GET, HEAD or OPTIONS, with the operator's secret: no effect."""
    before = (held.day.folder / JOURNAL).read_bytes()
    paths = [f"/api/{name}" for name in ("start", "stop", "halt", "remark", "end", "beat", "live")]
    for path in paths:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            more = {"content-type": "application/json"}
            answer = await held.client.request(method, path, headers=held.headers(**more))
            assert (method, path, answer.status_code) == (method, path, 405)
    shown = await held.client.get("/api/catalogue", headers=held.headers())
    assert len(shown.json()["faults"]) > 60
    held.day.game.writer.flush()
    assert (held.day.folder / JOURNAL).read_bytes() == before
    assert not held.day.stop.is_set()


async def test_another_sites_page_cannot_use_an_operators_browser(held: Held) -> None:
    """CSRF: a form or a script elsewhere has no secret, and says where it comes from."""
    evil = {"origin": "https://evil.test"}
    answer = await held.ask("halt", more=evil)
    assert answer.status_code == 403
    assert "other sites" in answer.json()["why"]
    for origin in ("null", "http://127.0.0.1:1", f"https://{HOST}:{held.doors.port}"):
        assert (await held.ask("halt", more={"origin": origin})).status_code == 403
    for site in ("cross-site", "same-site"):
        assert (await held.ask("halt", more={"sec-fetch-site": site})).status_code == 403
    # What a form can send without being asked first has another content type, and no header.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        form = await held.client.post(
            "/api/halt", content=b"{}", headers=held.headers(**{"content-type": kind})
        )
        assert form.status_code == 415
    asked = await held.client.options(
        "/api/halt", headers=evil | {"access-control-request-method": "POST"}
    )
    assert asked.status_code == 403
    assert not [name for name in asked.headers if name.startswith("access-control")]
    assert held.day.game.halted is None
    own = f"http://{HOST}:{held.doors.port}"
    assert (
        await held.ask("halt", more={"origin": own, "sec-fetch-site": "same-origin"})
    ).is_success


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "127.0.0.1", "127.0.0.1.evil.test"])
async def test_a_name_that_was_made_to_lead_here_is_refused(held: Held, host: str) -> None:
    """DNS rebinding: the browser believes in its own origin, and Host gives it away."""
    for path in ("/", "/api/catalogue", "/page.js"):
        answer = await held.client.get(path, headers=held.headers(host=host))
        assert (path, answer.status_code) == (path, 421)
    answer = await held.ask("halt", more={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 421
    assert held.day.game.halted is None


async def test_the_desk_is_on_this_machine_alone(held: Held) -> None:
    """It listens on a loopback address, and other names of it are heard."""
    assert held.doors.listener.getsockname()[0] == "127.0.0.1"
    local = {"host": f"localhost:{held.doors.port}"}
    assert (await held.client.get("/", headers=local)).status_code == 200


async def test_the_page_and_all_it_needs_come_from_here(held: Held) -> None:
    """No other host is named in what is served, and the policy lets none be asked."""
    for path in ("/", "/page.js", "/page.css", "/plotly.js"):
        answer = await held.client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        if path != "/plotly.js":
            assert "https://" not in answer.text
            assert "http://" not in answer.text
        for secret in held.doors.keys.all:
            assert secret not in answer.text


async def test_large_and_strange_bodies_are_refused(held: Held) -> None:
    """Each with what was expected."""
    json_ = held.headers(**{"content-type": "application/json"})
    for body, status in (
        (b"[]", 400),
        (b"{", 400),
        (b'{"who": 5}', 400),
        (b'{"who": "squall"}', 400),
        (b'{"x": "' + b"y" * desk.BODY_BYTES_MAX + b'"}', 413),
    ):
        answer = await held.client.post("/api/halt", content=body, headers=json_)
        assert (body[:9], answer.status_code) == (body[:9], status)
    assert (await held.ask("start", {"kind": "rain"})).json()["at"] == "kind"
    assert (await held.ask("stop", {"window": True})).json()["at"] == "window"
    assert (await held.ask("remark", {"text": " "})).json()["at"] == "text"
    assert held.day.game.halted is None


async def test_a_secret_that_somebody_pastes_is_not_written_down(held: Held) -> None:
    """Neither in a remark nor as a name; nor does the day's own journal ever hold one."""
    key = held.doors.keys.operator
    async with held.page("Ana") as events:
        link = held.doors.link("operator")
        assert (await held.ask("remark", {"who": "Ana", "text": f"open {link}"})).is_success
        assert (await held.ask("remark", {"who": key[:30], "text": "me"})).is_success
        said = {"expected": f"it is as {key} says", "stop_when": f"{key} says so"}
        await held.ask("start", START | {"hypothesis": said})
        await events.until(first_is("in force"))
    text = "".join(file.read_text() for file in held.day.folder.glob("*.jsonl"))
    assert "open http" in text
    assert held.day.journal().of(RemarkEntry)
    assert held.day.journal().of(OrderEntry)
    for secret in held.doors.keys.all:
        assert secret[:12] not in text
    assert held.doors.keys.operator not in repr(held.doors)


async def test_only_so_many_pages_may_be_open(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told so, and the others stay."""
    monkeypatch.setattr("harness.gameday.crowd.PAGES_MAX", 2)
    async with held.page("Ana"), held.page("Ben"):
        answer = await held.ask("live", {"page": "Cleo"})
        assert answer.status_code == 503
    async with held.page("Cleo"):
        pass


@contextmanager
def _taken() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_a_port_that_is_taken_is_told_with_the_mend() -> None:
    """Before anything is started."""
    with _taken() as port, pytest.raises(RigError, match="choose another port"):
        open_doors(port)
