"""Servers on stacks that are not ours, as their users would write them, each with one flaw."""
