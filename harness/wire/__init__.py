"""Bytes to the server and back: our own MCP client, for both eras, over Streamable HTTP."""
