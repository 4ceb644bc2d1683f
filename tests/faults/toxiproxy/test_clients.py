"""Clients that others wrote drive our server, and cannot tell it from the original."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import requests
import toxiproxy
import toxiproxy.api

from tests.faults.toxiproxy.conftest import Server, Upstream
from tests.faults.toxiproxy.peers import cut_off, refused

NODE_CLIENT = os.environ.get("SQUALL_NODE_CLIENT")
CLI = os.environ.get("SQUALL_TOXIPROXY_CLI")
SCRIPT = Path(__file__).with_name("drive_client.cjs")
CALL_S = 60.0


def free_port() -> int:
    """A port that is free a moment from now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def plain(text: str) -> str:
    """Without what differs from run to run, and without Go's own words about bad JSON."""
    text = re.sub(r"(127\.0\.0\.1|localhost|\]):\d{2,5}", r"\1:PORT", text)
    text = re.sub(r"bad request body: [^\"\\\n]*", "bad request body: ", text)
    return re.sub(r'(version\\*": \\*")[^"\\]*', r"\1V", text)


def shown(result: object) -> object:
    """What a caller can see of a result."""
    if isinstance(result, toxiproxy.Proxy | toxiproxy.toxic.Toxic):
        return vars(result)
    if isinstance(result, Mapping):
        return {key: shown(value) for key, value in result.items()}
    if isinstance(result, list):
        return [shown(value) for value in result]
    return result


