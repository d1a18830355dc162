"""Which files of a run are its evidence, and how do the others go?"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePath

from scheduler.decide.facts import RunFilesDropped
from scheduler.judging import exhibit_names, way_names
from scheduler.rounds.paths import HomePaths, RunPaths

_NAMES = RunPaths(Path())
#: what reuse and reports read of a run; all of it together is small
_RECORDED = frozenset(
    path.name
    for path in (
        _NAMES.config,
        _NAMES.metrics,
        _NAMES.error,
        _NAMES.scores,
        _NAMES.scores_at(0).parent,
        _NAMES.result,
        Path("source.diff"),
    )
)
#: a kept state goes by a rule of its own
_STATE = _NAMES.checkpoint.name


def is_evidence(name: str) -> bool:
    """Whether the file or folder of that name in a run's folder stays as long as the run is known."""
    return name in _RECORDED or name in _exhibits()


@functools.cache
def _exhibits() -> frozenset[str]:
    """The files that any way of judging looks at, or the folders they lie in: a round may be judged again.

    Not at import, since it loads every way.
    """
    return frozenset(PurePath(name).parts[0] for name in exhibit_names(way_names()))


def drop_run_files(home: HomePaths, dropped: RunFilesDropped) -> tuple[str, ...]:
    """Remove what was decided to go; returns what could not be removed, each with the reason.

    Only folders right below the round's `runs/` are touched, and no link is followed. It may be repeated.
    """
    problems: list[str] = []
    runs = home.round(dropped.round).runs
    for path in _paths(runs, dropped):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
    return tuple(problems)


def _paths(runs: Path, dropped: RunFilesDropped) -> Iterator[Path]:
    for name in filter(_is_plain, dropped.states):
        yield runs / name / _STATE
    for name in filter(_is_plain, dropped.reduced):
        folder = runs / name
        if folder.is_dir() and not folder.is_symlink():
            yield from (
                path for path in folder.iterdir() if path.name != _STATE and not is_evidence(path.name)
            )
    for name in filter(_is_plain, dropped.removed):
        yield runs / name


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name
