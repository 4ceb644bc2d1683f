from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import numpy as np
import pytest
from playwright.async_api import Browser, Page, expect

from faults.network import TcpDown
from harness.clock import RunClock
from harness.gameday.desk import Desk
from harness.gameday.doors import Doors, open_doors
from harness.gameday.lobby import Lobby
from harness.gameday.serving import served
from harness.journal import DeedEntry, HaltEntry, RemarkEntry
from harness.scenario.records import Scenario
from harness.scenario.window import Hypothesis, Window
from tests import journals
from tests.gameday.browser import focus, launched, opened, poor_contrast
from tests.gameday.days import StagedDay, staged, wanted

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.slow]
SCENARIO = journals.scenario(
    phases={"warmup": "0s", "baseline": "0s", "recovery": "1s"},
    load={"sessions": 4, "ramp": "0s"},
    limits={"answered": ">= 99%"},
    abort={"control_errors": "> 90% for 30s"},
)
SLOW_MS = 750.0
DONE_S = 30.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all of them, so that one browser serves."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser; each person has a profile of their own in it."""
    expect.set_options(timeout=DONE_S * 1000)
    async with launched() as made:
        yield made


@asynccontextmanager
async def held(
    folder: Path, *, lease_s: float = 30.0, of: Scenario = SCENARIO
) -> AsyncIterator[tuple[StagedDay, Doors]]:
    """A day under way in real time; under a fault, the treated arm's calls are slow."""
    day, writer = staged(folder, of, lease_s=lease_s)
    day.game.clock = day.game.book.clock = day.game.attendance.clock = RunClock()
    doors = open_doors(0)
    with writer:
        async with anyio.create_task_group() as group:
            async with served(Desk(game=day.game, doors=doors).app(), doors):
                group.start_soon(day.game.conduct, day.stop)
                group.start_soon(_load, day)
                yield day, doors
                day.end("the test is over")
            group.cancel_scope.cancel()


