"""`python -m tests.conformance`: run every client scenario and print the counts per revision."""

from __future__ import annotations

import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from tests.conformance.suite import NOT_RUN, missing, run
from tests.conformance.test_client import AT_ONCE, CASES


def main() -> int:
    """Print a line for each scenario and a sum for each revision; 1 when something failed."""
    say = sys.stdout.write
    if lacking := missing():
        say(f"set SQUALL_CONFORMANCE, or make conformance; not there: {lacking}\n")
        return 2
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    bad = 0
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        futures = [(case, pool.submit(run, case[0], case[1], revision=case[2])) for case in CASES]
        for (version, name, revision), future in futures:
            ran = future.result()
            label = f"{version}, {revision or 'up to 2025-11-25'}"
            bad += not ran.good
            for place, count in enumerate((1, ran.good, ran.checks, ran.passed)):
                sums[label][place] += count
            mark = "ok" if ran.good else "FAILED"
            say(f"{mark:6} {ran.passed:3}/{ran.checks:<3} {label:32} {name}\n")
    for label, (scenarios, good, checks, passed) in sums.items():
        say(f"{label}: {good} of {scenarios} scenarios, {passed} of {checks} checks\n")
    for (version, name), why in NOT_RUN.items():
        say(f"not run: {version} {name}: {why}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
