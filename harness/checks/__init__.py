"""Opinions over a journal, one file per question; each check is a pure function."""
