"""A Toxiproxy server in Python, wire-compatible with 2.12; it imports nothing else of squall."""
