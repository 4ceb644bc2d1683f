"""What a client answers when the server asks it something: by rules, purely, in both eras.

A transport gives a server's request to `answer` and sends what comes back. In the modern era there
are no such requests: the same questions stand in a result, and `fulfil` answers each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import jsonschema_rs

from harness.scenario.expressions import Template
from harness.wire.jsonrpc import METHOD_NOT_FOUND

SAMPLING: Final = "sampling/createMessage"
ELICITATION: Final = "elicitation/create"
ROOTS: Final = "roots/list"
PING: Final = "ping"
TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"
REJECTED: Final = -1  # what the specification's own example of a refused sampling carries
FIELDS_MAX: Final = 100  # of a form; a larger one is no form but an attack
TEXT_MAX: Final = 10_000  # characters, of a value made to measure or of what is quoted back
_FORM_KEYWORDS: Final = frozenset({
    "type", "enum", "const", "oneOf", "anyOf", "items", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems", "format",
})  # fmt: skip
_TEXT_OF_FORMAT: Final = {
    "email": "agent@example.com",
    "uri": "https://example.com/",
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
}

Kind = Literal["sampling", "elicitation", "roots", "ping", "other"]
How = Literal["answered", "accepted", "declined", "cancelled", "refused", "undeclared", "unfit"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """What the model is made to say."""

    text: Template
    model: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What is answered to whom; None means that the client does not offer it."""

    sampling: Sampled | Literal["refuse"] | None = None
    elicitation: Literal["accept", "decline", "cancel"] | Template | None = None
    roots: tuple[Template, ...] | None = None
    after_ns: int = 0  # how long a person or a model takes to answer
    tasks: bool = False  # whether the client speaks the tasks extension

    def declare(self, era: Literal["legacy", "modern"]) -> dict[str, Any]:
        """The capabilities of the client: exactly what there is a rule for."""
        declared: dict[str, Any] = {}
        if self.sampling is not None:
            declared["sampling"] = {}
        if self.elicitation is not None:
            declared["elicitation"] = {"form": {}, "url": {}}
        if self.roots is not None:
            declared["roots"] = {}
        if self.tasks and era == "modern":
            declared["extensions"] = {TASKS_EXTENSION: {}}
        return declared


