"""The only file that knows Locust: how many sessions live, and when; and its statistics.

Locust is used as a library. A `User` *is* a session: Locust decides how many live and on which
worker, and never times a call. It runs unpatched in a thread of its own, because its scheduler and
AnyIO's would quarrel over every call in one; sessions live on the AnyIO loop. Finished calls are
folded into Locust's statistics in batches, so its web page, its totals and its distribution stay
true.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np

# On import, because Locust patches the process the moment it is imported, and must be imported on
# the main thread, where it installs a signal handler.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"

import gevent
import gevent.event
import locust.argument_parser
import locust.runners
from locust import LoadTestShape, User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.stats import RequestStats, StatsError, bucket_response_time

from harness.errors import RigError
from harness.journal import Calls
from harness.outcome import Outcome, Reason

LOOPBACK: Final = "127.0.0.1"
METHOD: Final = "MCP"  # what Locust shows in its "type" column
START_S: Final = 15.0
END_S: Final = 10.0
REPORT_S: Final = 1.0  # how often a worker reports its statistics to the master
Role = Literal["local", "master", "worker"]


class LocustThread:
    """Locust in its own thread: a local runner, a master, or a worker of one.

    Every public method may be called from the AnyIO thread; none of them blocks on Locust except
    `start` and `close`, which are bounded.
    """

    def __init__(
        self,
        role: Role,
        *,
        users: Callable[[], int],
        begin: Callable[[int, Callable[[], None]], None] | None = None,
        end: Callable[[int], None] | None = None,
        numbers: Sequence[int] = (),
        web_port: int | None = None,
        master_port: int = 0,
        on_message: Callable[[str, Any], None] | None = None,
    ) -> None:
        """`users` says how many sessions shall live now; -1 ends them all.

        `numbers` are the sessions that this process may start, in order; `begin` and `end` are
        called on the AnyIO loop. `on_message` receives what the other side of a distributed run
        sends, and that Locust has stopped, on the AnyIO loop too.
        """
        self.master_port = master_port
        self.workers_ready = 0
        self._role: Role = role
        self._users = users
        self._begin = begin
        self._end = end
        self._numbers = deque(numbers)
        self._web_port = web_port
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        # AnyIO knows its loop by a context variable, which calls from another thread must bring.
        self._context = contextvars.copy_context()
        self._work: deque[Callable[[], None]] = deque()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._environment: Any = None
        self._wakeup: Any = None
        self._over: Any = None
        self._thread = threading.Thread(target=self._main, name=f"locust-{role}", daemon=True)

    # --- from the AnyIO thread --------------------------------------------------------------

    async def start(self) -> None:
        """Bring Locust up.

        Raises:
            RigError: when it does not come up, for example because the web port is taken.
        """
        self._thread.start()
        for _ in range(int(START_S / 0.01)):
            if self._ready.is_set():
                break
            await asyncio.sleep(0.01)
        if self._failure is not None or not self._ready.is_set():
            raise RigError(f"Locust did not start: {self._failure or 'no answer'}")

    def spawn(self) -> None:
        """Let Locust start sessions as `users` says."""
        self._submit(self._environment.runner.start_shape)

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """Send a message to the other side of a distributed run."""
        self._submit(lambda: self._environment.runner.send_message(kind, data))

    def fold(self, batch: Calls, names: Sequence[str]) -> None:
        """Add a batch of finished attempts to Locust's statistics."""
        if len(batch):
            self._submit(lambda: fold(self._environment.stats, batch, names))

    def totals(self) -> tuple[int, int]:
        """Locust's own count of requests and failures."""
        total = self._environment.stats.total
        return total.num_requests, total.num_failures

    async def close(self) -> None:
        """End every user and the thread."""
        if not self._thread.is_alive():
            return
        self._submit(self._over.set)
        for _ in range(int(END_S / 0.01)):
            if not self._thread.is_alive():
                return
            await asyncio.sleep(0.01)

    def _submit(self, work: Callable[[], None]) -> None:
        self._work.append(work)
        self._wakeup.send()

    # --- in Locust's thread -----------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._bring_up()
        except BaseException as error:  # noqa: BLE001  handed to `start`, on the other thread
            self._failure = error
            self._ready.set()
            return
        self._ready.set()
        self._over.wait()
        runner, web = self._environment.runner, self._environment.web_ui
        if web is not None:
            web.stop()
        if self._role != "worker":  # a worker quits when its master tells it
            runner.quit()

    def _bring_up(self) -> None:
        _quieten()
        hub = gevent.get_hub()
        self._wakeup = hub.loop.async_()
        self._wakeup.start(self._drain)
        self._over = gevent.event.Event()
        environment: Any = Environment(
            user_classes=[_session_user(self)], shape_class=_PlannedShape(self._users)
        )
        self._environment = environment
        environment.events.test_stop.add_listener(self._on_stop)
        if self._role == "local":
            environment.create_local_runner()
        elif self._role == "master":
            runner: Any = environment.create_master_runner(
                master_bind_host=LOOPBACK, master_bind_port=self.master_port
            )
            self.master_port = runner.server.port
            environment.events.worker_connect.add_listener(self._on_worker)
            environment.events.worker_report.add_listener(self._on_report)
            runner.register_message("squall", self._on_squall)
        else:
            locust.runners.WORKER_REPORT_INTERVAL = REPORT_S
            locust.runners.WORKER_LOG_REPORT_INTERVAL = -1
            environment.events.quitting.add_listener(lambda **_: None)
            runner = environment.create_worker_runner(LOOPBACK, self.master_port)
            runner.register_message("squall", self._on_squall)
        if self._web_port is not None:
            self._open_page(environment)

    def _open_page(self, environment: Any) -> None:
        # Its page would read Locust's own options out of this process's command line.
        locust.argument_parser.ui_extra_args_dict = _no_arguments
        page = environment.create_web_ui(LOOPBACK, self._web_port, delayed_start=True)
        page.start()
        gevent.sleep(0.05)
        if page.greenlet.dead:
            raise OSError(f"port {self._web_port} on {LOOPBACK} is in use; name another one")

    def _drain(self) -> None:
        """Run what the AnyIO thread handed over; in greenlets, since Locust may wait in it."""
        while self._work:
            gevent.spawn(self._work.popleft())

    def _on_worker(self, **_: Any) -> None:
        self.workers_ready += 1

    def _on_report(self, client_id: str, data: dict[str, Any]) -> None:
        del client_id
        if "squall" in data:
            self._tell("tally", data["squall"])

    def _on_stop(self, **_: Any) -> None:
        self._tell("stopped", None)

    def _on_squall(self, environment: Any, msg: Any, **_: Any) -> None:
        del environment
        self._tell("message", msg.data)

    def _tell(self, kind: str, data: Any) -> None:
        if self._on_message is not None:
            self._on_loop(self._on_message, kind, data)

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have something done in the AnyIO thread."""
        self._loop.call_soon_threadsafe(function, *arguments, context=self._context)

    def report(self, source: Callable[[], dict[str, Any]]) -> None:
        """Send what `source` gives along with every statistics report of this worker."""

        def add(client_id: str, data: dict[str, Any]) -> None:
            del client_id
            data["squall"] = source()

        self._environment.events.report_to_master.add_listener(add)

    def sit(self) -> None:
        """Be one session from beginning to end; called by a Locust user in its greenlet."""
        if not self._numbers or self._begin is None or self._end is None:
            raise StopUser
        number = self._numbers.popleft()
        over = gevent.event.Event()
        self._on_loop(self._begin, number, lambda: self._submit(over.set))
        try:
            over.wait()
        finally:
            if not over.is_set():
                self._on_loop(self._end, number)
        raise StopUser


def _session_user(thread: LocustThread) -> type[User]:
    class Session(User):  # type: ignore[misc, unused-ignore]
        """One agent's session; Locust shows this name."""

        @task  # type: ignore[untyped-decorator, unused-ignore]
        def live(self) -> None:
            thread.sit()

    return Session


