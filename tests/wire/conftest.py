"""The wire is tested on both loops it runs on: asyncio's own and uvloop."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Each test runs once on each loop: they close and report errors in different ways."""
    return "asyncio", {"use_uvloop": request.param}