async def _load(day: StagedDay) -> None:
    """Let a second's calls be heard of, twice a second."""
    while not day.stop.is_set():
        batch = journals.calls(40, due_s=1.0)
        batch["treated"] = np.arange(40) % 2
        if day.game.in_force:
            journals.took(batch, batch["treated"] == 1, SLOW_MS)
        day.game.hear(batch)
        await anyio.sleep(0.5)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until this holds."""
    with anyio.fail_after(DONE_S):
        while not holds():  # noqa: ASYNC110  nobody tells
            await anyio.sleep(0.05)


async def fill(page: Page, who: str, kind: str = "tcp-latency", for_: str = "5m") -> None:
    """Fill the form as a person does."""
    await page.fill("#who", who)
    await page.fill("#find", kind)
    await page.press("#find", "Enter")
    await page.fill("#for", for_)
    await page.fill("#expected", "calls slow down and are answered")
    await page.fill("#stop_when", "half of them fail")


async def test_who_never_saw_the_page_is_led_to_a_fault_and_its_end(
    browser: Browser, tmp_path: Path
) -> None:
    """The page says what is missing, what is in force, what it does, and what HALT has proven."""
    async with held(tmp_path) as (day, doors):
        page = await opened(browser, doors.link("operator"))
        await expect(page.locator("#happening")).to_have_text("Both arms run untouched.")
        assert doors.keys.operator not in page.url
        go, why = page.locator("#go"), page.locator("#why_not")
        await expect(page.locator("#kind input")).not_to_have_count(0)
        await expect(go).to_have_attribute("aria-disabled", "true")
        await expect(why).to_contain_text("write your name")
        await expect(why).to_contain_text("say what you expect to happen; say when you will stop")
        await go.click(force=True)
        await expect(page.locator("#refused")).to_contain_text("write your name")
        assert not day.game.faults
        await fill(page, "Ana")
        await expect(go).to_have_attribute("aria-disabled", "false")
        await expect(why).to_have_text("")
        before = await page.inner_text("#now tr:nth-child(2) td:nth-child(4)")
        assert before.startswith("20 ms")
        await go.click()
        await expect(page.locator("#happening")).to_have_text(
            "1:tcp-latency is in force, on the treated arm; started by Ana."
        )
        await expect(page.locator("#now tr:nth-child(2) td:nth-child(4)")).to_contain_text("758 ms")
        await expect(page.locator("#now tr:nth-child(1) td:nth-child(4)")).to_contain_text("20 ms")
        await expect(page.locator("#levers")).to_contain_text("network applied 1:tcp-latency")
        await page.click("#halt")
        await expect(page.locator("#halted")).to_contain_text("proven: every fault is undone")
        await expect(page.locator("#halted-proof")).to_have_text(
            "Seen: the proxies hold nothing of it."
        )
        assert day.world.at_rest
        await expect(why).to_contain_text("everything was halted")
        await page.click("#resume")
        await expect(page.locator("#halted")).to_be_hidden()
        article = page.locator("article[data-window='1']")
        await article.locator("input").fill("p50 went up and came back")
        await article.locator("select").select_option("yes")
        await article.locator("button").click()
        await expect(article.locator("ol")).to_contain_text("(as expected: yes)")
        await page.click("#end")
        await expect(page.locator("#end-not")).to_be_focused()  # who presses twice ends nothing
        await page.click("#end-not")
        await expect(page.locator("#end")).to_be_focused()
        await page.click("#end")
        await page.click("#end-now")
        await expect(page.locator("#link")).to_contain_text("record.html")
        await expect(page.locator("#halt")).to_be_disabled()
        await page.context.close()
    (said,) = day.journal().of(RemarkEntry)
    assert (said.who, said.window, said.as_expected) == ("Ana", 1, "yes")


async def test_halt_by_keyboard_works_deep_in_the_form_and_never_by_typing(
    browser: Browser, tmp_path: Path
) -> None:
    """Ctrl+Shift+H, as the button says; what is typed stays; on a viewer's page it does nothing."""
    async with held(tmp_path) as (day, doors):
        page = await opened(browser, doors.link("operator"), viewport={"width": 800, "height": 600})
        viewer = await opened(browser, doors.link("viewer"))
        await expect(page.locator("#halt")).to_contain_text("Ctrl+Shift+H")
        await expect(page.locator("#kind input")).not_to_have_count(0)
        await fill(page, "Ana")
        await page.click("#go")
        await expect(page.locator("#happening")).to_contain_text("1:tcp-latency is in force")
        await page.click("#stop_errors")
        for key in ("h", "Shift+H", "Control+h", "Alt+h", "Escape", "Escape", "Control+Alt+h"):
            await page.keyboard.press(key)
        await page.keyboard.type("Hh > 50% for 10s")
        await viewer.keyboard.press("Control+Shift+H")
        await expect(page.locator("#stop_errors")).to_have_value(re.compile("10s$"))
        assert day.game.halted is None
        typed = await page.input_value("#stop_errors")
        await page.keyboard.press("Control+Shift+H")
        await expect(page.locator("#halted")).to_contain_text("proven: every fault is undone")
        await expect(page.locator("#halted")).to_be_in_viewport()
        assert day.world.at_rest
        assert await page.input_value("#stop_errors") == typed
        for one in (page, viewer):
            await one.context.close()
    (asked,) = [one for one in day.journal().of(HaltEntry) if one.edge == "asked"]
    assert asked.who == "Ana"


async def test_who_opens_the_link_early_is_told_what_it_waits_for(
    browser: Browser, tmp_path: Path
) -> None:
    """The page is there before the day, and goes on by itself when that is there."""
    day, writer = staged(tmp_path, SCENARIO)
    day.game.clock = day.game.book.clock = day.game.attendance.clock = RunClock()
    doors = open_doors(0)
    lobby = Lobby(doors)
    with writer:
        async with anyio.create_task_group() as group, served(lobby, doors):
            page = await opened(browser, doors.link("operator"))
            await expect(page.locator("#link")).to_contain_text("Getting ready: squall is starting")
            await expect(page.locator("#halt")).to_be_hidden()
            lobby.waits_for = "the target is being started"
            await expect(page.locator("#link")).to_contain_text("the target is being started")
            lobby.open(Desk(game=day.game, doors=doors).app())
            group.start_soon(day.game.conduct, day.stop)
            group.start_soon(_load, day)
            await expect(page.locator("#happening")).to_have_text("Both arms run untouched.")
            await expect(page.locator("#link")).to_be_hidden()
            await page.context.close()
            day.end("the test is over")
            await lobby.close()
            group.cancel_scope.cancel()


