from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from harness.judge import judge
from harness.played import GAME_DAY
from reports.folder import write_all
from tests.gameday.browser import launched, opened, poor_contrast
from tests.reports.record.test_record import evidence_of_a_day

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_record_can_be_read_in_a_browser(tmp_path: Path, scheme: str) -> None:
    """From its file, without a network: hypothesis beside observation, drawn, contrast of AA."""
    of = evidence_of_a_day(breaks="latency_p99", slow_ms=900.0)
    facts = {GAME_DAY: {"longest_s": 120.0}, "scenario": "day"}
    write_all(tmp_path, of, judge(of, name="day"), facts)
    async with launched() as browser:
        link = (tmp_path / "record.html").as_uri()
        page = await opened(browser, link, charts=True, color_scheme=scheme)
        await expect(page.locator("article")).to_contain_text("latency_p99 was expected")
        await expect(page.locator("[data-chart] svg.main-svg")).not_to_have_count(0)
        assert await poor_contrast(page) == []
        await page.set_viewport_size({"width": 800, "height": 900})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 800
