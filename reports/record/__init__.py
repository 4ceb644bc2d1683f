"""The record of a game day: who did what, what was expected, what was seen, what is to be done."""
