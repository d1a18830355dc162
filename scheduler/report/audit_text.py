"""How does an audit read in a terminal? The sum of it first, then what was found, kind by kind."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from scheduler.audit.audit import Audit, Cost
from scheduler.audit.claims import Claim
from scheduler.audit.failed import FailureGroup, lost_its_text
from scheduler.audit.rows import Row
from scheduler.report.numbers import count, duration
from scheduler.report.printable import one_line

WIDTH = 100
#: findings of one kind that are listed; --json has them all, and unmatched claims are always named
MAX_LISTED = 25
#: characters of an error that are shown
_MAX_ERROR = 160


def render_audit(found: Audit) -> str:
    """The whole audit, ending with a newline; no line longer than WIDTH unless a name is."""
    lines = [sum_of(found), ""]
    for section in (
        _read(found),
        _costs(found),
        _unmatched(found),
        _matched(found),
        _duplicates(found),
        _no_ops(found),
        _single_seed(found),
        _best_over_evals(found),
        _constant(found),
        _failures(found),
    ):
        told = list(section)
        if told:
            lines += [*told, ""]
    return "\n".join(lines[:-1]) + "\n"


def sum_of(found: Audit) -> str:
    """One line: how many claims stand on nothing, and how much time went for nothing."""
    missing, claims = len(found.unmatched), len(found.claims)
    told = f"{missing} of {count(claims, 'claim')} unmatched" if claims else "no claims at a later stage"
    known = found.known_seconds
    if not known:
        return f"{told}; the records tell no times"
    share = 100 * found.wasted_seconds / known
    wasted = f"{duration(found.wasted_seconds)} of {duration(known)} ({share:.0f} %)"
    return f"{told}; {wasted} went into runs that tell nothing"


def _read(found: Audit) -> Iterator[str]:
    rows = sum(len(file.rows) for file in found.files)
    files = count(len(found.files), "file")
    decisions = sum(row.kind == "decision" for row in found.rows)
    told = f", {count(decisions, 'decision')}" if decisions else ""
    yield f"read: {count(rows, 'row')} in {files}; {count(len(found.runs), 'run')}{told}"
    for repeat in found.repeats:
        rest = count(repeat.rows, "row")
        same = repeat.of if repeat.of != repeat.source else "the same file"
        yield from _wrapped(f"{one_line(repeat.source)}: {rest} also in {one_line(same)}; counted once")
    for file in found.files:
        if file.torn_line is not None:
            yield from _wrapped(
                f"{one_line(file.source)}:{file.torn_line}: the last line is torn; it is left out"
            )
    untimed = [row for row in found.runs if row.place not in found.seconds]
    if untimed and found.seconds:
        yield from _wrapped(f"the time of {count(len(untimed), 'run')} cannot be told")
    if any(row.wall_seconds is None and row.place in found.seconds for row in found.rows):
        yield from _wrapped("times are estimated: from one run's start, in its folder's name, to the next")


def _costs(found: Audit) -> Iterator[str]:
    yield f"{'finding':<28}{'found':>8}{'runs':>8}{'time':>14}{'share':>9}"
    for cost in found.costs:
        if cost.found:
            yield _cost_line(cost)
    if any(cost.found and not cost.is_wasted for cost in found.costs):
        yield "(*) told, but not counted as wasted"


def _cost_line(cost: Cost) -> str:
    name = cost.name if cost.is_wasted else f"{cost.name} (*)"
    time = duration(cost.seconds) if cost.share is not None else "-"
    share = f"{100 * cost.share:.1f} %" if cost.share is not None else "-"
    return f"{name:<28}{cost.found:>8}{len(cost.places):>8}{time:>14}{share:>9}"


def _unmatched(found: Audit) -> Iterator[str]:
    missing = found.unmatched
    if not missing:
        return
    yield _title("unmatched claims: no baseline of the same stage", len(missing))
    yield from _prose(
        "Claimed is the run minus the baseline of the first stage. That measures the longer training as much"
        " as the variant, so it is no effect. Known is the delta at the first stage, where both ran alike."
    )
    by_task: dict[tuple[object, ...], list[Claim]] = {}
    for claim in missing:
        by_task.setdefault((claim.row.scope, claim.row.source, claim.row.task), []).append(claim)
    for claims in by_task.values():
        yield from _task_claims(claims)


def _task_claims(claims: Sequence[Claim]) -> Iterator[str]:
    first = claims[0]
    yield ""
    yield from _wrapped(f"{_task(first.row)} ({one_line(first.row.source)})", "  ")
    baselines = dict.fromkeys(_value(claim, claim.baseline_first) for claim in claims)
    reasons = dict.fromkeys(claim.why_unmatched for claim in claims)
    yield from _wrapped(
        f"baseline: {first.first_stage} {', '.join(baselines)}; {'; '.join(reasons)}:"
        " no matched delta can be computed",
        "  ",
    )
    at_first = f"{first.first_stage} delta"
    yield f"    {'config':<30}{'stage':<10}{'value':>9}{'claimed':>12}{at_first:>14}{'seed':>6}{'line':>7}"
    for claim in claims:
        row = claim.row
        seed = "-" if row.seed is None else str(row.seed)
        yield (
            f"    {one_line(row.config):<30}{one_line(row.stage):<10}{_value(claim, row.value):>9}"
            f"{_delta(claim, claim.claimed):>12}{_delta(claim, claim.first_delta):>14}{seed:>6}{row.line:>7}"
        )


def _matched(found: Audit) -> Iterator[str]:
    matched = sorted(
        (claim for claim in found.claims if claim.is_matched), key=lambda claim: -(claim.matched or 0.0)
    )
    if not matched:
        return
    at_most_zero = sum((claim.matched or 0.0) <= 0 for claim in matched)
    yield _title("matched claims", len(matched))
    yield f"  {at_most_zero} of them gain nothing once matched ({100 * at_most_zero / len(matched):.0f} %)"
    yield f"    {'task, config':<50}{'claimed':>12}{'matched':>12}{'seeds':>8}"
    for claim in matched[:MAX_LISTED]:
        name = f"{_task(claim.row)} {one_line(claim.row.config)}"
        note = "  baseline of other seeds" if claim.is_of_other_seeds else ""
        figures = f"{_delta(claim, claim.claimed):>12}{_delta(claim, claim.matched):>12}{claim.seeds:>8}"
        yield f"    {name:<50}{figures}{note}"
    yield from _more(len(matched))


def _duplicates(found: Audit) -> Iterator[str]:
    if not found.duplicates:
        return
    again = sum(len(each.again) for each in found.duplicates)
    yield _title("bit-identical reruns", again)
    yield from _prose("The same configuration with the same result to the last bit: no new evidence.")
    for each in found.duplicates[:MAX_LISTED]:
        note = "; another seed changed nothing" if each.has_other_seed else ""
        places = ", ".join(one_line(row.place) for row in (each.first, *each.again))
        yield from _wrapped(
            f"{_run(each.first)}: {count(1 + len(each.again), 'time')}{note} ({places})", "    "
        )
    yield from _more(len(found.duplicates))


def _no_ops(found: Audit) -> Iterator[str]:
    if found.no_ops:
        yield _title("no-ops: bit-identical to the baseline", len(found.no_ops))
        yield from _listed(each.row for each in found.no_ops)


def _single_seed(found: Audit) -> Iterator[str]:
    if found.single_seed:
        yield _title("single-seed claims", len(found.single_seed))
        yield from _prose("One run at the claimed stage: nothing tells how far another seed would be off.")
        by_task = groupby(found.single_seed, key=lambda claim: _task(claim.row))
        told = [f"{task}: {', '.join(one_line(c.row.config) for c in claims)}" for task, claims in by_task]
        for line in told[:MAX_LISTED]:
            yield from _wrapped(line, "    ")
        yield from _more(len(told))


def _best_over_evals(found: Audit) -> Iterator[str]:
    told_by_best = [row for row in found.runs if row.has_reading and row.is_best_over_evals]
    if not told_by_best:
        return
    yield _title("signs of the best over evaluations", len(found.best_over_evals))
    shows = " Where it shows:" if found.best_over_evals else ""
    yield from _prose(
        f"{len(told_by_best)} of {count(len(found.runs), 'run')} are told by their best evaluation,"
        f" which rises with the number of evaluations and with their noise.{shows}"
    )
    for each in found.best_over_evals[:MAX_LISTED]:
        yield from _wrapped(f"{_run(each.row)}: {each.text}", "    ")
    yield from _more(len(found.best_over_evals))


def _constant(found: Audit) -> Iterator[str]:
    if found.constant_metrics:
        yield _title("constant metrics", len(found.constant_metrics))
        for each in found.constant_metrics[:MAX_LISTED]:
            first = each.rows[0]
            yield from _wrapped(
                f"{_task(first)} {one_line(first.stage)}: {each.value:.3f} % in all"
                f" {count(len(each.rows), 'run')}, though their losses differ ({one_line(first.source)})",
                "    ",
            )
        yield from _more(len(found.constant_metrics))


def _failures(found: Audit) -> Iterator[str]:
    if found.failures:
        yield _title("failures by class", sum(len(group.rows) for group in found.failures))
    for group in found.failures:
        yield from _failure_group(group)


def _failure_group(group: FailureGroup) -> Iterator[str]:
    yield f"  {group.failure_class}: {count(len(group.rows), 'run')}"
    for row in group.rows[:MAX_LISTED]:
        words = "the script kept no error text" if lost_its_text(row) else _error(row)
        yield from _wrapped(f"{_run(row)}: {words}", "    ")
    yield from _more(len(group.rows))


def _error(row: Row) -> str:
    """The part of an error that names its cause: from the last word that ends in Error, cut."""
    text = one_line(row.error, limit=4000)
    start = text.find("Error")
    if start > 0:
        text = text[text.rfind(" ", 0, start) + 1 :]
    return one_line(text, limit=_MAX_ERROR)


def _listed(rows: Iterable[Row]) -> Iterator[str]:
    found = list(rows)
    for row in found[:MAX_LISTED]:
        yield from _wrapped(f"{_run(row)} ({one_line(row.place)})", "    ")
    yield from _more(len(found))


def _more(number: int) -> Iterator[str]:
    if number > MAX_LISTED:
        yield f"    and {number - MAX_LISTED} more (--json has them all)"


def _title(name: str, number: int) -> str:
    return f"{name} ({number})"


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _task(row: Row) -> str:
    return one_line(f"round {row.round} {row.task}" if row.round else row.task)


def _run(row: Row) -> str:
    seed = "" if row.seed is None else f" seed={row.seed}"
    return f"{_task(row)} {one_line(row.stage)} {one_line(row.config)}{seed}"


def _value(claim: Claim, value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.2f}%" if claim.unit == "pp" else f"{-value:.4f}"


def _delta(claim: Claim, delta: float | None) -> str:
    if delta is None:
        return "unknown"
    return f"{delta:+.2f}pp" if claim.unit == "pp" else f"{delta:+.4f}"
