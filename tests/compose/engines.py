"""A container engine with its compose command, and one project on it: Docker's, else podman."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
FILE: Final = ROOT / "docker-compose.yml"
OFFLINE: Final = ROOT / "tests" / "compose" / "offline.yaml"
LABEL: Final = "com.docker.compose.project"
PROJECTS: Final = "squall-test-"  # what the name of every project begins with
BASE: Final = "squall-test-base"  # Debian with Python and PostgreSQL, in the place of every base
# runc raises the limits of a container to what podman asks for, which may be more than it may.
LIMITS: Final = "--ulimit nofile=20000:20000 --ulimit nproc=1000:1000"
PROXIES: Final = (
    "import sys, urllib.request as r;"
    "print(r.urlopen(f'http://{sys.argv[1]}:8474/proxies').read().decode())"
)
HEALTHY_S: Final = 60
CALL_S: Final = 60


def podman(folder: Path, driver: str) -> list[str]:
    """Podman with a storage of its own, so that nothing of ours meets the machine's own images."""
    root, state = folder / driver, folder / f"{driver}.run"
    places = ["--root", str(root), "--runroot", str(state)]
    return ["podman", *places, "--storage-driver", driver, "--runtime", "runc"]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The words that every command to the engine, and to its compose, begins with."""

    words: list[str]
    compose: list[str]
    heals: bool  # it runs health checks by itself, and waits for them
    environment: Mapping[str, str] = field(default_factory=dict)
    built: Mapping[str, str] = field(default_factory=dict)  # variable -> image, one per project


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """What it wrote to standard output."""
        return self.out.decode()

    def checked(self) -> Done:
        """Itself, when all went well."""
        assert self.code == 0, f"status {self.code}\n{self.text[-4000:]}\n{self.err[-4000:]}"
        return self


def docker() -> Engine | None:
    """Docker, where its engine answers and has compose; it pulls the images by itself."""
    if shutil.which("docker") is None:
        return None
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        if _run(words, environment={}, limit_s=20).code != 0:
            return None
    return Engine(
        words=["docker"],
        compose=["docker", "compose", "-f", str(FILE)],
        heals=True,
        built={"SQUALL_IMAGE": "squall", "TOXIPROXY_IMAGE": "toxiproxy"},
    )


def prepared(folder: Path) -> Engine | None:
    """Podman with what `tests.compose.parts` has made, where that is complete."""
    mark = folder / "driver"
    if not mark.is_file():
        return None
    words = podman(folder, mark.read_text(encoding="utf-8").strip())
    return Engine(
        words=words,
        compose=[
            str(folder / "venv" / "bin" / "podman-compose"),
            *("--podman-args=" + " ".join(words[1:]),),
            *(f"--podman-run-args={LIMITS}", f"--podman-build-args={LIMITS}"),
            *("-f", str(FILE), "-f", str(OFFLINE)),
        ],
        heals=False,
        environment={
            "PYTHON_IMAGE": BASE,
            "BUILD_IMAGE": BASE,
            "GO_IMAGE": BASE,  # nothing has to be compiled: its programs are there
            "SQUALL_POSTGRES_BASE": BASE,
            "SQUALL_WHEELHOUSE": str(folder / "wheels"),
            "SQUALL_PREBUILT": str(folder / "programs"),
            "PIP_NO_INDEX": "1",
        },
        built={
            "SQUALL_IMAGE": "squall",
            "TOXIPROXY_IMAGE": "toxiproxy",
            "POSTGRES_IMAGE": "postgres",
        },
    )


class Project:
    """One project: docker-compose.yml under a name of its own."""

    def __init__(self, engine: Engine, name: str, scenarios: Path) -> None:
        """Nothing is started yet; `scenarios` is the folder that squall will find there."""
        self.name = name
        self.images = {key: f"{name}-{image}" for key, image in engine.built.items()}
        self._engine = engine
        own = {"SQUALL_SCENARIOS": str(scenarios)}
        self._environment = {**engine.environment, **self.images, **own}

    def compose(self, *words: str, limit_s: float = CALL_S) -> Done:
        """Run a compose command; `run` is the profile of the service squall."""
        return _run(
            [*self._engine.compose, "-p", self.name, "--profile", "run", *words],
            environment=self._environment,
            limit_s=limit_s,
        )

    def engine(self, *words: str, limit_s: float = CALL_S) -> Done:
        """Run a command of the engine."""
        return _run([*self._engine.words, *words], environment={}, limit_s=limit_s)

    def up(self, *services: str) -> None:
        """Bring services up and return when each is healthy."""
        if self._engine.heals:
            self.compose("up", "-d", "--wait", *services, limit_s=HEALTHY_S * 2).checked()
            return
        self.compose("up", "-d", "--no-build", *services).checked()
        until = time.monotonic() + HEALTHY_S
        for service in services:
            container = self.container(service)
            while (last := self.engine("healthcheck", "run", container)).code != 0:
                # Without systemd nobody runs the checks but us.
                assert time.monotonic() < until, f"{service}: {last.text}\n{self.logs(service)}"
                time.sleep(0.3)

    def squall(self, *words: str, entrypoint: str = "", limit_s: float = CALL_S) -> Done:
        """Run the service squall once; all that it depends on is up."""
        instead = ["--entrypoint", entrypoint] if entrypoint else []
        once = ["run", "--rm", "-T", "--no-deps", *instead, "squall", *words]
        return self.compose(*once, limit_s=limit_s)

    def kill_squall(self) -> None:
        """End its running container without a word of warning."""
        (name,) = self.containers("squall")
        self.engine("kill", "--signal", "KILL", name).checked()

    def proxies(self) -> dict[str, Any]:
        """What is on the Toxiproxy server, asked from another container.

        By address: the network's names are away for a moment whenever a container comes or goes.
        """
        server = self.inspect("inspect", self.container("toxiproxy"))[0]
        (network,) = server["NetworkSettings"]["Networks"].values()
        asking = self.engine(
            *("exec", self.container("reference")),
            *("python3", "-c", PROXIES, network["IPAddress"]),
        )
        done = asking.checked()
        found: dict[str, Any] = json.loads(done.out)
        return found

    def containers(self, service: str = "") -> list[str]:
        """The names of its containers, running or not."""
        only = ["--filter", f"label=com.docker.compose.service={service}"] if service else []
        mine = ["--filter", f"label={LABEL}={self.name}"]
        return self.engine("ps", "-a", *mine, *only, "--format", "{{.Names}}").text.split()

    def container(self, service: str) -> str:
        """The one container of a service."""
        (name,) = self.containers(service)
        return name

    def logs(self, service: str) -> str:
        """Everything that a service has written."""
        done = self.engine("logs", self.container(service))
        return done.text + done.err

    def inspect(self, *words: str) -> list[dict[str, Any]]:
        """What the engine knows of something."""
        found: list[dict[str, Any]] = json.loads(self.engine(*words).checked().out)
        return found

    def left(self) -> list[str]:
        """Containers, volumes and networks that are still there."""
        mine = ["--filter", f"label={LABEL}={self.name}"]
        found = self.containers()
        for kind in ("volume", "network"):
            found += self.engine(kind, "ls", *mine, "--format", "{{.Name}}").text.split()
        return found

    def down(self) -> None:
        """Take everything down, volumes too."""
        self.compose("down", "--volumes", limit_s=CALL_S * 2)

    def forget(self) -> None:
        """Remove its images; what they were built from stays a day, to build on."""
        self.engine("rmi", "--force", *self.images.values())
        if not self._engine.heals:
            self.engine("image", "prune", "--force", "--filter", "until=24h")


@contextmanager
def project(engine: Engine, name: str, *, scenarios: Path) -> Iterator[Project]:
    """A project that is gone afterwards, whatever happened in between."""
    made = Project(engine, name, scenarios)
    try:
        yield made
    finally:
        made.down()
        made.forget()


def _run(words: list[str], *, environment: Mapping[str, str], limit_s: float) -> Done:
    """Run a command, and end it with all it started when it takes too long."""
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += f"\nno end within {limit_s:g} s".encode()
    return Done(code=process.returncode, out=out, err=err.decode(errors="replace"))
