"""How does the status read? Progress first; when nothing runs, why; then what waits for time or a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scheduler.cli.sparkline import run_sparklines
from scheduler.effects.plain_text import plain_line
from scheduler.report.numbers import count, duration, duration_range, named_value, plain_number

BAR_WIDTH = 24
_ENDED = ("finished", "parked", "cancelled")


def status_lines(told: Mapping[str, Any], *, bars: str = "") -> list[str]:
    """The lines of `schedctl status` about what `gather` found. Nothing in them steers a terminal.

    With `bars`, the letters of a sparkline, a run's evaluations are shown as one.
    """
    status = told["status"] or {}
    lines = list(_daemon(told, status))
    is_alive = told["daemon"] is not None
    if is_alive and not told["is_starting"]:
        lines += _now(status, bars)
    lines += _rounds(status)
    lines += _parked(status)
    lines += _files(told)
    lines += _devices(status) if is_alive else []
    lines.append(_footer(told))
    return [line for raw in lines if (line := _plain(raw))]


def progress_lines(status: Mapping[str, Any], bars: str = "") -> list[str]:
    """The lines about runs under way: which round, task, stage and run, how far, how long still."""
    rounds = {current["id"]: current for current in status.get("rounds", ())}
    return [
        _plain(line)
        for run in status.get("running", ())
        for line in (
            _place(run, rounds.get(run["round"])),
            f"  {_step(run)}",
            *(run_sparklines(run, bars) if bars else ()),
        )
    ]


def _plain(line: str) -> str:
    """`line` made safe, with its indentation."""
    return " " * (len(line) - len(line.lstrip(" "))) + plain_line(line)


def _daemon(told: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[str]:
    if told["daemon"] is None:
        yield f"nothing runs: the daemon is down; start it with `schedctl --home {told['home']} daemon`"
        if status:
            yield f"  this is how it left things at {status.get('written_at')}:"
    elif told["is_starting"]:
        yield "the daemon is starting"
    elif told["is_stale"]:
        age = "ever" if told["age_seconds"] is None else f"for {duration(told['age_seconds'])}"
        yield (
            f"the daemon (process {told['daemon'].get('pid')}) is alive but has not said anything {age};"
            " it may be stuck: see the end of launcher.log"
        )


def _now(status: Mapping[str, Any], bars: str) -> Iterator[str]:
    yield from progress_lines(status, bars)
    if not status.get("running"):
        yield f"nothing runs: {status.get('why') or 'no reason was given'}"
    elif status.get("paused"):
        yield f"paused after this run: {status['paused']}"
    elif status.get("draining"):
        yield f"the daemon ends after this run: {status['draining']}"


def _place(run: Mapping[str, Any], current: Mapping[str, Any] | None) -> str:
    name = f"{run['stage']} {run['config']} seed {run['seed']}"
    again = f" (attempt {run['attempt']})" if run["attempt"] > 1 else ""
    if current is None:
        return f"{run['round']}: {run['task']}, {name}{again}"
    task = current["task"] or {}
    return (
        f"{current['id']}: task {task.get('number')} of {task.get('of')} ({run['task']}), {name}{again},"
        f" run {current['runs_done'] + 1} of {_total(current)}, {_time_left(current)} left"
    )


def _step(run: Mapping[str, Any]) -> str:
    """`[######----] 45 %  step 290 of 650  acc=61.20% loss=1.0212  bsz=32 on cpu`."""
    if run["phase"] == "preparing" and run.get("held"):
        return f"prepared on {run['device']}, and held back: {run['held']}"
    if run["phase"] == "preparing":
        return f"preparing on {run['device']}"
    fields = [] if run["train_seconds"] is not None else ["training, first evaluation not reached"]
    share = run_share(run)
    if share is not None:
        full = round(BAR_WIDTH * share)
        fields.append(f"[{'#' * full}{'-' * (BAR_WIDTH - full)}] {100 * share:.0f} %")
    if run["step"] is not None:
        most = f" of {run['max_steps']}" if run["max_steps"] else ""
        fields.append(f"step {run['step']}{most}")
    if run["value"] is not None:
        fields.append(named_value(run["metric"], run["unit"], run["value"]))
    if run["loss"] is not None and run["metric"] != "loss":
        fields.append(f"loss={plain_number(run['loss'])}")
    if run["train_seconds"] is not None:
        fields.append(duration(run["train_seconds"]))
    bsz = f"bsz={run['bsz']} " if run["bsz"] is not None else ""
    return "  ".join([*fields, f"{bsz}on {run['device']}"])


def run_share(run: Mapping[str, Any]) -> float | None:
    """How much of a run is done: by its steps, else by its time budget; None before it is known."""
    if run["max_steps"] and run["step"] is not None:
        return min(1.0, float(run["step"] / run["max_steps"]))
    if run["time_budget_sec"] and run["train_seconds"] is not None:
        return min(1.0, float(run["train_seconds"] / run["time_budget_sec"]))
    return None


def _total(current: Mapping[str, Any]) -> str:
    """`12`, or `7 to 12` while promotions are open."""
    least, most = current["runs_least"], current["runs_most"]
    return str(most) if least == most else f"{least} to {most}"


def _time_left(current: Mapping[str, Any]) -> str:
    low, high = current["time_left_seconds"]
    return duration_range(low, high)


def _rounds(status: Mapping[str, Any]) -> Iterator[str]:
    running = {run["round"] for run in status.get("running", ())}
    rounds = [current for current in status.get("rounds", ()) if current["id"] not in running]
    open_rounds = [current for current in rounds if current["state"] not in _ENDED]
    ended = [current for current in rounds if current["state"] in _ENDED]
    if open_rounds:
        yield "queue:"
        yield from (f"  {_open_round(current)}" for current in open_rounds)
    if ended:
        yield "ended:"
        yield from (f"  {_ended_round(current)}" for current in ended)


def _open_round(current: Mapping[str, Any]) -> str:
    title = f"  {current['title']}" if current["title"] else ""
    runs = f"{current['runs_done']} of {_total(current)} runs, {_time_left(current)} left"
    waits = f", waits for {', '.join(current['waits_for'])}" if current["waits_for"] else ""
    return f"{current['id']}: {current['state']}, {runs}{waits}{title}"


def _ended_round(current: Mapping[str, Any]) -> str:
    verdicts = ", ".join(f"{number} {name}" for name, number in current["verdicts"].items())
    return f"{current['id']}: {current['state']}, {verdicts or 'no verdicts'}; schedctl show {current['id']}"


def _parked(status: Mapping[str, Any]) -> Iterator[str]:
    tasks = [(current, task) for current in status.get("rounds", ()) for task in current["parked"]]
    if tasks:
        yield "parked:"
    for current, task in tasks:
        yield f"  {current['id']}, task {task['task']} ({task['failure_class']}): {task['reason']}"
        yield f"    remedy: {task['remedy']}: schedctl retry {current['id']} {task['task']}"


def _files(told: Mapping[str, Any]) -> Iterator[str]:
    unread, rejected = told["unread_files"], told["rejected_files"]
    if unread:
        yield f"not accepted yet: {', '.join(unread)}"
    if rejected:
        yield f"rejected: {', '.join(rejected)} (queue/rejected/FILE.why.txt says why)"
    if told["requests_waiting"]:
        yield f"{count(told['requests_waiting'], 'request')} of schedctl not carried out yet"


def _devices(status: Mapping[str, Any]) -> Iterator[str]:
    for device in status.get("devices", ()):
        if device["dirty"]:
            yield f"{device['id']} is dirty: {device['dirty']}; `schedctl resume` uses it again"
        gpu = device["gpu"] or {}
        if gpu:
            yield f"{device['id']} {device['name']}: {', '.join(_gpu_fields(gpu))}"


def _gpu_fields(gpu: Mapping[str, Any]) -> Iterator[str]:
    if gpu.get("lost"):
        yield gpu["lost"]
    if gpu.get("memory_used_mib") is not None and gpu.get("memory_total_mib") is not None:
        yield f"{gpu['memory_used_mib']:.0f} of {gpu['memory_total_mib']:.0f} MiB"
    if gpu.get("utilisation_percent") is not None:
        yield f"{gpu['utilisation_percent']:.0f} % busy"
    if gpu.get("temperature_celsius") is not None:
        yield f"{gpu['temperature_celsius']:.0f} C"
    if gpu.get("slowdowns"):
        yield f"slowed down: {', '.join(gpu['slowdowns'])}"
    if gpu.get("strangers"):
        yield f"also used by {gpu['strangers']}"


def _footer(told: Mapping[str, Any]) -> str:
    daemon = told["daemon"]
    if daemon is None:
        return f"home: {told['home']}"
    since = f" since {daemon['started']}" if daemon.get("started") else ""
    host = f" on {daemon['host']}" if daemon.get("host") else ""
    return f"daemon: process {daemon.get('pid')}{host}{since}; home: {told['home']}"
