"""Is there evidence enough to speak at all? Each gate says what was wanted, found, and what would do."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scheduler.judging._arms import Arms
from scheduler.judging._tests_of_difference import PermutationTest, pairs_needed, runs_per_arm
from scheduler.judging.evidence import JudgedRun, Sample

#: how a run of ours names the size of its evaluation set
_EXAMPLES = "n_eval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One thing the evidence must have."""

    name: str
    wanted: str
    found: str
    is_met: bool
    #: what would meet it; empty when it is met
    remedy: str = ""


def evidence_gates(
    sample: Sample,
    config: str,
    arms: Sequence[Arms],
    *,
    min_seeds: int,
    min_episodes: int,
    min_steps: int,
    metrics: Sequence[str],
    needs_protocol: bool,
) -> Iterator[Gate]:
    """The gates of one experiment, those not declared left out."""
    runs = (*sample.baseline, *sample.experiments[config])
    yield _required_metrics(runs, metrics)
    measured = [each for each in arms if each.baseline and each.variant]
    if measured:
        yield _seeds(sample, config, measured, min_seeds)
    if min_episodes:
        yield _episodes(runs, min_episodes)
    if min_steps:
        yield _steps(runs, min_steps)
    yield _matched(sample.baseline, sample.experiments[config], needs_protocol=needs_protocol)


def significance_gate(arms: Arms, tested: PermutationTest | None, alpha: float | None) -> Gate:
    """Whether chance gives such a lift more rarely than `alpha`."""
    limit = alpha or 0.0
    is_met = tested is not None and tested.p < limit
    remedy = ""
    if not is_met:
        needed = _needed(arms, limit)
        unit = "pairs of seeds" if arms.is_paired else "runs an arm"
        remedy = f"about {needed} {unit} would show this lift" if needed else "no number of seeds is known to"
        if tested is not None and tested.smallest_p >= limit:
            remedy += f"; {arms.units_text} cannot give a p below {tested.smallest_p:.4g}"
    return Gate(
        name=f"p of {arms.metric}",
        wanted=f"< {limit:g}, one-sided",
        found="none" if tested is None else f"{tested.p:.4g}",
        is_met=is_met,
        remedy=remedy,
    )


def _needed(arms: Arms, alpha: float) -> int | None:
    if arms.delta is None or arms.delta <= 0 or arms.units < 2:
        return None
    if arms.is_paired:
        return pairs_needed(arms.delta, statistics.stdev(arms.differences), alpha=alpha, sides=1)
    spreads = [statistics.variance(values) for values in (arms.signed_baseline, arms.signed_variant)]
    return runs_per_arm(arms.delta, statistics.fmean(spreads) ** 0.5, alpha=alpha, sides=1)


def _required_metrics(runs: Sequence[JudgedRun], metrics: Sequence[str]) -> Gate:
    gaps = {
        metric: [run.name for run in runs if metric not in run.metrics]
        for metric in metrics
        if any(metric not in run.metrics for run in runs)
    }
    lacking = "; ".join(f"{metric} in {_few(names)}" for metric, names in gaps.items())
    return Gate(
        name="required metrics",
        wanted=", ".join(metrics),
        found=f"missing: {lacking}" if gaps else "in every run",
        is_met=not gaps,
        remedy=f"report {', '.join(gaps)} in every run" if gaps else "",
    )


def _seeds(sample: Sample, config: str, arms: Sequence[Arms], least: int) -> Gate:
    fewest = min(arms, key=lambda each: each.units)
    missing = least - fewest.units
    return Gate(
        name="seeds",
        wanted=f"{least} {'pairs' if fewest.is_paired else 'runs an arm'}",
        found=fewest.units_text,
        is_met=missing <= 0,
        remedy=_seeds_remedy(sample, config, missing) if missing > 0 else "",
    )


def _seeds_remedy(sample: Sample, config: str, missing: int) -> str:
    """The partners that are missing first: they cost one run a pair and not two."""
    reference, own = _seeds_of(sample.baseline), _seeds_of(sample.experiments[config])
    steps = []
    for name, has, other in (("the baseline", reference, own), (config, own, reference)):
        partners = sorted(other - has)[:missing]
        missing -= len(partners)
        if partners:
            steps.append(f"run {name} at seed {', '.join(str(seed) for seed in partners)}")
    if missing > 0:
        plural = "s" if missing > 1 else ""
        steps.append(f"run {missing} more seed{plural} of the baseline and of {config}")
    return "; ".join(steps)


def _seeds_of(runs: Sequence[JudgedRun]) -> set[int]:
    return {run.seed for run in runs if run.seed is not None}


def _episodes(runs: Sequence[JudgedRun], least: int) -> Gate:
    counted = {run.name: _episodes_of(run) for run in runs}
    short = [name for name, episodes in counted.items() if episodes is None or episodes < least]
    known = [episodes for episodes in counted.values() if episodes is not None]
    return Gate(
        name="episodes of each run",
        wanted=f"{least}",
        found=f"{min(known)} in the smallest" if len(known) == len(runs) else "not counted in every run",
        is_met=not short,
        remedy=f"evaluate {_few(short)} on {least} episodes or more, and report the count" if short else "",
    )


def _episodes_of(run: JudgedRun) -> int | None:
    if run.counts:
        return max(count.n for count in run.counts.values())
    return round(run.metrics[_EXAMPLES]) if _EXAMPLES in run.metrics else None


def _steps(runs: Sequence[JudgedRun], least: int) -> Gate:
    short = [run.name for run in runs if _last_step(run) is None or (_last_step(run) or 0) < least]
    reached = [step for run in runs if (step := _last_step(run)) is not None]
    return Gate(
        name="steps of each run",
        wanted=f"{least}",
        found=f"{min(reached)} in the shortest" if len(reached) == len(runs) else "not reported by every run",
        is_met=not short,
        remedy=f"train {_few(short)} to step {least}" if short else "",
    )


def _last_step(run: JudgedRun) -> int | None:
    return run.curve[-1].step if run.curve else None


def _matched(baseline: Sequence[JudgedRun], experiment: Sequence[JudgedRun], *, needs_protocol: bool) -> Gate:
    """Known protocols are equal in any sample; what remains is whether they are known, and where runs end."""
    name, wanted = "matched protocol", "known and equal" if needs_protocol else "equal as far as known"
    unknown = [run.name for run in (*baseline, *experiment) if run.protocol is None]
    ends = [
        sorted({step for run in runs if (step := _last_step(run)) is not None})
        for runs in (baseline, experiment)
    ]
    if ends[0] and ends[1] and ends[0] != ends[1]:
        told = " and ".join("/".join(str(step) for step in steps) for steps in ends)
        return Gate(
            name=name,
            wanted=wanted,
            found=f"baseline and experiment end at steps {told}",
            is_met=False,
            remedy="compare runs of the same length",
        )
    if unknown and needs_protocol:
        return Gate(
            name=name,
            wanted=wanted,
            found=f"unknown of {_few(unknown)}",
            is_met=False,
            remedy="judge runs of one round, whose protocols are recorded",
        )
    return Gate(
        name=name, wanted=wanted, found="unknown, taken as equal" if unknown else "equal", is_met=True
    )


def _few(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
