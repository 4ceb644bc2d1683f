"""Several runs as one gate: a table, a verdict, and the files that a pipeline reads."""
