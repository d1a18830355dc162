"""Which prepared data lies in a cache, is it whole, and what goes when it takes too much?

A folder of .npy files for each key, named by the key's digest. Whoever has one mapped keeps it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: below a run's `cache_dir`
FOLDER = "data"
KEY_FILE = "key.json"

#: a half-made folder that is older was left by a process that died
ABANDONED_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptData:
    """One set of arrays, as its folder looks from outside."""

    folder: Path
    #: what the arrays depend on; None where that cannot be read
    key: Mapping[str, Any] | None
    bytes: int
    #: seconds since the epoch
    used_at: float


def kept_data(cache_dir: Path) -> tuple[KeptData, ...]:
    """All that is kept, what was used longest ago first."""
    found = (
        KeptData(
            folder=folder,
            key=_told(folder).get("key"),
            bytes=_size(folder),
            used_at=_changed_at(folder / KEY_FILE),
        )
        for folder in _folders(cache_dir)
        if not folder.name.startswith(".")
    )
    return tuple(sorted(found, key=lambda kept: (kept.used_at, kept.folder)))


def problems_of(kept: KeptData) -> tuple[str, ...]:
    """What is wrong with its files: each array has to have the digest that was noted when it was made."""
    told = _told(kept.folder)
    names, digests = told.get("arrays"), told.get("digests", {})
    if kept.key is None or not isinstance(names, list) or not isinstance(digests, dict):
        return (f"{kept.folder / KEY_FILE} cannot be read",)
    return tuple(
        problem
        for name in names
        if (problem := _problem(kept.folder / f"{name}.npy", digests.get(name))) is not None
    )


def prune(
    cache_dir: Path,
    limit_bytes: int | None = None,
    *,
    older_than_seconds: float | None = None,
    keep: Path | None = None,
) -> tuple[KeptData, ...]:
    """Delete what is too old, then what was used longest ago until the rest is within the limit.

    The folder `keep` stays, however large it is. Returns what is gone.
    """
    _sweep(cache_dir)
    known = kept_data(cache_dir)
    total, now = sum(kept.bytes for kept in known), time.time()
    gone = []
    for kept in known:
        is_old = older_than_seconds is not None and now - kept.used_at > older_than_seconds
        is_too_much = limit_bytes is not None and total > limit_bytes
        if kept.folder != keep and (is_old or is_too_much):
            delete(kept.folder)
            total -= kept.bytes
            gone.append(kept)
    return tuple(gone)


def delete(folder: Path) -> None:
    """At once for whoever looks; who has it mapped keeps it."""
    doomed = hidden(folder)
    try:
        folder.rename(doomed)
    except OSError:
        return  # another process has deleted it
    shutil.rmtree(doomed, ignore_errors=True)


def hidden(folder: Path) -> Path:
    """A name beside `folder` that nobody takes for kept data, and nobody else uses."""
    return folder.with_name(f".{folder.name}.{os.getpid()}.{time.monotonic_ns()}")


def digest_of(path: Path) -> str:
    """Of the bytes of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _problem(path: Path, digest: object) -> str | None:
    try:
        found = digest_of(path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    # what was kept before digests were noted can only be looked for
    return f"{path} is not what was written" if digest is not None and found != digest else None


def _sweep(cache_dir: Path) -> None:
    for folder in _folders(cache_dir):
        if folder.name.startswith(".") and time.time() - _changed_at(folder) > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _folders(cache_dir: Path) -> Iterator[Path]:
    try:
        yield from sorted((cache_dir / FOLDER).iterdir())
    except OSError:
        return  # nothing was ever kept


def _told(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / KEY_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _changed_at(path: Path) -> float:
    return _asked(lambda: path.stat().st_mtime, 0.0)


def _size(folder: Path) -> int:
    return int(_asked(lambda: sum(path.stat().st_size for path in folder.iterdir()), 0))


def _asked(question: Callable[[], float], otherwise: float) -> float:
    """The answer, unless another process has deleted what was asked about."""
    try:
        return question()
    except OSError:
        return otherwise
