"""The daemon: one thread, one inbox. Every event is recorded, folded, decided upon, and then acted on."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO, get_args

import orjson

from scheduler.decide import actions as act
from scheduler.decide import events
from scheduler.decide.failures import Limits
from scheduler.decide.progress import status_of
from scheduler.decide.state import State, open_attempts
from scheduler.decide.step import is_idle, step, why_nothing_runs
from scheduler.effects import control
from scheduler.effects.assignment import prepare_message
from scheduler.effects.books import Books
from scheduler.effects.clock import Deadlines, RealClock
from scheduler.effects.environment import worker_environment
from scheduler.effects.files import is_network_filesystem, publish
from scheduler.effects.folder_watch import watch
from scheduler.effects.gpu import Gpu, cpu_device
from scheduler.effects.gpu_watch import GpuWatch
from scheduler.effects.launcher_log import LauncherLog
from scheduler.effects.lock import DeviceLock, HomeLock
from scheduler.effects.reception import Reception, SpecReturned
from scheduler.effects.recovery import recovered, replay
from scheduler.effects.reporting import Reporting
from scheduler.effects.spool import Spool
from scheduler.effects.status import StatusFile
from scheduler.effects.surroundings import Surroundings
from scheduler.effects.timers import Timers
from scheduler.effects.workers import Workers, become_subreaper
from scheduler.report.lines import line_for, wait_line
from scheduler.rounds.errors import SettingsError
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings, load_settings

#: between two looks at disk space, windows and the queue when nothing wakes the daemon
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAround:
    """Something may have changed: scan the queue, take requests, look at disk and windows."""


Item = events.Input | SpecReturned | LookAround


def run_daemon(home: HomePaths, *, until_idle: bool = False, echo: TextIO | None = None) -> int:
    """Own the home and its device until told to stop; returns the exit status.

    With `until_idle` it also ends once nothing is left to do. Raises RoundhouseError when it cannot start.
    """
    settings = load_settings(home.settings)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    _refuse_network_filesystem(home, settings)
    with ExitStack() as stack:
        lock = HomeLock.acquire(home.lock)
        stack.callback(lock.release)
        gpu = Gpu.open(settings.device, settings.threads)
        if gpu is not None:
            stack.callback(DeviceLock.acquire(gpu.uuid).release)
        daemon = Daemon(home, settings, gpu=gpu, until_idle=until_idle, echo=echo)
        stack.callback(daemon.close)
        with _signals(daemon.post):
            daemon.start()
            daemon.run()
    return 0


def _refuse_network_filesystem(home: HomePaths, settings: Settings) -> None:
    for folder in (home.queue, home.results):
        kind = is_network_filesystem(folder)
        if kind is not None and not settings.allow_network_filesystem:
            raise SettingsError(
                f"{folder} is on a network file system ({kind}), where locks and renames cannot be trusted;"
                " choose a local home, or set allow_network_filesystem = true in roundhouse.toml"
            )


@contextmanager
def _signals(post: Callable[[Item], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask for an end; the second one does not wait, and a run in flight is lost."""
    seen: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)
        post(events.ShutdownRequested(reason=signal.Signals(number).name))

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Daemon:
    """Composes the effects around `step`. Only its own thread touches the state and the records."""

    def __init__(
        self, home: HomePaths, settings: Settings, *, gpu: Gpu | None, until_idle: bool, echo: TextIO | None
    ) -> None:
        self._home = home
        self._settings = settings
        self._until_idle = until_idle
        self._limits = Limits(
            max_attempts=settings.max_attempts,
            network_backoff_seconds=settings.network_backoff_seconds,
            heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
            prepare_timeout_seconds=settings.prepare_timeout_seconds,
            grace_seconds=settings.grace_seconds,
        )
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._deadlines: Deadlines[events.DeadlinePassed] = Deadlines(RealClock())
        self._log = LauncherLog(home.launcher_log, echo=echo)
        self._status = StatusFile(home.status)
        self._reporting = Reporting(home)
        self._surroundings = Surroundings(home, settings, lambda: datetime.now().astimezone())
        spool = Spool(home, quiet_period_seconds=settings.quiet_period_seconds)
        self._reception = Reception(home, spool, self.post)
        environment = worker_environment(os.environ, settings.environment)
        if gpu is not None:
            environment |= gpu.environment()
        self._workers = Workers(
            self._hear, home, environment=environment, grace_seconds=settings.grace_seconds
        )
        self._device = gpu.device if gpu is not None else cpu_device(settings.threads)
        self._gpu = GpuWatch(gpu, self.post, self._workers.pids) if gpu is not None else None
        self._timers: Timers[Item] = Timers(self.post)
        self._watch: Any = None
        self._books: Books | None = None
        self._state = State()
        self._looked_at = float("-inf")
        self._waiting: str | None = None
        self._exit: str | None = None

    def post(self, item: Item) -> None:
        """Hand something to the daemon's thread. Safe in threads and signal handlers."""
        self._inbox.put(item)

    # From the records to the first decision

    def start(self) -> None:
        """Replay, settle what an earlier daemon left behind, and begin to listen."""
        become_subreaper()
        recovery = replay(self._home)
        self._state = recovery.state
        self._books = Books(
            self._home,
            journal=recovery.journal,
            rounds=recovery.rounds,
            say=lambda reason: self._log.line(wait_line(reason)),
            may_wait=lambda: self._state.live.stopping is None,
        )
        self._end_orphans()
        self._finish_moves()
        started = events.DaemonStarted(
            pid=os.getpid(), version=version("roundhouse"), boot_id=_boot_id(), devices=(self._device,)
        )
        self._perform((act.Record(fact=started),))
        self._handle(recovered(self._home, recovery))
        if self._gpu is not None:
            self._gpu.start()
        self._timers.every(self._settings.rescan_seconds, LookAround, name="rescan")
        for number, window in enumerate(self._settings.windows):
            for edge, fields in window.cron_edges():
                self._timers.cron(fields, LookAround, name=f"window {number} {edge}")
        self._timers.start()
        self._watch = watch((self._home.queue, self._home.control), lambda: self.post(LookAround()))
        self._look_around()
        # Ready: whoever waits for the daemon sees it now, and not when something first happens.
        self._offer_status(why_nothing_runs(self._state, self._limits))

    def _end_orphans(self) -> None:
        """Kill what an earlier daemon started and did not end: nothing unrecorded may use the device."""
        boot_id = _boot_id()
        for _, _, attempt in open_attempts(self._state):
            started = attempt.started
            if started is not None and started.boot_id == boot_id:
                self._workers.end_orphan(started.pid, started.start_time, attempt.id)

    def _finish_moves(self) -> None:
        """A crash may have come between the end of a round and the move of its file, or its summary."""
        for current in self._state.rounds.values():
            if current.finished is None:
                continue
            round_id, accepted = current.round.id, current.accepted
            self._reception.move(act.MoveSpec(round=round_id, file=accepted.file, to="done"), accepted.suffix)
            if not self._home.round(round_id).summary_markdown.exists():
                self._reporting.write(round_id)

    # The loop

    def run(self) -> None:
        """Serve the inbox until there is a reason to exit."""
        while self._exit is None:
            self._turn()

    def _turn(self) -> None:
        item = self._next_item()
        for event in self._deadlines.due():
            self._handle(event)
        match item:
            case LookAround() | None:
                self._look_around()
            case SpecReturned():
                checked = self._reception.take_back(item)
                if checked is not None:
                    self._handle(checked)
            case _:
                self._handle(item)
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._look_around()
        self._tell()
        if self._until_idle and self._exit is None and self._has_nothing_left():
            self._stop("idle")

    def _next_item(self) -> Item | None:
        waits = (
            self._deadlines.next_in(),
            self._reception.next_scan_in(),
            self._status.next_in(),
            LOOK_SECONDS,
        )
        try:
            return self._inbox.get(timeout=max(0.0, min(wait for wait in waits if wait is not None)))
        except queue.Empty:
            return None

    def _look_around(self) -> None:
        self._looked_at = time.monotonic()
        for change in self._surroundings.changes():
            self._handle(change)
        for refused in self._reception.scan():
            self._handle(refused)
        for request in control.take(self._home):
            self._handle(request)

    def _tell(self) -> None:
        """Let people see how things are: status.json, and the log when the reason to wait is a new one."""
        why = why_nothing_runs(self._state, self._limits)
        if why != self._waiting:
            self._waiting = why
            if why is not None:
                self._log.line(wait_line(why))
        if self._status.next_in() in (None, 0.0):
            self._offer_status(why)

    def _offer_status(self, why: str | None) -> None:
        gpu = self._gpu.latest if self._gpu is not None else None
        now = datetime.now().astimezone()
        self._status.offer(
            status_of(self._state, now=now, pid=os.getpid(), wait_reason=why, gpu=_gpu_fields(gpu))
        )

    def _has_nothing_left(self) -> bool:
        is_quiet = self._reception.is_quiet and self._reporting.is_done
        return is_quiet and is_idle(self._state, self._limits)

    # From an event to its actions

    def _hear(self, item: events.Input) -> None:
        """What a worker's threads post; the device is given time to return a dead worker's memory."""
        if self._gpu is not None and isinstance(item, events.WorkerEnded):
            self._gpu.settle(item, self.post)
        else:
            self.post(item)

    def _handle(self, event: events.Input) -> None:
        if self._gpu is not None and isinstance(event, events.RunResult):
            event = replace(event, result={**event.result, **self._metered(event)})
        self._state, actions = step(self._state, event, self._limits)
        self._perform(actions)

    def _metered(self, event: events.RunResult) -> dict[str, Any]:
        """What the device itself saw of a run."""
        assert self._gpu is not None
        usage = self._gpu.run_ended(event.attempt_id)
        fields = {"peak_memory_mib": usage.peak_memory_mib, "energy_joule": usage.energy_joule}
        return {name: value for name, value in fields.items() if value is not None}

    def _record(self, fact: events.Fact) -> tuple[act.Action, ...]:
        """Make a fact durable, then let it count; returns what follows from it."""
        self._write(fact)
        line = line_for(fact, self._state)
        if line is not None:
            self._log.line(line)
        self._state, actions = step(self._state, fact, self._limits)
        return actions

    def _write(self, fact: events.Fact) -> None:
        self._opened_books.write(fact)

    @property
    def _opened_books(self) -> Books:
        assert self._books is not None, "nothing is recorded before the records are read"
        return self._books

    def _perform(self, actions: tuple[act.Action, ...]) -> None:
        """Perform the actions in order; what follows from a recorded fact comes before the rest."""
        todo = deque(actions)
        while todo:
            todo.extendleft(reversed(self._perform_one(todo.popleft())))

    def _perform_one(self, action: act.Action) -> tuple[act.Action, ...]:
        """Perform one action; returns those that follow from the fact it recorded, if any."""
        match action:
            case act.Record(fact=fact):
                return self._record(fact)
            case act.AcceptSpec():
                return self._accept(action)
            case act.RejectSpec(file=file, sha256=sha256, problems=problems):
                follow_ups = self._record(events.SpecRejected(file=file, sha256=sha256, problems=problems))
                self._reception.reject(action)
                return follow_ups
            case act.SetDeadline(key=key, seconds=seconds, event=event):
                self._deadlines.set(key, seconds, event)
            case act.CancelDeadlines(attempt_id=attempt_id):
                for kind in get_args(events.DeadlineKind):
                    self._deadlines.cancel(f"{kind}:{attempt_id}")
            case act.Exit(reason=reason):
                self._stop(reason)
            case act.StartWorker() | act.OpenGate() | act.ReleaseWorker() | act.EndWorker():
                self._direct_worker(action)
            case _:
                self._keep_files(action)
        return ()

    def _direct_worker(
        self, action: act.StartWorker | act.OpenGate | act.ReleaseWorker | act.EndWorker
    ) -> None:
        match action:
            case act.StartWorker(intended=intended):
                message = prepare_message(action, self._home, self._settings.threads)
                self._workers.start(intended.attempt_id, message)
            case act.OpenGate():
                self._open_gate(action)
            case act.ReleaseWorker(attempt_id=attempt_id):
                self._workers.release(attempt_id)
            case act.EndWorker(attempt_id=attempt_id, ended_by=ended_by):
                self._workers.end(attempt_id, ended_by)

    def _keep_files(
        self,
        action: act.MoveSpec | act.CloseRecords | act.KeepError | act.WriteReport | act.DiscardRequest,
    ) -> None:
        match action:
            case act.MoveSpec(round=round_id):
                self._reception.move(action, self._state.rounds[round_id].accepted.suffix)
            case act.CloseRecords(round=round_id):
                self._opened_books.close_round(round_id)
            case act.KeepError(run=run):
                self._keep_error(run)
            case act.WriteReport(round=round_id):
                self._reporting.write(round_id)
            case act.DiscardRequest(id=request_id, answer=answer):
                control.discard(self._home, request_id)
                self._log.line(f"REQUEST {answer}")

    def _accept(self, action: act.AcceptSpec) -> tuple[act.Action, ...]:
        round_id = action.spec["id"]
        resolved = orjson.dumps(action.spec, option=orjson.OPT_INDENT_2)
        records = self._reception.accept(round_id, action.file, action.sha256, action.suffix, resolved)
        self._opened_books.open_round(round_id, records)
        return self._record(
            events.RoundAccepted(
                round=round_id,
                sha256=action.sha256,
                file=action.file,
                suffix=action.suffix,
                spec=action.spec,
            )
        )

    def _open_gate(self, action: act.OpenGate) -> None:
        intended = action.intended
        paths = self._home.round(intended.round).run(intended.run_dir)
        paths.root.mkdir(parents=True, exist_ok=True)
        told = {**events.to_fields(intended), "args": dict(action.config)}
        publish(paths.config, orjson.dumps(told, option=orjson.OPT_INDENT_2))
        if self._gpu is not None:
            self._gpu.run_began(intended.attempt_id)
        self._workers.go(intended.attempt_id, paths.root)

    def _keep_error(self, run: events.RunFinished) -> None:
        """The whole text of an error that the worker could not write itself."""
        paths = self._home.round(run.round).run(run.run_dir)
        if run.error and not paths.error.exists():
            paths.root.mkdir(parents=True, exist_ok=True)
            publish(paths.error, run.error.encode("utf-8", "backslashreplace"))

    def _stop(self, reason: str) -> None:
        self._exit = reason
        self._write(events.DaemonStopped(reason=reason))
        self._log.line(f"STOP {reason}")

    def close(self) -> None:
        """Let go of everything; the last status says that nobody serves the home."""
        if self._watch is not None:
            self._watch.stop()
        self._timers.stop()
        if self._gpu is not None:
            self._gpu.stop()
        self._reception.close()
        self._workers.close()
        self._reporting.close()
        self._offer_status(self._exit or "the daemon failed")
        self._status.flush()
        if self._books is not None:
            self._books.close()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _gpu_fields(reading: Any) -> dict[str, Any] | None:
    if reading is None:
        return None
    names = ("memory_used_mib", "memory_total_mib", "utilisation_percent", "temperature_celsius")
    return {name: getattr(reading, name) for name in names}
