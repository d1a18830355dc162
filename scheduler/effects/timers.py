"""What happens by the wall clock? Events posted to the inbox at given times; nothing else happens here.

Budgets and grace periods are no business of it: they run on the monotonic clock in `clock.Deadlines`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from scheduler.rounds.errors import SettingsError

Event = TypeVar("Event")


class Timers(Generic[Event]):
    """Posts events at wall-clock times, from a thread of its own, between `start` and `stop`.

    An event that is late, because the machine slept or was busy, is posted late; several missed ones of one
    timer are posted as one.
    """

    def __init__(self, post: Callable[[Event], None]) -> None:
        self._post = post
        self._scheduler = BackgroundScheduler(
            # In the scheduler's own thread: to post takes no time, and a pool would start a thread of its own
            # at the first timer, hours after everything else.
            executors={"default": DebugExecutor()},
            # By default a job that is one second late is dropped without a word.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def cron(self, fields: Mapping[str, str | int], make_event: Callable[[], Event], name: str) -> None:
        """Post an event whenever local time matches `fields` (minute, hour, day_of_week, ...).

        Replaces a timer of that name. Periods belong to `clock.Deadlines`: a wall clock that is set back
        would make them wait.
        Raises SettingsError for fields that no time can match.
        """
        try:
            trigger = CronTrigger(**fields)
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"{name}: {dict(fields)} is not a schedule ({error}). "
                f"Use minute, hour, day, month, day_of_week as in cron."
            ) from error
        self._scheduler.add_job(
            lambda: self._post(make_event()), trigger, id=name, name=name, replace_existing=True
        )

    def start(self) -> None:
        """Post from now on."""
        self._scheduler.start()

    def stop(self) -> None:
        """Nothing is posted after the return. Does nothing when it never started."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
