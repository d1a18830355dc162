"""Which files of a program may go once its round is reported? Set apart, so that nothing else has to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from trainers._checkpoint import FOLDER


def pattern_problem(pattern: str) -> str | None:
    """Why no file of the run can be meant by `pattern`; None where one can."""
    parts = PurePosixPath(pattern).parts
    if not parts or pattern.startswith("/") or ".." in parts:
        return f"{pattern!r} must lead to files below {{run_dir}}, such as 'ckpt_*' or 'checkpoints'"
    return None


def set_apart(files: Path, run_dir: Path, patterns: Sequence[str], spared: Path | None) -> int:
    """Move what the patterns find below `files` into the run's `checkpoint/`, under the same relative names.

    There it is what only a further run needs, and goes by the rules for that. The file
    `spared` stays, and so does whatever a link leads to. Returns how many files and folders were moved.
    """
    target = run_dir / FOLDER
    moved = 0
    for path in sorted({path for pattern in patterns for path in _found(files, pattern)}):
        holds_spared = spared is not None and spared.is_relative_to(path)
        # a folder that went took with it what other patterns found in it
        if holds_spared or not (path.exists() or path.is_symlink()):
            continue
        place = target / path.relative_to(files)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        moved += 1
    return moved


def _found(files: Path, pattern: str) -> Iterator[Path]:
    """Nothing that lies behind a link: it is not the run's own."""
    root = files.resolve()
    yield from (path for path in files.glob(pattern) if path.parent.resolve().is_relative_to(root))
