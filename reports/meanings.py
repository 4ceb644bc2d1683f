"""What each verdict means to the people behind the agents, in a sentence."""

from __future__ import annotations

from typing import Final

from harness.verdict import Judgement

_EFFECTS: Final[dict[str, str]] = {
    "doubled": "work that was asked for once and done more often",
    "orphaned": "work that was done though its caller never heard so: the answer was lost, or the "
    "caller had given up; an agent that asks again relies on the server to know it again",
    "unknown": "nobody can say whether this work was done",
}
MEANINGS: Final[dict[str, str]] = {
    "hang": "A call never came to an end: its agent waits for nothing.",
    "silent-empty": "A failure was served as an empty answer, which an agent takes for the truth.",
    "auth-masked": "A refusal was served as an answer, so that no agent knows to renew its token.",
    "wrong-answer": "An answer is not true, or one agent's bad call has broken another's.",
    "crosstalk": "An agent was given another's data.",
    "double-exec": "Work that was asked for once was done more than once.",
    "lost-update": "Of writes at the same time, one has undone the other.",
    "stale-read": "An agent read what it had already changed, as it was before.",
    "leak-session": "The server keeps sessions that nobody uses, and grows with each of them.",
    "leak-memory": "The server's memory grows and is not given back.",
    "leak-conn": "Connections, files or children are taken and never given back.",
    "cpu-spin": "The server burns its processor on nothing.",
    "orphan-work": "Work goes on for a caller who is gone.",
    "hol-block": "One slow call holds up everybody else.",
    "crash": "The server, or a process of it, died.",
    "no-recovery": "What a fault took from agents did not come back: service, session or context.",
    "stream-cut": "A stream was ended before its answer.",
    "buffered-stream": "Events arrived all at once at the end, not as they happened.",
    "truncated": "Part of an answer was served as the whole.",
    "unbounded-size": "The server takes in, or sends, messages of any size.",
    "wrong-status": "The server refuses in a way that clients cannot act on.",
    "authn-bypass": "Somebody was served on a credential that is no good.",
    "scope-bypass": "A tool ran for a caller who may not call it.",
    "audience-bypass": "A token that was made for another server was accepted.",
    "secret-leak": "A credential was passed on to somebody who must not have it.",
    "refresh-storm": "Every agent renewed the same credential at once.",
    "retry-amplification": "One failing call became many at whatever is behind the server.",
    "schema-drift": "Answers lost the shape that the tool promises.",
    "bad-validation": "Bad arguments were let through, or refused so that no model can mend them.",
    "stale-list": "What the server offers has changed, and it did not say so.",
    "host-reject": "The server refuses the name by which its users call it.",
    "version-reject": "Clients of another revision are turned away, where one could be agreed on.",
    "late-fail-config": "A bad configuration showed at the first call, and not at the start.",
    "health-lies": "The health check is content while calls fail.",
    "no-drain": "Calls under way were cut off when the server was told to end.",
    "hung-exit": "The server did not end when it was told to.",
    "latency-shift": "A tool became slow, and nothing that was done to it explains that.",
    "token-burn": "Answers flooded the agents' contexts.",
    "false-progress": "Progress went backwards, or went on after the answer.",
    "unanswerable-input": "The server asked for input that no client can give.",
    "lost-task": "The server forgot a task that it had accepted.",
    "stdout-noise": "The server wrote to its standard output what is no message.",
    "stray-reply": "The server answered what nobody had asked, or twice.",
}


def meaning(verdict: str) -> str:
    """Give what a verdict means; "" for one that speaks for itself."""
    return MEANINGS.get(verdict, "")


def effect_meanings(judgement: Judgement) -> dict[str, str]:
    """Say what became of effects, by the name of their number."""
    if any(finding.source == "scenario: audit" for finding in judgement.findings):
        together = "the target counts them together, not one by one; see what its audit came to"
        return {**_EFFECTS, "unknown": together}
    return _EFFECTS
