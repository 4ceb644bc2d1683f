"""A search for capacity, shown: one file per renderer, as for a run."""