class Script:
    """Calls of a client, each with what came of it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, call: str, act: Callable[[], object]) -> None:
        """Call, and note the result or the error."""
        try:
            said = repr(shown(act()))
        except Exception as error:  # noqa: BLE001 - whatever the client raises is compared
            said = f"raises {type(error).__name__}: {error}"
        self.told.append(plain(f"{call}: {said}"))


def drive_python(server: Server, upstream: Upstream) -> list[str]:
    """Every call of toxiproxy-python, the ones that fail as well."""
    script, client, address = Script(), toxiproxy.Toxiproxy(), upstream.address
    client.update_api_consumer(*server.address)
    script.tell("running", client.running)
    script.tell("version", client.version)
    script.tell("proxies of none", client.proxies)
    script.tell("reset of none", client.reset)
    script.tell("create", lambda: client.create(address, "p"))
    script.tell("create again", lambda: client.create(address, "p"))
    script.tell("create disabled", lambda: client.create(address, "q", enabled=False))
    script.tell("create on a name", lambda: client.create(address, "r", listen="localhost:0"))
    script.tell("create nowhere", lambda: client.create(address, "s", listen="192.0.2.1:1"))
    script.tell("create without a name", lambda: client.create(address, ""))
    script.tell("get", lambda: client.get_proxy("p"))
    script.tell("get none", lambda: client.get_proxy("x"))
    script.tell("proxies", client.proxies)
    proxy = client.get_proxy("p")
    for kind, attributes in {
        "latency": {"latency": 1000, "jitter": 10},
        "bandwidth": {"rate": 5},
        "slow_close": {"delay": 1},
        "timeout": {"timeout": 2},
        "reset_peer": {"timeout": 3},
        "slicer": {"average_size": 4, "size_variation": 1, "delay": 5},
        "limit_data": {"bytes": 6},
        "noop": {},
    }.items():
        add = partial(proxy.add_toxic, type=kind, attributes=attributes)
        script.tell(f"add {kind}", add)
    script.tell("add named", lambda: proxy.add_toxic(type="latency", name="n", stream="upstream"))
    script.tell("add toxicity", lambda: proxy.add_toxic(type="noop", name="half", toxicity=0.5))
    script.tell("add again", lambda: proxy.add_toxic(type="latency", name="n"))
    script.tell("add no type", lambda: proxy.add_toxic(type="x"))
    script.tell("add a float", lambda: proxy.add_toxic(type="timeout", attributes={"timeout": 1.5}))
    script.tell("add to no stream", lambda: proxy.add_toxic(type="noop", stream="x"))
    script.tell("toxics", proxy.toxics)
    script.tell("toxic", lambda: proxy.get_toxic("n"))
    script.tell("no toxic", lambda: proxy.get_toxic("m"))
    script.tell("destroy toxic", lambda: proxy.destroy_toxic("n"))
    script.tell("destroy it again", lambda: proxy.destroy_toxic("n"))
    script.tell("reset", client.reset)
    script.tell("toxics after reset", proxy.toxics)
    drive_traffic(script, proxy)
    entry = {"name": "p", "upstream": address, "listen": proxy.listen}
    other = {"name": "t", "upstream": address, "listen": "127.0.0.1:0"}
    script.tell("populate", lambda: client.populate([entry, other]))
    script.tell("populate again", lambda: client.populate([entry, other]))
    script.tell("populate changed", lambda: client.populate([{**entry, "upstream": "127.0.0.1:9"}]))
    script.tell("proxies in the end", client.proxies)
    script.tell("destroy", lambda: client.destroy(proxy))
    script.tell("destroy again", lambda: client.destroy(proxy))
    script.tell("toxics of none", proxy.toxics)
    script.tell("destroy all", client.destroy_all)
    script.tell("proxies after all", client.proxies)
    return script.told


def drive_traffic(script: Script, proxy: toxiproxy.Proxy) -> None:
    """What a connection sees of disable, enable, down and a toxic."""
    host, _, port = proxy.listen.rpartition(":")
    address = (host, int(port))
    script.tell("disable", proxy.disable)
    script.tell("refused", lambda: refused(address))
    script.tell("enable", proxy.enable)
    script.tell("open", lambda: cut_off(address))
    with proxy.down():
        script.tell("down", lambda: refused(address))
    script.tell("up", lambda: cut_off(address))
    proxy.add_toxic(type="limit_data", attributes={"bytes": 0})
    script.tell("cut", lambda: cut_off(address))
    proxy.destroy_toxic("limit_data_downstream")
    script.tell("whole", lambda: cut_off(address))


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """toxiproxy-python as it is installed, whatever else in this process has put into it."""
    monkeypatch.setattr(toxiproxy.api, "requests", requests)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(toxiproxy.api.APIConsumer, "host", "127.0.0.1")
    monkeypatch.setattr(toxiproxy.api.APIConsumer, "port", 0)


@pytest.mark.usefixtures("stock")
def test_toxiproxy_python_drives_ours(ours: Server, upstream: Upstream) -> None:
    """Every call works, and each refusal is the error that its users know."""
    told = dict(line.split(": ", 1) for line in drive_python(ours, upstream))
    assert told["create again"].startswith("raises ProxyExists")
    assert told["create nowhere"] == "raises KeyError: 'name'"
    assert told["create without a name"].startswith("raises InvalidToxic")
    assert told["add again"].startswith("raises ProxyExists")
    assert told["add no type"].startswith("raises InvalidToxic")
    assert told["destroy it again"].startswith("raises NotFound")
    assert told["add latency"] == told["add noop"] == "None"
    assert told["destroy toxic"] == told["reset"] == told["destroy"] == "True"
    assert told["toxics after reset"] == told["proxies after all"] == "{}"
    assert told["refused"] == told["down"] == told["cut"] == "True"
    assert told["open"] == told["up"] == told["whole"] == "False"


@pytest.mark.real
@pytest.mark.usefixtures("stock")
def test_toxiproxy_python_cannot_tell_the_servers_apart(
    ours: Server, original: Server, upstream: Upstream
) -> None:
    """Call for call the same results and the same errors."""
    assert drive_python(ours, upstream) == drive_python(original, upstream)


def drive_node(server: Server, upstream: Upstream) -> list[str]:
    """Every call of toxiproxy-node-client, the ones that fail as well."""
    if NODE_CLIENT is None:
        pytest.skip("NO toxiproxy-node-client: set SQUALL_NODE_CLIENT to the package's folder")
    host, port = server.address
    listen = f"127.0.0.1:{free_port()}"
    command = ["node", str(SCRIPT), f"http://{host}:{port}", upstream.address, listen]
    ran = subprocess.run(command, capture_output=True, timeout=CALL_S, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return [plain(f"{call}: {json.dumps(told)}") for call, told in json.loads(ran.stdout)]


@pytest.mark.real
def test_toxiproxy_node_client_drives_ours(ours: Server, upstream: Upstream) -> None:
    """Every call works, and what must be refused is."""
    told = dict(line.split(": ", 1) for line in drive_node(ours, upstream))
    refusals = {
        "create again": 409,
        "create without a name": 400,
        "create where it cannot be": 500,
        "get what is not there": 404,
        "add it again": 409,
        "add one of no type": 400,
        "add one that is half a number": 400,
        "get a toxic that is not there": 404,
        "update it wrongly": 400,
        "remove it again": 404,
        "update wrongly": 400,
        "a toxic after the reset": 404,
        "populate wrongly": 400,
        "populate half-way": 500,
        "remove again": 404,
    }
    assert {call for call, said in told.items() if '"error"' in said} == set(refusals)
    assert all(str(status) in told[call] for call, status in refusals.items())
    assert '"latency": 7' in told["update a toxic"]


@pytest.mark.real
def test_toxiproxy_node_client_cannot_tell_the_servers_apart(
    ours: Server, original: Server, upstream: Upstream
) -> None:
    """Call for call the same results and the same errors."""
    assert drive_node(ours, upstream) == drive_node(original, upstream)


COMMANDS: list[str] = [
    "list",
    "create -l LISTEN -u UPSTREAM p",
    "create -l LISTEN -u UPSTREAM p",
    "create -l 127.0.0.1:0 -u UPSTREAM q",
    "create -l nonsense -u UPSTREAM r",
    "list",
    "inspect p",
    "inspect x",
    "toxic add -t latency -a latency=100 -a jitter=50 p",
    "toxic add -t latency -n mine -u --toxicity 0.25 -a latency=7 p",
    "toxic add -t bandwidth -a rate=5 p",
    "toxic add -t slicer -a average_size=5 -a size_variation=1 -a delay=3 p",
    "toxic add -t latency p",
    "toxic add -t nonsense p",
    "toxic add -t latency -n f -a latency=1.5 p",
    "toxic add -t latency x",
    "inspect p",
    "toxic update -n mine -a latency=8 p",
    "toxic update -n mine --toxicity 0.5 p",
    "toxic update -n nobody -a latency=8 p",
    "toxic update -n mine -a latency=x p",
    "inspect p",
    "toxic delete -n mine p",
    "toxic delete -n mine p",
    "toggle p",
    "list",
    "toggle p",
    "toggle x",
    "list",
    "delete q",
    "delete q",
    "list",
]


def drive_cli(server: Server, upstream: Upstream) -> list[str]:
    """Every command of Shopify's own client, with its output and status."""
    if CLI is None:
        pytest.skip("NO toxiproxy-cli: set SQUALL_TOXIPROXY_CLI to the binary")
    host, port = server.address
    listen = f"127.0.0.1:{free_port()}"
    told = []
    for command in COMMANDS:
        words = command.replace("LISTEN", listen).replace("UPSTREAM", upstream.address).split()
        ran = subprocess.run(
            [CLI, "-h", f"http://{host}:{port}", *words],
            capture_output=True,
            timeout=CALL_S,
            check=False,
            text=True,
        )
        told.append(plain(f"{command}: {ran.returncode} {ran.stdout}{ran.stderr}"))
    return told


@pytest.mark.real
def test_toxiproxy_cli_drives_ours(ours: Server, upstream: Upstream) -> None:
    """Each command ends as its users expect."""
    told = drive_cli(ours, upstream)
    assert "Created new proxy p" in told[1]
    assert "HTTP 409: proxy already exists" in told[2]
    assert "Added upstream latency toxic 'mine' on proxy 'p'" in told[9]
    assert "toxicity=0.25" in told[16]
    assert "latency=8" in told[21]
    assert "Removed toxic 'mine' on proxy 'p'" in told[22]
    assert "Proxy p is now disabled" in told[24]
    assert "Deleted proxy q" in told[29]


@pytest.mark.real
def test_toxiproxy_cli_cannot_tell_the_servers_apart(
    ours: Server, original: Server, upstream: Upstream
) -> None:
    """Command for command the same output and status."""
    assert drive_cli(ours, upstream) == drive_cli(original, upstream)
