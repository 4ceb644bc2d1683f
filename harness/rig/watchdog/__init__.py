"""A process beside squall that undoes what a squall that died has left."""
