"""squall: chaos and load testing for MCP servers.

The pipe, which can be read from `ls`:

    scenario -> plan -> run -> journal -> judge -> score -> reports

    run: load, session, wire | chaos, faults, rig

Everything left of the run and right of the journal is pure and synchronous.
"""

from __future__ import annotations

__version__ = "0.1.0"
