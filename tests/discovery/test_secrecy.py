"""What may not stand in a file: credentials in addresses and commands."""

from __future__ import annotations

from harness.discovery import secrecy
from harness.scenario.records import StdioTarget, UrlTarget


def test_values_of_secret_flags_and_variables_are_left_out_of_commands() -> None:
    """By the names of flags and variables, and by how a credential looks."""
    command = ["env", "API_KEY=abc123", "srv", "--token", "t0p", "--port", "8", "--secret=x"]
    shown = secrecy.words(command)
    assert shown == (
        *("env", "API_KEY=[redacted]", "srv", "--token", "[redacted]"),
        *("--port", "8", "--secret=[redacted]"),
    )
    url = secrecy.words(["psql", "postgresql://me:hunter2@localhost/db"])[1]
    assert "hunter2" not in url


def test_secrets_in_an_address_are_replaced_and_said() -> None:
    """The path and everything that is no secret stay."""
    target = UrlTarget(url="http://127.0.0.1:1/mcp?profile=a&api_key=abc123")
    shown, hidden = secrecy.public(target)
    assert isinstance(shown, UrlTarget)
    assert hidden
    assert shown.url == "http://127.0.0.1:1/mcp?profile=a&api_key=hidden"


def test_a_target_without_secrets_stays_as_it_is() -> None:
    """To the last character."""
    url = UrlTarget(url="http://127.0.0.1:8000/mcp?page_token=7&q=a%20b")
    assert secrecy.public(url) == (url, False)
    piped = StdioTarget(stdio=("node", "server.js", "--max-tokens", "100", "--root=/srv"))
    assert secrecy.public(piped) == (piped, False)