class _PlannedShape(LoadTestShape):  # type: ignore[misc, unused-ignore]
    """As many users as the plan wants open."""

    def __init__(self, users: Callable[[], int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Locust is untyped here
        self._users = users

    def tick(self) -> tuple[int, float] | None:
        """Give Locust its target; None stops every user."""
        users = self._users()
        return None if users < 0 else (users, max(1.0, float(users)))


def _no_arguments(args: Any = None) -> dict[str, dict[str, Any]]:
    """Stand in for Locust's look at a command line that is not Locust's."""
    del args
    return {}


def _quieten() -> None:
    """Keep Locust's own log out of our terminal: what matters in it, squall says itself."""
    logger = logging.getLogger("locust")
    logger.setLevel(logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    for name in ("geventwebsocket", "flask", "werkzeug"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def fold(stats: RequestStats, batch: Calls, names: Sequence[str]) -> None:
    """Add attempts to Locust's statistics, as if each had been logged by itself.

    An attempt that was sent is a request, `done - sent` is its response time, and every outcome
    but `ok` is a failure. Steps that were never sent are no requests.
    """
    sent = batch[batch["sent_ns"] >= 0]
    now_s = time.time()
    for call in np.unique(sent["call"]):
        rows = sent[sent["call"] == call]
        name = names[call] if call < len(names) else "?"
        for entry in (stats.total, stats.entries[(name, METHOD)]):
            _add(entry, rows, now_s)
        failed = rows[rows["outcome"] != Outcome.OK]
        causes, counts = np.unique(failed[["outcome", "reason"]], return_counts=True)
        for cause, count in zip(causes, counts, strict=True):
            words = f"{Outcome(cause['outcome']).name.lower()}: {Reason(cause['reason']).name}"
            key = StatsError.create_key(METHOD, name, words)
            error = stats.errors.setdefault(key, StatsError(METHOD, name, words))
            error.occurrences += int(count)


def _add(entry: Any, rows: Calls, now_s: float) -> None:
    second = int(now_s)
    if entry.use_response_times_cache and second > int(entry.last_request_timestamp or second):
        entry._cache_response_times(second - 1)  # noqa: SLF001  as its own `log` does
    failures = int(np.count_nonzero(rows["outcome"] != Outcome.OK))
    answered = rows[rows["done_ns"] >= 0]
    times_ms = (answered["done_ns"] - answered["sent_ns"]) / 1e6
    entry.num_requests += len(rows)
    entry.num_none_requests += len(rows) - len(answered)
    entry.num_failures += failures
    entry.num_reqs_per_sec[second] += len(rows)
    if failures:
        entry.num_fail_per_sec[second] += failures
    entry.last_request_timestamp = now_s
    entry.total_content_length += int(rows["reply_bytes"].sum(dtype=np.int64))
    if len(times_ms):
        low, high = float(times_ms.min()), float(times_ms.max())
        known = entry.min_response_time
        entry.min_response_time = low if known is None else min(known, low)
        entry.max_response_time = max(entry.max_response_time, high)
        entry.total_response_time += float(times_ms.sum())
    for time_ms in times_ms:
        entry.response_times[bucket_response_time(float(time_ms))] += 1
