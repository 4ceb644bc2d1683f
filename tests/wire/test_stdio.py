from __future__ import annotations

from pathlib import Path

import anyio
import psutil
import pytest

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.limits import MIB
from tests.wire.scripted import until
from tests.wire.talking import call, client, crew, within

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: what squall runs on, and what its helpers run on."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(autouse=True)
async def _bounded() -> None:
    """Nothing here waits for ever: the timeout of the suite is the last resort."""


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_version_of_the_handshake_era_is_spoken(tmp_path: Path, version: str) -> None:
    """The server chooses, and the client goes on in what it chose."""
    with anyio.fail_after(30):
        async with crew(tmp_path, environment={"VERSION": version}) as processes:
            speaker = client(processes)
            opened = await speaker.open(deadline_ns=within())
            assert opened.outcome is Outcome.OK, opened.detail
            assert (speaker.era, speaker.protocol_version) == ("legacy", version)
            reply = await call(speaker)
            assert reply.result == {"content": [{"type": "text", "text": "hello"}]}
            assert 0 < reply.sent_ns <= reply.first_ns <= reply.done_ns


async def test_a_legacy_server_is_found_out_by_its_answer_to_discovery(tmp_path: Path) -> None:
    """It says that it knows no such method, and is shaken hands with."""
    with anyio.fail_after(30):
        async with crew(tmp_path) as processes:
            speaker = client(processes, era="auto")
            assert (await speaker.open(deadline_ns=within())).outcome is Outcome.OK
            assert speaker.era == "legacy"
            assert processes.known_era == "legacy"


async def test_a_server_that_dies_of_discovery_is_started_again_for_the_handshake(
    tmp_path: Path,
) -> None:
    """Some end themselves when the first message is not the one they wait for."""
    strict = "def say(message):\n    if 'error' in message: sys.exit(3)\n"
    strict += "    sys.stdout.write(json.dumps(message) + '\\n'); sys.stdout.flush()\n"
    with anyio.fail_after(30):
        async with crew(tmp_path, strict) as processes:
            speaker = client(processes, era="auto")
            assert (await speaker.open(deadline_ns=within())).outcome is Outcome.OK
            assert (speaker.era, speaker.stats.connections_opened) == ("legacy", 2)


async def test_replies_find_their_requests_in_whatever_order_they_come(tmp_path: Path) -> None:
    """Two in flight on one pipe, the later one answered first, both in one write."""
    swap = """
held = []
def turn(asked):
    held.append(asked)
    if len(held) == 2:
        lines = [json.dumps({"jsonrpc": "2.0", "id": one["id"],
                 "result": content(one["params"]["arguments"]["text"])}) for one in held[::-1]]
        sys.stdout.write("\\r\\n".join(lines) + "\\n"); sys.stdout.flush()
"""
    with anyio.fail_after(30):
        async with crew(tmp_path, swap) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            texts: dict[str, str] = {}

            async def ask(text: str) -> None:
                texts[text] = (await call(speaker, text)).result["content"][0]["text"]

            async with anyio.create_task_group() as both:
                both.start_soon(ask, "one")
                both.start_soon(ask, "two")
            assert texts == {"one": "one", "two": "two"}


