"""A server as one of squall's users might have it: launched, with a database of its own."""
