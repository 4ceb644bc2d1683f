"""How treated sessions misbehave on purpose, before the real call of a step."""
