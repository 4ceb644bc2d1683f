"""Is it worse than it was? Two sides of the same scenario, each one run or several, held together.

Pure. A run is made into a digest (`digest`), which a baseline file can hold (`baseline`); two sides
have to be of one kind (`identity`); each measure of each arm, phase and tool is estimated on both
(`measures`), beside what chance makes of it (`noise`); and what is left after a correction for so
many looks (`holm`) is worse, better or the same (`ruling`).
"""
