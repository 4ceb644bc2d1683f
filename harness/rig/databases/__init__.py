"""Real databases for a target to depend on, each on a folder and a port of its own."""
