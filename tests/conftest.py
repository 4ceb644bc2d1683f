"""What every test shares: the event loop's backend, and which Toxiproxy there is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Socket tests run on asyncio, the backend squall runs on."""
    return "asyncio"


@pytest.fixture(params=["embedded", pytest.param("original", marks=pytest.mark.real)])
def which(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which Toxiproxy is found on PATH, or else embedded: the original only where there is one."""
    name: str = request.param
    if name == "original":
        there = os.environ.get("SQUALL_TOXIPROXY_SERVER") or shutil.which("toxiproxy-server")
        if there is None:
            pytest.skip("NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "toxiproxy-server").symlink_to(Path(there).resolve())
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return name