async def test_a_game_plan_fills_the_form(browser: Browser, tmp_path: Path) -> None:
    """One press takes a step of the plan over, with what is asked before it; a person starts it."""
    said = Hypothesis(expected="all are back in 4 s", breaks="answered", stop_when="no alert")
    step = Window.model_validate(
        {"fault": TcpDown(), "for": "5s", "pause": "Who is paged?", "hypothesis": said}
    )
    planned = SCENARIO.model_copy(update={"faults": (step,)})
    async with held(tmp_path, of=planned) as (day, doors):
        page = await opened(browser, doors.link("operator"))
        await page.fill("#who", "Ana")
        await expect(page.locator("#plan")).to_contain_text("Who is paged?")
        await page.click("#planned button")
        await expect(page.locator("#expected")).to_have_value("all are back in 4 s")
        await expect(page.locator("#breaks")).to_have_value("answered")
        await expect(page.locator("#for")).to_have_value("5s")
        await expect(page.locator("#why_not")).to_have_text("")
        assert not day.game.faults
        await page.click("#go")
        await expect(page.locator("#happening")).to_contain_text("1:tcp-down is in force")
        await page.context.close()


async def test_four_plots_share_a_time_axis_with_the_fault(
    browser: Browser, tmp_path: Path
) -> None:
    """Both arms in each of them, and a band where the fault is in force, with its name."""
    async with held(tmp_path) as (day, doors):
        page = await opened(browser, doors.link("operator"), charts=True)
        await until(lambda: day.game.attendance.has_operator)
        day.game.start(wanted(day.game.scenario, **{"for": "5m"}), "Ana")
        chart = page.locator("#chart")
        await expect(chart).to_contain_text("1:tcp-latency")
        await expect(chart.locator(".shapelayer path")).to_have_count(2)  # the baseline's, too
        await expect(chart.locator(".scatterlayer .trace")).to_have_count(10)
        for title in ("calls/s", "errors", "latency, p50 and p99", "sessions alive"):
            await expect(chart).to_contain_text(title)
        await page.context.close()


async def test_a_browser_that_is_closed_takes_its_fault_along(
    browser: Browser, tmp_path: Path
) -> None:
    """Nobody is there to stop it, so it ends with its lease."""
    async with held(tmp_path, lease_s=2.0) as (day, doors):
        page = await opened(browser, doors.link("operator"))
        await fill(page, "Ana")
        await page.click("#go")
        await expect(page.locator("#happening")).to_contain_text("is in force")
        await expect(page.locator("#lasting")).to_contain_text("lease 0:0")
        await page.context.close()
        await until(lambda: day.game.faults[0].is_over)
        assert (day.game.faults[0].state, day.world.at_rest) == ("healed", True)
        assert "no operator's page" in day.game.faults[0].why


async def test_two_operators_see_and_stop_each_others_faults(
    browser: Browser, tmp_path: Path
) -> None:
    """Who is here, who started what, why the second cannot start another, and who stopped it."""
    async with held(tmp_path) as (day, doors):
        ana = await opened(browser, doors.link("operator"))
        ben = await opened(browser, doors.link("operator"))
        await fill(ana, "Ana")
        await ana.click("#go")
        await fill(ben, "Ben", "tcp-down")
        await expect(ana.locator("#people")).to_contain_text("Ben")
        await expect(ben.locator("#people")).to_contain_text("Ana")
        await expect(ben.locator("#happening")).to_contain_text("in force")
        await expect(ben.locator("#why_not")).to_contain_text("1:tcp-latency, started by Ana")
        await ben.click("#go", force=True)
        await expect(ben.locator("#refused")).to_contain_text("1:tcp-latency, started by Ana")
        await ben.click("#stop")
        await expect(ana.locator("article[data-window='1']")).to_contain_text("stopped by Ben")
        await expect(ben.locator("#why_not")).to_have_text("")
        await ben.click("#go")
        await expect(ana.locator("#happening")).to_contain_text("2:tcp-down is in force")
        await ana.fill("#note-text", "the pager is on")
        await ana.press("#note-text", "Enter")
        await expect(ben.locator("#remarks")).to_contain_text("Ana: the pager is on")
        for page in (ana, ben):
            await page.context.close()
    stopped = [one for one in day.journal().of(DeedEntry) if one.deed == "stopped"]
    assert [(one.who, one.window) for one in stopped] == [("Ben", 1)]


async def test_who_looks_on_sees_all_and_can_do_nothing(browser: Browser, tmp_path: Path) -> None:
    """There is nothing to press, and what the page itself might send is refused."""
    async with held(tmp_path) as (day, doors):
        page = await opened(browser, doors.link("viewer"))
        await expect(page.locator("header")).to_contain_text("this link changes nothing")
        await expect(page.locator("#now")).to_contain_text("20 ms")
        seen = "button:visible, input:visible, textarea:visible, form:visible"
        await expect(page.locator(seen)).to_have_count(0)
        for deed in ("start", "halt", "remark", "end"):
            status = await page.evaluate(
                """async (deed) => (await fetch(`/api/${deed}`, {method: "POST", body: "{}",
                headers: {authorization: `Bearer ${sessionStorage.getItem("key")}`,
                          "content-type": "application/json"}})).status""",
                deed,
            )
            assert (deed, status) == (deed, 403)
        assert (day.game.faults, day.game.halted, day.stop.is_set()) == ([], None, False)
        await page.context.close()


