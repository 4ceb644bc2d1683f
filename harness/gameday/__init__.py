"""A game day: a storm of steady load, faults by hand, a page to do it from, and a record of it."""
