"""squall: chaos and load testing for MCP servers.

The pipe, which can be read from `ls`:

    scenario -> plan -> run (load, session, wire | chaos, faults, rig) -> journal -> judge -> score -> reports

Everything left of the run and right of the journal is pure and synchronous.
"""

from __future__ import annotations

__version__ = "0.1.0"
