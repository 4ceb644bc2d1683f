"""The hardened server's door: size, token, scope, session and request id."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from harness.rig.ledger import read as executions
from harness.session.authority import challenge_parameters
from harness.session.tokens import spoil
from tests.reference.calls import ERAS, Bench, Caller, Era, read

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]
MIB = 1024 * 1024


async def outlive(ttl_s: float) -> None:
    """Wait until a token with this lifetime is dead; the issuer rounds up to a whole second."""
    await anyio.sleep(math.ceil(time.time() + ttl_s) - time.time() + 0.01)


async def test_a_request_without_a_token_is_told_where_to_get_one(
    hardened: Bench, era: Era
) -> None:
    """401 names the metadata, and no error: nothing was presented that could be wrong."""
    caller = Caller(http=hardened.http, url=hardened.url, token="", era=era)
    answer = await caller.open()
    told = challenge_parameters(answer.challenge)
    assert answer.status == 401
    assert "error" not in told
    metadata = (await hardened.http.get(told["resource_metadata"])).json()
    assert metadata["resource"] == hardened.url
    assert metadata["authorization_servers"] == [hardened.issuer.url]
    assert metadata["scopes_supported"] == ["mcp:read", "mcp:write"]


async def test_a_token_dies_at_its_expiry_in_the_midst_of_a_session(
    hardened: Bench, era: Era
) -> None:
    """Good before, 401 invalid_token after; and the session lives on under a renewed token."""
    caller = await hardened.caller(era, await hardened.token("mayfly", ttl_s=1))
    before = await caller.call("recall", {"key": "nothing"})
    await outlive(1)
    after = await caller.call("recall", {"key": "nothing"})
    caller.token = await hardened.token("mayfly", ttl_s=600)
    renewed = await caller.call("recall", {"key": "nothing"})
    assert before.status == 200
    assert after.status == 401
    assert challenge_parameters(after.challenge)["error"] == "invalid_token"
    assert "resource_metadata" in challenge_parameters(after.challenge)
    assert renewed.status == 200


async def test_a_context_survives_the_renewal_of_its_token(hardened: Bench, era: Era) -> None:
    """What was remembered under one token is recalled under the next of the same client."""
    caller = await hardened.caller(era)
    await caller.call("remember", {"key": "plan", "value": "tea", "session": era})
    caller.token = await hardened.token()
    answer = await caller.call("recall", {"key": "plan", "session": era})
    assert answer.value == {"key": "plan", "value": "tea", "session": era}


async def test_a_revoked_token_is_refused_within_a_second(hardened: Bench, era: Era) -> None:
    """The server reads the list of revoked tokens twice a second; others are not touched."""
    caller = await hardened.caller(era, await hardened.token("outcast"))
    other = await hardened.caller(era)
    assert (await caller.call("fetch", {"id": "doc-1"})).status == 200
    assert await hardened.revoke("outcast") >= 1
    status = 200
    with anyio.fail_after(5):
        while status == 200:
            answer = await caller.call("fetch", {"id": "doc-1"})
            status = answer.status
    assert status == 401
    assert challenge_parameters(answer.challenge)["error"] == "invalid_token"
    assert (await other.call("fetch", {"id": "doc-1"})).status == 200


async def test_a_damaged_token_is_refused(hardened: Bench, era: Era) -> None:
    """One character of the signature is enough."""
    caller = Caller(
        http=hardened.http, url=hardened.url, token=spoil(await hardened.token()), era=era
    )
    answer = await caller.open()
    assert answer.status == 401
    assert challenge_parameters(answer.challenge)["error"] == "invalid_token"


async def test_a_token_for_another_resource_is_refused(hardened: Bench, era: Era) -> None:
    """The audience counts, not only the signature."""
    token = await hardened.token(resource="http://127.0.0.1:9/other")
    answer = await Caller(http=hardened.http, url=hardened.url, token=token, era=era).open()
    assert answer.status == 401


async def test_a_read_token_cannot_write(hardened: Bench, era: Era) -> None:
    """403 names the scope that is missing, and nothing is executed."""
    caller = await hardened.caller(era, await hardened.token(scopes="mcp:read"))
    marker = f"forbidden-{era}"
    answer = await caller.call("append_note", {"key": "k", "text": marker})
    told = challenge_parameters(answer.challenge)
    assert answer.status == 403
    assert (told["error"], told["scope"]) == ("insufficient_scope", "mcp:write")
    assert (await caller.call("search", {"query": "still reads"})).status == 200
    assert marker not in {execution.key for execution in executions(hardened.ledger)}


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_four_mebibytes_gets_a_413_that_can_be_read(
    hardened: Bench, era: Era, declared: bool
) -> None:
    """Whether its length is declared or it comes in chunks; and the connection goes on."""
    caller = await hardened.caller(era)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b"x" * MIB

    content: bytes | AsyncIterator[bytes] = b"x" * 16 * MIB if declared else chunks()
    headers = caller.headers("tools/call", {"name": "search"})
    headers["content-type"] = "application/json"
    reply = await hardened.http.post(hardened.url, headers=headers, content=content)
    assert reply.status_code == 413
    assert "4194304" in read(reply).message["error"]["message"]
    assert (await caller.call("fetch", {"id": "doc-2"})).status == 200


async def test_a_large_body_is_refused_before_it_is_read(hardened: Bench, era: Era) -> None:
    """The answer comes while the client has sent nothing but the head."""
    caller = await hardened.caller(era)
    url = httpx.URL(hardened.url)
    head = "".join(
        f"{name}: {value}\r\n"
        for name, value in {
            **caller.headers("tools/call", {"name": "search"}),
            "host": url.netloc.decode(),
            "content-length": str(100 * MIB),
        }.items()
    )
    with anyio.fail_after(5):
        async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
            await stream.send(f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode())
            assert (await stream.receive()).startswith(b"HTTP/1.1 413 ")


async def test_two_calls_under_one_id_are_never_confused(hardened: Bench, era: Era) -> None:
    """In one legacy session the second is refused; the modern era keeps them apart by itself."""
    caller = await hardened.caller(era)
    answers = {}

    async def call(label: str) -> None:
        answers[label] = await caller.call("slow", {"seconds": 0.3, "label": label}, id=77)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(call, "first")
            group.start_soon(call, "second")
    served = {label for label, answer in answers.items() if answer.status == 200}
    assert all(answers[label].value["label"] == label for label in served)
    assert len(served) == (1 if era == "legacy" else 2)
    if era == "legacy":
        (refused,) = set(answers) - served
        assert answers[refused].status == 400
        assert answers[refused].message["error"]["code"] == -32600
    with anyio.fail_after(10):
        # The reply is out a moment before the server has put its stream away, and nothing tells.
        while (await caller.call("recall", {"key": "x"}, id=77)).status != 200:  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_a_session_belongs_to_the_client_that_opened_it(hardened: Bench, era: Era) -> None:
    """Another client finds neither the session nor what was remembered in it."""
    caller = await hardened.caller(era)
    await caller.call("remember", {"key": "secret", "value": "v", "session": "mine"})
    caller.token = await hardened.token("stranger")
    answer = await caller.call("recall", {"key": "secret", "session": "mine"})
    assert answer.value is None
    assert answer.status == (404 if era == "legacy" else 200)
