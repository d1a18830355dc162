"""What do the ways of judging say of a round that its spec asks for? Sections beside the verdicts.

They read the evidence the verdicts rest on and decide nothing. Derived: the same records and run files give
the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.evidence import UnmatchedError
from scheduler.decide.state import RoundState
from scheduler.effects.files import publish
from scheduler.judging import exhibit_names, judged
from scheduler.judging._markdown import cell, table
from scheduler.judging.evidence import Sample, UnfitRunsError
from scheduler.judging.protocol import Judged
from scheduler.report.documents import documents_of
from scheduler.report.learnings import judge_options
from scheduler.report.printable import one_line
from scheduler.report.round_evidence import task_sample
from scheduler.rounds.paths import RoundPaths

TITLE = "Side labels"
_WORDS = "Other ways of judging the same runs. They decide nothing: the verdicts above do."
_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SideLabel:
    """What one way of judging says of one task, or why it says nothing."""

    task: str
    way: str
    answer: Judged | None
    #: set where there is no answer
    reason: str = ""


def side_labels(round_state: RoundState, paths: RoundPaths) -> tuple[SideLabel, ...]:
    """Every way of judging that the round asks for, of every task, in file order."""
    asked = judge_options(round_state, paths)
    if not asked:
        return ()
    return tuple(
        label
        for task in round_state.tasks.values()
        for label in _of_task(
            task.task.name, asked, _sample(round_state, task.task.name, paths, exhibit_names(asked))
        )
    )


def publish_documents(labels: Sequence[SideLabel], paths: RoundPaths) -> None:
    """Put the documents into `judged/<task>/`, and take away those that an earlier report left there."""
    contents = {
        Path(label.task) / name: text
        for label in labels
        if label.answer is not None
        for name, text in documents_of(label.answer).items()
    }
    for name, text in contents.items():
        path = paths.judged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, text.encode())
    for path in paths.judged.glob("*/*"):
        if path.is_file() and path.relative_to(paths.judged) not in contents:
            path.unlink()


def text_section(labels: Sequence[SideLabel]) -> str:
    """The section of summary.txt; empty where nothing was asked for."""
    if not labels:
        return ""
    lines = ["-" * _WIDTH, f"{TITLE.lower()}: {_WORDS}"]
    for label in labels:
        lines.append(f"  [{label.task}] {label.way}")
        rows = [(each.config, each.word, each.line) for each in label.answer.labels()] if label.answer else []
        for row in rows or [("-", "NOT JUDGED", label.reason)]:
            config, word, line = (one_line(text, limit=600) for text in row)
            lines += textwrap.wrap(f"    {config:<24} {word} {line}", _WIDTH, subsequent_indent=" " * 29)
    return "\n".join(lines) + "\n"


def markdown_section(labels: Sequence[SideLabel]) -> str:
    """The section of summary.md, with links to the documents; empty where nothing was asked for."""
    if not labels:
        return ""
    lines = ["", f"## {TITLE}", "", _WORDS, ""]
    for label in labels:
        lines += [f"### {cell(label.task)}: {cell(label.way)}", ""]
        if label.answer is None:
            lines += [f"Not judged: {cell(label.reason)}", ""]
            continue
        rows = [(each.config, each.word, each.line) for each in label.answer.labels()]
        lines += table(("config", "label", "figures"), rows)
        names = documents_of(label.answer)
        lines += [", ".join(f"[{cell(name)}](judged/{label.task}/{name})" for name in names), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _of_task(
    task: str, asked: Mapping[str, Mapping[str, object]], sample: Sample | str
) -> Iterator[SideLabel]:
    for way, options in asked.items():
        if isinstance(sample, str):
            yield SideLabel(task=task, way=way, answer=None, reason=sample)
            continue
        try:
            yield SideLabel(task=task, way=way, answer=judged(way, sample, options))
        except ValueError as error:
            # also options that a later version no longer takes: an old round's report is not lost by them
            yield SideLabel(task=task, way=way, answer=None, reason=str(error))


def _sample(round_state: RoundState, task: str, paths: RoundPaths, exhibits: Sequence[str]) -> Sample | str:
    """The evidence, or why there is none."""
    try:
        return task_sample(round_state, round_state.tasks[task], paths, exhibits=exhibits)
    except (UnfitRunsError, UnmatchedError) as error:
        return str(error)
