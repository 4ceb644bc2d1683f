"""One issuer and one hardened server for all tests of a module: each takes a while to start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.rig.issuer import control
from tests.reference.calls import Bench, bench


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as a module's processes live."""
    return "asyncio"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[control.Issuer]:
    """A running issuer."""
    async with control.serve(log_dir=None) as running:
        yield running


@pytest.fixture(scope="module")
async def hardened(
    issuer: control.Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bench]:
    """The server without a flaw."""
    async with bench(issuer, tmp_path_factory.mktemp("hardened")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test's own server keeps its ledger and log."""
    return tmp_path
