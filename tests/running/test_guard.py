from __future__ import annotations

import resource
import socket
from typing import Any

import pytest

from harness.errors import RigError, TargetError
from harness.running import guard
from harness.scenario.records import Scenario

CALL = {"call": "a"}


def _scenario(sessions: int, *steps: Any, listen: bool = False) -> Scenario:
    return Scenario.model_validate(
        {
            "question": "How many files does it take?",
            "agents": [{"name": "a", "steps": list(steps or (CALL,))}],
            "load": {"sessions": sessions},
            "client": {"listen": listen},
        }
    )


# --- where a storm may go -------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_is_known_by_its_addresses(host: str) -> None:
    """Every loopback address, and the name for them."""
    assert guard.is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "2001:db8::1", "10.0.0.1", "169.254.1.1"])
def test_another_machine_is_known_by_its_address(host: str) -> None:
    """Not even every interface of this one is loopback."""
    assert not guard.is_loopback(host)


@pytest.mark.parametrize(
    ("addresses", "loopback"),
    [
        (["127.0.0.1", "::1"], True),
        (["127.0.0.1", "192.0.2.1"], False),
        (["fe80::1%eth0"], False),
        ([], False),
    ],
)
def test_a_name_is_this_machine_only_when_all_its_addresses_are(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], loopback: bool
) -> None:
    """A name that leads elsewhere as well may lead there in the middle of a storm."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert guard.is_loopback("box.example") is loopback


@pytest.mark.parametrize("error", [socket.gaierror(8, "unknown"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows_is_not_this_machine(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """When in doubt, no."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert not guard.is_loopback("nowhere.example")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001/mcp", "http://[::1]/mcp", "http://localhost"]
)
def test_a_target_on_this_machine_needs_no_permission(url: str) -> None:
    """A storm on oneself is nobody else's matter."""
    guard.check_target(url, ())


def test_a_target_elsewhere_needs_its_own_permission() -> None:
    """The refusal names the flag and the host, and another host's permission is none."""
    url = "http://192.0.2.1:8001/mcp"
    for allowed in ((), ("192.0.2.2",), ("192.0.2",)):
        with pytest.raises(TargetError, match=r"--allow-target 192\.0\.2\.1$"):
            guard.check_target(url, allowed)
    guard.check_target(url, ("192.0.2.1",))
    guard.check_target("http://BOX.example/mcp", ("Box.Example",))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/mcp", "write the scheme http://"),
        ("127.0.0.1:8001/mcp", "expected an http URL"),
        ("/mcp", "expected an http URL"),
        ("", "expected an http URL"),
        ("http:///mcp", "with a host"),
        ("http://127.0.0.1:99999/mcp", "expected a URL"),
        ("http://127.0.0.1:port/mcp", "expected a URL"),
        ("http://[::1/mcp", "expected a URL"),
        ("http://127.0.0.1/a b", "percent-encode"),
        ("http://127.0.0.1/\r\nX: y", "percent-encode"),
        ("http://me:s3cret@127.0.0.1/mcp", "must not carry a user name or password"),
    ],
)
def test_what_is_no_target_is_refused_in_a_sentence(url: str, words: str) -> None:
    """Even when the host would be allowed; a password in it is not repeated."""
    with pytest.raises(TargetError) as caught:
        guard.check_target(url, ("127.0.0.1", "::1", ""))
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


# --- what the machine must bear -------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "workers", "needed"),
    [
        (_scenario(1), 0, 2),
        (_scenario(100), 0, 200),
        (_scenario(100), 4, 200),
        (_scenario(100, CALL, {"parallel": [CALL, CALL, CALL]}), 0, 600),
        (_scenario(100, listen=True), 0, 400),
    ],
)
def test_files_are_counted_for_the_process_that_needs_most(
    scenario: Scenario, workers: int, needed: int
) -> None:
    """The proxy of both arms holds two descriptors for each connection of every session."""
    assert guard.files_needed(scenario, workers) == needed + guard.FILES_SPARE


def test_a_proxy_that_runs_already_has_a_limit_of_its_own() -> None:
    """Then squall's processes need one descriptor a connection."""
    scenario = _scenario(9000, listen=True)
    spare = guard.FILES_SPARE
    assert guard.files_needed(scenario, 0, proxied=False) == 18_000 + spare
    assert guard.files_needed(scenario, 2, proxied=False) == 9_000 + spare
    assert guard.files_needed(scenario, 2) == 36_000 + spare


class _Limits:
    """The system's limit of open files, and what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.now = (soft, hard)
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.now)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, _: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "raised"),
    [
        (1024, 4096, 2000, 4096),
        (4096, 4096, 2000, 4096),
        (1024, resource.RLIM_INFINITY, 2000, 2000),
        (8192, resource.RLIM_INFINITY, 2000, 8192),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_helps(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, needed: int, raised: int
) -> None:
    """Never lowered, and the hard limit is left as it is."""
    limits = _Limits(monkeypatch, soft, hard)
    guard.raise_file_limit(needed)
    assert limits.now == (raised, hard)


def test_a_machine_that_cannot_hold_the_sessions_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what is needed, what there is, and what to do."""
    limits = _Limits(monkeypatch, 1024, 4096)
    with pytest.raises(RigError, match=r"5000 open files .* allows 4096; .* fewer sessions"):
        guard.raise_file_limit(5000)
    assert limits.now == (1024, 4096)


@pytest.mark.parametrize(("needed", "fine"), [(200, True), (20_000, False)])
def test_a_limit_that_will_not_be_raised_matters_only_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, needed: int, fine: bool
) -> None:
    """On macOS there is a ceiling, whatever the hard limit says."""

    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError(f"not allowed to raise to {limits[0]}")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 65_536))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    if fine:
        guard.raise_file_limit(needed)
        return
    with pytest.raises(RigError, match="needs up to 20000 open files"):
        guard.raise_file_limit(needed)
