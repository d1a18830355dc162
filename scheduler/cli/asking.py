"""How does a request reach the daemon, and what became of it?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from scheduler.cli.follow import Tail
from scheduler.cli.home import existing_home, made_home
from scheduler.cli.saying import say
from scheduler.effects import control
from scheduler.effects.lock import holder
from scheduler.report.load import load_round
from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.paths import HomePaths

#: how long a person is kept waiting for the daemon's answer
_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.05


def ask(
    home: HomePaths,
    verb: str,
    *,
    round_id: str | None = None,
    task: str | None = None,
    reason: str = "",
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Leave a request and say what the daemon answered, or that it will be carried out at its start."""
    made_home(existing_home(home))
    if round_id is not None:
        _known(home, round_id, task)
    arguments = {"round": round_id, "task": task, "reason": reason or None, **(payload or {})}
    with closing(Tail(home.launcher_log)) as log:
        log.skip()
        _send(home, verb, arguments, log)


def _send(home: HomePaths, verb: str, arguments: Mapping[str, Any], log: Tail) -> None:
    try:
        request_id = control.send(home, verb, **arguments)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if holder(home.lock) is None:
        say(f"the daemon is down; {verb} is stored and will be carried out when it starts")
        return
    say(_answer(home, request_id, log) or f"{verb} was asked for; the daemon has not answered yet")


def _known(home: HomePaths, round_id: str, task: str | None) -> None:
    """Raises UnknownIdError for a round or task that the daemon would not know."""
    round_state = load_round(home.round(round_id))
    if task is not None and task not in round_state.tasks:
        known = ", ".join(round_state.tasks)
        raise UnknownIdError(f"round {round_id} has no task {task!r}; it has {known}")


def _answer(home: HomePaths, request_id: str, log: Tail) -> str | None:
    """The daemon's words in launcher.log about the request; None when it stays silent."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < give_up:
        time.sleep(_POLL_SECONDS)
        if any(home.control.glob(f"*-{request_id}.json")):
            continue
        answers = [line.partition(" REQUEST ")[2] for line in log.new_lines() if " REQUEST " in line]
        if answers:
            return answers[-1]
    return None
