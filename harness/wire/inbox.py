"""What a server says unasked, whatever transport brings it: requests answered, the rest counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from harness.wire.answering import NO_RULES, Answer, Rules, answer, fulfil

Breach = Literal["progress:backwards", "progress:late"]
PROGRESS: Final = "notifications/progress"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"
LIST_CHANGED: Final = {
    f"notifications/{what}/list_changed": what for what in ("tools", "prompts", "resources")
}
WATCHED_MAX: Final = 64  # progress tokens under watch, those of ended calls included
NO_PROGRESS: Final = float("-inf")


@dataclass(slots=True)
class Progress:
    """What one call's progress notifications have said so far."""

    call: int  # the planned call, for whoever has to name it
    seen: int = 0
    last: float = NO_PROGRESS
    last_ns: int = 0
    ended: bool = False  # the call has had its reply: none may follow
    backwards: int = 0
    late: int = 0

    def begin_again(self) -> None:
        """Let another request of the same call count from wherever it likes."""
        self.last = NO_PROGRESS


@dataclass(eq=False, slots=True)
class Inbox:
    """One client's: a transport gives it every request and notification that is not a reply.

    `counts` may be shared by all clients of a process; `values` fill the rules' templates.
    """

    rules: Rules = NO_RULES
    values: Mapping[str, object] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    notifications: int = 0
    on_list_changed: Callable[[str], None] | None = None
    on_breach: Callable[[Breach, int], None] | None = None  # told once for each kind and call
    now_ns: Callable[[], int] | None = None
    _watched: dict[int | str, Progress] = field(default_factory=dict)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response to a server's request; never raises for what a server may ask."""
        self.requests += 1
        answered = self._counted(answer(request, self.rules, self.values))
        return answered.response(request.get("id"))

    def fulfil(self, request: Mapping[str, Any]) -> Answer:
        """The answer to one member of `inputRequests`."""
        self.requests += 1
        return self._counted(fulfil(request, self.rules, self.values))

    def drop_request(self) -> None:
        """Count a request that is left unanswered because too many are under way."""
        self.requests += 1
        self.counts["asked:dropped"] += 1

    def note_sent(self, took_ns: int, *, well: bool) -> None:
        """Count the time that an answer took, and whether the server would take it."""
        self.counts["answers:us"] += took_ns // 1000
        self.counts["answers:taken" if well else "answers:lost"] += 1

    def _counted(self, answered: Answer) -> Answer:
        self.counts[f"asked:{answered.kind}:{answered.how}"] += 1
        return answered

    # --- notifications -------------------------------------------------------------------------

    def hear(self, notification: Mapping[str, Any]) -> None:
        """Take a notification; never raises for what a server may say."""
        self.notifications += 1
        method, params = notification.get("method"), notification.get("params")
        if method == PROGRESS:
            self._progress(params if isinstance(params, dict) else {})
        elif method == UPDATED:
            self.counts["heard:resources/updated"] += 1
        elif method == ACKNOWLEDGED:
            self.counts["listen:acknowledged"] += 1
        elif isinstance(method, str) and method in LIST_CHANGED:
            what = LIST_CHANGED[method]
            self.counts[f"heard:{what}/list_changed"] += 1
            if self.on_list_changed is not None:
                self.on_list_changed(what)

    def watches(self, notification: Mapping[str, Any]) -> bool:
        """Whether this is the progress of a call that is, or was, this client's."""
        params = notification.get("params")
        token = params.get("progressToken") if isinstance(params, dict) else None
        return isinstance(token, int | str) and token in self._watched

    def watch_progress(self, token: int | str, call: int) -> Progress:
        """Count the progress of the call with this token from now on."""
        while len(self._watched) >= WATCHED_MAX:
            del self._watched[next(iter(self._watched))]  # the oldest; a dict keeps its order
        progress = self._watched[token] = Progress(call=call)
        return progress

    def _progress(self, params: dict[str, Any]) -> None:
        self.counts["heard:progress"] += 1
        token, value = params.get("progressToken"), params.get("progress")
        progress = self._watched.get(token) if isinstance(token, int | str) else None
        if progress is None or isinstance(value, bool) or not isinstance(value, int | float):
            self.counts["heard:progress:stray"] += 1
            return
        progress.seen += 1
        if progress.ended:
            progress.late += 1
            self._breach("progress:late", progress.call, first=progress.late == 1)
        if value <= progress.last:
            progress.backwards += 1
            self._breach("progress:backwards", progress.call, first=progress.backwards == 1)
        progress.last = value
        if self.now_ns is not None:
            progress.last_ns = self.now_ns()

    def _breach(self, kind: Breach, call: int, *, first: bool) -> None:
        self.counts[f"heard:{kind}"] += 1
        if first and self.on_breach is not None:
            self.on_breach(kind, call)
