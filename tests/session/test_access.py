from __future__ import annotations

import pytest

from harness.session.access import Access
from harness.session.authority import Authority
from harness.session.registration import Registration

AUTHORITY = Authority(issuer="http://i", token_endpoint="http://i/t", resource="http://r")
ME = Registration(issuer="http://i", client_id="me", secret="h1dden", key="h1dden")


@pytest.mark.parametrize(
    ("access", "kind"),
    [
        (Access(), "open"),
        (Access(bearer_variable="SECRET_VARIABLE"), "bearer"),
        (Access(authority=AUTHORITY, clients=(("treated", ME),), assertion="h1dden"), "oauth"),
    ],
)
def test_an_access_shows_its_kind_and_no_secret(access: Access, kind: str) -> None:
    """However it is printed: in a traceback, a log, or a test that fails."""
    for shown in (repr(access), str(access), f"{access}", f"{[access]!r}"):
        assert f"Access({kind})" in shown
        assert "h1dden" not in shown
