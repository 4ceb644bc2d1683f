"""The storm of docker-compose.yml, brought up for real and looked at from every side."""

from __future__ import annotations

import io
import json
import os
import secrets
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests import command
from tests.compose import engines
from tests.compose.engines import Done, Engine, Project

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]

RIG: Final = ("toxiproxy", "postgres", "issuer", "reference")
SCENARIO: Final = engines.ROOT / "scenarios" / "compose_storm.yaml"
LONG: Final = "warmup: 2s, baseline: 8s"
SHORT: Final = "warmup: 500ms, baseline: 3s"
BUILD_S: Final = 400
STORM_S: Final = 120
# What a container says of itself: who it is, whether it can write, and whether there is a way out.
ASKED: Final = """
id -u
grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
touch /here 2>&1 || true
awk 'NR > 1 && $2 == "00000000"' /proc/net/route | wc -l
"""


@dataclass(frozen=True, kw_only=True)
class Storm:
    """Everything that is asked of one storm, gathered while its containers were there."""

    done: Done
    folder: Path  # the run's, copied from the volume
    proxies: dict[str, Any]  # what Toxiproxy still had afterwards
    notes: tuple[int, int]  # effects in the database, and how many of them are different
    containers: dict[str, dict[str, Any]]  # by service
    processes: dict[str, dict[str, str]]  # by service: what the kernel says of its first process
    network: dict[str, Any]
    asked: list[str]
    secrets: list[str]
    words: str  # every log there is
    orphaned: dict[str, Any]  # what a storm that was killed amid a fault left on Toxiproxy
    recovered: Done  # what another container said when it had undone that
    proxies_in_the_end: dict[str, Any]
    left: list[str]  # after all was taken down


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Storm:
    """Build everything, bring it up, run the default storm, look around, take it down."""
    engine = _engine()
    folder = tmp_path_factory.mktemp("scenarios")
    folder.chmod(0o755)  # squall's container has a user of its own
    text = SCENARIO.read_text(encoding="utf-8")
    assert text.count(LONG) == 1
    (folder / "soon.yaml").write_text(text.replace(LONG, SHORT), encoding="utf-8")
    name = engines.PROJECTS + secrets.token_hex(4)
    with engines.project(engine, name, scenarios=folder) as made:
        made.compose("build", limit_s=BUILD_S).checked()
        made.up(*RIG)
        done = made.squall(limit_s=STORM_S)
        found = _look(made, done, tmp_path_factory.mktemp("storm")) | _kill(made)
        made.down()
        left = made.left()
    return Storm(**found, left=left)


def _engine() -> Engine:
    engine = engines.docker()
    if engine is None and os.environ.get("SQUALL_COMPOSE"):
        engine = engines.prepared(Path(os.environ["SQUALL_COMPOSE"]))
    if engine is None:
        pytest.skip(
            "NO CONTAINERS: no Docker engine answers, and SQUALL_COMPOSE names no folder that "
            "`python -m tests.compose.parts FOLDER` has made for podman"
        )
    return engine


def _look(made: Project, done: Done, place: Path) -> dict[str, Any]:
    """Gather everything but what is left in the end."""
    runs = made.squall("-c", "-C", "/", "runs", entrypoint="tar").checked()
    with tarfile.open(fileobj=io.BytesIO(runs.out)) as tar:
        tar.extractall(place, filter="data")
    folders = list((place / "runs").iterdir())
    assert len(folders) == 1, done.text + done.err
    containers = {name: made.inspect("inspect", made.container(name))[0] for name in RIG}
    (network,) = made.engine("network", "ls", "--format", "{{.Name}}", *_of(made)).text.split()
    kept = [
        made.squall("-c", f"cat /secrets/{name}", entrypoint="sh")
        for name in ("client", "database")
    ]
    count = "SELECT count(*), count(DISTINCT key) FROM executions"
    counted = made.engine(
        *("exec", made.container("postgres"), "psql", "--host=/run/postgresql"),
        *("--username=squall", "--no-align", "--tuples-only", f"--command={count}"),
    ).checked()
    total, different = counted.text.strip().split("|")
    return {
        "done": done,
        "folder": folders[0],
        "proxies": made.proxies(),
        "notes": (int(total), int(different)),
        "containers": containers,
        "processes": {name: _process(each["State"]["Pid"]) for name, each in containers.items()},
        "network": made.inspect("network", "inspect", network)[0],
        "asked": made.squall("-c", ASKED, entrypoint="sh").checked().text.splitlines(),
        "secrets": [each.checked().text.strip() for each in kept],
        "words": "".join(made.logs(name) for name in RIG) + done.text + done.err,
    }


def _kill(made: Project) -> dict[str, Any]:
    """Kill a storm amid its first fault, and let another container undo what it left.

    Containers come and go just before, and a name may not be known for a while: a storm that was
    refused before it began is begun once more.
    """
    left = _kill_once(made) or _kill_once(made)
    assert left, "two storms were refused"
    recovered = made.squall("recover")
    return {"orphaned": left, "recovered": recovered, "proxies_in_the_end": made.proxies()}


