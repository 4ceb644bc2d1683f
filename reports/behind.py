"""What stands behind the calls in evidence: the ledger's lines, the dependency's, and the probes'.

Only lines that carry the nonce of a call are its own, so nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from harness.evidence.phases import Evidence
from harness.journal import DependencyEntry, EffectEntry, ProbeEntry
from harness.scenario.units import counted
from reports.series import NS
from reports.words import cut, milliseconds

LINES_MAX: Final = 4  # a call
_TEXT_MAX: Final = 160
_NONCE: Final = re.compile(r"n[0-9a-f]{16}")
CallKey = tuple[int, int, int]  # session, index, attempt


def behind(evidence: Evidence, calls: Iterable[CallKey]) -> dict[CallKey, tuple[str, ...]]:
    """Give what others than the client saw of some calls, in words, a few lines each."""
    wanted = set(calls)
    lines: dict[CallKey, list[str]] = {}
    probes = {(entry.session, entry.index, 0): entry for entry in evidence.journal.of(ProbeEntry)}
    nonces: dict[str, list[CallKey]] = {}
    for key in sorted(wanted):
        session, index, attempt = key
        probe = probes.get(key)
        nonce = probe.nonce if probe is not None else ""
        if attempt:
            nonce = evidence.plan.nonce(session, index)
        if nonce:
            nonces.setdefault(nonce, []).append(key)
        if probe is not None:
            lines.setdefault(key, []).append(probe_line(probe))
    if nonces:
        for nonce, line in _seen(evidence, nonces):
            for key in nonces[nonce]:
                lines.setdefault(key, []).append(line)
    return {key: tuple(_bounded(found)) for key, found in lines.items()}


def _bounded(found: list[str]) -> Iterator[str]:
    yield from found[:LINES_MAX]
    if len(found) > LINES_MAX:
        yield f"and {len(found) - LINES_MAX} more such lines in journal.jsonl"


def _seen(evidence: Evidence, nonces: dict[str, list[CallKey]]) -> Iterator[tuple[str, str]]:
    """Give (nonce, line) of every entry that carries one of the nonces."""
    for effect in evidence.journal.of(EffectEntry):
        for nonce in _carried(effect.key, nonces):
            yield nonce, _effect_line(effect)
    for asked in evidence.journal.of(DependencyEntry):
        for nonce in _carried(asked.key, nonces):
            yield nonce, dependency_line(asked)


def _carried(key: str, nonces: dict[str, list[CallKey]]) -> Iterable[str]:
    if key in nonces:
        return (key,)
    return (
        ()
        if len(key) < len("n0123456789abcdef")
        else {found for found in _NONCE.findall(key) if found in nonces}
    )


def _effect_line(effect: EffectEntry) -> str:
    tool = f" by {effect.tool}" if effect.tool else ""
    subject = f", for {effect.subject}" if effect.subject else ""
    return f"ledger: executed{tool} at {effect.at_ns / NS:.3f} s{subject}"


def dependency_line(asked: DependencyEntry) -> str:
    """Say what the dependency saw of one request, and what was done to it."""
    parts = [f"{asked.dependency or 'dependency'}: {asked.operation} at {asked.at_ns / NS:.3f} s"]
    if asked.status:
        parts.append(f"status {asked.status} after {milliseconds(asked.took_ns / 1e6)}")
    if asked.rows >= 0:
        parts.append(counted(asked.rows, "rows"))
    if asked.executed:
        parts.append("executed")
    if not asked.answered:
        parts.append("its answer never left whole")
    if asked.retry_after_s:
        parts.append(f"asked for a wait of {asked.retry_after_s:g} s")
    if asked.subject:
        parts.append(f"for {asked.subject}")
    if asked.credential == "caller":
        parts.append("under the caller's own token")
    if asked.fault:
        parts.append(f"struck by {asked.fault}")
    return ", ".join(parts)


_CARRIED: Final = {
    "own": "its answer carried its own mark",
    "foreign": "its answer carried another call's mark",
    "none": "its answer carried no mark",
}


def probe_line(probe: ProbeEntry) -> str:
    """Say what was wrong on purpose in one request, and what came of it."""
    name = probe.kind.replace("_", " ")
    what = f"{name}, {probe.variant}" if probe.variant else name
    parts = [f"sent on purpose: {what}"]
    if probe.sent:
        parts.append(cut(probe.sent, _TEXT_MAX))
    parts.append(answer(probe))
    if probe.challenge:
        parts.append(f"challenge {cut(probe.challenge, _TEXT_MAX)}")
    if probe.carried:
        parts.append(_CARRIED[probe.carried])
    if probe.text:
        parts.append(f"it said: {cut(probe.text, _TEXT_MAX)}")
    return "; ".join(parts)


def answer(probe: ProbeEntry) -> str:
    """Say how a probe was answered: `HTTP 401`, `accepted with 200`, `no answer: hang`."""
    code = f", JSON-RPC {probe.code}" if probe.code is not None else ""
    if probe.is_error:
        return f"refused by the tool{code}"
    if probe.outcome == "ok":
        return f"accepted{f' with {probe.status}' if probe.status else ''}"
    if probe.status:
        return f"HTTP {probe.status}{code}"
    if code:
        return f"refused{code}"
    reason = probe.reason.replace("_", " ")
    outcome = probe.outcome.replace("_", " ")
    return f"no answer: {reason or outcome or 'unknown'}"
