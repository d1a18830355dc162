"""What do people see of a daemon? Status, metrics, notices, why it waits in the log, and systemd's line."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from scheduler.decide import inputs
from scheduler.decide.failures import Limits
from scheduler.decide.progress import in_a_sentence, status_of, told_again
from scheduler.decide.state import State
from scheduler.decide.step import why_nothing_runs
from scheduler.effects.launcher_log import LauncherLog
from scheduler.effects.metrics import MetricsFile
from scheduler.effects.notices import Notices
from scheduler.effects.reserve import Reserve
from scheduler.effects.status import StatusFile
from scheduler.effects.systemd_notify import SystemdNotify
from scheduler.report.lines import wait_line
from scheduler.report.notices import notice_for
from scheduler.rounds.notice import Notice
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings


class Telling:
    """Tells what there is to tell of a state; one that has been told costs nothing."""

    def __init__(
        self,
        home: HomePaths,
        settings: Settings,
        *,
        log: LauncherLog,
        reserve: Reserve,
        systemd: SystemdNotify,
        last_run_finished_at: datetime | None,
    ) -> None:
        self._home = home
        self._log = log
        self._systemd = systemd
        self._notices = Notices(
            settings.notify,
            home.notices,
            environment=os.environ,
            report=log.line,
            sender=f"roundhouse on {platform.node() or 'this machine'}",
        )
        #: of facts that are not durable yet
        self._untold: list[Notice] = []
        self._status = StatusFile(home.status, make_room=reserve.release)
        self._metrics = MetricsFile(
            home,
            version=version("roundhouse"),
            disk_floor_mib=settings.disk_floor_mib,
            last_run_finished_at=last_run_finished_at.timestamp() if last_run_finished_at else None,
        )
        #: why nothing runs, as the log has it
        self.waiting: str | None = None
        #: what the reason to wait and the status were last asked of
        self._asked: State | None = None
        self._told: tuple[State, str | None, Mapping[str, Any] | None] | None = None
        self._content: dict[str, Any] = {}

    def next_in(self) -> float | None:
        """Seconds until something has to be told again; None where nothing has."""
        waits = (self._status.next_in(), self._metrics.next_in(), self._systemd.next_in())
        return min((wait for wait in waits if wait is not None), default=None)

    def tell(self, state: State, limits: Limits, gpu: Mapping[str, Any] | None) -> None:
        """Let people see how things are: the log hears of a reason to wait when it is a new one."""
        if state is not self._asked:
            self._asked = state
            why = why_nothing_runs(state, limits)
            if why is not None and why != self.waiting:
                self._log.line(wait_line(why))
            self.waiting = why
        if self._status.next_in() in (None, 0.0):
            self.offer_status(state, self.waiting, gpu)
        self._metrics.offer(state, self.waiting, gpu)

    def offer_status(self, state: State, why: str | None, gpu: Mapping[str, Any] | None) -> None:
        """Tell the state in `status.json` and to systemd, with the reason why nothing runs."""
        now = datetime.now().astimezone()
        if self._told is None or self._told[0] is not state or self._told[1:] != (why, gpu):
            self._content = status_of(state, now=now, pid=os.getpid(), wait_reason=why, gpu=gpu)
            self._told = (state, why, gpu)
        self._systemd.status(in_a_sentence(self._content))
        self._status.offer(told_again(self._content, now=now))

    def note(self, event: inputs.Event, state: State) -> None:
        """Keep in mind what a person who is away has to be told of it."""
        notice = notice_for(event, state, self._home)
        if notice is not None:
            self._untold.append(notice)

    def send_notices(self) -> None:
        """Only of what is durable: a daemon that is killed before sends nothing, and none sends it twice."""
        for notice in self._untold:
            self._notices.tell(notice)
        self._untold.clear()

    def close(self, state: State, gpu: Mapping[str, Any] | None, why: str) -> None:
        """The last status says why nobody serves the home any more."""
        self._notices.close()
        self.offer_status(state, why, gpu)
        self._status.flush()
        self._metrics.close(state, why)
