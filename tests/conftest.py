"""What every test shares: the event loop's backend, and nothing else."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Socket tests run on asyncio, the backend squall runs on."""
    return "asyncio"
