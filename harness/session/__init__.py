"""One agent's life: its steps, its client policy, its credential."""
