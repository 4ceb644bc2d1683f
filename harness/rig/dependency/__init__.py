"""A programmable downstream that targets of a run keep their rows, notes and cells at.

`control.serve` starts it in its own process and drives it; `python -m harness.rig.dependency`
runs it.
"""

# Holds the secret of the control face; never an argument, for everybody can read those.
CONTROL_VARIABLE = "SQUALL_DEPENDENCY_CONTROL"
# Holds `id:secret` of the one client that may buy tokens.
CLIENT_VARIABLE = "SQUALL_DEPENDENCY_CLIENT"
