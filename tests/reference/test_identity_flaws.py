"""Each flaw of identity opens, or shuts, exactly the door that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from harness.flaws import Flaw
from harness.rig.issuer import control
from harness.rig.ledger import read as executions
from tests.reference.calls import Answer, Bench, Caller, bench

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HARDENED: Final = "hardened"
READ: Final = "mcp:read"
ELSEWHERE: Final = "https://other.invalid/mcp"
Profile = dict[str, str]

SOUND: Final[Profile] = {
    "no token": "401 challenged",
    "damaged token": "401 challenged",
    "a write with a token to read": "403 insufficient_scope, 0 effects",
    "a token for another resource": "401 challenged",
    "a refresh token": "401 challenged",
    "an id token": "401 challenged",
    "a clock 30 s ahead": "200",
    "a clock 30 s behind": "200",
    "a clock 330 s ahead": "401 challenged",
    "a clock 330 s behind": "401 challenged",
    "a second session": "both live",
}
MASKED: Final = "200 in words"
CHANGES: Final[dict[str, Profile]] = {
    HARDENED: {},
    Flaw.AUTH_ERROR_AS_TEXT: {
        name: MASKED for name, seen in SOUND.items() if seen == "401 challenged"
    },
    Flaw.SCOPE_IGNORED: {"a write with a token to read": "200, 1 effects"},
    Flaw.SCOPE_DENIED_EMPTY: {"a write with a token to read": "200 in words, 0 effects"},
    Flaw.AUD_UNCHECKED: {"a token for another resource": "200"},
    Flaw.ANY_TOKEN_TYPE: {"a refresh token": "200"},
    Flaw.NO_CLOCK_LEEWAY: {"a clock 30 s ahead": "401 challenged"},
    Flaw.NO_AUTH: {
        name: "200, 1 effects" if name.startswith("a write") else "200"
        for name, seen in SOUND.items()
        if seen not in {"200", "both live"}
    },
    Flaw.LAST_LOGIN_WINS: {"a second session": "the first is gone"},
}


@pytest.fixture(scope="module")
async def profiles(
    issuer: control.Issuer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Profile]:
    """How every server treats the same tokens; all at the same time."""
    folder = tmp_path_factory.mktemp("identity")
    seen: dict[str, Profile] = {}
    with anyio.fail_after(90):
        async with anyio.create_task_group() as group:
            for name in CHANGES:
                group.start_soon(observe, issuer, folder, name, seen)
    return seen


async def observe(
    issuer: control.Issuer, folder: Path, name: str, seen: dict[str, Profile]
) -> None:
    """Start one server, and show it one token after the other."""
    flaws = () if name == HARDENED else (name,)
    async with bench(issuer, folder, *flaws) as running:
        seen[name] = await treated(running)


async def treated(running: Bench) -> Profile:
    """What becomes of a call under each token, by one session of the legacy era."""
    good = await running.token("agent")
    odd = Odd(running, f"odd-{running.suffix}")
    await odd.register()
    session = await running.caller("legacy", good)
    seen = {"no token": "", "damaged token": good[:-8] + good[:8]}
    shown = {**seen, "a token for another resource": await running.token(resource=ELSEWHERE)}
    profile = {
        name: told(await called(session, token, "fetch", {"id": "doc-1"}))
        for name, token in shown.items()
    }
    session = await running.caller("modern", good)
    for name, oddity in (
        ("a refresh token", "refresh"),
        ("an id token", "id"),
        ("a clock 30 s ahead", "shift=30"),
        ("a clock 30 s behind", "shift=-30"),
        ("a clock 330 s ahead", "shift=330"),
        ("a clock 330 s behind", "shift=-330"),
    ):
        token = await odd.token(squall_oddity=oddity)
        profile[name] = told(await called(session, token, "fetch", {"id": "doc-1"}))
    narrow = await running.token("agent", scopes=READ)
    note = {"key": "k", "text": "narrow", "idempotency_key": "narrow"}
    answer = await called(session, narrow, "append_note", note)
    effects = [e for e in executions(running.ledger) if e.key == "narrow"]
    said = "403 insufficient_scope" if "insufficient_scope" in answer.challenge else told(answer)
    profile["a write with a token to read"] = f"{said}, {len(effects)} effects"
    first = await running.caller("legacy", good)
    second = await running.caller("legacy", good)
    both = [(await one.call("fetch", {"id": "doc-1"})).status for one in (first, second)]
    profile["a second session"] = "both live" if both == [200, 200] else "the first is gone"
    assert both[1] == 200
    return profile


async def called(session: Caller, token: str, tool: str, arguments: dict[str, Any]) -> Answer:
    """Call a tool in this session, under this token for once."""
    own, session.token = session.token, token
    answer = await session.call(tool, arguments)
    session.token = own
    return answer


def told(answer: Answer) -> str:
    """The status, and whether a challenge, or nothing but words, came with it."""
    if answer.challenge:
        return f"{answer.status} challenged"
    in_words = answer.status == 200 and answer.value is None
    return f"{answer.status} in words" if in_words else str(answer.status)


@pytest.mark.parametrize("name", list(CHANGES))
async def test_a_flaw_of_identity_changes_what_it_names_and_nothing_else(
    profiles: dict[str, Profile], name: str
) -> None:
    """So a verdict that names it can be right, and any other one is wrong."""
    assert profiles[name] == {**SOUND, **CHANGES[name]}


async def test_a_withdrawn_key_is_good_until_the_key_set_has_to_be_read_again(
    tmp_path: Path,
) -> None:
    """By the issuer's own word (max-age), and for ever to the flaw that keeps it."""
    with anyio.fail_after(60):
        async with (
            control.serve(log_dir=None) as issuer,
            bench(issuer, tmp_path) as sound,
            bench(issuer, tmp_path, Flaw.JWKS_KEPT) as kept,
        ):
            thieves = [Odd(one, f"odd{one.suffix}") for one in (sound, kept)]
            sessions = []
            for one, thief in zip((sound, kept), thieves, strict=True):
                await thief.register("treated")
                # So that both have read the old key.
                sessions.append(await one.caller("modern", await thief.token()))
            await issuer.rotate(keep_s=0, fresh_s=1)

            async def shown(turn: int, **form: str) -> str:
                token = await thieves[turn].token(**form)
                return told(await called(sessions[turn], token, "fetch", {"id": "doc-1"}))

            for turn in range(2):
                while await shown(turn) != "200":
                    pass  # the key set is read at most once a second
            while await shown(0, squall_oddity="withdrawn") != "401 challenged":
                pass  # each try is a token bought and a call made
            assert await shown(1, squall_oddity="withdrawn") == "200"


class Odd:
    """A client that the issuer sells wrong tokens to."""

    def __init__(self, running: Bench, name: str) -> None:
        """Speak for the client `name`."""
        self._running = running
        self._name = name
        self._secret = ""

    async def register(self, group: str = "") -> None:
        """Become known; `group` is its own unless one is named."""
        self._secret = await self._running.issuer.register(
            client_id=self._name,
            group=group or self._name,
            scopes="mcp:read mcp:write",
            ttl_s=600,
            odd=True,
        )

    async def token(self, **form: Any) -> str:
        """Buy one."""
        asked = {"grant_type": "client_credentials", "resource": self._running.url, **form}
        reply = await self._running.http.post(
            f"{self._running.issuer.url}/token", data=asked, auth=(self._name, self._secret)
        )
        return str(reply.json()["access_token"])
