"""`squall init` where nobody is let in without a token: every grant, a short life, no key."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final, Literal

import anyio.to_thread
import pytest

from harness.discovery.composing import compose
from harness.discovery.permits import Permit
from harness.discovery.visit import Order, visit
from harness.errors import SquallError
from harness.rig import server
from harness.scenario.auth import Auth
from harness.scenario.load import load_text
from harness.scenario.records import UrlTarget
from tests import command
from tests.discovery.bureau import Bureau, bureau

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(480)]

Grant = Literal["bearer", "client_credentials", "authorization_code", "jwt_bearer"]
GRANTS: Final[tuple[Grant, ...]] = (
    "bearer", "client_credentials", "authorization_code", "jwt_bearer"
)  # fmt: skip
SLOW: Final = ("[jlb]*", "sl*", "su*", "confirm", "r*", "feed")  # not what this is about


async def file_of(order: Order, said: list[str]) -> str:
    """Visit, and give the text that would be written."""
    findings = await visit(order, said.append)
    names = {one.name for one in findings.learned}
    assert {"search", "fetch"} <= names
    return compose(
        findings,
        target=order.target,
        auth=order.auth,
        era=order.era,
        revision="",
        remote=False,
        file="a.yaml",
        again="",
    )


def assert_tells_nothing(text: str, held: dict[str, str]) -> None:
    """None of the values, nor the beginning of one, is in a text."""
    for name, value in held.items():
        if name != "SQUALL_CLIENT_ID":
            assert value[:12] not in text, name


async def test_tokens_are_had_by_every_grant_and_in_both_eras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says by which, what it reads from the environment, and no secret; bad ones too."""
    with bureau() as office:
        async with server.reference(issuer=office.url, ledger=tmp_path / "l.sqlite") as target:
            held = office.environment(target.url)
            for name, value in held.items():
                monkeypatch.setenv(name, value)
            for turn, grant in enumerate((*GRANTS, *GRANTS)):
                auth = Auth(issuer="target", grant=grant)
                era = "legacy" if turn < len(GRANTS) else "modern"
                order = Order(
                    target=UrlTarget(url=target.url),
                    auth=auth,
                    era=era,
                    permit=Permit(skipped=SLOW),
                )
                said: list[str] = []
                text = await file_of(order, said)
                scenario = load_text(text, "a.yaml").scenario
                assert (scenario.auth, scenario.era) == (auth, era)
                assert "token-expire" in {one.fault.kind for one in scenario.faults}
                assert ("SQUALL_TOKEN" in text) == (grant == "bearer")
                assert ("SQUALL_ASSERTION" in text) == (grant == "jwt_bearer")
                assert_tells_nothing(text + "".join(said), held)
            await refusals(target.url, office, monkeypatch)


async def refusals(url: str, office: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not good is said with its mend, and without itself."""
    for grant, variable, value, mend in (
        ("bearer", "SQUALL_TOKEN", "eyJub3RoaW5n.e30.c2lnbmF0dXJl", "refuses the token in SQUALL_"),
        ("client_credentials", "SQUALL_CLIENT_SECRET", "not-the-secret-at-all", "id and secret"),
        ("authorization_code", "SQUALL_CLIENT_ID", "somebody-else", "that the client is known"),
        ("jwt_bearer", "SQUALL_ASSERTION", "eyJub3RoaW5n.e30.c2lnbmF0dXJl", "no such grant"),
    ):
        with monkeypatch.context() as wrong:
            wrong.setenv(variable, value)
            auth = Auth.model_validate({"issuer": "target", "grant": grant})
            with pytest.raises(SquallError, match=mend) as refused:
                await visit(Order(target=UrlTarget(url=url), auth=auth), lambda _: None)
        assert value not in str(refused.value)
        assert office.secret not in str(refused.value)


async def names_learned(folder: Path, ttl_s: float, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What answers where one tool takes longer than a token lives."""
    with bureau(ttl_s=ttl_s) as office:
        async with server.reference(issuer=office.url, ledger=folder / f"{ttl_s}.db") as target:
            for name, value in office.environment(target.url).items():
                monkeypatch.setenv(name, value)
            order = Order(
                target=UrlTarget(url=target.url),
                auth=Auth(issuer="target"),
                given={"slow.seconds": f"{ttl_s + 0.5}"},
                permit=Permit(skipped=("job", "search", "fetch", "list_entries")),
            )
            findings = await visit(order, lambda _: None)
    return {one.name for one in findings.learned}


async def test_a_token_that_ends_during_the_visit_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is asked again with a new one, and what comes after it is tried as well.

    A busy machine may need longer for one call than the shorter of both lives.
    """
    wanted = {"slow", "big"}
    if not wanted <= await names_learned(tmp_path, 3, monkeypatch):
        assert wanted <= await names_learned(tmp_path, 8, monkeypatch)


async def test_a_server_that_asks_for_no_token_gets_a_file_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a newcomer does who adds --auth to be safe: by command, which also shows no secret."""
    monkeypatch.setenv("SQUALL_CLIENT_ID", "me")
    monkeypatch.setenv("SQUALL_CLIENT_SECRET", "nobody-has-to-know")
    async with server.reference(issuer=None, ledger=tmp_path / "l.sqlite") as target:
        url = f"{target.url}?api_key=nobody-has-to-know"
        words = ("init", "--target", url, "--auth", "client_credentials", "--skip", "[jsrc]*")
        done = await anyio.to_thread.run_sync(partial(command.squall, *words, cwd=tmp_path))
    assert done.code == 0, done.all
    assert "asks for no token" in done.err
    assert "squall run squall.yaml --target URL" in done.out
    text = (tmp_path / "squall.yaml").read_text(encoding="utf-8")
    assert load_text(text, "squall.yaml").scenario.auth is None
    assert "token-expire" not in text
    assert "nobody-has-to-know" not in text + done.all
