"""The official conformance suite's client scenarios, against squall's client."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.conformance.parts import LEGACY, MODERN
from tests.conformance.suite import NOT_RUN, REVISION, Ran, listed, missing, run

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(300)]

AT_ONCE: Final = 3  # each is two processes that mostly wait for one another

# Those that only exist up to 2025-11-25, whichever version of the suite has them.
HANDSHAKE: Final = (
    "initialize",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
)
BOTH: Final = (
    "tools_call",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
)
STATELESS: Final = (
    "request-metadata",
    "auth/authorization-server-migration",
    "auth/iss-supported",
    "auth/iss-not-advertised",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
    "sep-2322-client-request-state",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
)
# (version of the suite, scenario, revision to speak: "" where the scenario itself has but one)
CASES: Final = (
    *((LEGACY, name, "") for name in (*HANDSHAKE, *BOTH)),
    *((MODERN, name, "") for name in (*HANDSHAKE, "auth/wif-jwt-bearer")),
    *((MODERN, name, REVISION) for name in (*BOTH, *STATELESS)),
)

Case = tuple[str, str, str]


def _name(case: Case) -> str:
    return "-".join(filter(None, case))


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[dict[Case, Future[Ran]]]:
    """Every chosen scenario, run beside its neighbours in the order of the tests."""
    lacking = missing()
    if lacking:
        pytest.skip(
            "NO CONFORMANCE SUITE: set SQUALL_CONFORMANCE to a folder that "
            f"`python -m tests.conformance.parts FOLDER` has made; not there: {lacking}"
        )
    named = {f"[{_name(case)}]": case for case in CASES}
    chosen = [
        named[mark]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.module is request.module
        and (mark := item.name[item.name.find("[") :]) in named
    ]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        yield {case: pool.submit(run, case[0], case[1], revision=case[2]) for case in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES, ids=[_name(case) for case in CASES])
def test_a_client_scenario_of_the_suite_passes(
    running: dict[Case, Future[Ran]], case: Case
) -> None:
    """All of its checks, of which there is at least one, without a warning."""
    ran = running[case].result()
    assert ran.good, ran.said


@pytest.mark.parametrize("version", [LEGACY, MODERN])
def test_every_scenario_that_the_suite_lists_is_run_or_excused(version: str) -> None:
    """A new version of the suite cannot bring one that nobody looks at."""
    if lacking := missing():
        pytest.skip(f"NO CONFORMANCE SUITE: set SQUALL_CONFORMANCE; not there: {lacking}")
    ran = {name for suite, name, _ in CASES if suite == version}
    excused = {name: why for (suite, name), why in NOT_RUN.items() if suite == version}
    assert not ran & excused.keys()
    found = listed(version)
    assert ran | excused.keys() == found.keys()
    assert all(len(why) > 20 for why in excused.values())
    # What concerns the newest revision is run as that, not as something older.
    newest = {name for name, revisions in found.items() if REVISION in revisions} - excused.keys()
    spoken = {name for suite, name, revision in CASES if suite == version and revision}
    assert newest == spoken
