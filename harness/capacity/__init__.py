"""How much a target can take: a climb of open-loop rates, and the knee where it stops keeping up.

Pure, but for nothing: what is asked (`course`), when each call is due (`arrivals`), what became of
a step (`steps`), which rate comes next (`ladder`), where the knee lies (`knee`), and what all of
that adds up to (`ruling`). `harness.climb` does the climbing.
"""
