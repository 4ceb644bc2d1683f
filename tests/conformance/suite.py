"""The official suite's client scenarios, run one by one against the command in `client`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.parts import LEGACY, MODERN, entry, node

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = Path(os.environ.get("SQUALL_CONFORMANCE", "") or "no-such-folder")
REVISION: Final = "2026-07-28"
CLIENT_S: Final = 50  # what the suite allows the command; its own default is 30
SCENARIO_S: Final = 100
# These judge by the wall clock when the client came back, or lose what it has not asked for yet.
LATE: Final = ("CLIENT TIMED OUT", "Timeout (0:00:")  # the suite's words, and faulthandler's
BY_THE_CLOCK: Final = frozenset({"sse-retry", "elicitation-sep1034-client-defaults"})

_LISTED: Final = re.compile(r"^\s*- (?P<name>\S+) \[(?P<revisions>[^\]]*)\]", re.MULTILINE)
_COUNTS: Final = re.compile(r"Passed: (\d+)/(\d+), (\d+) failed, (\d+) warnings")

_ENTERPRISE: Final = (
    "a person's ID token is exchanged at an enterprise's identity provider; load has no person, "
    "and grant: jwt_bearer takes the assertion that such an exchange yields"
)
_PROOFS: Final = (
    "an optional extension: a fresh signature on every request would measure the generator's own "
    "cryptography in place of the server"
)
_SKILLS: Final = "an optional extension about what a model's host does with skills it downloads"
NOT_RUN: Final[dict[tuple[str, str], str]] = {
    (LEGACY, "auth/cross-app-access-complete-flow"): _ENTERPRISE,
    (MODERN, "auth/enterprise-managed-authorization"): _ENTERPRISE,
    (MODERN, "auth/dpop"): _PROOFS,
    (MODERN, "auth/dpop-nonce"): _PROOFS,
    (MODERN, "sep-2640-client-no-prefetch"): _SKILLS,
    (MODERN, "sep-2640-client-verify-digest"): _SKILLS,
    (MODERN, "sep-2640-client-verify-size"): _SKILLS,
    (MODERN, "sep-2640-client-verify-frontmatter"): _SKILLS,
}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What the suite said of one scenario."""

    passed: int
    checks: int
    failed: int
    warnings: int
    code: int
    said: str

    @property
    def good(self) -> bool:
        """Every check passed, there was one, and the suite is content with the whole."""
        flawless = self.passed == self.checks > 0 and not self.failed and not self.warnings
        return flawless and self.code == 0


def missing() -> str:
    """What is not there to run the suite with; "" when all is."""
    wanted = [node(FOLDER), entry(FOLDER, LEGACY), entry(FOLDER, MODERN)]
    gone = [str(path) for path in wanted if not path.exists()]
    return ", ".join(gone)


def listed(version: str) -> dict[str, str]:
    """The client scenarios of a version of the suite, each with the revisions that it is for."""
    done = subprocess.run(
        [node(FOLDER), entry(FOLDER, version), "list", "--client"],
        capture_output=True,
        text=True,
        timeout=SCENARIO_S,
        check=True,
    )
    return {found["name"]: found["revisions"] for found in _LISTED.finditer(done.stdout)}


def run(version: str, scenario: str, *, revision: str = "") -> Ran:
    """Run one scenario; `revision` is what the client is to speak, where the suite lets one say.

    What the clock has judged, here or in the suite, has a second try: a machine that is busy with
    something else is no fault of the client's.
    """
    ran = _run(version, scenario, revision)
    by_the_clock = scenario in BY_THE_CLOCK or any(word in ran.said for word in LATE)
    return ran if ran.good or not by_the_clock else _run(version, scenario, revision)


def _run(version: str, scenario: str, revision: str) -> Ran:
    command = shlex.join([sys.executable, "-m", "tests.conformance.client"])
    chosen = ["--spec-version", revision] if revision else []
    done = subprocess.run(
        [
            *(node(FOLDER), entry(FOLDER, version), "client", "--command", command),
            *("--scenario", scenario, "--timeout", str(CLIENT_S * 1000), *chosen),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=SCENARIO_S,
        check=False,
    )
    counts = _COUNTS.search(done.stdout)
    passed, checks, failed, warnings = map(int, counts.groups()) if counts else (0, 0, 0, 0)
    return Ran(
        passed=passed,
        checks=checks,
        failed=failed,
        warnings=warnings,
        code=done.returncode,
        said=done.stdout[-6000:],
    )