HOSTILE = [
    pytest.param("sys.exit(7)", Reason.PROCESS_DIED, "status 7", id="ends"),
    pytest.param("os.kill(os.getpid(), signal.SIGKILL)", Reason.PROCESS_DIED, "SIGKILL", id="dies"),
    pytest.param(
        "sys.stdout.write('{\"jsonrpc\": \"2.0\", \"id\": ' + str(asked['id'])); "
        "sys.stdout.flush(); os._exit(0)",
        Reason.PROCESS_DIED, "status 0", id="dies in the middle of a message",
    ),
    pytest.param(
        "os.close(1); time.sleep(60)", Reason.PROCESS_DIED, "runs on", id="closes its output"
    ),
    pytest.param(
        "sys.stdout.write('{\"id\": %d, nonsense}\\n' % asked['id']); sys.stdout.flush()",
        Reason.MALFORMED_JSON, "", id="no JSON",
    ),
    pytest.param(
        "sys.stdout.buffer.write(b'{\"id\": %d, \"result\": \"\\xff\\xfe\"}\\n' % asked['id']); "
        "sys.stdout.flush()",
        Reason.MALFORMED_JSON, "", id="no UTF-8",
    ),
    pytest.param(
        "say({'id': asked['id'], 'result': {}})", Reason.NOT_JSONRPC, "", id="no JSON-RPC"
    ),
    pytest.param("answer(asked, 5)", Reason.RESULT_SHAPE, "", id="a result of no shape"),
    pytest.param(
        "answer(asked, content('x' * (33 * 1024 * 1024)))", Reason.BODY_TOO_LARGE, "",
        id="a line beyond the limit",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("what", "reason", "words"), HOSTILE)
async def test_what_a_server_does_to_a_call_has_a_name(
    tmp_path: Path, what: str, reason: Reason, words: str
) -> None:
    """A named outcome at once, not a hang; and a session is had again afterwards."""
    script = f"""
def turn(asked):
    if asked["params"]["arguments"]["text"] == "now":
        {what}
    else:
        answer(asked, content("well"))
"""
    with anyio.fail_after(40):
        async with crew(tmp_path, script) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            reply = await call(speaker, "now")
            assert reply.reason is reason, reply
            assert words in reply.detail
            if reason is Reason.PROCESS_DIED:
                assert reply.outcome is Outcome.TRANSPORT_ERROR
                after = await call(speaker)
                assert after.ended_by is EndedBy.NEVER_SENT
                assert (await speaker.open(deadline_ns=within())).outcome is Outcome.OK
            assert (await call(speaker)).outcome is Outcome.OK


async def test_sixteen_mebibytes_go_both_ways(tmp_path: Path) -> None:
    """A large message is one like any other, and others wait no longer than it takes."""
    with anyio.fail_after(60):
        async with crew(tmp_path) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            reply = await call(speaker, "x" * (16 * MIB), seconds=40)
            assert reply.outcome is Outcome.OK, reply.detail
            assert len(reply.result["content"][0]["text"]) == 16 * MIB
            assert reply.reply_bytes > 16 * MIB
            assert (await call(speaker)).outcome is Outcome.OK


async def test_a_server_that_never_reads_leaves_a_full_pipe_and_no_memory(tmp_path: Path) -> None:
    """The outcome comes by the deadline; of many large requests at most one is half written."""
    deaf = "def turn(asked):\n    time.sleep(60)\n"
    with anyio.fail_after(40):
        async with crew(tmp_path, deaf) as processes:
            speaker = client(processes)
            speaker._grace_ns = 0
            await speaker.open(deadline_ns=within())
            replies = []

            async def ask(text: str) -> None:
                replies.append(await call(speaker, text, seconds=1))

            async with anyio.create_task_group() as several:
                several.start_soon(ask, "small")
                for _ in range(3):
                    several.start_soon(ask, "x" * MIB)
            assert {reply.outcome for reply in replies} == {Outcome.HANG}
            reasons = [reply.reason for reply in replies]
            assert reasons.count(Reason.PIPE_FULL) == 3
            assert sum(reply.ended_by is EndedBy.NEVER_SENT for reply in replies) == 2


async def test_noise_and_strays_are_counted_and_end_nothing(tmp_path: Path) -> None:
    """A print, a second answer and an answer to nobody: the session goes on."""
    noisy = """
print("starting up", flush=True)
def turn(asked):
    print("working on it")
    print()
    answer(asked, content("yes"))
    answer(asked, content("yes"))
    say({"jsonrpc": "2.0", "id": 999999, "result": {}})
    say({"jsonrpc": "2.0", "id": "who", "result": {}})
    say({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
"""
    with anyio.fail_after(30):
        async with crew(tmp_path, noisy) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            for _ in range(2):
                assert (await call(speaker)).outcome is Outcome.OK
            assert speaker._served is not None
            pipe = speaker._served.pipe
            await until(lambda: pipe.unknown_ids >= 4)
            assert pipe.noise == "starting up"
            assert (pipe.noise_lines, pipe.duplicate_replies) == (3, 2)


async def test_a_reply_that_is_late_is_no_stray(tmp_path: Path) -> None:
    """What the client had given up is cancelled, and may be answered all the same."""
    slow = """
def turn(asked):
    if asked["params"]["arguments"]["text"] == "slow":
        later.append(asked)
    else:
        for one in later: answer(one, content("late"))
        answer(asked, content("well"))
later = []
"""
    with anyio.fail_after(30):
        async with crew(tmp_path, slow) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            speaker._grace_ns = 0
            assert (await call(speaker, "slow", seconds=0.3)).reason is Reason.HANG
            assert (await call(speaker)).outcome is Outcome.OK
            assert speaker.stats.duplicate_replies == 0
            assert speaker._served is not None
            assert speaker._served.pipe.unknown_ids == 0


async def test_a_client_that_vanishes_closes_the_server_s_input_and_comes_back(
    tmp_path: Path,
) -> None:
    """The process ends by its input's end; the next call has a new one, unasked."""
    slow = """
def turn(asked):
    if asked["params"]["arguments"]["text"] != "slow":
        answer(asked, content(str(os.getpid())))
"""
    with anyio.fail_after(30):
        async with crew(tmp_path, slow) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            session_id = speaker.session_id
            first = psutil.Process(int((await call(speaker)).result["content"][0]["text"]))
            params = b'{"name":"echo","arguments":{"text":"slow"}}'
            gone = await speaker.request(
                "tools/call", params, deadline_ns=within(), vanish_after_ns=50_000_000
            )
            assert (gone.outcome, gone.reason) == (Outcome.ABANDONED, Reason.VANISHED)
            again = await call(speaker)
            assert again.outcome is Outcome.OK
            assert int(again.result["content"][0]["text"]) != first.pid
            assert speaker.session_id == session_id
            await until(lambda: not first.is_running())


async def test_sessions_that_share_a_process_shake_hands_once(tmp_path: Path) -> None:
    """The second finds it open, and when it is lost, either starts one for both."""
    counting = """
hellos = 0
plain = hello
def hello(asked):
    global hellos
    hellos += 1
    plain(asked)
def turn(asked):
    if asked["params"]["arguments"]["text"] == "die": os._exit(1)
    answer(asked, content(f"{os.getpid()} {hellos}"))
"""
    with anyio.fail_after(30):
        async with crew(tmp_path, counting, shared=True) as processes:
            one, two = client(processes), client(processes, session=1)
            for speaker in (one, two):
                assert (await speaker.open(deadline_ns=within())).outcome is Outcome.OK
            said = {(await call(speaker)).result["content"][0]["text"] for speaker in (one, two)}
            assert len(said) == 1
            assert said.pop().endswith(" 1")
            await one.close(deadline_ns=within())
            assert (await call(two)).outcome is Outcome.OK
            assert (await call(two, "die")).reason is Reason.PROCESS_DIED
            for speaker in (one, two):
                assert (await speaker.open(deadline_ns=within())).outcome is Outcome.OK
                assert (await call(speaker)).outcome is Outcome.OK


async def test_a_lost_reply_is_had_and_not_seen(tmp_path: Path) -> None:
    """The server has done it; the agent cannot know, and its session goes on."""
    with anyio.fail_after(30):
        async with crew(tmp_path) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            reply = await call(speaker, lose=True)
            assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST)
            assert reply.result is None
            assert (await call(speaker)).outcome is Outcome.OK


