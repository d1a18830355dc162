"""Which files of a round may a page link to? Names relative to the round's folder, as they lie there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.effects.plain_text import plain_text
from scheduler.report.history import History
from scheduler.rounds.parse import shown_bytes
from scheduler.rounds.paths import RoundPaths

#: files of a run that a person opens, in this order
_OF_A_RUN = ("error.txt", "out.log", "metrics.jsonl", "result.json", "config.json", "source.diff")
_OF_A_ROUND = ("records.jsonl", "summary.txt", "summary.md", "round.json")
_JUDGED_AT_MOST = 200
_SPEC_AT_MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachments:
    """What lies in the round's folder."""

    #: the spec as accepted, as text; None when the file is gone
    spec: str | None = None
    spec_file: str = ""
    of_round: tuple[str, ...] = ()
    #: file names by run folder
    of_runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: documents of other ways of judging, below `judged/`
    judged: tuple[str, ...] = ()


def find_attachments(history: History, paths: RoundPaths) -> Attachments:
    """What there is to link to, in an order that does not depend on the disk."""
    spec = paths.spec(history.state.accepted.suffix)
    folders = dict.fromkeys(attempt.intended.run_dir for attempt in history.attempts())
    return Attachments(
        spec=_text(spec) if spec.is_file() else None,
        spec_file=spec.name,
        # The summaries are written with the page.
        of_round=(spec.name, *_OF_A_ROUND),
        of_runs={folder: _files(paths, folder) for folder in folders},
        judged=_judged(paths),
    )


def _text(spec: Path) -> str:
    """The spec as it was written, apart from values that are nobody's business."""
    try:
        data = spec.read_bytes()
    except PermissionError:
        return f"{spec.name} holds secrets: only the daemon's user may read it\n"
    shown = shown_bytes(data, spec.suffix)
    if shown is None:
        return f"{spec.name} is not shown: it spells a secret in a way that cannot be cut out\n"
    data = shown
    cut = data[:_SPEC_AT_MOST_BYTES].decode("utf-8", "replace")
    more = len(data) - _SPEC_AT_MOST_BYTES
    return plain_text(cut) + (f"[... {more} more bytes; see the file ...]\n" if more > 0 else "")


def _files(paths: RoundPaths, folder: str) -> tuple[str, ...]:
    root = paths.run(folder).root
    return tuple(name for name in _OF_A_RUN if (root / name).is_file())


def _judged(paths: RoundPaths) -> tuple[str, ...]:
    if not paths.judged.is_dir():
        return ()
    found = (path for path in paths.judged.rglob("*") if path.is_file() and not path.name.startswith("."))
    names = sorted(str(path.relative_to(paths.root)) for path in found)
    return tuple(names[:_JUDGED_AT_MOST])
