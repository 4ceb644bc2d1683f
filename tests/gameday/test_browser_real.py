"""A whole game day as people have it: the real command, a real target, a real browser."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from anyio.to_thread import run_sync
from playwright.async_api import Browser, Page, expect

from tests.command import STORM, folder_of, verdict_of
from tests.gameday.browser import launched, opened
from tests.gameday.playing import WAIT_S, day, ended

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(500)]
WAIT_MS = WAIT_S * 1000
SLOWED_MS = 600.0  # each way, so a call takes 1.2 s; a busy machine's usual 99th is below
STEADY = STORM[: STORM.index("faults:")].replace("pace: 8/s", "pace: 2/s") + (
    'limits: {answered: ">= 99%", recovery: "<= 2s"}\nabort: {control_errors: "> 90% for 60s"}\n'
)
SLOWED = re.compile(r"^\s*(1\.[1-9]|[2-9]|\d\d)[\d.]* s")  # both ways of it, less the jitter
HIT = re.compile(r"Seen: it hit [1-9]\d* connections?\.")
P99 = "#now tr:nth-child({row}) td:nth-child(5)"


async def break_and_halt(page: Page) -> None:
    """Start one fault with what is expected of it, see it, and undo everything."""
    await expect(page.locator("#happening")).to_have_text("Both arms run untouched.")
    await page.fill("#who", "Ana")
    await page.fill("#find", "tcp-latency")
    await page.press("#find", "Enter")
    await page.fill("#parameters [data-name='delay']", f"{SLOWED_MS:g}ms")
    await page.fill("#for", "10m")
    await page.fill("#expected", "each call takes 1.2 s more, and every one is answered")
    await page.fill("#stop_when", "when half of them fail")
    await page.click("#go")
    await expect(page.locator("#happening")).to_contain_text("1:tcp-latency is in force")
    # The worst of the last five seconds: it rises with the first calls that are slowed down.
    await expect(page.locator(P99.format(row=2))).to_have_text(SLOWED)
    await expect(page.locator("#faults")).to_contain_text(HIT)
    await page.keyboard.press("Control+Shift+H")
    await expect(page.locator("#halted")).to_contain_text("proven: every fault is undone")


async def end_the_day(page: Page, process: subprocess.Popen[str]) -> int:
    """Let the day go on, say what is to be done, and end it; the exit code."""
    await page.click("#resume")
    await page.fill("#note-text", "alert when p99 is over a second")
    await page.select_option("#note-kind", "action")
    await page.press("#note-text", "Enter")
    await expect(page.locator("#remarks")).to_contain_text("alert when p99")
    await expect(page.locator("#why_not")).not_to_contain_text("recovery")
    await page.click("#end")
    await page.click("#end-now")
    await expect(page.locator("#link")).to_contain_text("record.html")
    done = await run_sync(ended, process)
    return done.code


async def read_record(browser: Browser, run: Path) -> str:
    """What a browser shows of the day's record, opened from its file."""
    page = await opened(browser, (run / "record.html").as_uri())
    return await page.inner_text("body")


async def test_a_day_from_the_operators_link_to_its_record(tmp_path: Path) -> None:
    """The page is there before its rig; a fault moves the numbers, HALT proves, a record tells."""
    expect.set_options(timeout=WAIT_MS)
    with day(tmp_path, "--for", "20m", text=STEADY) as (process, operator, _):
        async with launched() as browser:
            page = await opened(browser, operator)
            page.set_default_timeout(WAIT_MS)
            await expect(page.locator("#scenario")).to_have_text("Game day: day")
            await break_and_halt(page)
            code = await end_the_day(page, process)
            run = folder_of(tmp_path / "runs")
            shown = await read_record(browser, run)
    assert code in {0, 1, 3}
    (fault,) = verdict_of(run)["faults"]
    assert (fault["id"], fault["bit"], fault["healed"]) == ("1:tcp-latency", True, True)
    for told in (shown, (run / "record.md").read_text(encoding="utf-8")):
        for part in (
            "each call takes 1.2 s more, and every one is answered",
            "HALT",
            "all faults are undone, proven",
            "alert when p99 is over a second",
        ):
            assert part in told
