"""Makes what containers are built from where no image can be pulled, in a folder that is kept.

`python -m tests.compose.parts FOLDER` makes what is not there yet: a base image from Debian's
packages, every locked wheel, Toxiproxy's programs, podman-compose. Where something cannot be made
it says so, in one line, and ends with status 1.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.compose.engines import BASE, LIMITS, PROJECTS, ROOT, podman

COMPOSE: Final = "podman-compose==1.6.0"
TOXIPROXY: Final = "github.com/Shopify/toxiproxy/v2/cmd"
# Programs that were built before are taken from where these variables say.
GIVEN: Final = {"server": "SQUALL_TOXIPROXY_SERVER", "cli": "SQUALL_TOXIPROXY_CLI"}
PACKAGES: Final = "python3,python3-venv,postgresql"
STEP_S: Final = 240


class MissingError(Exception):
    """Something cannot be had here; the message says what, and why."""


def main() -> int:
    """Make everything; 1 when something is missing."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driver").unlink(missing_ok=True)
    try:
        _make(folder)
    except MissingError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a script's way to speak
        return 1
    return 0


def _make(folder: Path) -> None:
    for program in ("podman", "runc", "mmdebstrap"):
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not installed")
    if os.geteuid() != 0:
        raise MissingError("only root can make base images and run them as this test needs")
    # Two cores, and each step waits for a network: side by side.
    with ThreadPoolExecutor() as pool:
        steps = [
            pool.submit(_base, folder),
            pool.submit(_programs, folder / "programs"),
            pool.submit(_composer, folder / "venv"),
        ]
        for step in steps:
            step.result()
    _wheels(folder)
    _storage(folder)


def _base(folder: Path) -> None:
    """A small Debian with what the images need, as a tar file."""
    place = folder / f"{BASE}.tar"
    if place.exists():
        return
    started_s = time.monotonic()
    part = folder / f"{BASE}.part.tar"
    words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", _suite()]
    _run([*words, str(part)])
    part.rename(place)
    _say(place.name, started_s)


def _suite() -> str:
    """This machine's own release, whose packages it can surely reach."""
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    named = dict(line.split("=", 1) for line in lines if "=" in line)
    suite = named.get("VERSION_CODENAME", "").strip('"')
    if not suite:
        raise MissingError("this system does not say which release it is")
    return suite


def _programs(folder: Path) -> None:
    """Toxiproxy's server and command line, static: for an image with nothing else in it."""
    folder.mkdir(exist_ok=True)
    for program, variable in GIVEN.items():
        place = folder / program
        given = os.environ.get(variable, "")
        if place.exists():
            continue
        if given and Path(given).is_file():
            shutil.copy(given, place)
            continue
        if shutil.which("go") is None:
            raise MissingError(f"neither {variable} nor Go is there for Toxiproxy's {program}")
        started_s = time.monotonic()
        build = {"CGO_ENABLED": "0", "GOBIN": str(folder)}
        _run(["go", "install", f"{TOXIPROXY}/{program}@v2.12.0"], environment=build)
        _say(f"Toxiproxy's {program}", started_s)


def _composer(folder: Path) -> None:
    """podman-compose, in an environment of its own."""
    if (folder / "bin" / "podman-compose").exists():
        return
    started_s = time.monotonic()
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    quiet = ["--quiet", "--disable-pip-version-check"]
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", *quiet, COMPOSE])
    _say("podman-compose", started_s)


def _wheels(folder: Path) -> None:
    """Every locked package, for the Python of the base image."""
    lock = ROOT / "requirements.lock"
    version = _python_of(folder / f"{BASE}.tar")
    mark = f"{version} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    place, stamp = folder / "wheels", folder / "wheels.of"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == mark:
        return
    started_s = time.monotonic()
    shutil.rmtree(place, ignore_errors=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    locked = ["--no-deps", "--require-hashes", "--requirement", str(lock), "--dest", str(place)]
    _run([_python(version), "-m", "pip", "download", *quiet, *locked])
    stamp.write_text(mark, encoding="utf-8")
    _say("wheels", started_s)


def _python_of(base: Path) -> str:
    """The version of the only Python in a base image, as 3.11."""
    with tarfile.open(base) as tar:
        for member in tar:
            name = Path(member.name)
            if name.parent.name == "bin" and name.name.startswith("python3."):
                return name.name.removeprefix("python")
    raise MissingError(f"there is no Python in {base.name}")


def _python(version: str) -> str:
    """A Python of this version that has pip; the wheels must be those it would choose."""
    for candidate in (sys.executable, f"python{version}", "python3"):
        ask = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
        done = (
            subprocess.run(
                [candidate, "-c", ask], check=False, capture_output=True, text=True, timeout=STEP_S
            )
            if shutil.which(candidate)
            else None
        )
        if done is not None and done.stdout.strip() == version:
            return candidate
    raise MissingError(f"no Python {version} with pip is here, to fetch the base image's wheels")


def _storage(folder: Path) -> None:
    """Import the base where podman can also run it, and remember where that was."""
    reasons = []
    for driver in ("overlay", "vfs"):
        words = podman(folder, driver)
        try:
            if _code([*words, "image", "exists", BASE]) != 0:
                started_s = time.monotonic()
                _run([*words, "import", str(folder / f"{BASE}.tar"), BASE])
                _say(f"image {BASE} ({driver})", started_s)
            _run([*words, "run", "--rm", *shlex.split(LIMITS), BASE, "true"])
        except MissingError as error:
            reasons.append(str(error))
            continue
        _sweep(words)
        (folder / "driver").write_text(driver, encoding="utf-8")
        return
    raise MissingError("podman refuses: " + " | ".join(reasons))


def _sweep(words: list[str]) -> None:
    """Remove what a test left that was killed, once it is an hour old."""
    old = ["--filter", "until=1h", "--filter", f"name={PROJECTS}"]
    for kind in ("container", "network"):
        every = ["--all"] if kind == "container" else []
        found = _said([*words, kind, "ls", *every, *old, "--quiet"]).split()
        if found:
            _run([*words, kind, "rm", "--force", *found])
    if _said([*words, "container", "ls", "--all", "--quiet"]) == "":
        _run([*words, "volume", "prune", "--force"])  # of this storage, where only tests are


def _said(words: list[str]) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=STEP_S)
    return done.stdout.strip()


def _code(words: list[str]) -> int:
    return subprocess.run(words, check=False, capture_output=True, timeout=STEP_S).returncode


def _run(words: list[str], environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            words,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=STEP_S,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"{Path(words[0]).name} did not end within {STEP_S} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise MissingError(f"{Path(words[0]).name} failed: {' '.join(said[-3:])}")


def _say(what: str, started_s: float) -> None:
    print(f"{what}: {time.monotonic() - started_s:.0f} s", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    sys.exit(main())
