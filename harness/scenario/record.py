"""What every record of a scenario has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, and closed: a key nobody knows is a mistake, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid")
