"""Gets to know a server, and writes a scenario for it: read, guess, try, draft, write."""
