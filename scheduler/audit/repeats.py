"""Which rows are the same run written down again? A partial copy of a file, or a line appended twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scheduler.audit.rows import RecordFile, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Rows of `source` that `of` holds too; they are left out."""

    source: str
    of: str
    rows: int


def count_once(files: Sequence[RecordFile]) -> tuple[tuple[Row, ...], tuple[Repeat, ...]]:
    """All rows in order, each run once, and what was left out.

    A run is known by its folder. A row without one (a failure, a probe) is only taken for a copy where its
    file shares runs with an earlier one: two rounds may well fail in the same words. Files with more rows
    come first, so that it is the partial copy that repeats.
    """
    order = sorted(files, key=lambda file: -len(file.rows))
    kept: dict[str, list[Row]] = {}
    owner: dict[tuple[str, ...], str] = {}
    repeats: Counter[tuple[str, str]] = Counter()
    for file in order:
        originals = {owner[key] for row in file.rows if (key := _run(row)) in owner}
        copies = Counter(row.digest for source in originals for row in kept[source] if _run(row) is None)
        own: list[Row] = []
        for row in file.rows:
            key = _run(row)
            if key is not None and key in owner:
                repeats[file.source, owner[key]] += 1
            elif key is None and copies[row.digest] > 0:
                copies[row.digest] -= 1
                repeats[file.source, _holder(kept, originals, row)] += 1
            else:
                own.append(row)
                if key is not None:
                    owner[key] = file.source
        kept[file.source] = [*kept.get(file.source, ()), *own]
    told = tuple(
        Repeat(source=source, of=of, rows=number) for (source, of), number in sorted(repeats.items())
    )
    return tuple(row for source in dict.fromkeys(f.source for f in files) for row in kept[source]), told


def _run(row: Row) -> tuple[str, ...] | None:
    """What tells a run from all others; None for a row that names no folder, or only reuses one."""
    if not row.run_dir or row.kind != "run" or row.outcome == "reused":
        return None
    return (row.run_dir, row.stage, row.config)


def _holder(kept: dict[str, list[Row]], sources: Iterable[str], row: Row) -> str:
    return next(source for source in sorted(sources) if any(row.digest == r.digest for r in kept[source]))
