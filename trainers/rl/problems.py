"""Which problems are trained and evaluated on? The built-in additions, or those of files.

A file has an object a line with a prompt (`prompt`, `problem` or `question`) and the answer that is right
(`reference` or `answer`).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainers.contract import DataError
from trainers.rl.config import N_EVAL, Config

_PROMPTS = ("prompt", "problem", "question")
_REFERENCES = ("reference", "answer")


class Asked(Protocol):
    """A problem."""

    @property
    def prompt(self) -> str: ...

    @property
    def reference(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A problem of a file."""

    prompt: str
    reference: str


def training_and_held_out(config: Config, n_eval: int | None) -> tuple[Sequence[Asked], Sequence[Asked]]:
    """Both sets, which share no prompt. Raises DataError where they would, or where there are too few."""
    count = n_eval or config.n_eval or N_EVAL
    if config.data is None or config.eval_data is None:
        from trainers.rl.addition import held_out_problems, training_problems

        return training_problems(), held_out_problems()[:count]
    training, held_out = _read(Path(config.data)), _read(Path(config.eval_data))
    shared = {problem.prompt for problem in training} & {problem.prompt for problem in held_out}
    if shared:
        raise DataError(
            f"{len(shared)} of {len(held_out)} problems of {config.eval_data} are in {config.data} too:"
            " remove them from one of the files"
        )
    if len(held_out) < count:
        raise DataError(f"{config.eval_data} has {len(held_out)} problems (wanted {count}); lower n_eval")
    return training, held_out[:count]


def _read(path: Path) -> list[Told]:
    try:
        found = list(_problems(path))
    except OSError as error:
        raise DataError(f"the problems in {path} cannot be read: {error.strerror}") from error
    if not found:
        raise DataError(f"{path} holds no problem")
    return found


def _problems(path: Path) -> Iterator[Told]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            prompt = next(str(row[name]) for name in _PROMPTS if name in row)
            reference = next(str(row[name]) for name in _REFERENCES if name in row)
        except (ValueError, TypeError, StopIteration) as error:
            raise DataError(
                f"{path}, line {number}: must be an object with one of {', '.join(_PROMPTS)} and one of"
                f" {', '.join(_REFERENCES)}"
            ) from error
        if not reference.strip():
            raise DataError(f"{path}, line {number}: the answer is empty")
        yield Told(prompt=prompt, reference=reference)


def digest_of(path: Path) -> str | None:
    """Of the bytes of a file, or of every file of a folder with its name; None where there is none."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    try:
        parts = [
            (str(f.relative_to(path.parent)), _digest(f, f.stat().st_mtime_ns, f.stat().st_size))
            for f in files
        ]
    except OSError:
        return None
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest() if parts else None


@functools.lru_cache(maxsize=256)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    """A model has gigabytes, and several configs of a spec ask for the same."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
