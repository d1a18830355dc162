"""What may be reused, and what did that save?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say, say_json
from scheduler.report.numbers import count, duration
from scheduler.report.printable import one_line
from scheduler.report.reuse import TaskReuse, reuse_by_task
from scheduler.rounds.paths import HomePaths
from trainers.kept_data import KeptData, kept_data

MIB = 2**20
#: characters of a key of prepared data that are shown
_KEY_LENGTH = 80


def list_cache(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for a program.")] = False,
) -> None:
    """List results by round and task, with what their reuse saved, and prepared data with its size."""
    home: HomePaths = existing_home(context.obj)
    tasks, data = reuse_by_task(home), kept_data(home.cache)
    if as_json:
        told = {"results": [task.to_json() for task in tasks], "data": [_as_json(kept) for kept in data]}
        say_json(told)
        return
    say("\n".join([*_results(tasks), "", *_data(data, time.time())]))


def data_name(folder: Path) -> str:
    """By which prepared data is told apart: the head of its digest."""
    return folder.name[:16]


def _results(tasks: Sequence[TaskReuse]) -> Iterator[str]:
    if not tasks:
        yield "no result may be reused yet"
        return
    number, times = sum(task.results for task in tasks), sum(task.times_reused for task in tasks)
    saved = duration(sum(task.seconds_saved for task in tasks))
    yield f"{count(number, 'result')} may be reused; {times} times one was, which saved {saved}"
    width = max(len(f"{task.round}/{task.task}") for task in tasks)
    for task in tasks:
        name = f"{task.round}/{task.task}".ljust(width)
        saved = duration(task.seconds_saved) if task.times_reused else "-"
        yield f"  {name}  {task.results:>6} results  {task.times_reused:>6} times reused  {saved:>9} saved"


def _data(data: Sequence[KeptData], now: float) -> Iterator[str]:
    if not data:
        yield "no prepared data is kept"
        return
    yield f"prepared data: {count(len(data), 'set')}, {sum(kept.bytes for kept in data) / MIB:.1f} MiB"
    for kept in data:
        key = "key cannot be read" if kept.key is None else orjson.dumps(dict(kept.key)).decode()
        age = duration(max(0.0, now - kept.used_at))
        shown = one_line(key, limit=_KEY_LENGTH)
        yield f"  {data_name(kept.folder)}  {kept.bytes / MIB:>9.1f} MiB  used {age} ago  {shown}"


def _as_json(kept: KeptData) -> dict[str, Any]:
    key = None if kept.key is None else dict(kept.key)
    return {"folder": kept.folder.name, "bytes": kept.bytes, "used_at": kept.used_at, "key": key}
