from __future__ import annotations

from typing import Any

import pytest

from harness.wire.shapes import is_plain_call, misshape

_SERVER = {"name": "x", "version": "1"}


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/call", {"content": []}),
        ("tools/call", {"content": [{"type": "text", "text": ""}], "isError": True}),
        ("tools/list", {"tools": [{"name": "a", "inputSchema": {}}], "nextCursor": "x"}),
        ("resources/list", {"resources": [{"uri": "a:b", "name": "a"}]}),
        ("resources/templates/list", {"resourceTemplates": []}),
        ("resources/read", {"contents": [{"uri": "a:b", "text": ""}]}),
        ("prompts/list", {"prompts": [{"name": "a"}]}),
        ("prompts/get", {"messages": [{"role": "user", "content": {}}]}),
        ("completion/complete", {"completion": {"values": []}}),
        ("server/discover", {"supportedVersions": ["x"], "capabilities": {}}),
        ("initialize", {"protocolVersion": "x", "capabilities": {}, "serverInfo": _SERVER}),
        ("ping", {}),
        ("vendor/own", {"anything": 1}),
    ],
)
def test_right_results_have_no_fault(method: str, result: dict[str, Any]) -> None:
    """The least that each method's result must hold is enough."""
    assert misshape(method, result) is None


@pytest.mark.parametrize(
    ("method", "result", "says"),
    [
        ("ping", [], "not an object"),
        ("tools/call", {}, "'content' is missing"),
        ("tools/call", {"content": {}}, "'content' is not a list"),
        ("tools/call", {"content": ["x"]}, "not an object"),
        ("tools/call", {"content": [{}]}, "no 'type'"),
        ("tools/call", {"content": [], "isError": 1}, "'isError'"),
        ("tools/call", {"content": [], "resultType": "task"}, "'task'"),
        ("tools/list", {"tools": [{"name": "a"}]}, "no 'inputSchema'"),
        ("resources/read", {"contents": [{}]}, "no 'uri'"),
        ("prompts/get", {"messages": [{"role": "user"}]}, "no 'content'"),
        ("completion/complete", {}, "'completion'"),
        ("server/discover", {"supportedVersions": [1], "capabilities": {}}, "not a string"),
        ("server/discover", {"supportedVersions": []}, "'capabilities'"),
        ("initialize", {"capabilities": {}, "serverInfo": {}}, "'protocolVersion'"),
        ("initialize", {"protocolVersion": "x", "serverInfo": {}}, "'capabilities'"),
        ("initialize", {"protocolVersion": "x", "capabilities": {}}, "'serverInfo'"),
    ],
)
def test_a_wrong_result_says_what_is_wrong(method: str, result: object, says: str) -> None:
    """A few words, for the evidence of a finding."""
    assert says in (misshape(method, result) or "")


@pytest.mark.parametrize(
    "result",
    [
        {},
        [],
        {"content": []},
        {"content": [{}]},
        {"content": [{"type": "text"}], "isError": True},
        {"content": [{"type": "text"}], "isError": 0},
        {"content": [{"type": "text"}], "resultType": "task"},
        {"content": [{"type": "text"}], "structuredContent": {}},
    ],
)
def test_the_short_cut_takes_plain_successes_only(result: object) -> None:
    """Whatever needs a second look does not pass the quick one."""
    assert not is_plain_call(result)
    assert is_plain_call({"content": [{"type": "text", "text": "x"}], "isError": False})
