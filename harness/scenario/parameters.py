"""A fault's parameters as a scenario writes them: their names, their defaults, what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from faults.agent_sessions import Asked
from faults.fault import Fault
from harness.scenario import units

_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "rate_s": units.pace,
    "_bytes_per_s": units.bandwidth,
    "_bytes": units.size,
    "_s": units.duration,
    "share": units.share,
    "overdue": units.share,
}


def paragraph(fault: type[Fault], number: int) -> str:
    """Give one part of a fault's docstring: what breaks, what resilience is, what shows."""
    parts = (fault.__doc__ or "").split("\n\n")
    text = parts[number] if number < len(parts) else ""
    return " ".join(text.split())


def parameters_of(fault: type[Fault]) -> list[tuple[str, str, str]]:
    """Give name, default and meaning of each parameter, as a scenario writes them."""
    return [
        (
            field.alias or key,
            _written(key, field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for key, field in fault.model_fields.items()
    ]


def given(fault: Fault) -> dict[str, str]:
    """Give the parameters that were not left to their defaults, as a scenario writes them."""
    fields = type(fault).model_fields
    return {
        fields[key].alias or key: _written(key, getattr(fault, key))
        for key in sorted(fault.model_fields_set)
        if isinstance(getattr(fault, key), str | int | float)
    }


def _written(key: str, value: object) -> str:
    """Write a default the way a scenario would, unit included; the key's ending says which."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for ending, write in _WRITERS.items():
            if key.endswith(ending):
                return write(value)
    if isinstance(value, Asked):
        return f"{value.tool} {value.arguments}" if value.tool else "none"
    return str(value) if value != () else "none"
