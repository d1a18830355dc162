"""What do the rounds that have ended take on the disk, and which of it may go? What a plan is made from.

`python -P -m scheduler.report.run_folders HOME` prints the plan as JSON, by the rules on standard input: the
daemon runs it in a niced child, since sizes are read file by file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import orjson

from scheduler.decide.facts import RunFinished
from scheduler.decide.result_cache import may_be_reused
from scheduler.decide.retention import Drop, Need, RoundFolder, RunFolder, plan
from scheduler.decide.state import RoundState, State
from scheduler.decide.task_state import TaskState
from scheduler.effects.ended_file import EndedFile, read_ended
from scheduler.effects.reporting import is_current
from scheduler.effects.run_files import is_evidence
from scheduler.report.load import load_home, load_round, round_ids
from scheduler.rounds.errors import RoundhouseError
from scheduler.rounds.paths import HomePaths, RoundPaths, RunPaths
from scheduler.rounds.retention_settings import RetentionSettings


def planned(home: HomePaths, rules: RetentionSettings, *, now: float) -> tuple[Drop, ...]:
    """What may go of the home by the rules. Damaged rounds are left alone. Raises CorruptRecordsError."""
    known = load_home(home)
    rounds = []
    for name in round_ids(home):
        paths = home.round(name)
        ended = read_ended(paths)
        if ended is not None and (rules.clears_runs or _has_states(paths)):
            try:
                rounds.append(_round_folder(paths, ended, known))
            except RoundhouseError as error:
                print(f"{name} is left alone: {error}", file=sys.stderr)
    other = _bytes_below(home.results) if rules.max_results_gib else 0
    other -= sum(each.total_bytes for each in rounds)
    return plan(rounds, rules, now=now, other_bytes=max(0, other))


def _has_states(paths: RoundPaths) -> bool:
    return any(paths.runs.glob(f"*/{RunPaths(paths.runs).checkpoint.name}"))


def _round_folder(paths: RoundPaths, ended: EndedFile, known: State) -> RoundFolder:
    current = load_round(paths)
    needs, failed = _needs(current, known), _failed(current)
    runs = sorted(folder for folder in _folders(paths.runs) if folder.name in needs)
    return RoundFolder(
        id=paths.root.name,
        outcome=ended.ended.outcome,
        ended_at=datetime.fromisoformat(ended.ended_at).timestamp(),
        has_report=is_current(paths),
        runs=tuple(
            _run_folder(folder, needs[folder.name], has_failed=folder.name in failed) for folder in runs
        ),
    )


def _needs(current: RoundState, known: State) -> dict[str, Need]:
    """Who needs the folder of each attempt that the round made itself."""
    stored = {
        f"{kept.run.round}/{kept.run.run_dir}"
        for family in known.baselines.families.values()
        for kept in family.values()
    }
    needs: dict[str, Need] = {}
    for task in current.tasks.values():
        winners = {name for name, verdict in task.verdicts.items() if verdict.verdict == "WINNER"}
        for attempts in task.attempts.values():
            for attempt in attempts:
                run_dir, end = attempt.intended.run_dir, attempt.finished
                if end is None or end.cached_from is not None:
                    continue
                is_stored = f"{current.round.id}/{run_dir}" in stored
                needs[run_dir] = _need(task, end, winners, known, is_stored=is_stored)
    return needs


def _need(task: TaskState, end: RunFinished, winners: set[str], known: State, *, is_stored: bool) -> Need:
    if end.config in winners and not end.has_failed:
        return "winner"
    forgotten = known.results.forgotten
    is_forgotten = bool({(end.round, None), (end.round, end.content_key)} & forgotten)
    return "reuse" if is_stored or (may_be_reused(end, task.task) and not is_forgotten) else "nothing"


def _failed(current: RoundState) -> frozenset[str]:
    """The folders of attempts that failed."""
    return frozenset(
        attempt.intended.run_dir
        for task in current.tasks.values()
        for attempts in task.attempts.values()
        for attempt in attempts
        if attempt.finished is not None and attempt.finished.has_failed
    )


def _run_folder(folder: Path, need: Need, *, has_failed: bool) -> RunFolder:
    kept_state = RunPaths(folder).checkpoint.name
    sizes = {"state": 0, "evidence": 0, "other": 0}
    for path in folder.iterdir():
        kind = "state" if path.name == kept_state else "evidence" if is_evidence(path.name) else "other"
        sizes[kind] += _bytes_below(path)
    return RunFolder(
        name=folder.name,
        need=need,
        state_bytes=sizes["state"],
        evidence_bytes=sizes["evidence"],
        other_bytes=sizes["other"],
        has_failed=has_failed,
    )


def _folders(folder: Path) -> Iterator[Path]:
    """Folders in `folder`; a link leads elsewhere, and is none of ours."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _bytes_below(path: Path) -> int:
    """What a file or folder takes on the disk. No link is followed; what vanishes meanwhile takes nothing."""
    try:
        total = path.lstat().st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            total += sum(_bytes_below(Path(entry.path)) for entry in os.scandir(path))
    except FileNotFoundError:
        return 0
    return total


def main(arguments: list[str]) -> int:
    """Print the plan for a home."""
    rules = RetentionSettings(**orjson.loads(sys.stdin.buffer.read()))
    try:
        drops = planned(HomePaths(Path(arguments[0])), rules, now=time.time())
    except RoundhouseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    sys.stdout.buffer.write(orjson.dumps([asdict(drop) for drop in drops]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
