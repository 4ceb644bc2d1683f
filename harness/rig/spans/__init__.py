"""The embedded receiver of OpenTelemetry spans, to which targets of a run may send theirs.

`control.serve` starts it in its own process and asks it; `python -m harness.rig.spans` runs it.
"""
