"""What squall builds around the target, one file per lever."""