async def test_a_program_that_is_not_there_is_a_session_that_does_not_open(tmp_path: Path) -> None:
    """It says so, and nothing was sent."""
    with anyio.fail_after(30):
        async with crew(tmp_path) as processes:
            object.__setattr__(processes.command, "argv", (str(tmp_path / "nothing"),))
            reply = await client(processes).open(deadline_ns=within())
            assert (reply.reason, reply.ended_by) == (Reason.CONNECT_FAILED, EndedBy.NEVER_SENT)
            assert "cannot be started" in reply.detail


async def test_standard_error_goes_to_the_run_s_log_without_secrets(tmp_path: Path) -> None:
    """Whatever the server says of what it was given in its environment."""
    talkative = "sys.stderr.write('the key is ' + os.environ['KEY'] + '\\n')\n"
    with anyio.fail_after(30):
        async with crew(tmp_path, talkative, environment={"KEY": "s3cret-of-mine"}) as processes:
            assert (await client(processes).open(deadline_ns=within())).outcome is Outcome.OK
        (log,) = (tmp_path / "logs").iterdir()
        said = log.read_text(encoding="utf-8")
        assert "the key is [redacted]" in said
        assert "s3cret" not in said


@pytest.mark.parametrize("stubborn", [False, True])
async def test_no_process_outlives_its_crew(tmp_path: Path, stubborn: bool) -> None:
    """By its input's end, or by signals where it will not hear, with all that it started."""
    script = """
import subprocess
child = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
def turn(asked):
    answer(asked, content(f"{os.getpid()} {child.pid}"))
"""
    if stubborn:
        script += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nimport atexit\n"
        script += "atexit.register(time.sleep, 300)\n"
    with anyio.fail_after(40):
        async with crew(tmp_path, script) as processes:
            speaker = client(processes)
            await speaker.open(deadline_ns=within())
            pids = [int(pid) for pid in (await call(speaker)).result["content"][0]["text"].split()]
            living = [psutil.Process(pid) for pid in pids]
        await until(lambda: not any(map(_runs, living)))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
