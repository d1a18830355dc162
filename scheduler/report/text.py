"""How does a round read in a terminal? The summary its users know, in plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.report import numbers
from scheduler.report.printable import one_line
from scheduler.report.reading import (
    BaselineReading,
    FailureReading,
    RoundReading,
    TaskReading,
    VariantReading,
)
from scheduler.report.runs import Totals
from scheduler.report.stops import stop_counts
from scheduler.report.unmatched import UnmatchedBox
from scheduler.rounds.round import Task

WIDTH = 100
_NAME_WIDTH = 24
#: column under the first figure of a variant's line
_INDENT = " " * (4 + _NAME_WIDTH + 1)


def render_text(reading: RoundReading) -> str:
    """The whole summary, ending with a newline."""
    lines = list(_header(reading))
    for task in reading.tasks:
        lines += [*_task(task), "-" * WIDTH]
    lines += _totals(reading)
    return "\n".join(lines) + "\n"


def _header(reading: RoundReading) -> Iterator[str]:
    current = reading.state.round
    yield "=" * WIDTH
    yield f"{current.id}: {one_line(current.title)}" if current.title else current.id
    verdicts = ", ".join(f"{number} {name}" for name, number in reading.verdicts.items())
    yield f"{reading.outcome}; verdicts: {verdicts or 'none yet'}"
    if reading.state.cancelled is not None:
        yield f"cancelled: {one_line(reading.state.cancelled.reason)}"
    yield "A delta is variant minus baseline at the same stage, protocol and seeds; positive is better."
    yield "=" * WIDTH


def _task(task: TaskReading) -> Iterator[str]:
    yield f"[{task.name}]"
    yield f"  {task_description(task.state.task)}"
    yield from _parked(task)
    if task.rebatched:
        yield from textwrap.wrap(
            f"  {task.rebatched}", WIDTH, subsequent_indent="    ", break_on_hyphens=False
        )
    for baseline in task.baselines:
        yield f"  baseline {baseline.stage}: {' '.join(baseline_fields(task.objective, baseline))}"
    for title, variants in (("survivors", task.survivors), ("pruned", task.pruned), ("held", task.held)):
        if variants:
            yield f"  {title}:"
            for variant in variants:
                yield from _variant(task.objective, variant, shows_reason=title != "survivors")
    for stage, variants in task.confirmed.items():
        if variants:
            yield f"  {later_stage_title(task, stage)}:"
            for variant in variants:
                yield from _variant(task.objective, variant, shows_loss=True)
    yield from _looks(task)
    if task.undecided:
        yield f"  not decided: {', '.join(task.undecided)}"
    yield from _device(task)
    if task.failures:
        yield "  failed:"
        for failure in task.failures:
            yield from _failure(failure)
    if task.state.verdicts:
        yield "  verdicts:"
        for config, verdict in task.state.verdicts.items():
            yield from _verdict(task.objective, config, verdict)
    for box in task.unmatched:
        yield from _unmatched(task.objective, box)


def _device(task: TaskReading) -> Iterator[str]:
    if task.device_notes:
        yield "  device:"
    for note in task.device_notes:
        yield from textwrap.wrap(f"    {note}", WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False)


def _looks(task: TaskReading) -> Iterator[str]:
    """How each candidate's fresh seeds came out, look by look."""
    frozen = task.state.confirm_set
    if frozen is None:
        return
    yield f"  {confirm_set_words(frozen)}"
    for name in frozen.candidates:
        words = "; ".join(
            look_words(task.objective, look, name) for look in task.state.looks if name in look.readings
        )
        if words:
            yield from textwrap.wrap(
                f"    {name:<{_NAME_WIDTH}} {words}", WIDTH, subsequent_indent=_INDENT, break_on_hyphens=False
            )


def _verdict(objective: Objective, config: str, verdict: facts.VerdictReached) -> Iterator[str]:
    start = f"    {config:<{_NAME_WIDTH}} {verdict.verdict:<12} "
    gain = gain_words(objective, verdict)
    lines = [*([gain] if gain else []), one_line(verdict.reason), *map(one_line, verdict.warnings)]
    for number, line in enumerate(lines):
        first = start if number == 0 else _INDENT + " " * 13
        yield from textwrap.wrap(
            first + line, WIDTH, subsequent_indent=_INDENT + " " * 13, break_on_hyphens=False
        )


def _parked(task: TaskReading) -> Iterator[str]:
    parked = task.state.parked
    if parked is not None:
        yield f"  PARKED class={parked.failure_class}: {one_line(parked.reason)}"
        yield f"    remedy: {one_line(parked.remedy)} (schedctl retry {parked.round} {parked.task})"


def _variant(
    objective: Objective,
    reading: VariantReading,
    *,
    shows_loss: bool = False,
    shows_reason: bool = False,
) -> Iterator[str]:
    fact = reading.fact
    fields = variant_fields(objective, reading, shows_loss=shows_loss)
    if shows_reason or fact.d_acc is None:
        fields.append(f"({one_line(fact.reason)})")
    yield f"    {fact.config:<{_NAME_WIDTH}} {' '.join(fields)}"
    if fact.sd is not None:
        for line in textwrap.wrap(" ".join(seed_fields(objective, reading)), WIDTH - len(_INDENT)):
            yield _INDENT + line


def _failure(failure: FailureReading) -> Iterator[str]:
    run = failure.run
    tries = f" after {failure.attempts} attempts" if failure.attempts > 1 else ""
    yield f"    {run.config:<{_NAME_WIDTH}} {run.stage} seed={run.seed} class={run.failure_class}{tries}"
    yield f"{_INDENT}{failure.message}"
    yield f"{_INDENT}remedy: {failure.remedy}"
    yield f"{_INDENT}runs/{run.run_dir}/error.txt"


def _unmatched(objective: Objective, box: UnmatchedBox) -> Iterator[str]:
    """The one box with the hand-made arithmetic, drawn so that nobody takes it for a result."""
    content = [
        f"{box.stage} variant minus *{box.first_stage}* baseline, as a search by hand would report it:"
    ]
    for reading in box.readings:
        matched = "-" if reading.matched is None else numbers.signed(objective, reading.matched)
        claimed = numbers.signed(objective, reading.unmatched)
        content.append(f"  {reading.config:<{_NAME_WIDTH}} unmatched {claimed:>9}   matched {matched:>9}")
    content += textwrap.wrap(unmatched_reason(objective, box), WIDTH - 6)
    title = " unmatched reading (not evidence) "
    width = max(WIDTH - 6, *(len(line) for line in content))
    yield f"  +-{title}{'-' * (width - len(title))}-+"
    for line in content:
        yield f"  | {line:<{width}} |"
    yield f"  +-{'-' * width}-+"


def _totals(reading: RoundReading) -> Iterator[str]:
    total = reading.totals
    rows = {"runs": run_counts(total), "stops": stop_counts(reading.stops), "time": time_counts(total)}
    for word, counts in ((word, counts) for word, counts in rows.items() if counts):
        yield from textwrap.wrap(f"{word}: {', '.join(counts)}", WIDTH, subsequent_indent="  ")


def task_description(task: Task) -> str:
    """Trainer, objective and policy, as declared before the round ran."""
    objective = task.objective
    options = ", ".join(f"{name}={value}" for name, value in task.policy.options.items())
    smallest = numbers.signed(objective, objective.min_effect)
    return one_line(
        f"trainer {task.trainer}; {objective.direction} {objective.metric}, effects from {smallest};"
        f" policy {task.policy.name}{f' ({options})' if options else ''}"
    )


def later_stage_title(task: TaskReading, stage: str) -> str:
    """What the deltas of a later stage are: what a threshold confirms on, or a selection by slot 0."""
    if task.state.confirm_set is None:
        return f"{stage} confirmed"
    is_confirming = task.state.task.stages[1].name == stage
    return f"{stage} at slot 0 (it selects the candidates, and judges nobody)" if is_confirming else stage


def confirm_set_words(frozen: facts.ConfirmSetFrozen) -> str:
    """Who was confirmed, as it was frozen."""
    if not frozen.candidates:
        return "no variant was likely enough to be confirmed on fresh seeds"
    looks = numbers.count(frozen.looks, "look")
    names = numbers.count(len(frozen.candidates), "candidate")
    return f"fresh seeds ({names}, {looks} declared, alpha {frozen.alpha:g}):"


def look_words(objective: Objective, look: facts.LookTaken, name: str) -> str:
    """`look 1 +6.84pp p=0.195`; p is adjusted for looks and candidates."""
    reading = look.readings[name]
    end = " given up" if name in look.futile else ""
    delta = numbers.signed(objective, reading["delta"])
    return f"look {look.look} {delta} adjusted p={reading['adjusted_p']:.2g}{end}"