async def test_the_keyboard_alone_is_enough(browser: Browser, tmp_path: Path) -> None:
    """Tab goes through the form in its order, everything has a name, and where one is is seen."""
    async with held(tmp_path) as (day, doors):
        page = await opened(browser, doors.link("operator"))
        await expect(page.locator("#kind input")).not_to_have_count(0)
        order = []
        texts = {"who": "Ana", "expected": "calls slow down", "stop_when": "half of them fail"}
        for _ in range(30):
            await page.keyboard.press("Tab")
            where, called, shown = await focus(page)
            assert called, where
            assert shown, where
            order.append(where)
            if where in texts:
                await page.keyboard.type(texts[where])
            if where == "kind":
                await page.keyboard.press("ArrowDown")
            if where == "stop_when":
                break
        wanted = ["who", "halt", "span", "find", "kind", "for", "expected", "breaks", "stop_when"]
        assert [where for where in order if where in wanted] == wanted
        await page.keyboard.press("Enter")
        await expect(page.locator("#happening")).to_contain_text("1:tcp-reset is in force")
        for _ in range(len(order)):
            await page.keyboard.press("Shift+Tab")
            if (await focus(page))[0] == "halt":
                break
        halted = page.locator("#halted")
        await expect(halted).to_have_attribute("role", "alert")
        await page.keyboard.press("Enter")
        await expect(halted).to_contain_text("proven: every fault")
        await page.keyboard.press("Tab")
        assert (await focus(page))[0] == "resume"
        await page.keyboard.press("Enter")
        await expect(halted).to_be_hidden()
        assert (await focus(page))[0] == "halt"
        assert day.game.faults[0].why.startswith("halted by Ana")
        await page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_is_in_sight_and_can_be_read(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    """At 1280 and 800 pixels: contrast of AA, no sideways scrolling, HALT wherever one is."""
    async with held(tmp_path) as (_, doors):
        page = await opened(browser, doors.link("operator"), color_scheme=scheme)
        await fill(page, "Ana", for_="never")
        await page.click("#go")
        await expect(page.locator("#for")).to_have_attribute("aria-invalid", "true")
        assert await poor_contrast(page) == []
        await page.fill("#for", "5m")
        await page.click("#go")
        await expect(page.locator("#happening")).to_contain_text("is in force")
        for width in (1280, 800):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            await expect(page.locator("#halt")).to_be_in_viewport(ratio=1)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await poor_contrast(page) == []
        await page.click("#halt")
        await expect(page.locator("#halted")).to_contain_text("proven: every fault")
        assert await poor_contrast(page) == []
        await page.context.close()


async def test_a_page_that_hears_nothing_says_so_and_comes_back(
    browser: Browser, tmp_path: Path
) -> None:
    """What is shown is marked as old, and no deed is claimed to be done."""
    async with held(tmp_path) as (day, doors):
        page = await opened(browser, doors.link("operator"))
        await expect(page.locator("#now")).to_contain_text("20 ms")
        await page.route("**/api/**", lambda route: route.abort())
        await page.fill("#who", "Ana")
        await page.press("#who", "Tab")  # a new name is told by a new stream
        await expect(page.locator("#link")).to_contain_text("The connection is lost")
        await page.click("#halt")
        await expect(page.locator("#said")).to_contain_text("nothing was done")
        assert day.game.halted is None
        await page.unroute("**/api/**")
        await expect(page.locator("#link")).to_be_hidden()
        await page.context.close()


@pytest.mark.parametrize(("fragment", "says"), [("#key=x", "not of this game day"), ("", "open")])
async def test_without_the_secret_the_page_is_empty_and_says_why(
    browser: Browser, tmp_path: Path, fragment: str, says: str
) -> None:
    """Nothing of the day is shown."""
    async with held(tmp_path) as (_, doors):
        page = await opened(browser, doors.link("operator").partition("#")[0] + fragment)
        await expect(page.locator("#link")).to_contain_text(says)
        await expect(page.locator("main")).to_be_hidden()
        await expect(page.locator("#halt")).to_be_hidden()
        await page.context.close()
