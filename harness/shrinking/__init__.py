"""From a run that failed to the smallest scenario that still fails in the same way."""
