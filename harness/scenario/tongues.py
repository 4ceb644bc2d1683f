"""Whether a scenario's era, revision, transport and engine go together: they say how to speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from harness.scenario.objections import Objection
from harness.scenario.records import (
    CallStep,
    LaunchTarget,
    ReferenceTarget,
    Scenario,
    SingleStep,
    SubscribeStep,
    Tls,
    UrlTarget,
    era_of,
)

SDK_REVISIONS: Final = ("2025-11-25", "2026-07-28")  # the newest of either era
HEADER_FLAW: Final = "auth-at-init-only"  # it believes a session by its header, which sse lacks
SSE_REVISION: Final = "2024-11-05"


def revision(scenario: Scenario) -> Iterator[Objection]:
    """Object to a pinned revision that cannot be spoken."""
    if scenario.revision is None:
        return
    if scenario.engine == "sdk" and scenario.revision not in SDK_REVISIONS:
        yield Objection(
            trail=("revision",),
            expected=f"one that the official client can be held to: {', '.join(SDK_REVISIONS)}",
            came=scenario.revision,
            mend="remove engine: sdk, or the revision",
        )
    if scenario.era == "auto":
        return
    its_era = era_of(scenario.revision)
    if scenario.era != its_era:
        yield Objection(
            trail=("revision",),
            expected=f"a revision of the {scenario.era} era, as era: says",
            came=f"{scenario.revision}, of the {its_era} one",
            mend="remove era:, which the revision settles",
        )


def transport(scenario: Scenario) -> Iterator[Objection]:
    """Object to a transport that the rest of the scenario does not know."""
    target = scenario.target
    if target.transport == "http" and scenario.revision == SSE_REVISION:
        yield Objection(
            trail=("revision",),
            expected="a revision that has Streamable HTTP, as target.transport says",
            came=scenario.revision,
            mend="say transport: sse, or another revision",
        )
    if target.transport != "sse":
        return
    if scenario.spoken_era == "modern":
        yield Objection(
            trail=("target", "transport"),
            expected="a transport of the modern era",
            came="sse",
            mend="say era: legacy, or transport: http",
        )
    if isinstance(target, ReferenceTarget) and HEADER_FLAW in target.flaws:
        yield Objection(
            trail=("target", "reference"),
            expected="flaws that can show over HTTP+SSE",
            came=HEADER_FLAW,
            mend="say transport: http, or leave the flaw out",
        )
    if scenario.engine == "sdk":
        yield Objection(
            trail=("target", "transport"),
            expected="a transport that the official client drives here",
            came="sse",
            mend="remove engine: sdk, or say transport: http",
        )


def tls(scenario: Scenario) -> Iterator[Objection]:
    """Object to TLS files that nobody would look at, and to a key without a certificate."""
    target = scenario.target
    if not isinstance(target, UrlTarget | LaunchTarget) or target.tls == Tls():
        return
    if not target.url.startswith("https://"):
        yield Objection(
            trail=("target", "tls"),
            expected="a target with an https URL, as there is TLS",
            came=target.url,
            mend="write https:// in the URL, or remove tls:",
        )
    elif target.tls.key and not target.tls.certificate:
        yield Objection(
            trail=("target", "tls", "key"),
            expected="the certificate of this key beside it",
            came="none",
            mend="add certificate:",
        )


def health(scenario: Scenario) -> Iterator[Objection]:
    """Object to a health check that is not the target's: it would say nothing of its calls."""
    target = scenario.target
    if not isinstance(target, UrlTarget | LaunchTarget) or not target.health:
        return
    asked, called = urlsplit(target.health), urlsplit(target.url)
    own = (asked.scheme, asked.netloc) in {("", ""), (called.scheme, called.netloc)}
    if not own or not asked.path.startswith("/") or re.search(r"\s", target.health):
        yield Objection(
            trail=("target", "health"),
            expected="a path, or a URL of the same scheme, host and port as the target's",
            came=target.health,
            mend="write for example health: /healthz",
        )


def ours_alone(step: SingleStep) -> str:
    """Say what of a step the official client would not do as ours does; "" when nothing is."""
    if isinstance(step, SubscribeStep):
        return step.method.removeprefix("resources/")
    if not isinstance(step, CallStep):
        return ""
    asked = {
        "task": step.task,
        "progress": step.progress,
        "patience": step.patience_s,
        "cancel_after": step.cancel_after_s,
    }
    return next((name for name, value in asked.items() if value), "")
