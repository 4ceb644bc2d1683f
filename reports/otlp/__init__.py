"""What a collector is told of a finished run: spans and metrics, as OpenTelemetry has them.

Named by its semantic conventions for MCP and GenAI where those have a name, and `squall.` beside
them. All of it is made from the evidence, so a run that is sent again gives the same spans, under
the same ids. What a call carried is in none of it: neither arguments nor results nor tokens.
"""
