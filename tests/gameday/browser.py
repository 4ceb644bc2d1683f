"""A real Chromium, as people have one: where it is, and what its pages are asked."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS: Final = 30_000

# Every text that is seen, held against what is behind it: the worst ratio for each element.
_CONTRAST: Final = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const node = text.parentElement;
    const box = node.getBoundingClientRect();
    if (!text.data.trim() || box.width < 2 || box.height < 2) continue;
    if (node.closest("svg, script, style")) continue;
    if (getComputedStyle(node).visibility !== "visible") continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    const told = text.data.trim().slice(0, 40);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.tagName} ${told}`);
  }
  return [seen, poor];
}"""

# Where the keyboard is, as somebody would name it; and whether that can be seen.
_FOCUS: Final = """() => {
  const node = document.activeElement;
  const ringed = (it) => Boolean(it) && getComputedStyle(it).outlineStyle !== "none";
  const names = [...(node.labels || [])].map((one) => one.textContent.trim()).join(" ");
  const called = node.getAttribute("aria-label") || names || node.textContent.trim();
  const seen = ringed(node) || ringed(node.closest(".pick"));
  return [node.id || node.name || node.tagName, called, seen];
}"""


def chromium() -> str:
    """Give the browser's path; skip loudly where there is none."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip("NO CHROMIUM: no page is tried in a real browser; install Debian's chromium")
    return found


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser without a window, for the block; its own, never the user's."""
    path = chromium()
    async with async_playwright() as playwright:
        # It is often root in a container, where its sandbox cannot be; the pages are ours.
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=60_000
        )
        try:
            yield browser
        finally:
            await browser.close()


async def opened(browser: Browser, link: str, *, charts: bool = False, **context: Any) -> Page:
    """Give a page of a person of their own, at a link; without what only draws, if not told."""
    page = await (await browser.new_context(**context)).new_page()
    page.set_default_timeout(WAIT_MS)
    if not charts:
        # It takes a busy machine seconds to read, and everything else has to work without it.
        await page.route("**/plotly.js", lambda route: route.abort())
    await page.goto(link, wait_until="domcontentloaded")
    return page


async def poor_contrast(page: Page) -> list[str]:
    """Give the texts that are below 4.5 to 1, the AA of small text; some text must be seen."""
    seen, poor = await page.evaluate(_CONTRAST)
    assert seen > 10
    return list(poor)


async def focus(page: Page) -> tuple[str, str, bool]:
    """Give what the keyboard is at: its id, what it is called, and whether that is seen."""
    where, called, shown = await page.evaluate(_FOCUS)
    return str(where), str(called), bool(shown)
