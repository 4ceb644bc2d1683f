"""What a run is made of while it lasts, each part with one thing to keep going or to watch.

Before it: may the target be hit at all (`guard`), what is built around it (`assembly`,
`dependencies`), and one look at both doors (`preflight`). In it: the sessions of a process (`host`)
and how many there are (`offering`, `load`), when faults strike (`chaos`) and what their levers hold
(`grip`), what becomes of the target (`lookout`) and of the generator itself (`health`). Beside it:
where it stands (`status`, `exposition`), and what others counted (`audit`, `ledgers`). However it
ends: `interruption`, and what dead runs have left (`leftovers`).
"""
