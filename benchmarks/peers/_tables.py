"""How is a sitting told? Four tables, one row per way, each figure beside that of a fresh process per run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from _figures import Line, line_through, quantile, share_at
from _peers import Skipped
from _sitting import Measured
from _work import Way

#: names of the pieces of work
SHORT, ROUND, SCREENING, MEMORY = "short", "round", "screening", "memory"
#: with what the others are compared
REFERENCE = "a fresh process per run"
DEMANDED_OF = "Roundhouse, prepared trainer"


def overheads(ways: Sequence[Way], measured: Sequence[Measured]) -> str:
    """Overhead of one more run and of none, by way."""
    lines = {way.name: _line(_of(measured, way, SHORT, ROUND)) for way in ways}
    reference = lines.get(REFERENCE)
    rows = []
    for way in ways:
        line = lines[way.name]
        if line is None:
            continue
        gaps = [gap for done in _of(measured, way, ROUND) for gap in done.timeline.gaps_seconds]
        error = line.standard_error_seconds
        rows.append(
            (
                way.name,
                way.isolation,
                f"{line.per_run_seconds:.2f} s" + (f" ({error:.2f})" if error is not None else ""),
                _ratio(line.per_run_seconds, reference and reference.per_run_seconds),
                f"{line.start_seconds:.2f} s",
                f"{statistics.median(gaps):.2f} s ({min(gaps):.2f} to {max(gaps):.2f})",
            )
        )
    head = (
        "Way",
        "Keeps apart",
        "Overhead a run",
        "Of a fresh process",
        "Start-up",
        "From run to run",
    )
    return _table(head, rows)


def rounds(ways: Sequence[Way], measured: Sequence[Measured]) -> str:
    """Wall time of a whole round, by way."""
    walls = {way.name: [done.timeline.wall_seconds for done in _of(measured, way, ROUND)] for way in ways}
    reference = statistics.fmean(walls[REFERENCE]) if walls.get(REFERENCE) else None
    rows = []
    for way in ways:
        done = _of(measured, way, ROUND)
        if done:
            mean = statistics.fmean(walls[way.name])
            rows.append(
                (
                    way.name,
                    f"{mean:.1f} s ({min(walls[way.name]):.1f} to {max(walls[way.name]):.1f})",
                    _ratio(mean, reference),
                    f"{statistics.fmean(one.timeline.training_seconds for one in done):.1f} s",
                )
            )
    return _table(("Way", "Whole round", "Of a fresh process", "Training in it"), rows)


def screenings(ways: Sequence[Way], measured: Sequence[Measured], budget_seconds: float) -> str:
    """The share of the time that trains, measured or by the overhead of a run in the other tables."""
    rows = []
    for way in ways:
        line = _line(_of(measured, way, SHORT, ROUND))
        for done in _of(measured, way, SCREENING):
            timeline = done.timeline
            gaps = [1000 * gap for gap in timeline.gaps_seconds]
            rows.append(
                (
                    way.name,
                    str(timeline.runs),
                    f"{100 * timeline.busy_share:.1f} %",
                    f"{100 * timeline.training_seconds / timeline.wall_seconds:.1f} %",
                    f"{timeline.wall_seconds:.1f} s",
                    f"{quantile(gaps, 0.5):.0f} ms, {quantile(gaps, 0.95):.0f} ms",
                )
            )
        if line and not _of(measured, way, SCREENING):
            share = 100 * share_at(budget_seconds, line.per_run_seconds)
            rows.append((way.name, "-", f"about {share:.0f} % (by its overhead a run)", "-", "-", "-"))
    head = ("Way", "Runs", "Busy", "Start-up included", "Wall time", "From run to run, p50 and p95")
    return _table(head, rows)


def memories(ways: Sequence[Way], measured: Sequence[Measured]) -> str:
    """What is held and what is left, by way."""
    rows = []
    for way in ways:
        for done in _of(measured, way, MEMORY):
            left = done.leftovers
            assert left is not None
            before, after = left.before, left.after
            rows.append(
                (
                    way.name,
                    done.piece.kind,
                    f"{before['memory_mib']:.0f} MiB, {after['memory_mib']:.0f} MiB",
                    f"{after['memory_mib'] - before['memory_mib']:+.0f} MiB",
                    f"{before['processes']}, {after['processes']}",
                    f"{before['threads']}, {after['threads']}",
                    f"{before['open_files']}, {after['open_files']}",
                    f"{left.processes_left}, {len(left.segments_left)}",
                )
            )
    head = (
        "Way",
        "Trial",
        "Memory before, after",
        "Left in memory",
        "Processes before, after",
        "Threads before, after",
        "Open files before, after",
        "Processes, /dev/shm segments once ended",
    )
    return _table(head, rows)


def demands(measured: Sequence[Measured]) -> tuple[str, bool]:
    """What is demanded of a trainer that is prepared ahead, and whether all of it is met."""
    rows = []
    for done in measured:
        if done.way == DEMANDED_OF and done.piece.name == SCREENING:
            busy, gaps = done.timeline.busy_share, done.timeline.gaps_seconds
            p50, p95 = (1000 * quantile(gaps, share) for share in (0.5, 0.95))
            rows.append(("busy share of the screening round", ">= 98 %", f"{100 * busy:.1f} %", busy >= 0.98))
            rows.append(("from last evaluation to first step, p50", "<= 30 ms", f"{p50:.0f} ms", p50 <= 30))
            rows.append(("the same, p95", "<= 100 ms", f"{p95:.0f} ms", p95 <= 100))
        if done.way == DEMANDED_OF and done.leftovers:
            left = done.leftovers
            count = left.processes_left + len(left.segments_left)
            rows.append(("processes and segments left behind", "0", str(count), count == 0))
            for what in ("processes", "threads", "open_files"):
                more = left.after[what] - left.before[what]
                rows.append((f"{what.replace('_', ' ')} more than before", "0", str(more), more <= 0))
    told = [
        (what, demand, figure if is_met else f"{figure} (missed)") for what, demand, figure, is_met in rows
    ]
    table = _table(("Roundhouse, prepared trainer", "Demand", "Measured"), told) if rows else ""
    return table, all(is_met for *_, is_met in rows)


def sameness(measured: Sequence[Measured]) -> str:
    """Whether all ways came to the same losses."""
    told: dict[tuple[str, str], dict[tuple[int, float], set[float]]] = {}
    for done in measured:
        losses = told.setdefault((done.piece.name, done.piece.kind), {})
        for run, loss in done.losses.items():
            losses.setdefault(run, set()).add(loss)
    runs = [losses for by_run in told.values() for losses in by_run.values()]
    different = sum(len(losses) > 1 for losses in runs)
    if different:
        return f"Of {len(runs)} different runs {different} did not end with the same loss everywhere."
    return f"Each of the {len(runs)} different runs ended with the same loss everywhere, bit for bit."


def absent(skipped: Iterable[Skipped], failed: Mapping[str, str]) -> str:
    """What has no row, and why."""
    told = [f"- Skipped: {one.name} ({one.reason})" for one in skipped]
    told += [f"- Failed: {name} ({reason})" for name, reason in failed.items()]
    return "\n".join(told)


def with_section(text: str, heading: str, body: str) -> str:
    """The document with the section of that heading replaced, or added at its end."""
    before, found, after = text.partition(f"{heading}\n")
    if not found:
        return f"{text.rstrip()}\n\n{heading}\n\n{body.strip()}\n"
    _, next_heading, rest = after.partition("\n## ")
    return f"{before}{heading}\n\n{body.strip()}\n" + (f"{next_heading}{rest}" if next_heading else "")


def _of(measured: Sequence[Measured], way: Way, *pieces: str) -> list[Measured]:
    return [done for done in measured if done.way == way.name and done.piece.name in pieces]


def _line(measured: Sequence[Measured]) -> Line | None:
    points = [(done.timeline.runs, done.timeline.overhead_seconds) for done in measured]
    return line_through(points) if len({runs for runs, _ in points}) > 1 else None


def _ratio(value: float, reference: float | None) -> str:
    return f"{value / reference:.2f}" if reference else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
