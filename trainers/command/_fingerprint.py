"""What does the result of a command depend on? Its command line, its inputs, and the checkout it runs in."""

from __future__ import annotations

import glob
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from trainers.contract import DataError, Fingerprint

DIGEST_LENGTH = 16

GIT_TIMEOUT_SECONDS = 30.0

#: folders of a home that change while rounds run and belong to no experiment
SPOOL_FOLDERS = ("queue", "results")


def fingerprint_of(command: dict[str, Any], inputs: tuple[str, ...], cwd: Path, home: Path) -> Fingerprint:
    """Digest of `command` (what is executed), of the files of `inputs` (globs, relative to `cwd`) and of git.

    Raises DataError with every glob that matches nothing.
    """
    parts = {"command": _digest(orjson.dumps(command, option=orjson.OPT_SORT_KEYS))}
    parts |= _inputs(inputs, cwd)
    checkout = _checkout(cwd, home)
    if checkout is not None:
        parts["git"] = checkout
    digest = _digest(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))
    return Fingerprint(digest=digest, is_complete=bool(inputs) or checkout is not None, parts=parts)


def _inputs(patterns: tuple[str, ...], cwd: Path) -> dict[str, str]:
    parts, missing = {}, []
    for pattern in patterns:
        files = sorted(set(_files(pattern, cwd)))
        if not files:
            missing.append(pattern)
            continue
        # a pipe would be waited for, and a device has no end
        if odd := [name for name, file in files if not file.is_file()]:
            raise _about_inputs(f"inputs lead to what is no regular file: {', '.join(odd)}")
        whole = hashlib.sha256()
        for name, file in files:
            whole.update(f"{name}\0{_file_digest(file)}\n".encode())
        parts[pattern] = whole.hexdigest()[:DIGEST_LENGTH]
    if missing:
        raise _about_inputs(f"inputs match no file: {', '.join(missing)} (looked in {cwd})")
    return parts


def _about_inputs(message: str) -> DataError:
    error = DataError(message)
    error.field = "inputs"
    return error


def _files(pattern: str, cwd: Path) -> Iterator[tuple[str, Path]]:
    """(name, file) for each file that the glob names, and for those below each folder that it names."""
    for name in glob.glob(pattern, root_dir=cwd, recursive=True, include_hidden=False):
        path = cwd / name
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
            yield from (
                (str(file.relative_to(cwd)) if not Path(name).is_absolute() else str(file), file)
                for file in below
            )
        else:
            yield name, path


def _checkout(cwd: Path, home: Path) -> str | None:
    """Digest of HEAD and of all that is not committed; None where `cwd` is not kept by git."""
    top = _git(cwd, "rev-parse", "--show-toplevel")
    if top is None or _git(cwd, "check-ignore", "-q", ".") is not None:
        return None
    root = Path(top.decode().rstrip("\n"))
    head = _git(root, "rev-parse", "HEAD") or b"no commit"
    spool = [
        f":(exclude,top){folder.relative_to(root)}" for folder in _spool(home) if folder.is_relative_to(root)
    ]
    diff = _git(root, "diff", "HEAD", "--", ".", *spool) or b""
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".", *spool) or b""
    whole = hashlib.sha256(head + b"\0" + diff)
    for name in sorted(filter(None, untracked.split(b"\0"))):
        file = root / name.decode(errors="surrogateescape")
        if file.is_file():
            whole.update(name + b"\0" + _file_digest(file).encode() + b"\n")
    return whole.hexdigest()[:DIGEST_LENGTH]


def _spool(home: Path) -> Iterator[Path]:
    for name in SPOOL_FOLDERS:
        yield (home / name).resolve()


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Output of a git command that succeeded; None for one that did not, or where there is no git."""
    try:
        # Without optional locks git writes nothing, not even a refreshed index.
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=GIT_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
