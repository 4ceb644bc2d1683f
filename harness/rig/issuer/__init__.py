"""The embedded OAuth 2.1 authorization server that targets of a run can trust.

`control.serve` starts it in its own process and drives it; `python -m harness.rig.issuer` runs it.
"""

# Holds the secret of the control face; never an argument, for everybody can read those.
CONTROL_VARIABLE = "SQUALL_ISSUER_CONTROL"
