"""A run as spans: itself and its fault windows in one trace, and one trace for each session.

A session holds its steps and a step its attempts, each of which links to the faults' windows that
it stood under. Where squall gave its calls a `traceparent`, a call links to that trace too, and
stands in it as the span that the target's own were told is their parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from harness.evidence.attempts import Times
from harness.evidence.phases import Evidence, WindowSpan
from harness.journal import BEHAVIOURS, SessionEntry
from harness.outcome import Auth, Effect, Outcome, Reason
from harness.redaction import redact
from harness.verdict import Finding, Judgement
from reports.otlp import names
from reports.otlp.pen import Happening, Pen, context_of, sent_context
from reports.otlp.picking import Picked, pick

FINDINGS_MAX: Final = 100
WORDS_MAX: Final = 300
_NOT_SENT: Final = -1


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of one run: spans, made one by one as they are asked for, and which calls."""

    spans: Iterator[ReadableSpan]
    picked: Picked


def tell(
    of: Evidence,
    judgement: Judgement,
    facts: Mapping[str, Any],
    *,
    zero_ns: int,
    resource: Resource,
    spans_max: int,
) -> Told:
    """Tell a judged run as at most `spans_max` spans; `zero_ns` is when it began, in Unix time."""
    windows = of.phases.windows[: max(0, spans_max - 1)]
    picked = pick(of, spans_max=spans_max - 1 - len(windows), traced=sends_traces(of))
    teller = _Teller(
        of=of,
        judgement=judgement,
        facts=facts,
        zero_ns=zero_ns,
        picked=picked,
        pen=Pen(resource),
    )
    return Told(spans=teller.spans(windows), picked=picked)


