"""What is wrong with the records that hand-made scripts left? Nothing is changed, no home is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scheduler.audit.as_json import to_json
from scheduler.audit.audit import audit as audited
from scheduler.audit.reading import read_records, unreadable
from scheduler.audit.rows import RecordFile
from scheduler.cli.reading import PROBLEMS
from scheduler.cli.saying import say, say_json
from scheduler.report.audit_text import render_audit
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UnknownIdError

#: exit status when claims have no baseline of their stage
UNMATCHED = 1
#: a record file of a search has some hundred rows; what is larger is something else
MAX_BYTES = 256 * 1024 * 1024


def audit(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Record files (JSON lines).")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for a program.")] = False,
) -> None:
    """Say what the records of a hand-made search really show.

    Claims without a matched baseline, reruns, no-ops, failures, and the time each took.
    """
    found = audited(read_files(files))
    if as_json:
        say_json(to_json(found))
    else:
        say(render_audit(found), end="")
    for problem in found.problems:
        say(one_line(str(problem), limit=1000), is_problem=True)
    if found.unmatched:
        raise typer.Exit(UNMATCHED)
    if found.problems:
        raise typer.Exit(PROBLEMS)


def read_files(files: list[str]) -> list[RecordFile]:
    """Each file once, under the shortest name that tells it from the others. Raises UnknownIdError."""
    paths = list(dict.fromkeys(Path(file) for file in files))
    for path in paths:
        if not path.exists():
            raise UnknownIdError(f"there is no file {one_line(str(path))}")
    names = [path.name for path in paths]
    return [_read(path, path.name if names.count(path.name) == 1 else str(path)) for path in paths]


def _read(path: Path, name: str) -> RecordFile:
    if path.is_dir():
        return unreadable(name, "is a folder; name the files in it")
    try:
        if path.stat().st_size > MAX_BYTES:
            return unreadable(name, f"is larger than {MAX_BYTES // 1024**2} MiB; split it by rounds")
        return read_records(name, path.read_bytes())
    except OSError as error:
        return unreadable(name, f"cannot be read: {error.strerror}")
