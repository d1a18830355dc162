"""The daemon: one thread, one inbox. Every event is recorded, folded, decided upon, and then acted on."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.state import open_attempts, with_gate
from scheduler.decide.step import is_idle, step, why_nothing_runs
from scheduler.effects import control
from scheduler.effects.advice import Advice
from scheduler.effects.books import Books
from scheduler.effects.cgroup import Cgroups, delegated_groups
from scheduler.effects.clock import Deadlines, RealClock
from scheduler.effects.environment import worker_environment
from scheduler.effects.files import available_memory_mib, sweep_leftovers
from scheduler.effects.folder_watch import watch
from scheduler.effects.gpu import Gpu, cpu_device
from scheduler.effects.gpu_watch import GpuWatch
from scheduler.effects.launcher_log import LauncherLog
from scheduler.effects.lock import DeviceLock
from scheduler.effects.notices import exposed
from scheduler.effects.patience import Patience
from scheduler.effects.performer import Performer
from scheduler.effects.process_tree import boot_id
from scheduler.effects.reception import Reception, SpecReturned
from scheduler.effects.recovery import Recovery, recovered, replay
from scheduler.effects.reporting import Reporting, is_current
from scheduler.effects.reserve import Reserve
from scheduler.effects.spool import Spool
from scheduler.effects.stored_results import StoredResults
from scheduler.effects.surroundings import Surroundings
from scheduler.effects.systemd_notify import SystemdNotify
from scheduler.effects.tidying import Tidying
from scheduler.effects.timers import Timers
from scheduler.effects.workers import Orphan, Workers, become_subreaper
from scheduler.report.lines import line_for, wait_line, warning_lines
from scheduler.rounds.errors import CorruptRecordsError, UnknownIdError
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings
from scheduler.telling import Telling


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAround:
    """Something may have changed: scan the queue, take requests, look at disk and windows."""


#: once a day old runs are looked through, at an hour when few people wait for an answer
TIDY_TIME = {"hour": 4, "minute": 40}

Item = inputs.Input | SpecReturned | LookAround

#: records are read some thirty times as fast
READING_BYTES_PER_SECOND = 1e6
#: beside what the size of a file explains: a slow disk, a machine that swaps
READING_SECONDS = 60.0
#: what a stop takes at most beside the grace that its runs have: two kills, a report, the last records
STOPPING_SECONDS = 60.0


def run_daemon(
    home: HomePaths, settings: Settings, *, until_idle: bool = False, echo: TextIO | None = None
) -> int:
    """Serve a home that is owned, and own its device, until told to stop; returns the exit status.

    With `until_idle` it also ends once nothing is left to do. Raises RoundhouseError when it cannot start.
    """
    systemd = SystemdNotify.from_environment(os.environ)
    with ExitStack() as stack:
        gpu = Gpu.open(settings.device, settings.threads)
        if gpu is not None:
            stack.callback(DeviceLock.acquire(gpu.uuid).release)
        reserve = Reserve(home.reserve)
        reserve.release_if_needed()  # a repair of records needs room
        recovery = replay(home, lambda path: _ask_to_wait(systemd, path))
        daemon = Daemon(
            home,
            settings,
            gpu=gpu,
            groups=delegated_groups(),
            recovery=recovery,
            reserve=reserve,
            until_idle=until_idle,
            echo=echo,
            systemd=systemd,
        )
        stack.callback(daemon.close)
        with _signals(daemon.post):
            daemon.start(recovery)
            daemon.run()
    return 0


def _failed_for_space(event: inputs.RunResult) -> bool:
    failure = event.result.get("failure")
    return failure is not None and failure.get("class") == "disk"


def _ask_to_wait(systemd: SystemdNotify, records: Path) -> None:
    """However many records there are to read, systemd does not give up the start meanwhile."""
    size = records.stat().st_size if records.exists() else 0
    systemd.status(f"reading {records}")
    systemd.wait_for(READING_SECONDS + size / READING_BYTES_PER_SECOND)


@contextmanager
def _signals(post: Callable[[Item], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask for an end; the second one does not wait, and a run in flight is lost."""
    seen: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)
        post(inputs.ShutdownRequested(reason=signal.Signals(number).name))

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Daemon:
    """Composes the effects around `step`. Only its own thread touches the state and the records."""

    def __init__(
        self,
        home: HomePaths,
        settings: Settings,
        *,
        gpu: Gpu | None,
        groups: Cgroups | None,
        recovery: Recovery,
        reserve: Reserve,
        until_idle: bool,
        echo: TextIO | None,
        systemd: SystemdNotify,
    ) -> None:
        self._home = home
        self._systemd = systemd
        self._settings = settings
        self._until_idle = until_idle
        self._limits = Limits.of(settings)
        self._state = recovery.state
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        #: known before the inbox is read again: whoever waits for space on a disk looks at it
        self._was_told_to_stop = False
        self._looked_at = float("-inf")
        self._exit: str | None = None

        self._deadlines: Deadlines[inputs.DeadlinePassed] = Deadlines(RealClock())
        self._timers: Timers[Item] = Timers(self.post)
        self._log = LauncherLog(
            home.launcher_log,
            echo=echo,
            max_bytes=round(settings.log_max_mib * 2**20) or None,
            kept=settings.log_files_kept,
            make_room=reserve.release,
        )
        self._telling = Telling(
            home,
            settings,
            log=self._log,
            reserve=reserve,
            systemd=systemd,
            last_run_finished_at=recovery.last_run_finished_at,
        )
        self._reporting = Reporting(home, lambda: self.post(LookAround()))
        self._reserve = reserve
        self._surroundings = Surroundings(home, settings, reserve, lambda: datetime.now().astimezone())
        patience = Patience(
            say=lambda reason: self._log.line(wait_line(reason)),
            may_wait=lambda: not self._was_told_to_stop,
            make_room=reserve.release,
            still_waiting=self._waits_for_space,
        )
        self._books = Books(
            home,
            journal=recovery.journal,
            ledger=recovery.ledger,
            rounds=recovery.rounds,
            patience=patience,
        )
        environment = worker_environment(os.environ, settings.environment)
        spool = Spool(home, quiet_period_seconds=settings.quiet_period_seconds)
        self._reception = Reception(home, spool, self.post, environment)
        if gpu is not None:
            environment |= gpu.environment()
        self._device = gpu.device if gpu is not None else cpu_device(settings.threads)
        self._workers = Workers(
            self._hear,
            home,
            environment=environment,
            grace_seconds=settings.grace_seconds,
            groups=groups,
        )
        self._gpu = GpuWatch(gpu, self.post, self._workers.pids) if gpu is not None else None
        self._advice = Advice(home, environment=environment, post=self.post, report=self._log.line)
        self._results = StoredResults(home, post=self.post, report=self._log.line)
        self._tidying = Tidying(
            home,
            settings.retention,
            post=self.post,
            dropped=self._reporting.write,
            report=self._log.line,
        )
        self._performer = Performer(
            home,
            post=self.post,
            settings=settings,
            workers=self._workers,
            gpu=self._gpu,
            advice=self._advice,
            deadlines=self._deadlines,
            reception=self._reception,
            reporting=self._reporting,
            books=self._books,
            log=self._log,
            patience=patience,
            results=self._results,
            tidying=self._tidying,
        )
        folders = (home.queue, home.control)
        self._watch = watch(folders, lambda: self.post(LookAround()), report=self._log.line)

    def post(self, item: Item) -> None:
        """Hand something to the daemon's thread. Safe in threads and signal handlers."""
        if isinstance(item, inputs.ShutdownRequested):
            self._was_told_to_stop = True
        self._inbox.put(item)

    def start(self, recovery: Recovery) -> None:
        """Settle what an earlier daemon left behind, and be ready."""
        become_subreaper()
        if exposed(self._home.settings, self._settings.notify):
            self._log.line(f"WARN others can read the addresses of notices; chmod 600 {self._home.settings}")
        for folder in (self._home.queue, self._home.control, self._home.results):
            sweep_leftovers(folder)
        survivors = self._workers.end_leftovers(self._orphans())
        self._finish_moves()
        self._record_start()
        self._handle(replace(recovered(self._home, recovery), survivors=survivors))
        if self._gpu is not None:
            self._gpu.start()
        for number, window in enumerate(self._settings.windows):
            for edge, fields in window.cron_edges():
                self._timers.cron(fields, LookAround, name=f"window {number} {edge}")
        self._timers.cron(TIDY_TIME, inputs.TidyDue, name="tidy")
        self._timers.start()
        self._look_around()
        # Ready: whoever waits for the daemon sees it now, and not when something first happens.
        self._telling.offer_status(self._state, why_nothing_runs(self._state, self._limits), self._seen())
        self._systemd.ready()

    def run(self) -> None:
        """Serve the inbox until there is a reason to exit."""
        while self._exit is None:
            self._telling.tell(self._state, self._limits, self._seen())
            if self._until_idle and self._has_nothing_left():
                self._stop("idle")
            else:
                self._turn(self._next_item())
                self._systemd.alive()
            if self._was_told_to_stop:
                self._systemd.wait_for(self._settings.grace_seconds + STOPPING_SECONDS)

    def close(self) -> None:
        """Let go of everything; the last status says that nobody serves the home."""
        self._systemd.stopping(self._exit or "the daemon failed")
        self._systemd.wait_for(self._settings.grace_seconds + STOPPING_SECONDS)
        self._watch.stop()
        self._timers.stop()
        if self._gpu is not None:
            self._gpu.stop()
        self._reception.close()
        self._advice.close()
        self._results.close()
        self._workers.close()
        self._tidying.close()
        self._reporting.close()
        self._telling.close(self._state, self._seen(), self._exit or "the daemon failed")
        self._books.close()

    # What an earlier daemon left behind

    def _orphans(self) -> Iterator[Orphan]:
        """Workers that may have outlived an earlier daemon: nothing unrecorded may use the device."""
        this_boot = boot_id()
        for _, _, attempt in open_attempts(self._state):
            started = attempt.started
            if started is not None and started.boot_id == this_boot:
                made_for = started.made_for or attempt.id
                yield Orphan(attempt_id=made_for, pid=started.pid, start_ticks=started.start_ticks)

    def _finish_moves(self) -> None:
        """A crash may have come between a record of a round and the move of its file, or its report."""
        for current in self._state.rounds.values():
            self._reception.finish(current.accepted)
        for ended in self._state.ended.values():
            move = act.MoveSpec(round=ended.id, file=ended.file, suffix=ended.suffix, to="done")
            self._reception.move(move)
            if not is_current(self._home.round(ended.id)):
                self._reporting.write(ended.id)

    def _record_start(self) -> None:
        started = facts.DaemonStarted(
            pid=os.getpid(), version=version("roundhouse"), boot_id=boot_id(), devices=(self._device,)
        )
        self._perform((act.Record(fact=started),))

    # One turn of the loop

    def _next_item(self) -> Item | None:
        waits = (
            self._deadlines.next_in(),
            self._reception.next_scan_in(),
            self._telling.next_in(),
            self._looked_at + self._settings.rescan_seconds - time.monotonic(),
        )
        try:
            return self._inbox.get(timeout=max(0.0, min(wait for wait in waits if wait is not None)))
        except queue.Empty:
            return None

    def _waits_for_space(self) -> None:
        """A full disk holds the loop up, at the start too, which is no reason to restart the daemon."""
        self._telling.offer_status(self._state, self._telling.waiting, self._seen())
        self._systemd.status("waits for space on the disk; free some")
        self._systemd.alive()
        self._systemd.wait_for(READING_SECONDS)

    def _turn(self, item: Item | None) -> None:
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
        if time.monotonic() - self._looked_at >= self._settings.rescan_seconds:
            self._look_around()

    def _look_around(self) -> None:
        self._looked_at = time.monotonic()
        self._look_at_surroundings()
        # What has arrived is safe where it lies: what was set aside is not for accepting more.
        for refused in self._reception.scan() if self._reserve.is_whole else ():
            self._handle(refused)
        for request in control.take(self._home):
            self._handle(request)

    def _look_at_surroundings(self) -> None:
        for change in self._surroundings.changes():
            self._handle(change)

    def _seen(self) -> Mapping[str, Any] | None:
        """What the device was last seen to do."""
        return self._gpu.fields() if self._gpu is not None else None

    def _has_nothing_left(self) -> bool:
        is_quiet = self._telling.waiting is not None and self._reception.is_quiet and self._reporting.is_done
        return is_quiet and self._reserve.is_whole and is_idle(self._state, self._limits)

    # From an event to its actions

    def _hear(self, item: inputs.Input) -> None:
        """What a worker's threads post; the device is given time to return a dead worker's memory."""
        if self._gpu is not None and isinstance(item, inputs.WorkerEnded):
            self._gpu.settle(item, self.post)
        else:
            self.post(item)

    def _handle(self, event: inputs.Input) -> None:
        if isinstance(event, inputs.RunResult):
            event = self._measured(event)
            if _failed_for_space(event):
                self._look_at_surroundings()  # or the next try starts on a disk that is still full
        self._telling.note(event, self._state)
        self._state, actions = step(self._state, event, self._limits)
        self._perform(actions)

    def _measured(self, event: inputs.RunResult) -> inputs.RunResult:
        """With what the device saw of the run, and the memory that is free beside it."""
        if self._gpu is None:
            return replace(event, free_memory_mib=available_memory_mib())
        seen = self._gpu.run_ended(event.attempt_id)
        return replace(event, result={**event.result, **seen}, free_memory_mib=self._gpu.free_memory_mib())

    def _perform(self, actions: tuple[act.Action, ...]) -> None:
        """Record all there is to record, with what follows from it; once that is durable, do the rest.

        One fsync serves a run's end, the decisions that it leads to, and the next run's start.
        """
        todo = deque(actions)
        effects: list[act.Effect | act.Exit] = []
        while todo:
            match todo.popleft():
                case act.Record(fact=fact):
                    todo.extendleft(reversed(self._record(fact)))
                case act.LoadRound() as action:
                    todo.extendleft(reversed(self._load(action)))
                case act.KeepSpec() as action:  # it makes the file of the record that follows
                    self._performer.perform(action)
                case action:
                    effects.append(action)
        self._books.sync()
        self._telling.send_notices()
        for effect in effects:
            self._act(effect)

    def _record(self, fact: facts.Fact) -> tuple[act.Action, ...]:
        """Write a fact down and let it count; returns what follows from it."""
        self._books.write(fact)
        if self._reserve.is_in_use:  # before anything that follows from the fact can start a run
            for change in self._surroundings.disk_refused():
                self._telling.note(change, self._state)
                self._state = with_gate(self._state, change)
        line = line_for(fact, self._state)
        for told in (*([] if line is None else [line]), *warning_lines(fact)):
            self._log.line(told)
        self._telling.note(fact, self._state)
        self._state, actions = step(self._state, fact, self._limits)
        return actions

    def _act(self, effect: act.Effect | act.Exit) -> None:
        if isinstance(effect, act.Exit):
            self._stop(effect.reason)
        else:
            self._performer.perform(effect)

    def _load(self, action: act.LoadRound) -> tuple[act.Action, ...]:
        """Read all of an ended round again; returns what follows from that."""
        loaded: inputs.Input
        try:
            loaded = inputs.RoundLoaded(request=action.request, current=self._books.load_round(action.round))
        except (CorruptRecordsError, UnknownIdError) as error:
            loaded = inputs.RoundDamaged(request=action.request, problem=str(error))
        self._state, actions = step(self._state, loaded, self._limits)
        return actions

    def _stop(self, reason: str) -> None:
        self._exit = reason
        self._books.write(facts.DaemonStopped(reason=reason))
        self._books.sync()
        self._log.line(f"STOP {reason}")