NO_RULES: Final = Rules()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was asked, how it is answered, and with what: a result or an error, never both."""

    kind: Kind
    how: How
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    def response(self, request_id: object) -> dict[str, Any]:
        """The JSON-RPC response to the request of this id, which comes back as it was."""
        content = {"error": self.error} if self.result is None else {"result": self.result}
        return {"jsonrpc": "2.0", "id": request_id, **content}


def answer(request: Mapping[str, Any], rules: Rules, values: Mapping[str, object]) -> Answer:
    """Answer a server's request: `ping` always, the rest by the rules, what is left politely no.

    `values` fill the rules' templates, beside `asked`, the text that the server asks with.
    """
    if request.get("method") == PING:
        return Answer(kind="ping", how="answered", result={})
    return fulfil(request, rules, values)


def fulfil(request: Mapping[str, Any], rules: Rules, values: Mapping[str, object]) -> Answer:
    """Answer one question of a server, as a request or as a member of `inputRequests`."""
    method, params = request.get("method"), request.get("params")
    params = params if isinstance(params, dict) else {}
    if method == SAMPLING:
        return _sample(params, rules, values)
    if method == ELICITATION:
        return _elicit(params, rules, values)
    if method == ROOTS:
        if rules.roots is None:
            return _undeclared("roots")
        named = [{"uri": root.render_text(values)} for root in rules.roots]
        return Answer(kind="roots", how="answered", result={"roots": named})
    return _undeclared("other")


def _undeclared(kind: Kind) -> Answer:
    error = {"code": METHOD_NOT_FOUND, "message": "this client does not offer it"}
    return Answer(kind=kind, how="undeclared", error=error)


def _sample(params: dict[str, Any], rules: Rules, values: Mapping[str, object]) -> Answer:
    rule = rules.sampling
    if rule is None:
        return _undeclared("sampling")
    if rule == "refuse":
        error = {"code": REJECTED, "message": "the user rejected the sampling request"}
        return Answer(kind="sampling", how="refused", error=error)
    text = rule.text.render_text({**values, "asked": _prompt(params)})
    result = {
        "role": "assistant",
        "content": {"type": "text", "text": text},
        "model": rule.model,
        "stopReason": "endTurn",
    }
    return Answer(kind="sampling", how="answered", result=result)


def _prompt(params: dict[str, Any]) -> str:
    """The text of the last message that holds any."""
    messages = params.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else [content]:
            text = block.get("text") if isinstance(block, dict) else None
            if isinstance(text, str):
                return text[:TEXT_MAX]
    return ""


def _elicit(params: dict[str, Any], rules: Rules, values: Mapping[str, object]) -> Answer:
    rule = rules.elicitation
    if rule is None:
        return _undeclared("elicitation")
    if rule == "decline":
        return Answer(kind="elicitation", how="declined", result={"action": "decline"})
    if rule == "cancel":
        return Answer(kind="elicitation", how="cancelled", result={"action": "cancel"})
    if params.get("mode", "form") == "url":
        # Agreed to, and never opened: squall has no browser and needs none.
        return Answer(kind="elicitation", how="accepted", result={"action": "accept"})
    given: object = {}
    if isinstance(rule, Template):
        asked = params.get("message")
        asked = asked[:TEXT_MAX] if isinstance(asked, str) else ""
        given = rule.render({**values, "asked": asked})
    content = fill_form(params.get("requestedSchema"), given if isinstance(given, dict) else {})
    if content is None:
        return Answer(kind="elicitation", how="unfit", result={"action": "cancel"})
    result = {"action": "accept", "content": content}
    return Answer(kind="elicitation", how="accepted", result=result)


def fill_form(schema: object, given: Mapping[str, object]) -> dict[str, Any] | None:
    """Fill in a requested form: given values, else defaults, else the least that is required.

    None when the form is none, or when a given value or a default does not fit it.
    """
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(properties, dict):
        return None
    required = schema.get("required", [])
    if len(properties) > FIELDS_MAX or not isinstance(required, list):
        return None
    content: dict[str, Any] = {}
    for name, field in properties.items():
        if not isinstance(field, dict):
            return None
        if name in given:
            content[name] = given[name]
        elif "default" in field:
            content[name] = field["default"]
        elif name in required:
            content[name] = _least(field)
        else:
            continue
        if not _fits(field, content[name]):
            return None
    return content if all(name in content for name in required) else None


def _fits(field: dict[str, Any], value: object) -> bool:
    """Whether a value fits its field, by the few keywords that a form may use and no others."""
    plain = {key: member for key, member in field.items() if key in _FORM_KEYWORDS}
    try:
        return bool(
            jsonschema_rs.validator_for(plain, validate_formats=True, offline=True).is_valid(value)
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return False


def _least(field: dict[str, Any]) -> Any:
    """The plainest value that a field takes: its first choice, its minimum, a short text."""
    choices = _choices(field)
    if choices:
        return choices[0]
    match field.get("type"):
        case "array":
            items = field.get("items")
            least = field.get("minItems", 0)
            count = least if isinstance(least, int) and 0 <= least <= FIELDS_MAX else 0
            return (_choices(items) if isinstance(items, dict) else [])[:count]
        case "boolean":
            return False
        case "integer" | "number":
            return _number(field)
    return _text(field)


def _choices(field: dict[str, Any]) -> list[Any]:
    """The values of a selection, titled or not."""
    if isinstance(field.get("enum"), list):
        return list(field["enum"])
    options = field.get("oneOf", field.get("anyOf"))
    if not isinstance(options, list):
        return []
    return [one["const"] for one in options if isinstance(one, dict) and "const" in one]


def _number(field: dict[str, Any]) -> Any:
    low, high = field.get("minimum"), field.get("maximum")
    if isinstance(low, int | float) and low > 0:
        return low
    return high if isinstance(high, int | float) and high < 0 else 0


def _text(field: dict[str, Any]) -> str:
    named = _TEXT_OF_FORMAT.get(str(field.get("format")))
    if named is not None:
        return named
    least = field.get("minLength")
    return "x" * (least if isinstance(least, int) and 0 < least <= TEXT_MAX else 1)
