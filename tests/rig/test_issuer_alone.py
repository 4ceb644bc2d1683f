"""The issuer as it stands in a container: called by another name, with a client from the start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import httpx
import jwt
import psutil
import pytest

from harness.rig.process import child
from tests.ports import free_port

READY = "listening "
NAME = "http://issuer.example:9000"
SECRET = "never-to-be-read-in-a-log"
CLIENT = {"SQUALL_CLIENT_ID": "squall", "SQUALL_CLIENT_SECRET": SECRET}
ASKED = {"grant_type": "client_credentials", "resource": "http://reference.example/mcp"}


@pytest.mark.anyio
async def test_a_client_from_the_environment_gets_tokens(tmp_path: Path) -> None:
    """With its own secret alone, for its scopes alone, in the name by which others call it."""
    port, log = free_port(), tmp_path / "log"
    argv = [sys.executable, "-m", "harness.rig.issuer", "--port", str(port), "--url", NAME]
    env = {**os.environ, **CLIENT, "SQUALL_CLIENT_SCOPES": "mcp:read"}
    with anyio.fail_after(30):
        async with (
            child([*argv, "--client", "--ttl", "60"], env=env, ready=READY, log=log) as process,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
        ):
            metadata = (await http.get("/.well-known/oauth-authorization-server")).json()
            good = await http.post("/token", data=ASKED, auth=("squall", SECRET))
            wrong = await http.post("/token", data=ASKED, auth=("squall", "guess"))
            more = {**ASKED, "scope": "mcp:write"}
            beyond = await http.post("/token", data=more, auth=("squall", SECRET))
            shut = await http.get("/control/statistics", headers={"authorization": "Bearer x"})
            seen = " ".join(psutil.Process(process.pid).cmdline())
    claims = jwt.decode(good.json()["access_token"], options={"verify_signature": False})
    assert process.ready_line == READY + NAME
    assert metadata["issuer"] == NAME
    assert metadata["token_endpoint"] == f"{NAME}/token"
    assert (claims["iss"], claims["client_id"], claims["scope"]) == (NAME, "squall", "mcp:read")
    assert 58 <= good.json()["expires_in"] <= 61
    assert [wrong.status_code, beyond.status_code, shut.status_code] == [401, 400, 403]
    assert SECRET not in seen + log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--client"], {}, "SQUALL_CLIENT_SECRET"),
        (["--client"], {"SQUALL_CLIENT_SECRET": SECRET}, "SQUALL_CLIENT_ID"),
        (["--url", "issuer:9000"], {}, "http://HOST:PORT"),
        (["--url", "http://issuer:9000/realm"], {}, "http://HOST:PORT"),
        (["--url", "http://me:secret@issuer"], {}, "http://HOST:PORT"),
    ],
)
def test_what_the_issuer_cannot_do_is_one_sentence(
    words: list[str], environment: Mapping[str, str], said: str
) -> None:
    """Exit code 2, nothing served, and no secret repeated."""
    clean = {name: value for name, value in os.environ.items() if name not in CLIENT}
    done = subprocess.run(
        [sys.executable, "-m", "harness.rig.issuer", *words],
        check=False,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr
