"""What is on the page of a round? First the answer, then the evidence, then where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.decide.facts import PROBE_STAGE
from scheduler.report import numbers, pictures
from scheduler.report.advice import advice
from scheduler.report.attachments import Attachments
from scheduler.report.curves import NAMED_AT_MOST, panels
from scheduler.report.forest import Forest, forest
from scheduler.report.fresh_seeds import FreshSeeds, fresh_seeds
from scheduler.report.funnel import FunnelStep, funnel
from scheduler.report.gains import Gain, gains
from scheduler.report.history import AttemptTimes, History
from scheduler.report.looks import LookRow, look_rows
from scheduler.report.pictures import LegendEntry
from scheduler.report.provenance import TaskProvenance, provenance
from scheduler.report.reading import TaskReading, read_round
from scheduler.report.side_labels import SideLabel
from scheduler.report.stops import stop_counts
from scheduler.report.templating import markup, preformatted, render
from scheduler.report.text import (
    baseline_fields,
    run_counts,
    task_description,
    time_counts,
    unmatched_reason,
)
from scheduler.report.timeline import Timeline, timelines

#: variants of which nothing is known that are listed without being asked for
UNFOLDED_AT_MOST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture with the sentence below it. `svg` is markup."""

    svg: Any
    caption: str
    #: of the same, for a phone; None where one fits all
    narrow_svg: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """One task, as the page shows it."""

    number: int
    reading: TaskReading
    description: str
    rows: tuple[Gain, ...]
    baselines: tuple[str, ...]
    #: sentences that hold for several variants of the task
    warnings: tuple[str, ...]
    forest: Figure | None
    curves: tuple[Figure, ...]
    legend: tuple[LegendEntry, ...]
    funnel: tuple[FunnelStep, ...]
    fresh: FreshSeeds | None
    looks: tuple[LookRow, ...]
    #: why each unmatched reading is none, in the order of the boxes
    unmatched_reasons: tuple[str, ...]
    provenance: TaskProvenance

    @property
    def main_rows(self) -> tuple[Gain, ...]:
        """All of them, but a long tail about which nothing is known."""
        return tuple(row for row in self.rows if row not in self.other_rows)

    @property
    def other_rows(self) -> tuple[Gain, ...]:
        tail = [row for row in self.rows if not row.has_fresh_seeds and row.verdict in (None, "INCONCLUSIVE")]
        return tuple(tail) if len(tail) > UNFOLDED_AT_MOST else ()

    @property
    def has_fresh_seeds(self) -> bool:
        return any(row.has_fresh_seeds for row in self.rows)


def render_page(history: History, attachments: Attachments, labels: Sequence[SideLabel] = ()) -> str:
    """The whole page. The same records and files give the same bytes."""
    reading = read_round(history.state)
    tasks = [_task(number, task) for number, task in enumerate(reading.tasks, start=1)]
    attempts = history.attempts()
    return render(
        "round.html",
        reading=reading,
        round=reading.state.round,
        history=history,
        tasks=tasks,
        advice=advice(reading, {task.reading.name: task.rows for task in tasks}),
        is_live=reading.outcome == "in progress",
        run_counts=run_counts(reading.totals),
        stop_counts=stop_counts(reading.stops),
        time_counts=time_counts(reading.totals),
        device_figures=[*_timelines(timelines(history)), *_usage(attempts)],
        attempts=list(enumerate(attempts, start=1)),
        probe_stage=PROBE_STAGE,
        attachments=attachments,
        labels=labels,
        spec=None if attachments.spec is None else preformatted(attachments.spec),
    )


def _task(number: int, task: TaskReading) -> TaskPage:
    rows = gains(task)
    confirm_set = task.state.confirm_set
    return TaskPage(
        number=number,
        reading=task,
        description=task_description(task.state.task),
        rows=rows,
        baselines=tuple(
            f"{baseline.stage}: {' '.join(baseline_fields(task.objective, baseline))}"
            for baseline in task.baselines
        ),
        warnings=tuple(dict.fromkeys(warning for row in rows for warning in row.warnings)),
        forest=_forest(number, task, rows),
        curves=tuple(_curves(number, task, rows)),
        legend=tuple(_legend(rows)),
        funnel=tuple(funnel(task, None if confirm_set is None else len(confirm_set.candidates))),
        fresh=fresh_seeds(task),
        looks=tuple(look_rows(task)),
        unmatched_reasons=tuple(unmatched_reason(task.objective, box) for box in task.unmatched),
        provenance=provenance(task),
    )


def _forest(number: int, task: TaskReading, rows: Sequence[Gain]) -> Figure | None:
    plot = forest(task.objective, rows)
    if plot is None:
        return None
    title = f"Gains of the variants of {task.name} over the baseline, in {plot.unit}"
    svg = pictures.forest_picture(plot, name=f"forest-{number}", title=title)
    return Figure(svg=markup(svg), caption=" ".join(_key(plot)))


def _key(plot: Forest) -> Iterator[str]:
    """What the marks mean, as far as there are any."""
    if any(row.is_fresh for row in plot.rows):
        yield "Filled circle: raw gain on fresh seeds."
    if any(row.shrunk is not None for row in plot.rows):
        yield "Diamond: shrunk gain."
    if any(row.interval is not None for row in plot.rows):
        yield "Line: 90 % interval."
    if any(not row.is_fresh and row.raw is not None for row in plot.rows):
        yield "Open circle: screening delta, on the seeds that selected the variant."
    if any(row.per_seed for row in plot.rows):
        yield "Ticks: one a seed."
    yield "Shaded: effects smaller than min_effect."
    if plot.left_out:
        yield f"The {plot.left_out} lowest are left out."


def _curves(number: int, task: TaskReading, rows: Sequence[Gain]) -> Iterator[Figure]:
    has_fresh_seeds = task.state.confirm_set is not None
    for place, panel in enumerate(panels(task, rows, has_fresh_seeds=has_fresh_seeds), start=1):
        title = f"{panel.metric} of {task.name} against steps, {panel.title}"
        name = f"curves-{number}-{place}"
        seeds = max((len(curve.seeds) for curve in (*(c for _, c in panel.named), *panel.others)), default=0)
        of_baseline = len(panel.baseline.seeds) if panel.baseline is not None else 0
        band = "; band: lowest to highest seed" if max(seeds, of_baseline) > 1 else ""
        yield Figure(
            svg=markup(pictures.curves_picture(panel, name=name, title=title)),
            caption=f"{numbers.count(of_baseline, 'baseline seed')}, {seeds} a variant{band}",
        )


def _legend(rows: Sequence[Gain]) -> Iterator[LegendEntry]:
    yield LegendEntry(label="baseline", colour="baseline", dashes="", width=3)
    for place, row in enumerate(rows[:NAMED_AT_MOST]):
        yield LegendEntry(label=row.config, colour=f"series-{place + 1}", dashes=pictures.DASHES[place])
    if len(rows) > NAMED_AT_MOST:
        yield LegendEntry(label=f"{len(rows) - NAMED_AT_MOST} more", colour="faint", dashes="")


def _timelines(found: Sequence[Timeline]) -> Iterator[Figure]:
    for number, timeline in enumerate(found, start=1):
        title = f"What {timeline.device} did during the round"
        wide, narrow = (
            markup(
                pictures.timeline_picture(
                    timeline, name=f"timeline-{number}-{kind}", title=title, width=width, css_class=kind
                )
            )
            for kind, width in (("wide", pictures.WIDE), ("narrow", pictures.NARROW))
        )
        yield Figure(
            svg=wide,
            narrow_svg=narrow,
            caption=(
                f"{timeline.device} from the round's acceptance to its last record. Waiting: a run was being"
                " prepared and none trained. Idle: nothing of this round was under way."
            ),
        )


def _usage(attempts: Sequence[AttemptTimes]) -> Iterator[Figure]:
    ends = [
        (number, attempt.finished)
        for number, attempt in enumerate(attempts, start=1)
        if attempt.finished is not None and attempt.finished.cached_from is None
    ]
    for metric, name, told in (
        ("peak memory (MiB)", "memory", [(n, end.peak_memory_mib, end.has_failed) for n, end in ends]),
        (
            "energy (Wh)",
            "energy",
            [(n, end.energy_joule and end.energy_joule / 3600, end.has_failed) for n, end in ends],
        ),
    ):
        values = [(number, value, failed) for number, value, failed in told if value is not None]
        if values:
            title = f"{metric} by run"
            yield Figure(
                svg=markup(pictures.bars_picture(values, metric=metric, name=name, title=title)),
                caption=f"{title}; numbers as in the list of runs",
            )
