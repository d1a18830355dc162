"""Which figures were claimed at a later stage, and what is known of them? A delta needs the same stage."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from policies.evidence import BASELINE
from scheduler.audit.failed import class_of
from scheduler.audit.rows import Row

#: the stage every search begins with
FIRST_STAGE = "quick"
#: stages that never come first, even where the records hold nothing before them
LATER_STAGES = frozenset({"medium", "long", "confirm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A variant's run at a later stage, as a search by hand reports it. Figures in `unit`, more is better."""

    row: Row
    unit: str
    #: the stage whose baseline the figure was taken against
    first_stage: str
    #: this run minus the baseline of the first stage; None where there is not even that
    claimed: float | None
    #: that baseline's own value
    baseline_first: float | None
    #: variant minus baseline at the first stage; None where one of them is missing
    first_delta: float | None
    #: variant minus baseline at this stage; None while there is no such baseline
    matched: float | None
    #: why there is none; empty where there is one
    why_unmatched: str = ""
    #: the matched baseline's seeds, where they are not the variant's
    is_of_other_seeds: bool = False
    #: how many different seeds of this variant have a run at this stage in the records
    seeds: int = 1

    @property
    def is_matched(self) -> bool:
        return self.matched is not None


def claims_of(rows: Sequence[Row], reruns: frozenset[str]) -> tuple[Claim, ...]:
    """Every claim in the order of the records; `reruns` are places of runs that only repeat another."""
    by_scope: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == "run":
            by_scope[row.scope].append(row)
    claims: list[Claim] = []
    for scope in by_scope.values():
        claims += _of_scope(scope, reruns)
    order = {row.place: index for index, row in enumerate(rows)}
    return tuple(sorted(claims, key=lambda claim: order[claim.row.place]))


def unmatched(claims: Iterable[Claim]) -> list[Claim]:
    """Those without a matched delta, the largest figure first."""
    missing = [claim for claim in claims if not claim.is_matched]
    return sorted(missing, key=lambda claim: -(claim.claimed if claim.claimed is not None else -1e9))


def _of_scope(rows: Sequence[Row], reruns: frozenset[str]) -> Iterable[Claim]:
    readings: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.has_reading:
            readings[row.stage, row.config].append(row)
    first = _first_stage(rows)
    for (stage, config), runs in readings.items():
        if stage == first or config == BASELINE:
            continue
        fresh = [run for run in runs if run.place not in reruns]
        for run in fresh:
            yield _claim(run, first, rows, readings, len({each.seed for each in fresh}))


def _first_stage(rows: Sequence[Row]) -> str:
    stages = list(dict.fromkeys(row.stage for row in rows))
    return FIRST_STAGE if FIRST_STAGE in stages or stages[0] in LATER_STAGES else stages[0]


def _claim(
    run: Row,
    first: str,
    rows: Sequence[Row],
    readings: Mapping[tuple[str, str], Sequence[Row]],
    seeds: int,
) -> Claim:
    quick, _ = _reference(run, readings.get((first, BASELINE), ()))
    variant, _ = _reference(run, readings.get((first, run.config), ()))
    same_stage = [each for each in readings.get((run.stage, BASELINE), ()) if _is_comparable(run, each)]
    matched, is_of_other_seeds = _reference(run, same_stage)
    return Claim(
        row=run,
        unit="pp" if run.acc is not None else "loss",
        first_stage=first,
        claimed=_minus(run.value, quick),
        baseline_first=quick,
        first_delta=_minus(variant, quick),
        matched=_minus(run.value, matched),
        why_unmatched="" if matched is not None else _why(run, rows),
        is_of_other_seeds=is_of_other_seeds,
        seeds=seeds,
    )


def _reference(run: Row, candidates: Sequence[Row]) -> tuple[float | None, bool]:
    """The value of `candidates` at the run's seed, else their mean; and whether it is of other seeds."""
    alike = [each for each in candidates if (each.acc is None) == (run.acc is None)]
    same = [each for each in alike if each.seed == run.seed]
    values = [each.value for each in same or alike if each.value is not None]
    return (statistics.fmean(values) if values else None), bool(values) and not same


def _is_comparable(run: Row, baseline: Row) -> bool:
    return _agree(run.bsz, baseline.bsz) and _agree(run.protocol, baseline.protocol)


def _agree(one: object, other: object) -> bool:
    return one is None or other is None or one == other


def _minus(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value - reference


def _why(run: Row, rows: Sequence[Row]) -> str:
    """What became of the baseline at the run's stage."""
    baselines = [row for row in rows if row.stage == run.stage and row.config == BASELINE]
    usable = [row for row in baselines if row.has_reading]
    if usable:
        sizes = sorted({row.bsz for row in usable if row.bsz is not None and row.bsz != run.bsz})
        if sizes and run.bsz is not None:
            return f"the {run.stage} baseline ran at bsz {sizes[0]}, this run at {run.bsz}"
        return f"the {run.stage} baseline is of another protocol or metric"
    if any(row.outcome == "failed" for row in baselines):
        failed = next(row for row in baselines if row.outcome == "failed")
        return f"the {run.stage} baseline failed ({class_of(failed)})"
    return f"no {run.stage} baseline was run"
