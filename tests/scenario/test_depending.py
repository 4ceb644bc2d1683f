"""What a file says of dependencies: read, or refused with its place and its mend."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.dependencies import EmbeddedDependency, UpstreamDependency
from harness.scenario.load import load_text

LAUNCHED = "{launch: [server, '${dependency.db}'], url: 'http://127.0.0.1:${port}/mcp'}"
PLAIN = "{launch: [server], url: 'http://127.0.0.1:${port}/mcp'}"


def written(dependencies: str, fault: str = "", target: str = "{reference: hardened}") -> str:
    """A scenario that depends on something."""
    lines = [
        "question: Does the server say so when its dependency fails?",
        f"target: {target}",
        f"dependencies: {dependencies}",
        "agents: [{name: reader, steps: [list_tools]}]",
    ]
    fault = fault if ":" in fault else f"{fault}:"
    return "\n".join([*lines, *(["faults:", f"  - {fault}", "    for: 3s"] if fault[:-1] else [])])


def refusals(text: str) -> list[str]:
    """What is wrong with a scenario, each with its place."""
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "x.yaml")
    return [str(one) for one in caught.value.mistakes]


def test_both_forms_are_read_by_their_keys() -> None:
    """Squall's own by `embedded`, whatever else there is by `upstream` and `variable`."""
    text = written(
        "{store: {embedded: {token_ttl: 20s}, variable: STORE_URL}, "
        "db: {upstream: '127.0.0.1:5432', variable: DATABASE_URL}}",
        target=PLAIN,
    )
    found = load_text(text, "x.yaml").scenario.dependencies
    assert isinstance(found["store"], EmbeddedDependency)
    assert found["store"].embedded.token_ttl_s == 20
    assert found["db"] == UpstreamDependency(upstream="127.0.0.1:5432", variable="DATABASE_URL")


@pytest.mark.parametrize("given", ["{store: {embedded: }}", "{store: {embedded: {}}}"])
def test_the_reference_server_needs_no_more_than_the_word(given: str) -> None:
    """Everything about the embedded one has a default that is meant."""
    text = written(given, "dep-429: {retry_after: 1s}")
    assert list(load_text(text, "x.yaml").scenario.dependencies) == ["store"]


def test_a_note_can_be_read_back_only_where_there_is_a_dependency() -> None:
    """The tool is there with it and not without."""
    step = "steps: [{call: read_notes, with: {key: k}}]"
    with_it = written("{store: {embedded: {}}}").replace("steps: [list_tools]", step)
    assert load_text(with_it, "x.yaml").scenario.agents
    without = with_it.replace("dependencies: {store: {embedded: {}}}\n", "")
    assert "expected a tool of the reference server, got read_notes" in refusals(without)[0]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (written("{S: {embedded: {}}}"), "3:16", "a name of small letters"),
        (written("{store: {embeded: {}}}"), "3:23", "one of embedded"),
        (written("{store: 7}"), "3:23", "one of embedded"),
        (written("{db: {upstream: 5432, variable: X}}", target=PLAIN), "3:31", "a host and a port"),
        (written("{db: {upstream: 'db:5432'}}", target=PLAIN), "3:20", "the key variable"),
        (written("{db: {upstream: 'h:1', variable: 'A B'}}", target=PLAIN), "3:48", "variable"),
        (written("{db: {embedded: {ttl: 3s}}}"), "3:32", "a known key"),
        (written("{}", "dep-down"), "6:5", "a dependency in squall's hands"),
        (written("{s: {embedded: {}}}", "dep-down: {dependency: ss}"), "6:28", "did you mean s"),
        (
            written("{a: {embedded: {}, variable: A}, b: {embedded: {}, variable: B}}", "dep-down",
                    target=PLAIN),
            "6:5",
            "dependency: one of a, b",
        ),
        (
            written("{db: {upstream: 'db:5432', variable: X}}", "dep-429", target=PLAIN),
            "6:5",
            "use dep-latency, dep-reset or dep-down",
        ),
        (
            written("{db: {upstream: 'db:5432', variable: X}}", target="{url: 'http://h/mcp'}"),
            "3:15",
            "a server that runs already",
        ),
        (
            written("{store: {embedded: {}}}", target="{reference: hardened, transport: stdio}"),
            "3:15",
            "pipes",
        ),
        (written("{db: {upstream: 'db:5432', variable: X}}"), "3:20", "embedded or postgres"),
        (written("{a: {embedded: {}}, b: {embedded: {}}}"), "3:38", "embedded or postgres"),
        (written("{store: {embedded: {}}}", target=PLAIN), "3:23", "nothing that tells"),
        (written("{store: {embedded: {}}}", target=LAUNCHED), "2:27", "${dependency.NAME}"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_where_it_stands(text: str, place: str, words: str) -> None:
    """File, line and column, what was expected, and how to mend it."""
    found = refusals(text)
    assert any(f"x.yaml:{place}:" in one and words in one for one in found), found


def test_an_address_in_the_launch_is_enough() -> None:
    """A target may be told by an argument instead of a variable."""
    text = written("{db: {embedded: {}}}", "dep-down", target=LAUNCHED)
    assert load_text(text, "x.yaml").scenario.dependencies
