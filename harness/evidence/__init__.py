"""What a journal shows, in pure views, each on simpler ones: what every opinion on a run stands on.

From the bottom: how often calls took effect (`executions`) and what they made the target ask of its
dependencies (`downstream`), every attempt beside its plan (`attempts`), the run cut into its phases
(`phases`); then how long things took, what the answers held, how the target behaved, and the way
back to normal (`recovery`); at the top what the score is made of (`tallies`).
"""
