"""What must be true before any load: the target may be hit, and the machine can do it."""

from __future__ import annotations

import ipaddress
import os
import resource
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

import psutil

from faults.load import LoadShape
from harness.errors import RigError, TargetError, UsageError
from harness.scenario.records import ParallelStep, Scenario
from harness.scenario.transports import is_piped, is_shared
from harness.wire.endpoint import Endpoint

PIPES_OF_A_PROCESS = 8  # three that we keep; as many while it starts, and one that is ending
FILES_SPARE = 256  # listeners, logs, the journal, Locust


def check_target(url: str, allowed: Collection[str], *, unix_socket: str = "") -> None:
    """Refuse a target outside loopback that nobody allowed.

    Raises:
        TargetError: naming the flag that allows it; or when it is no URL that can be spoken to.
    """
    Endpoint.from_url(url)
    host = urlsplit(url).hostname or ""
    if unix_socket:
        return  # of this machine, whatever the URL's host is called
    if host in {each.lower() for each in allowed} or is_loopback(host):
        return
    raise TargetError(
        f"{url} is not on this machine, and a storm must not hit it by mistake; "
        f"to allow it, say --allow-target {host}"
    )


def check_transport(scenario: Scenario, spoken: str) -> None:
    """Refuse what the transport that the target speaks cannot carry.

    Raises:
        TargetError: HTTP+SSE is older than the modern era and unknown to the official client.
    """
    if spoken != "sse":
        return
    if scenario.spoken_era == "modern":
        raise TargetError(
            "the target speaks HTTP+SSE, which the modern era does not have; "
            "say era: legacy, or give the address of its Streamable HTTP endpoint"
        )
    if scenario.engine == "sdk":
        raise TargetError(
            "the target speaks HTTP+SSE, which engine: sdk does not; "
            "remove engine: sdk, or give the address of its Streamable HTTP endpoint"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: every address its name has is a loopback one."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in found
    )


def check_port(port: int) -> None:
    """See that a port of this machine is free, before anything is started for it.

    Raises:
        UsageError: when it is taken.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one just let go is free
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"port {port} on 127.0.0.1 is not free ({error.strerror}); name another with --web"
            ) from error


def files_needed(scenario: Scenario, workers: int, *, proxied: bool = True) -> int:
    """Count the descriptors that one process of the run may need at once.

    With `proxied`, squall's own proxy is one of them: it stands before both arms, for whatever an
    arm is spared would be a difference between them, and it has two descriptors for each
    connection of every session. A Toxiproxy that runs already has a limit of its own.
    """
    widest = max(
        len(step.parallel) if isinstance(step, ParallelStep) else 1
        for agent in scenario.agents
        for step in agent.steps
    )
    # A stream stands beside the calls: the one that was asked for, or the one of HTTP+SSE.
    streams = scenario.client.listen or scenario.target.transport == "sse"
    per_session = widest + (1 if streams else 0)
    most = most_sessions(scenario)
    sessions = -(-most // max(1, workers))
    if is_piped(scenario.target):
        processes = 2 if is_shared(scenario.target) else sessions
        return processes * PIPES_OF_A_PROCESS + FILES_SPARE
    behind = most * per_session * 2 if proxied else 0
    return max(sessions * per_session, behind) + FILES_SPARE


def processes_needed(scenario: Scenario) -> int:
    """Count the server processes that the run will have at once; 0 where it starts none."""
    if not is_piped(scenario.target):
        return 0
    return 2 if is_shared(scenario.target) else most_sessions(scenario)


def most_sessions(scenario: Scenario) -> int:
    """Count the sessions that are there at once, with those that a fault's window adds."""
    usual = scenario.load.sessions
    shapes = [window.fault for window in scenario.faults]
    return usual + max(
        (shape.added(usual) for shape in shapes if isinstance(shape, LoadShape)), default=0
    )


def check_process_limit(needed: int) -> None:
    """See that the system lets us start so many processes.

    Raises:
        RigError: with the number that is needed and the number there is.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if not needed or allowed == resource.RLIM_INFINITY or os.geteuid() == 0:
        return  # the superuser is not counted
    own = sum(_is_ours(one) for one in psutil.process_iter())
    if own + needed > allowed:
        raise RigError(
            f"this run starts {needed} server processes, {own} of yours run already, and the "
            f"system allows {allowed}; raise it (ulimit -u), ask for fewer sessions, or say "
            "processes: shared"
        )


def _is_ours(process: psutil.Process) -> bool:
    try:
        return process.uids().real == os.getuid()
    except psutil.Error:
        return False


def raise_file_limit(needed: int) -> None:
    """Raise the soft limit of open files to the hard one, and see that it suffices.

    Raises:
        RigError: with the number that is needed and the number there is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise RigError(
            f"this run needs up to {needed} open files in one process, its proxy's counted, and "
            f"the system allows {hard}; raise it (ulimit -Hn), ask for fewer sessions or "
            "connections a session (parallel, client.listen), or name a Toxiproxy that runs "
            "already (--toxiproxy URL)"
        )
    wanted = max(soft, needed) if hard == resource.RLIM_INFINITY else hard
    if wanted <= soft:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:  # macOS has a ceiling below what it calls unlimited
        if needed > soft:
            raise RigError(
                f"this run needs up to {needed} open files in one process and the system will not "
                f"raise the limit of {soft} ({error}); ask for fewer sessions"
            ) from error
