"""squall killed at any moment: one trial, a test of several, and the full count."""
