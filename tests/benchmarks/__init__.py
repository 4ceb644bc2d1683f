"""Side-by-side measurements: ratios from alternating rounds of one run, never absolute figures."""
