from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest

from faults.network import TcpLatency
from harness.evidence.phases import evidence as lay
from harness.judge import judge
from reports.axes import Chart
from reports.charts import charts
from reports.junit import junit
from reports.markdown import markdown
from reports.page import embedded, page
from reports.report import Report, make
from reports.terminal import summary
from tests.journals import healthy, plan, scenario, window
from tests.reports.samples import (
    FACTS,
    HOSTILE,
    evidence_of_a_storm,
    judgement_of_a_calm,
    judgement_of_a_storm,
)

PAGE_BYTES_MAX = 6_000_000


class Outline(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note what is shown."""
        if self.tags and self.tags[-1][0] not in {"script", "style"}:
            self.text += data


def outline(text: str) -> Outline:
    """Parse a page."""
    parsed = Outline()
    parsed.feed(text)
    return parsed


def storm() -> Report:
    """Report the storm."""
    return make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS)


def hostile() -> Report:
    """Report a storm in which every name and sample is an attack."""
    evidence = evidence_of_a_storm(tool=HOSTILE, text=HOSTILE * 50)
    return make(evidence, judgement_of_a_storm(tool=HOSTILE, why=HOSTILE), {"target": HOSTILE})


def test_the_same_report_gives_the_same_bytes() -> None:
    """Two renderings, from evidence made twice, are equal byte for byte."""
    assert page(storm()) == page(storm())


def test_the_page_refers_to_nothing_outside_itself() -> None:
    """No source, link, style sheet or font lies anywhere but in the file."""
    text = page(storm())
    for tag, attributes in outline(text).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert styles
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_policy_allows_the_two_scripts_and_no_network() -> None:
    """The page forbids itself every load, and every script but its own two."""
    parsed = outline(page(storm()))
    policies = [a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    policy = policies[0] or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("sha256-") == 2
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_hostile_names_and_samples_stay_text() -> None:
    """What a server or scenario says cannot become an element, an attribute or a script."""
    plain, attacked = outline(page(storm())), outline(page(hostile()))
    assert "alert(1)" in attacked.text
    assert [t for t, _ in attacked.tags].count("script") == 3
    assert not [t for t, _ in attacked.tags if t == "img"]
    assert {t for t, _ in attacked.tags} == {t for t, _ in plain.tags}
    assert not [a for _, attributes in attacked.tags for a in attributes if a.startswith("on")]


def test_embedded_data_cannot_end_its_element() -> None:
    """The figures come back as they were, and hold nothing that HTML reads."""
    text = embedded({HOSTILE: ["<!--", "\u2028&amp;"]})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {HOSTILE: ["<!--", "\u2028&amp;"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded(float("nan"))


def test_control_and_direction_marks_are_stripped() -> None:
    """No escape sequence and nothing that reorders text reaches the page."""
    text = page(hostile()).split("<script")[0]
    assert not set(text) & {"\x1b", "\x00", "\u202e"}


def test_every_finding_has_its_own_anchor() -> None:
    """A finding can be linked to, and no two share an id."""
    ids = [a["id"] for _, a in outline(page(hostile())).tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(id_ is not None and re.fullmatch(r"[A-Za-z0-9._-]+", id_) for id_ in ids)
    text = page(storm())
    assert '<article id="expired-is-403-2-token-expire-search"' in text
    assert 'href="#expired-is-403-2-token-expire-search"' in text


def test_the_evidence_is_told_in_facts() -> None:
    """A finding's calls stand with their times, status, outcome and what the server said."""
    text = outline(page(storm())).text
    for part in ("s1.129.1", "403", "http error: http status", "403 Forbidden: invalid_token"):
        assert part in text
    assert "1 more named as evidence, not in the journal" in text


def test_sections_come_in_the_order_of_the_questions() -> None:
    """Verdict and score first, how it was done last."""
    text = page(storm())
    order = [
        "<h1>", 'id="score"', 'id="asked"', 'id="time"', 'id="findings"', 'id="percentiles"',
        'id="latencies"', 'id="tools"', 'id="limits"', 'id="soundness"', 'id="run"',
    ]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_calm_run_and_a_withheld_score_render_too() -> None:
    """Nothing found and nothing scored are said in words."""
    judgement = judgement_of_a_calm()
    assert "Nothing was found wrong." in page(make(evidence_of_a_storm(), judgement))


@pytest.mark.parametrize(("treated", "arm"), [("0%", "control"), ("100%", "treated")])
def test_a_run_with_one_arm_is_shown_with_one(treated: str, arm: str) -> None:
    """Nothing of the arm that is not there appears, in the page or elsewhere."""
    of = scenario(window(TcpLatency()), load={"sessions": 6, "ramp": "1s", "treated": treated})
    by = plan(of)
    run = lay(of, by, healthy(of, by))
    report = make(run, judge(run, name="one"))
    assert report.arms == (arm,)
    names = {trace["name"].split()[0] for trace in charts(report)["timeline"]["data"]}
    assert names == {arm}
    assert f"{arm}, 6 sessions" in page(report)
    assert junit(report)
    assert markdown(report)
    assert summary(report, color=False).splitlines()[-1].startswith("PASS")


def test_the_page_stays_small_when_everything_is_many() -> None:
    """Hundreds of findings with full evidence do not make a page that is hard to open."""
    judgement = judgement_of_a_storm()
    finding = judgement.findings[0]
    many = type(finding)(
        **{
            **{name: getattr(finding, name) for name in finding.__dataclass_fields__},
            "why": "w" * 5000,
            "evidence": tuple(f"s{session}.129.1" for session in range(10)),
        }
    )
    crowded = type(judgement)(
        **{
            **{name: getattr(judgement, name) for name in judgement.__dataclass_fields__},
            "findings": (many,) * 600,
            "faults": judgement.faults * 60,
        }
    )
    report = make(evidence_of_a_storm(text="<" * 10_000), crowded, FACTS)
    text = page(report)
    assert len(text.encode()) < PAGE_BYTES_MAX
    assert f"{report.findings_left} more in verdict.json" in text


def painted(part: object) -> object:
    """Replace the style sheet's variables by a colour, as the page's script does."""
    if isinstance(part, dict):
        return {key: painted(value) for key, value in part.items()}
    if isinstance(part, list):
        return [painted(value) for value in part]
    if part == "$heat":
        return "Blues"
    return "#123456" if isinstance(part, str) and part.startswith("$") else part


@pytest.mark.parametrize("name", ["timeline", "spectrum", "heat"])
def test_plotly_accepts_every_chart(name: str) -> None:
    """The library's own validation knows each property and value that we write."""
    chart: Chart = json.loads(json.dumps(charts(storm())[name]))
    figure = go.Figure(painted(chart))
    assert len(figure.data) == len(chart["data"]) > 0


def test_the_charts_use_only_colours_that_the_style_sheet_has() -> None:
    """A misspelt colour would leave a line invisible."""
    style = re.findall(r"<style>(.*?)</style>", page(storm()), re.DOTALL)[0]
    used = set(re.findall(r'"\$(\w+)"', json.dumps(charts(storm())))) - {"heat"}
    assert used >= {"control", "treated", "band"}
    assert all(f"--{name}:" in style for name in used)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here: page not opened")
def test_a_browser_draws_the_charts_under_the_policy(tmp_path: Path) -> None:
    """The scripts run as their hashes say, every chart is drawn, and no attack comes alive."""
    file = tmp_path / "report.html"
    file.write_text(page(hostile()), encoding="utf-8")
    browser = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
            "--enable-logging=stderr", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert browser.stdout.count('class="main-svg"') >= 3
    assert "<img" not in browser.stdout.split("<script")[0]
    assert "CONSOLE" not in browser.stderr
