"""No credential that a run uses is in anything that it leaves or says."""

from __future__ import annotations

import re
import secrets
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.cli.conclusion import conclude
from harness.journal import SampleEntry, SessionEntry
from harness.journal import read as read_journal
from harness.overrides import Overrides
from harness.redaction import HIDDEN, redact
from harness.rig.issuer.control import Issuer
from harness.run import Order, conduct
from harness.session.authority import Authority
from harness.session.exchange import answer_of
from harness.session.tokens import TokenSource
from tests import command

TOKENS = ("access_token", "refresh_token")
JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}")

SECURED = """
faults:
  - token-expire: {ttl: 1s, overdue: 50%}
    for: 3s
  - no-token: {share: 50%}
    for: 1s
  - scope-deny: {share: 50%, tool: search, scope: "mcp:write"}
    for: 1s
  - clock-skew: {share: 50%}
    for: 1s
  - refresh-as-access: {share: 50%}
    for: 1s
  - identity-hop: {share: 50%}
    for: 1s
  - shared-credential: {share: 30%}
    for: 1s
  - refresh-race: {share: 50%, at_once: 3}
    for: 1s
auth: {issuer: embedded, grant: GRANT, ttl: 60s}
dependencies: {store: {embedded: {}}}
"""

ECHOED = """\
question: Does anything keep what a careless server says back?
era: legacy
agents:
  - name: speaker
    pace: 10/s
    steps:
      - call: say
        with: {text: "${nonce}"}
load: {sessions: 4, ramp: 500ms}
phases: {warmup: 500ms, baseline: 4s}
auth: {issuer: target, grant: bearer}
"""


def assert_nowhere(folder: Path, said: str, known: set[str]) -> None:
    """None of `known`, and nothing like a token, is in any file of the folder or in `said`."""
    assert known
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 8
    texts = {str(path): path.read_bytes() for path in files} | {"said": said.encode()}
    for name, text in texts.items():
        assert not JWT.search(text), f"a token in {name}"
        for secret in known:
            assert secret.encode() not in text, f"a secret in {name}"


def echoed(folder: Path, token: str, *refused: str) -> command.Done:
    """What comes of a run against the echoing server, which refuses some methods."""
    (folder / "echoed.yaml").write_text(ECHOED, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch = " ".join((sys.executable, "-m", "tests.echoing", str(port), *refused))
    target = f"http://127.0.0.1:{port}/mcp"
    words = ("run", "echoed.yaml", "--launch", launch, "--target", target)
    return command.squall(*words, cwd=folder, env={"SQUALL_TOKEN": token})


@pytest.mark.slow
@pytest.mark.timeout(110)
@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code"])
def test_the_secrets_of_a_grant_are_nowhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    grant: str,
) -> None:
    """Client secrets, the issuer's control secret, access and refresh tokens: all are overheard."""
    known: set[str] = set()
    register, take, draw = Issuer.register, TokenSource._take, secrets.token_urlsafe

    async def registered(self: Issuer, **order: Any) -> str:
        known.add(secret := await register(self, **order))
        return secret

    def taken(self: TokenSource, authority: Authority, *answer: Any) -> None:
        take(self, authority, *answer)
        known.update(filter(None, (self.token, self._refresh_token, self.damaged())))

    def drawn(size: int) -> str:
        known.add(secret := draw(size))
        return secret

    def bought(body: bytes) -> dict[str, Any]:
        answer = answer_of(body)
        known.update(str(answer[name]) for name in TOKENS if answer.get(name))
        return answer

    monkeypatch.setattr("harness.session.misfits.answer_of", bought)
    monkeypatch.setattr("harness.session.tokens.answer_of", bought)
    monkeypatch.setattr(Issuer, "register", registered)
    monkeypatch.setattr(TokenSource, "_take", taken)
    monkeypatch.setattr("harness.rig.issuer.control.secrets.token_urlsafe", drawn)
    text = command.STORM.partition("faults:")[0] + SECURED.replace("GRANT", grant)
    text = text.replace("recovery: 2s", "recovery: 1s")
    order = Order(
        loaded=Overrides().load(text, "secured.yaml"),
        overrides=Overrides(),
        command=("squall", "run", "secured.yaml"),
        out=tmp_path,
    )
    ran = anyio.run(partial(conduct, order, lambda _: None), backend_options={"use_uvloop": True})
    concluded = conclude(ran.folder)
    verdict = command.verdict_of(ran.folder)
    command.assert_passed(concluded.judgement.exit_code, verdict)
    assert len(known) > 40
    said = capfd.readouterr()
    assert_nowhere(ran.folder, said.out + said.err, known)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_server_that_says_tokens_back_does_not_bring_them_into_the_run(tmp_path: Path) -> None:
    """In errors, results, challenges, names and its log; whole or cut short."""
    token = "planted-" + secrets.token_urlsafe(24)
    done = echoed(tmp_path, token)
    assert done.code in {1, 3}, done.all
    folder = command.folder_of(tmp_path / "runs")
    assert_nowhere(folder, done.all, {token, token[:20]})
    # It did try: what it said is there, without the token.
    entries = read_journal(folder).entries
    samples = [one.text for one in entries if isinstance(one, SampleEntry)]
    assert sum("no entry for Bearer " + HIDDEN in text for text in samples) > 4
    assert any(isinstance(one, SessionEntry) and one.edge == "lost" for one in entries)
    assert HIDDEN in (folder / "logs" / "target.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", ["initialize", "tools/list"])
def test_a_refusal_before_the_load_does_not_say_the_token(tmp_path: Path, method: str) -> None:
    """The sentence quotes the server, and the server quotes the token."""
    token = "planted-" + secrets.token_urlsafe(24)
    done = echoed(tmp_path, token, method)
    assert done.code == 2
    assert token[:20] not in done.all
    (line,) = done.err.splitlines()[1:]
    assert f"Bearer {HIDDEN}: refused; {HIDDEN}: refused" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {HIDDEN}"),
        ("basic dXNlcjpwYXNzd29yZA==", f"basic {HIDDEN}"),
        ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIx.c2ln-_x, bad", f"token {HIDDEN}, bad"),
        ("cut short: eyJhbGciOiJSUz", f"cut short: {HIDDEN}"),
        ('{"a":"eyJhbGciOiJSUz"}', f'{{"a":"{HIDDEN}"}}'),
        ("to postgresql://me:s3cr3t@db:5432/n now", f"to postgresql://me:{HIDDEN}@db:5432/n now"),
        ("redis://:s3cr3t@db/0", f"redis://:{HIDDEN}@db/0"),
        ("http://127.0.0.1:80/a@b and c@d", "http://127.0.0.1:80/a@b and c@d"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str, hidden: str) -> None:
    """Without anybody saying which one it is."""
    assert redact(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        'Bearer resource_metadata="http://127.0.0.1:1/.well-known/x", error="invalid_token"',
        "Bearer error=invalid_token",
        "bearer authentication is required here",
        "the basic idea",
        "s12.34.1 keyJewel",
    ],
)
def test_what_is_no_credential_is_left_alone(text: str) -> None:
    """A challenge's parameters and prose are evidence."""
    assert redact(text, ("", "another-secret")) == text


def test_a_known_secret_is_hidden_whole_and_cut_short() -> None:
    """Texts are cut to a length, and a cut token is still most of one."""
    secret = "0123456789abcdefghij"
    assert redact(f"a {secret} b {secret[:14]}", (secret,)) == f"a {HIDDEN} b {HIDDEN}"
    assert redact("a short b", ("short",)) == f"a {HIDDEN} b"