def gain_words(objective: Objective, verdict: facts.VerdictReached) -> str:
    """`+8.49pp raw, +7.95pp shrunk [+4.82, +10.69], 2v3 seeds`; empty where nothing was estimated."""
    if verdict.shrunk_gain is None or verdict.interval is None:
        return ""
    low, high = (numbers.signed(objective, end).removesuffix(objective.unit) for end in verdict.interval)
    shrunk = f"{numbers.signed(objective, verdict.shrunk_gain)} shrunk [{low}, {high}]"
    if verdict.raw_gain is None:
        return f"{shrunk}, no fresh seeds"
    raw = numbers.signed(objective, verdict.raw_gain)
    return f"{raw} raw, {shrunk}, {verdict.variant_seeds}v{verdict.baseline_seeds} seeds"


def baseline_fields(objective: Objective, baseline: BaselineReading) -> list[str]:
    """`acc=58.89% loss=2.7309 bsz=64 n_eval=1024`, with the spread over seeds where there are several."""
    fields = [numbers.value_text(objective, baseline.value)]
    if baseline.loss is not None:
        fields.append(f"loss={numbers.plain_number(baseline.loss)}")
    if baseline.sd is not None:
        fields.append(numbers.spread_text(objective, objective.scale * baseline.sd))
        fields.append(f"seeds={','.join(str(seed) for seed in baseline.seeds)}")
    if baseline.bsz is not None:
        fields.append(f"bsz={baseline.bsz}")
    if baseline.n_eval is not None:
        fields.append(f"n_eval={baseline.n_eval}")
    for name, count in baseline.reused.items():
        of_all = "" if count == len(baseline.seeds) else f" of {len(baseline.seeds)}"
        fields.append(f"({count}{of_all} made by {one_line(name)}, not run again)")
    return fields


def variant_fields(objective: Objective, reading: VariantReading, *, shows_loss: bool = False) -> list[str]:
    """`d_acc=+5.27pp acc=64.16%`; nothing where there is no delta."""
    fact = reading.fact
    fields = []
    if fact.d_acc is not None:
        fields.append(numbers.delta_text(objective, fact.d_acc))
    if fact.variant_mean is not None:
        fields.append(numbers.value_text(objective, fact.variant_mean))
    if shows_loss and reading.loss is not None:
        fields.append(f"loss={numbers.plain_number(reading.loss)}")
    if fact.is_speed_effect:
        fields.append("(a speed effect: the time budget ended a run)")
    return fields


def seed_fields(objective: Objective, reading: VariantReading) -> list[str]:
    """`sd=1.20pp 2+/0=/1- s0:+6.10pp s1:+4.41pp`."""
    fact = reading.fact
    fields = [] if fact.sd is None else [numbers.spread_text(objective, fact.sd)]
    fields += [fact.signs] if fact.signs is not None else []
    return fields + [f"s{seed}:{numbers.signed(objective, delta)}" for seed, delta in fact.per_seed]


def unmatched_reason(objective: Objective, box: UnmatchedBox) -> str:
    """The sentence that says why an unmatched reading is none."""
    gain = numbers.signed(objective, box.baseline_gain)
    return (
        f"The two sides had different budgets: the baseline alone gains {gain} from {box.first_stage}"
        f" to {box.stage}. Only the matched figure counts."
    )


def run_counts(total: Totals) -> list[str]:
    """`12 ended`, `10 ok`, ..., `1 from the cache`."""
    counts = [f"{total.runs} ended"]
    counts += [f"{number} {status}" for status, number in sorted(total.outcomes.items())]
    if total.cached:
        counts.append(f"{total.cached} from the cache")
    if total.probes:
        counts.append(numbers.count(total.probes, "probe"))
    return counts


def time_counts(total: Totals) -> list[str]:
    """Seconds of training by device, evaluation, start-up with its share, energy and peak memory."""
    counts = [
        f"training {seconds:.1f} s on {device}" for device, seconds in sorted(total.train_seconds.items())
    ]
    if total.eval_seconds is not None:
        counts.append(f"evaluation {total.eval_seconds:.1f} s")
    notes = []
    if total.startup_share is not None:
        notes.append(f"{100 * total.startup_share:.0f} % of all")
    if total.overlapped_seconds:
        notes.append(f"{total.overlapped_seconds:.1f} s beside other runs")
    told = f" ({'; '.join(notes)})" if notes else ""
    counts.append(f"start-up {total.startup_seconds:.1f} s{told}")
    if total.energy_joule is not None:
        counts.append(f"energy {total.energy_joule / 3600:.1f} Wh")
    if total.peak_memory_mib is not None:
        counts.append(f"peak memory {total.peak_memory_mib:.0f} MiB")
    return counts
