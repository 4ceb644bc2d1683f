"""The bundled target: a hardened MCP server on the official SDK, and its flaws, one switch each.

`python -m harness.reference` runs it. Nothing of squall's own measuring lives here: to the rest
of squall it is a server like any other.
"""
