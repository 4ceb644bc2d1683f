"""What docker-compose.yml, the Containerfile and .dockerignore promise by themselves."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.compose import engines

SERVICES: Final = {"issuer", "postgres", "reference", "secrets", "squall", "toxiproxy"}


def compose() -> dict[str, Any]:
    """docker-compose.yml with its anchors and merges resolved."""
    read: dict[str, Any] = YAML(typ="safe").load(engines.FILE)
    return read


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_is_locked_in(service: str) -> None:
    """Whatever an engine does, this much is asked of it."""
    asked = compose()["services"][service]
    assert asked["read_only"] is True
    assert asked["cap_drop"] == ["ALL"]
    assert asked["security_opt"] == ["no-new-privileges:true"]
    assert asked["restart"] == "no"
    assert "ports" not in asked
    assert "privileged" not in asked
    assert asked.get("networks") == ["storm"] or asked.get("network_mode") == "none"


def test_there_is_one_network_and_it_is_internal() -> None:
    """Nothing else can be joined by mistake."""
    read = compose()
    assert set(read["services"]) == SERVICES
    assert read["networks"] == {"storm": {"internal": True}}


def test_whoever_is_waited_for_can_say_that_it_is_ready() -> None:
    """A condition on health without a check would wait for ever."""
    services = compose()["services"]
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            healthy = wanted["condition"] == "service_healthy"
            assert healthy == ("healthcheck" in services[other]), (name, other)


def test_the_image_is_made_of_every_package_and_of_nothing_else() -> None:
    """What the build may see is what the wheel holds, and what describes it."""
    lines = (engines.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    seen = {line[1:] for line in lines if line.startswith("!")}
    packages = {file.parent.name for file in engines.ROOT.glob("*/__init__.py")} - {"tests"}
    assert lines.count("*") == 1
    assert seen == packages | {"LICENSE", "README.md", "pyproject.toml", "requirements.lock"}


def test_every_file_means_the_same_user() -> None:
    """The image's volumes belong to the user that everything runs as."""
    text = (engines.ROOT / "Containerfile").read_text(encoding="utf-8")
    file = engines.FILE.read_text(encoding="utf-8")
    numbers = re.findall(r"(?:USER |-o |-g |user: \"|group_add: \[\")(\d+)", text + file)
    assert len(numbers) >= 6
    assert set(numbers) == {"10001"}


def test_every_base_can_be_named_and_has_a_default() -> None:
    """The same one in both files, by its short name."""
    file = (engines.ROOT / "Containerfile").read_text(encoding="utf-8")
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", file, re.MULTILINE))
    arguments = compose()["x-build"]["args"]
    assert {"PYTHON_IMAGE", "BUILD_IMAGE", "GO_IMAGE"} == set(defaults)
    assert {name: arguments[name] for name in defaults} == {
        name: f"${{{name}:-{image}}}" for name, image in defaults.items()
    }
    assert not any("/" in image for image in defaults.values())
