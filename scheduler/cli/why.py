"""Why does nothing run, why is a task parked, why did a variant fail, and what helps? Read from files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.cli.status import gather
from scheduler.cli.status_text import progress_lines
from scheduler.decide.fixes import fix_for
from scheduler.decide.moves import parked_for
from scheduler.report import numbers
from scheduler.report.load import load_round
from scheduler.report.printable import one_line
from scheduler.report.reading import FailureReading, RoundReading, TaskReading, read_round
from scheduler.rounds.errors import UnknownIdError
from scheduler.rounds.paths import HomePaths, RoundPaths, RunPaths

#: of what a failed run printed last
_OUTPUT_LINES = 8
_OUTPUT_BYTES = 4096
#: failed runs of a task that are told in full, the last ones
_FAILURES_SHOWN = 5

#: what helps, by how a reason to wait begins
_HELP = (
    ("paused", "`schedctl resume` goes on"),
    ("draining", "start the daemon again when it has ended"),
    ("the daemon is stopping", "start it again when it has ended"),
    ("disk", "free some space; it goes on by itself, or at once with `schedctl resume`"),
    ("outside the hours", "wait, or change `windows` in roundhouse.toml and start the daemon again"),
    ("the queue is empty", "`schedctl submit FILE` queues a round"),
    ("GPU", "wait for it, or see `schedctl doctor`"),
)


def why(
    context: typer.Context,
    round_id: Annotated[str | None, typer.Argument(metavar="ROUND", help="Only this one.")] = None,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Everything about it.")] = None,
) -> None:
    """Say why nothing runs, why a task is parked, or what failed.

    With what helps; of a task also the end of what its failed runs printed.
    """
    home: HomePaths = existing_home(context.obj)
    lines = _home(home) if round_id is None else _round(home, round_id, task)
    for line in lines:
        say(line)


def _home(home: HomePaths) -> Iterator[str]:
    told = gather(home, now=datetime.now().astimezone())
    status = told["status"] or {}
    yield from _now(told, status)
    for current in status.get("rounds", ()):
        for task in current["parked"]:
            yield f"parked: {current['id']} {task['task']} ({task['failure_class']}): {task['reason']}"
            yield f"  remedy: {task['remedy']}"
            yield f"  more: schedctl why {current['id']} {task['task']}"
    for name in told["rejected_files"]:
        yield f"rejected: {name}; more: {home.rejected / name}.why.txt"
    if told["unread_files"]:
        yield f"not accepted yet: {', '.join(told['unread_files'])}; they are taken once they are whole"


def _now(told: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[str]:
    if told["daemon"] is None:
        yield "nothing runs: the daemon is down"
        yield f"  help: schedctl --home {told['home']} daemon"
        return
    if told["is_starting"]:
        yield "the daemon is starting"
        return
    yield from progress_lines(status)
    reason = status.get("why") if not status.get("running") else status.get("paused")
    if reason:
        word = "nothing runs" if not status.get("running") else "paused after this run"
        yield f"{word}: {reason}"
        yield from (f"  help: {help_}" for start, help_ in _HELP if reason.startswith(start))
    for device in status.get("devices", ()):
        if device["dirty"]:
            yield f"{device['id']} is dirty: {device['dirty']}"
            yield "  help: end what holds its memory, then `schedctl resume`"


def _round(home: HomePaths, round_id: str, task: str | None) -> Iterator[str]:
    try:
        reading = read_round(load_round(home.round(round_id)))
    except UnknownIdError:
        told = list(_not_accepted(home, round_id))
        if not told:
            raise
        yield from told
        return
    if task is not None:
        yield from _whole_task(_task_of(reading, task), home.round(round_id))
        return
    yield f"{round_id}: {reading.outcome}"
    if reading.state.cancelled is not None:
        yield f"  cancelled: {reading.state.cancelled.reason}"
    if reading.outcome == "in progress":
        yield from (f"  {line}" for line in _now_of_home(home))
    for each in reading.tasks:
        yield from _short_task(each, round_id)
        yield from (f"  {_failure(failure)}" for failure in each.failures[-_FAILURES_SHOWN:])
        if each.state.parked is not None or each.failures:
            yield f"  more: schedctl why {round_id} {each.name}"


def _now_of_home(home: HomePaths) -> Iterator[str]:
    told = gather(home, now=datetime.now().astimezone())
    return _now(told, told["status"] or {})


def _not_accepted(home: HomePaths, round_id: str) -> Iterator[str]:
    """Why there is no such round, as far as its file is still there under that name."""
    for path in sorted(home.rejected.glob(f"{round_id}.*.why.txt")):
        yield f"{round_id} was never accepted:"
        yield from (f"  {line}" for line in path.read_text().splitlines() if line.strip())
    for name in (f"{round_id}.toml", f"{round_id}.json"):
        if (home.queue / name).is_file():
            yield f"{name} waits in {home.queue} and is not accepted yet"
            yield from _now_of_home(home)


def _task_of(reading: RoundReading, name: str) -> TaskReading:
    for task in reading.tasks:
        if task.name == name:
            return task
    known = ", ".join(task.name for task in reading.tasks)
    raise UnknownIdError(f"round {reading.state.round.id} has no task {name!r}; it has {known}")


def _short_task(task: TaskReading, round_id: str) -> Iterator[str]:
    """How one task stands, and what helps it."""
    parked = task.state.parked
    if parked is not None:
        yield f"{task.name} is parked ({parked.failure_class}): {one_line(parked.reason)}"
        yield f"  remedy: {one_line(parked.remedy)}"
        yield f"  help: schedctl retry {round_id} {task.name}"
    else:
        failed = f"{numbers.count(len(task.failures), 'run')} failed" if task.failures else "nothing failed"
        yield f"{task.name} {_progress(task)}, {failed}"
    if task.rebatched:
        yield f"  {task.rebatched}"


def _progress(task: TaskReading) -> str:
    if task.state.is_finished:
        return "is finished"
    judged, variants = len(task.state.verdicts), len(task.state.task.variants)
    return f"has {judged} of {numbers.count(variants, 'variant')} judged"


def _failure(failure: FailureReading) -> str:
    run = failure.run
    tries = f", {numbers.count(failure.attempts, 'attempt')}" if failure.attempts > 1 else ""
    return (
        f"{run.config} {run.stage} seed {run.seed} ({run.failure_class or run.status}{tries}):"
        f" {failure.message}"
    )


def _whole_task(task: TaskReading, paths: RoundPaths) -> Iterator[str]:
    round_id = paths.root.name
    yield from _short_task(task, round_id)
    told = {failure.run.run_dir: failure for failure in task.failures}
    cause = parked_for(task.state)
    if cause is not None and cause.run_dir in told:  # first, since it stands for the others
        told = {cause.run_dir: told[cause.run_dir], **told}
    for failure in [*told.values()][:_FAILURES_SHOWN]:
        yield ""
        yield _failure(failure)
        yield f"  remedy: {failure.remedy}"
        yield from _files(paths.run(failure.run.run_dir))
    if len(told) > _FAILURES_SHOWN:
        yield f"and {len(told) - _FAILURES_SHOWN} more: schedctl show {round_id} {task.name}"
    if cause is not None and fix_for(task.state.task, cause) is not None and paths.suggested.is_file():
        yield ""
        yield f"a round that can go on: schedctl submit {paths.suggested}"


def _files(run: RunPaths) -> Iterator[str]:
    """Where all of it was written down, and the end of what was printed."""
    if run.error.is_file():
        yield f"  whole text: {run.error}"
    lines = [line for line in _end_of(run).splitlines() if line.strip()][-_OUTPUT_LINES:]
    if lines:
        yield f"  end of {run.output}:"
        yield from (f"    {line}" for line in lines)


def _end_of(run: RunPaths) -> str:
    try:
        with run.output.open("rb") as log:
            log.seek(max(0, run.output.stat().st_size - _OUTPUT_BYTES))
            return log.read(_OUTPUT_BYTES).decode(errors="replace")
    except OSError:
        return ""  # it ended before it printed anything, or its folder was removed
