"""Plain data -> records. Every part that can be read is read, and every mistake is noted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from faults.catalogue import CATALOGUE
from harness.scenario.auth import Auth
from harness.scenario.dependencies import KINDS, NAME, Dependency
from harness.scenario.mistakes import Mistakes, Trail, nearest, shown
from harness.scenario.records import (
    FLAWS,
    HARDENED,
    Agent,
    AnyStep,
    CallStep,
    LaunchTarget,
    ListStep,
    ParallelStep,
    PromptStep,
    ReadStep,
    ReferenceTarget,
    Scenario,
    SingleStep,
    StdioTarget,
    SubscribeStep,
    Target,
    UrlTarget,
)
from harness.scenario.transports import is_piped
from harness.scenario.window import Window
from harness.scenario.wording import word

RecordT = TypeVar("RecordT", bound=BaseModel)
LISTINGS: Final = {
    "list_tools": "tools/list",
    "list_resources": "resources/list",
    "list_prompts": "prompts/list",
    "ping": "ping",
}
SUBSCRIPTIONS: Final = {
    "subscribe": "resources/subscribe",
    "unsubscribe": "resources/unsubscribe",
}
_STEPS: Final[Mapping[str, type[CallStep | ReadStep | PromptStep]]] = {
    "call": CallStep,
    "read": ReadStep,
    "prompt": PromptStep,
}
_STEP_WORDS: Final = (*LISTINGS, *SUBSCRIPTIONS, *_STEPS, "parallel")
WINDOW_KEYS: Final = ("for", "at", "pause", "hypothesis")
# Stands in for what could not be read, so that the rest of the file is still looked at.
_PING: Final = ListStep(method="ping")
_NOBODY: Final = Agent(name="nobody", steps=(_PING,))


def decode(value: object, mistakes: Mistakes, *, target: Target | None = None) -> Scenario:
    """Read a whole scenario; what comes back stands only if nothing was added to `mistakes`.

    A given `target` takes the place of the file's, as `--target` does.
    """
    if not isinstance(value, dict):
        mistakes.add((), "a mapping that begins with question:", shown(value), "write keys: values")
        return Scenario(question="nothing?", agents=(_NOBODY,))
    data = dict(value)
    if "target" in data:
        told = _target(data.pop("target"), ("target",), mistakes)
        data |= {} if told is None else {"target": told}
    if isinstance(target, ReferenceTarget) and isinstance(data.get("target"), ReferenceTarget):
        # Other flaws, by the same transport.
        kept = data["target"].model_dump(include={"transport", "processes"}, exclude_unset=True)
        target = target.model_copy(update=kept)
    if target is not None:
        data["target"] = target
    if isinstance(data.get("dependencies"), dict):
        data["dependencies"] = _dependencies(data["dependencies"], mistakes)
    for key, one in (("agents", _agent), ("faults", _window)):
        if isinstance(data.get(key), list):
            data[key] = [
                one(each, (key, number), mistakes) for number, each in enumerate(data[key])
            ]
    fill = {"question": "unknown?", "agents": (_NOBODY,)}
    scenario = _build(Scenario, data, (), mistakes, fill)
    assert scenario is not None
    bundled = isinstance(scenario.target, ReferenceTarget) and not is_piped(scenario.target)
    if scenario.auth is None and bundled:
        scenario = scenario.model_copy(update={"auth": Auth()})
    return scenario


def _build(
    record: type[RecordT],
    data: Mapping[str, object],
    trail: Trail,
    mistakes: Mistakes,
    fill: Mapping[str, object] | None = None,
) -> RecordT | None:
    """Make a record; wrong members are noted and left out, missing ones taken from `fill`."""
    members = dict(data)
    while True:
        try:
            return record.model_validate(members)
        except ValidationError as error:
            wrong = error.errors(include_url=False)
        for each in wrong:
            place = mistakes.resolve(trail, each["loc"])
            extra = each["type"] == "extra_forbidden"
            spot = mistakes.key_spot((*trail, *each["loc"])) if extra else None
            given = _given(data, each["loc"], each["input"])
            if each["loc"][:1] == ("environment",):  # what stands there may be a secret
                given = "…"
            mistakes.add(place, *word(each, record, given), spot)
        heads = {str(each["loc"][0]) for each in wrong if each["loc"]}
        absent = heads - members.keys()
        members = {key: member for key, member in members.items() if key not in heads}
        members.update({head: fill[head] for head in heads & fill.keys()} if fill else {})
        if not heads or absent - members.keys():
            return None


def _given(data: Mapping[str, object], loc: tuple[str | int, ...], read: object) -> object:
    """Give a value as the file has it, not as far as it had been read when it was refused."""
    value: object = data
    for part in loc:
        members = dict(enumerate(value)) if isinstance(value, list) else value
        if not isinstance(members, dict) or part not in members:
            return read
        value = members[part]
    return value


def _target(value: object, trail: Trail, mistakes: Mistakes) -> Target | None:
    """Give the target, or None where it cannot be told."""
    if isinstance(value, dict):
        kinds = [kind for kind in ("reference", "stdio", "url") if kind in value]
        if len(kinds) > 1:
            mend = "say which one is meant, and remove the other"
            mistakes.add(trail, "one target", " and ".join(kinds), mend)
            return None
        if "stdio" in value:
            return _build(StdioTarget, value, trail, mistakes)
        if "launch" in value or "url" in value:
            return _url_target(value, trail, mistakes)
        if "reference" in value:
            return _reference(value, trail, mistakes)
    mend = "write for example {reference: hardened} or {url: http://127.0.0.1:8001/mcp}"
    mistakes.add(trail, "one of reference, url, launch and stdio", shown(value), mend)
    return None


def _url_target(
    value: dict[str, object], trail: Trail, mistakes: Mistakes
) -> UrlTarget | LaunchTarget | None:
    target: UrlTarget | LaunchTarget | None
    if "launch" in value:
        target = _build(LaunchTarget, value, trail, mistakes)
    else:
        target = _build(UrlTarget, value, trail, mistakes)
    if target is not None and not _is_endpoint(target.url):
        came = shown(target.url)
        mend = "write for example http://127.0.0.1:8001/mcp"
        expected = "a URL of http or https, with a host and a port that can be"
        mistakes.add((*trail, "url"), expected, came, mend)
    return target


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url.replace("${port}", "1"))
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or no port's; a bracket without its other one
        return False


def _reference(
    value: dict[str, object], trail: Trail, mistakes: Mistakes
) -> ReferenceTarget | None:
    given = value["reference"]
    place: Trail = (*trail, "reference")
    several = given if isinstance(given, list) else [given]
    for number, name in enumerate(several):
        if name not in FLAWS and (name != HARDENED or isinstance(given, list)):
            where = (*place, number) if isinstance(given, list) else place
            known = FLAWS if isinstance(given, list) else (HARDENED, *FLAWS)
            expected = "flaws of the reference server" if where[-1] == number else "hardened"
            mistakes.add(where, expected, shown(name), nearest(name, known, what="known"))
    if mistakes.touch(place):
        value = {**value, "reference": HARDENED}
    return _build(ReferenceTarget, value, trail, mistakes)


def _dependencies(value: dict[str, object], mistakes: Mistakes) -> dict[str, Dependency]:
    """Give those that can be told, by their names."""
    found = {}
    for name, given in value.items():
        trail: Trail = ("dependencies", name)
        if not re.fullmatch(NAME, name):
            expected = "a name of small letters, digits, - and _"
            spot = mistakes.key_spot(trail)
            mistakes.add(trail, expected, name or "nothing", "begin with a letter", spot)
            continue
        kinds = [key for key in KINDS if isinstance(given, dict) and key in given]
        if not isinstance(given, dict) or len(kinds) != 1:
            came = " and ".join(kinds) or shown(given)
            mend = "write for example {embedded: {}} or {postgres: {}, variable: DATABASE_URL}"
            mistakes.add(trail, f"one of {', '.join(KINDS)}", came, mend)
            continue
        data = {**given, kinds[0]: {}} if given[kinds[0]] is None else given
        read = _build(KINDS[kinds[0]], data, trail, mistakes)
        if read is not None:
            found[name] = read
    return found


def _agent(value: object, trail: Trail, mistakes: Mistakes) -> Agent:
    if not isinstance(value, dict):
        mistakes.add(trail, "an agent with name and steps", shown(value), "write name: and steps:")
        return _NOBODY
    data = dict(value)
    if isinstance(data.get("steps"), list):
        data["steps"] = [
            _step(each, (*trail, "steps", number), mistakes)
            for number, each in enumerate(data["steps"])
        ]
    fill = {"name": "nobody", "steps": (_PING,)}
    return _build(Agent, data, trail, mistakes, fill) or _NOBODY


def _step(value: object, trail: Trail, mistakes: Mistakes) -> AnyStep:
    if isinstance(value, dict) and "parallel" in value:
        return _parallel(value, trail, mistakes)
    return _single(value, trail, mistakes)


def _parallel(value: dict[str, object], trail: Trail, mistakes: Mistakes) -> AnyStep:
    data = dict(value)
    members = data["parallel"]
    if isinstance(members, list):
        data["parallel"] = [
            _single(each, (*trail, "parallel", number), mistakes)
            for number, each in enumerate(members)
        ]
    return _build(ParallelStep, data, trail, mistakes) or _PING


def _single(value: object, trail: Trail, mistakes: Mistakes) -> SingleStep:
    if isinstance(value, str) and value in LISTINGS:
        return ListStep.model_validate({"method": LISTINGS[value]})
    if not isinstance(value, dict):
        return _no_step(value, trail, mistakes)
    kinds = [key for key in value if key in _STEP_WORDS]
    if len(kinds) != 1:
        _refuse_step(value, kinds, trail, mistakes)
        return _PING
    kind = kinds[0]
    if kind == "parallel":
        mistakes.add(trail, "a single step", "parallel inside parallel", "list its steps here")
        return _PING
    if kind in _STEPS:
        return _build(_STEPS[kind], value, trail, mistakes) or _PING
    read = _subscription if kind in SUBSCRIPTIONS else _listing
    return read(kind, value, trail, mistakes)


def _no_step(value: object, trail: Trail, mistakes: Mistakes) -> SingleStep:
    came = shown(value)
    mend = nearest(value, _STEP_WORDS, what="steps")
    if isinstance(value, str) and value in (*_STEPS, *SUBSCRIPTIONS):
        mend = f"say what to {value}, as in {value}: NAME"
    elif isinstance(value, str) and not mend.startswith("did"):
        mend = f"write call: {value}, or one of {', '.join(LISTINGS)}"
    mistakes.add(trail, "a step", came, mend)
    return _PING


def _listing(kind: str, value: dict[str, object], trail: Trail, mistakes: Mistakes) -> SingleStep:
    if value[kind] is not None:
        mistakes.add(
            (*trail, kind), "nothing behind it", shown(value[kind]), "write expect: beside it"
        )
    if "method" in value:
        spot = mistakes.key_spot((*trail, "method"))
        mistakes.add((*trail, "method"), "expect: beside it", "method", "remove it", spot)
    rest = {key: member for key, member in value.items() if key != kind}
    return _build(ListStep, {**rest, "method": LISTINGS[kind]}, trail, mistakes) or _PING


def _subscription(
    kind: str, value: dict[str, object], trail: Trail, mistakes: Mistakes
) -> SingleStep:
    uri = value[kind]
    if not isinstance(uri, str) or not uri or "${" in uri:
        place = (*trail, kind)
        mend = f"write for example {kind}: squall://notes"
        mistakes.add(place, "a URI that is the same in every call", shown(uri), mend)
        uri = "unknown:"
    rest = {key: member for key, member in value.items() if key != kind}
    for key in [key for key in rest if key not in {"expect", "deadline"}]:
        place, mend = (*trail, key), "remove it"
        mistakes.add(place, "expect: or deadline: beside it", key, mend, mistakes.key_spot(place))
        del rest[key]
    data = {**rest, "method": SUBSCRIPTIONS[kind], "uri": uri}
    return _build(SubscribeStep, data, trail, mistakes) or _PING


def _refuse_step(
    value: dict[str, object], kinds: list[str], trail: Trail, mistakes: Mistakes
) -> None:
    if kinds:
        second = (*trail, kinds[1])
        came = " and ".join(kinds)
        mend = "begin the second with a dash of its own"
        mistakes.add(second, "one step", came, mend, mistakes.key_spot(second))
        return
    first = next(iter(value), "")
    came = f"the key {first}" if first else "nothing"
    mend = nearest(first, _STEP_WORDS, what="steps")
    mistakes.add(trail, "a step such as call: NAME", came, mend)


def _window(value: object, trail: Trail, mistakes: Mistakes) -> Window:
    data = {value: None} if isinstance(value, str) else value
    if not isinstance(data, dict):
        mend = "write for example tcp-latency: {delay: 250ms}"
        mistakes.add(trail, "a fault", shown(value), mend)
        data = {}
    kinds = [key for key in data if key in CATALOGUE]
    unknown = [key for key in data if key not in CATALOGUE and key not in WINDOW_KEYS]
    for key in unknown:
        place = (*trail, key) if isinstance(value, dict) else trail
        known = WINDOW_KEYS if kinds else (*CATALOGUE, *WINDOW_KEYS)
        expected = "for, at, pause or hypothesis beside the fault" if kinds else "a fault"
        mend = nearest(key, known, what="known")
        if kinds and key in CATALOGUE[kinds[0]].model_json_schema()["properties"]:
            mend = f"put it inside {kinds[0]}: {{{key}: …}}"
        mistakes.add(place, expected, key, mend, mistakes.key_spot(place))
    if len(kinds) > 1:
        second = (*trail, kinds[1])
        mend = "give the second a dash of its own"
        mistakes.add(second, "one fault", " and ".join(kinds), mend, mistakes.key_spot(second))
    if not kinds and not unknown:
        mistakes.add(trail, "a fault", "none", "write for example tcp-latency: {delay: 250ms}")
    kind = kinds[0] if kinds else "tcp-latency"
    given = data.get(kind)
    if given is not None and not isinstance(given, dict):
        place = (*trail, kind)
        mistakes.add(place, "the fault's parameters", shown(given), "write {key: value}")
        given = None
    fault = _build(CATALOGUE[kind], given or {}, (*trail, kind), mistakes)
    rest = {key: data[key] for key in WINDOW_KEYS if key in data}
    window = _build(Window, {**rest, "fault": fault or CATALOGUE[kind]()}, trail, mistakes)
    assert window is not None
    return window