def _kill_once(made: Project) -> dict[str, Any]:
    """Give what was left on the Toxiproxy; nothing when the storm was refused."""
    words = ("run", "scenarios/soon.yaml", "--toxiproxy=http://toxiproxy:8474")
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(made.squall, *words, "--allow-target=reference", limit_s=STORM_S)
        left = made.proxies()
        while not any(proxy["toxics"] for proxy in left.values()):
            if killed.done():
                done = killed.result()
                assert (done.code, "no session" in done.err) == (2, True), done.text + done.err
                return {}
            left = made.proxies()
        made.kill_squall()
        assert killed.result().code != 0
    return left


def _of(made: Project) -> tuple[str, str]:
    return "--filter", f"label={engines.LABEL}={made.name}"


def _process(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_storm_ends_in_a_verdict_on_the_volume(storm: Storm) -> None:
    """With the exit code that the verdict names, and a page beside it."""
    verdict = command.verdict_of(storm.folder)
    command.assert_passed(storm.done.code, verdict)
    assert storm.done.code == verdict["exit_code"]
    assert (verdict["scenario"], verdict["calls"]["ok"] > 500) == ("compose_storm", True)
    assert (storm.folder / "report.html").stat().st_size > 100_000
    assert storm.done.text.splitlines()[-1].split()[0].lower() == verdict["ruling"]


def test_its_faults_bit_through_a_foreign_toxiproxy(storm: Storm) -> None:
    """Which counts nothing while connections are open: the calls have to show it."""
    facts = json.loads((storm.folder / "facts.json").read_text(encoding="utf-8"))
    faults = {each["kind"]: each for each in command.verdict_of(storm.folder)["faults"]}
    assert facts["toxiproxy"]["kind"] == "external"
    assert set(faults) == {"tcp-latency", "tcp-reset"}
    for each in faults.values():
        assert (each["bit"], each["healed"], each["arm"]) == (True, True, "treated")
    assert "seen in the journal" in faults["tcp-latency"]["exposure"]


def test_the_storm_leaves_nothing_on_the_foreign_toxiproxy(storm: Storm) -> None:
    """No proxy, and so no toxic."""
    assert storm.proxies == {}


def test_what_a_killed_storm_left_is_undone_by_another_container(storm: Storm) -> None:
    """The volume holds what it had set out to do; exit 0, everything named, nothing left."""
    assert storm.recovered.code == 0, storm.recovered.text + storm.recovered.err
    assert len(storm.orphaned) == 2
    for name in storm.orphaned:
        assert name in storm.recovered.text
    assert storm.proxies_in_the_end == {}


def test_every_note_is_in_the_database_once(storm: Storm) -> None:
    """The writers' calls reached PostgreSQL, and no repeat took effect again."""
    total, different = storm.notes
    assert total == different
    assert total > 100


def test_no_secret_is_in_a_log_or_a_run(storm: Storm) -> None:
    """Nor in what the engine shows of a container."""
    assert all(len(each) == 48 for each in storm.secrets)
    assert len(set(storm.secrets)) == 2
    shown = json.dumps(storm.containers)
    files = [file.read_bytes() for file in storm.folder.rglob("*") if file.is_file()]
    for secret in storm.secrets:
        assert secret not in storm.words + shown
        assert not any(secret.encode() in content for content in files)


@pytest.mark.parametrize("service", RIG)
def test_a_container_can_do_nothing_but_its_work(storm: Storm, service: str) -> None:
    """Not root, no capability, none to be had, nothing to write to, no port outside."""
    process, container = storm.processes[service], storm.containers[service]
    assert "0" not in process["Uid"].split()
    assert int(process["CapEff"], 16) == 0
    assert process["NoNewPrivs"] == "1"
    assert container["HostConfig"]["ReadonlyRootfs"] is True
    assert not any((container["HostConfig"]["PortBindings"] or {}).values())
    assert not any((container["NetworkSettings"].get("Ports") or {}).values())


def test_squalls_own_container_is_no_better_off(storm: Storm) -> None:
    """Its own user, no capability, a read-only root, and no way out of the network."""
    user, capabilities, privileges, touched, ways_out = storm.asked
    assert user == "10001"
    assert int(capabilities.split()[1], 16) == 0
    assert privileges.split()[1] == "1"
    assert "Read-only file system" in touched
    assert ways_out == "0"


def test_the_network_is_internal(storm: Storm) -> None:
    """Nobody outside reaches the control port, nobody inside reaches the world."""
    assert storm.network.get("internal", storm.network.get("Internal")) is True


def test_nothing_is_left_when_it_is_taken_down(storm: Storm) -> None:
    """No container, no volume, no network."""
    assert storm.left == []