def sends_traces(of: Evidence) -> bool:
    """Whether squall gave its calls a `traceparent`."""
    return of.scenario.observe.traces or bool(of.scenario.dependencies)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Teller:
    of: Evidence
    judgement: Judgement
    facts: Mapping[str, Any]
    zero_ns: int
    picked: Picked
    pen: Pen

    # --- who is who -------------------------------------------------------------------------

    @cached_property
    def run_id(self) -> str:
        return str(self.facts.get("run_id", ""))

    @cached_property
    def run(self) -> SpanContext:
        return context_of(self.run_id, "run", "run")

    @cached_property
    def windows(self) -> dict[int, SpanContext]:
        numbers = (window.window for window in self.of.phases.windows)
        return {number: context_of(self.run_id, "run", f"window {number}") for number in numbers}

    @cached_property
    def calls(self) -> tuple[dict[str, str], ...]:
        return names.of_calls(self.of)

    @cached_property
    def target(self) -> dict[str, str | int]:
        return names.of_target(self.of, self.facts)

    @cached_property
    def ended_ns(self) -> Times:
        return self.of.ended_ns

    @cached_property
    def in_force(self) -> list[int]:
        return [int(window) for window in self.of.in_force]

    @cached_property
    def traced(self) -> bool:
        return sends_traces(self.of)

    def at(self, run_ns: int) -> int:
        """Give the Unix time of a moment of the run."""
        return self.zero_ns + int(run_ns)

    # --- the run and its faults -------------------------------------------------------------

    def spans(self, windows: tuple[WindowSpan, ...]) -> Iterator[ReadableSpan]:
        yield from self._run()
        for window in windows:
            yield from self._window(window)
        starts, ends = self.picked.starts.tolist(), self.picked.ends.tolist()
        session = _NOT_SENT
        for start, end in zip(starts, ends, strict=True):
            mine = int(self.of.calls["session"][start])
            if mine != session:
                session = mine
                yield from self._session(session)
            yield from self._step(session, start, end)

    def _run(self) -> Iterator[ReadableSpan]:
        judged, picked = self.judgement, self.picked
        said: dict[str, AttributeValue] = {
            "squall.run.id": self.run_id,
            "squall.scenario": judged.scenario,
            "squall.question": judged.question,
            "squall.seed": judged.seed,
            "squall.era": judged.era,
            "squall.ruling": judged.ruling,
            "squall.exit_code": judged.exit_code,
            "squall.headline": redact(judged.headline),
            "squall.calls.failing": picked.failing,
            "squall.calls.failing.sent": picked.failing_kept,
            "squall.calls.others": picked.others,
            "squall.calls.others.sent": picked.others_kept,
            **self.target,
        }
        if judged.score is not None:
            said["squall.score"] = judged.score.points
        end_ns = self.at(self.of.run_end_ns)
        yield from self.pen.write(
            "squall run",
            self.run,
            (self.at(0), end_ns),
            said,
            events=self._findings("", end_ns),
            failed=judged.ruling == "fail",
        )

    def _window(self, window: WindowSpan) -> Iterator[ReadableSpan]:
        ruled = next((one for one in self.judgement.faults if one.id == window.id), None)
        said: dict[str, AttributeValue] = {
            "squall.run.id": self.run_id,
            "squall.fault.id": window.id,
            "squall.fault.kind": window.fault.kind,
            "squall.fault.lever": window.fault.lever,
            "squall.fault.arm": window.arm,
            "squall.fault.exposure": window.exposure_count,
            "squall.fault.exposure.unit": window.exposure_unit,
            "squall.fault.injected": window.injected,
            "squall.fault.healed": window.healed,
        }
        if ruled is not None:
            said |= {"squall.fault.bit": ruled.bit, "squall.ruling": ruled.ruling}
            if ruled.recovery_s is not None:
                said["squall.fault.recovery_s"] = ruled.recovery_s
        healed_ns = self.at(window.healed_ns)
        healed: tuple[Happening, ...] = (
            (("healed", healed_ns, {}),) if window.injected and window.healed else ()
        )
        yield from self.pen.write(
            f"fault {window.fault.kind}",
            self.windows[window.window],
            (self.at(window.start_ns), self.at(window.end_ns)),
            said,
            parent=self.run,
            events=(*healed, *self._findings(window.id, healed_ns)),
            failed=ruled is not None and ruled.ruling == "fail",
        )

    def _findings(self, fault: str, otherwise_ns: int) -> tuple[Happening, ...]:
        """Tell what was found wrong under a fault, or with none in particular."""
        mine = [f for f in self.judgement.findings if f.fault == fault and f.ruling == "fail"]
        return tuple(
            (
                "squall.finding",
                otherwise_ns if found.first_s is None else self.at(round(found.first_s * 1e9)),
                _of_finding(found),
            )
            for found in mine[:FINDINGS_MAX]
        )

    # --- sessions and their calls -----------------------------------------------------------

    def _mine(self, session: int) -> dict[str, AttributeValue]:
        """Say whose a span is."""
        planned = self.of.plan.sessions
        agent = (
            {names.AGENT: self.of.scenario.agents[planned[session].agent].name}
            if session < len(planned)
            else {}
        )
        treated = session < len(self.of.session_treated) and self.of.session_treated[session]
        return {
            "squall.run.id": self.run_id,
            "squall.session": f"s{session}",
            "squall.arm": "treated" if treated else "control",
            **agent,
        }

    def _session(self, session: int) -> Iterator[ReadableSpan]:
        edges = self.of.session_edges.get(session, ())
        opened = next((edge for edge in edges if edge.edge == "opened"), None)
        first_ns = edges[0].at_ns - edges[0].took_ns if edges else 0
        closed = edges and edges[-1].edge in ("closed", "failed")
        last_ns = edges[-1].at_ns if closed else self.of.run_end_ns
        agent = self._mine(session)
        said = {**agent, names.SESSION: session_id(self.run_id, session), **self.target}
        if opened is not None and opened.protocol:
            said[names.PROTOCOL] = opened.protocol
        lost = [edge for edge in edges if edge.edge in ("lost", "failed")]
        if lost:
            said["squall.session.lost"] = len(lost)
        yield from self.pen.write(
            f"session {agent.get(names.AGENT, 'outsider')}",
            context_of(self.run_id, f"session {session}", ""),
            (self.at(first_ns), self.at(last_ns)),
            said,
            links=(self.run,),
            events=tuple((edge.edge, self.at(edge.at_ns), _of_edge(edge)) for edge in edges),
            failed=bool(lost),
        )

    def _step(self, session: int, start: int, end: int) -> Iterator[ReadableSpan]:
        rows = self.of.calls[start:end]
        last = rows[-1]
        index, outcome = int(last["index"]), int(last["outcome"])
        trace = f"session {session}"
        mine = context_of(self.run_id, trace, f"step {index}")
        call = self.calls[last["call"]]
        said = self._mine(session)
        said["squall.call"] = f"s{session}.{index}"
        said |= {"squall.outcome": Outcome(outcome).name.lower()}
        said["squall.attempts"] = int((rows["sent_ns"] >= 0).sum())
        error = names.error_type(outcome, int(last["reason"]), int(last["status"]))
        under = self._under(range(start, end))
        said |= _filled({names.ERROR: error, "squall.fault.id": self._ids(under)})
        if last["effect"] != Effect.NONE:
            said["squall.effect"] = Effect(int(last["effect"])).name.lower()
        sent = rows["sent_ns"] >= 0
        away = sent_context(self.of.plan.nonce(session, index)) if self.traced else None
        links = self._links(under, away if sent.any() else None)
        due_ns, ended_ns = int(last["due_ns"]), int(self.ended_ns[start:end].max())
        yield from self.pen.write(
            f"step {names.span_name(call)}",
            mine,
            (self.at(min(due_ns, ended_ns)), self.at(ended_ns)),
            said,
            parent=context_of(self.run_id, trace, ""),
            links=links,
            failed=bool(error),
        )
        if away is not None and sent.any():
            began_ns = self.at(int(rows["sent_ns"][sent].min()))
            yield from self.pen.write(
                names.span_name(call), away, (began_ns, self.at(ended_ns)), said, links=(mine,)
            )
        for turn, place in enumerate(range(start, end)):
            if sent[turn]:
                own = context_of(self.run_id, trace, f"step {index} attempt {turn}")
                yield from self._attempt(place, own, mine, call, away)

    def _attempt(
        self,
        place: int,
        own: SpanContext,
        step: SpanContext,
        call: Mapping[str, str],
        away: SpanContext | None,
    ) -> Iterator[ReadableSpan]:
        row = self.of.calls[place]
        session, index = int(row["session"]), int(row["index"])
        outcome, reason = int(row["outcome"]), int(row["reason"])
        error = names.error_type(outcome, reason, int(row["status"]))
        under = self._under((place,))
        said: dict[str, AttributeValue] = {**self._mine(session), **call, **self.target}
        said |= {
            names.SESSION: session_id(self.run_id, session),
            "squall.call": f"s{session}.{index}.{int(row['attempt'])}",
            "squall.attempt": int(row["attempt"]),
            "squall.outcome": Outcome(outcome).name.lower(),
            "squall.request.size": int(row["request_bytes"]),
            "squall.reply.size": int(row["reply_bytes"]),
        }
        said |= _filled(
            {
                names.ERROR: error,
                names.STATUS: int(row["status"]),
                "squall.reason": Reason(reason).name.lower() if reason else "",
                "squall.fault.id": self._ids(under),
                "squall.behaviour": BEHAVIOURS[row["behaviour"]],
                "squall.credential": Auth(int(row["auth"])).name.lower() if row["auth"] else "",
            }
        )
        first_ns = int(row["first_ns"])
        yield from self.pen.write(
            names.span_name(call),
            own,
            (self.at(int(row["sent_ns"])), self.at(int(self.ended_ns[place]))),
            said,
            parent=step,
            kind=SpanKind.CLIENT,
            links=self._links(under, away),
            events=(("first byte", self.at(first_ns), {}),) if first_ns >= 0 else (),
            failed=bool(error),
        )

    def _under(self, places: Iterable[int]) -> tuple[int, ...]:
        """Give the windows that attempts stood under, in order."""
        return tuple(sorted({self.in_force[place] for place in places} & self.windows.keys()))

    def _ids(self, windows: tuple[int, ...]) -> str:
        return ",".join(self.of.window(number).id for number in windows)

    def _links(self, windows: tuple[int, ...], away: SpanContext | None) -> tuple[SpanContext, ...]:
        return (*(self.windows[number] for number in windows), *((away,) if away else ()))


def session_id(run_id: str, session: int) -> str:
    """Name a session to collectors: not by the server's own id, which is as good as a password."""
    return f"{run_id}-s{session}"


def _filled(said: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {name: value for name, value in said.items() if value}


def _of_edge(edge: SessionEntry) -> dict[str, AttributeValue]:
    return _filled({"why": redact(edge.why)[:WORDS_MAX], "squall.took_s": edge.took_ns / 1e9})


def _of_finding(found: Finding) -> dict[str, AttributeValue]:
    return _filled(
        {
            "squall.verdict": found.verdict,
            names.TOOL: found.tool,
            "squall.why": redact(found.why)[:WORDS_MAX],
            "squall.evidence": found.evidence,
        }
    )
