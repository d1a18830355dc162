"""How does a round read on a web page? The same summary as tables."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from policies.evidence import Objective
from scheduler.report import numbers
from scheduler.report.printable import one_line
from scheduler.report.reading import RoundReading, TaskReading, VariantReading
from scheduler.report.stops import stop_counts
from scheduler.report.text import (
    baseline_fields,
    confirm_set_words,
    gain_words,
    later_stage_title,
    look_words,
    run_counts,
    seed_fields,
    task_description,
    time_counts,
    unmatched_reason,
    variant_fields,
)
from scheduler.report.unmatched import UnmatchedBox


def render_markdown(reading: RoundReading) -> str:
    """The whole summary, ending with a newline."""
    current = reading.state.round
    lines = [f"# {_cell(current.id)}", ""]
    if current.title:
        lines += [_cell(current.title), ""]
    verdicts = ", ".join(f"{number} {name}" for name, number in reading.verdicts.items())
    lines += [f"**{reading.outcome}**; verdicts: {verdicts or 'none yet'}.", ""]
    if reading.state.cancelled is not None:
        lines += [f"Cancelled: {_cell(reading.state.cancelled.reason)}", ""]
    lines += [
        "A delta is variant minus baseline at the same stage, protocol and seeds; positive is better.",
        "",
    ]
    for task in reading.tasks:
        lines += [f"## {_cell(task.name)}", "", *_task(task)]
    lines += ["## Totals", ""]
    lines += [f"- runs: {', '.join(_cell(count) for count in run_counts(reading.totals))}"]
    if stops := stop_counts(reading.stops):
        lines += [f"- stops: {', '.join(_cell(count) for count in stops)}"]
    lines += [f"- time: {', '.join(_cell(count) for count in time_counts(reading.totals))}"]
    return "\n".join(lines) + "\n"


def _task(task: TaskReading) -> Iterator[str]:
    yield _cell(task_description(task.state.task))
    yield ""
    parked = task.state.parked
    if parked is not None:
        yield f"**Parked** ({_cell(parked.failure_class)}): {_cell(parked.reason)}  "
        yield f"Remedy: {_cell(parked.remedy)} (`schedctl retry {parked.round} {parked.task}`)"
        yield ""
    if task.rebatched:
        yield from (_cell(task.rebatched), "")
    for baseline in task.baselines:
        fields = " ".join(baseline_fields(task.objective, baseline))
        yield f"- baseline {baseline.stage}: {_cell(fields)}"
    yield ""
    for title, variants in (("Survivors", task.survivors), ("Pruned", task.pruned), ("Held", task.held)):
        yield from _variants(task.objective, title, variants)
    for stage, variants in task.confirmed.items():
        yield from _variants(task.objective, later_stage_title(task, stage), variants)
    yield from _looks(task)
    if task.undecided:
        yield from (f"Not decided: {', '.join(_cell(name) for name in task.undecided)}", "")
    if task.device_notes:
        yield from ("### Device", "", *(f"- {_cell(note)}" for note in task.device_notes), "")
    yield from _failures(task)
    yield from _verdicts(task)
    for box in task.unmatched:
        yield from _unmatched(task.objective, box)


def _variants(objective: Objective, title: str, variants: Sequence[VariantReading]) -> Iterator[str]:
    if not variants:
        return
    rows = []
    for variant in variants:
        fields = " ".join(variant_fields(objective, variant, shows_loss=True)) or "-"
        seeds = " ".join(seed_fields(objective, variant)) if variant.fact.sd is not None else "-"
        rows.append((variant.fact.config, fields, seeds, variant.fact.reason))
    yield from (f"### {_cell(title)}", "")
    yield from _table(("variant", "result", "seeds", "why"), rows)


def _looks(task: TaskReading) -> Iterator[str]:
    frozen = task.state.confirm_set
    if frozen is None:
        return
    yield from (f"### {_cell(confirm_set_words(frozen))}", "")
    rows = [(name, *_at_looks(task, name, frozen.looks)) for name in frozen.candidates]
    if rows:
        heads = (f"look {look}" for look in range(1, frozen.looks + 1))
        yield from _table(("candidate", *heads), rows)


def _at_looks(task: TaskReading, name: str, looks: int) -> Iterator[str]:
    taken = {look.look: look for look in task.state.looks}
    for number in range(1, looks + 1):
        look = taken.get(number)
        is_there = look is not None and name in look.readings
        words = look_words(task.objective, look, name) if look is not None and is_there else "-"
        yield words.removeprefix(f"look {number} ")


def _failures(task: TaskReading) -> Iterator[str]:
    if task.failures:
        yield from ("### Failed", "")
        yield from _table(
            ("variant", "run", "class", "message", "remedy"),
            [
                (
                    failure.run.config,
                    f"{failure.run.stage} seed={failure.run.seed},"
                    f" {numbers.count(failure.attempts, 'attempt')}",
                    failure.run.failure_class or failure.run.status,
                    failure.message,
                    failure.remedy,
                )
                for failure in task.failures
            ],
        )


def _verdicts(task: TaskReading) -> Iterator[str]:
    if task.state.verdicts:
        yield from ("### Verdicts", "")
        rows = [
            (
                config,
                fact.verdict,
                gain_words(task.objective, fact) or "-",
                "; ".join((fact.reason, *fact.warnings)),
            )
            for config, fact in task.state.verdicts.items()
        ]
        yield from _table(("variant", "verdict", "gain", "why"), rows)


def _unmatched(objective: Objective, box: UnmatchedBox) -> Iterator[str]:
    yield from ("### unmatched reading (not evidence)", "")
    yield f"> {box.stage} variant minus *{box.first_stage}* baseline, as a search by hand would report it."
    yield f"> {_cell(unmatched_reason(objective, box))}"
    yield ""
    rows = [
        (
            reading.config,
            numbers.signed(objective, reading.unmatched),
            "-" if reading.matched is None else numbers.signed(objective, reading.matched),
        )
        for reading in box.readings
    ]
    yield from _table(("variant", "unmatched", "matched"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table and the empty line after it."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    yield ""


def _cell(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for its own."""
    escaped = html.escape(one_line(text), quote=False)
    for char in "\\|*_`[]":
        escaped = escaped.replace(char, "\\" + char)
    return escaped
