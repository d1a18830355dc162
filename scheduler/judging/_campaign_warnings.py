"""Did the runs of a campaign train as they seem to have? What makes their numbers worth less."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scheduler.judging._campaign_runs import conditions
from scheduler.judging.evidence import JudgedRun, Sample

#: steps named in one warning
_MOST_STEPS = 5
#: runs named in one warning
_MOST_RUNS = 4
#: share of groups with equal rewards, over a run, from which on it is said
UNIFORM_SHARE = 0.5
#: share of steps whose loss is exactly 0 from which on it cannot be a loss
ZERO_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """One thing that is wrong, and the runs it is wrong in."""

    title: str
    #: a sentence by run, or about several
    findings: tuple[str, ...]
    #: what follows from it
    meaning: str


def warnings(sample: Sample, *, token_limit: float) -> tuple[Warned, ...]:
    """Everything that is wrong; `token_limit` is the share of cut completions that makes a spike."""
    kinds = (
        ("Completions cut at the token limit", _spikes(sample.runs, token_limit), _CUT),
        ("Losses that are none", _placeholders(sample.runs), _PLACEHOLDER),
        ("Groups with equal rewards", _ties(sample.runs), _TIES),
        ("Steps without a row", _missing(sample.runs), _MISSING),
        ("Conditions that change nothing", _twins(sample), _TWINS),
        ("SEPA that never pooled", _closed(sample.runs), _CLOSED),
        ("Steps that nobody told", _without_curve(sample.runs), _CURVELESS),
    )
    return tuple(
        Warned(title=title, findings=tuple(found), meaning=meaning)
        for title, findings, meaning in kinds
        if (found := list(findings))
    )


_CUT = "A cut completion has no answer and counts as wrong: the correct rate then tells of length too."
_PLACEHOLDER = "Such a loss says nothing about training; judge by rewards, never by this column."
_TIES = "A group whose completions all get one reward has no advantage in it and teaches nothing."
_MISSING = "Means over steps then rest on other steps than in the runs beside them."
_TWINS = "The condition did what its twin did: their comparison says nothing about the method."
_CLOSED = "Its lambda stayed at 0, and that condition was plain GTPO."
_CURVELESS = "Only the final value of these runs is known; it is taken for their level."


def _spikes(runs: Iterable[JudgedRun], limit: float) -> Iterator[str]:
    for run in runs:
        rates = _told(run, "max_token_hit_rate")
        high = [step for step, rate in rates if rate >= limit]
        if high:
            worst = max(rate for _, rate in rates)
            yield f"{run.name}: {_steps(high)}, at worst {100 * worst:.0f} % of the completions."


def _placeholders(runs: Iterable[JudgedRun]) -> Iterator[str]:
    for run in runs:
        flagged = [step for step, flag in _told(run, "loss_is_placeholder") if flag]
        losses = _told(run, "loss")
        zeros = [step for step, loss in losses if loss == 0.0]
        if flagged:
            yield f"{run.name}: a placeholder at {_steps(flagged)}."
        elif losses and len(zeros) >= ZERO_SHARE * len(losses):
            yield f"{run.name}: exactly 0 at {len(zeros)} of {len(losses)} steps."
        elif any(reports == 0.0 for _, reports in _told(run, "backend_reports_sync_loss")):
            yield f"{run.name}: its backend does not report the loss of the step it belongs to."


def _ties(runs: Iterable[JudgedRun]) -> Iterator[str]:
    for run in runs:
        shares = [share for _, share in _told(run, "reward_uniform_rate")]
        if shares and statistics.fmean(shares) >= UNIFORM_SHARE:
            yield f"{run.name}: {100 * statistics.fmean(shares):.0f} % of its groups."


def _missing(runs: Sequence[JudgedRun]) -> Iterator[str]:
    first = min((run.curve[0].step for run in runs if run.curve), default=0)
    last = max((run.curve[-1].step for run in runs if run.curve), default=0)
    for run in runs:
        told = {point.step for point in run.curve}
        missing = [step for step in range(first, last + 1) if step not in told]
        # a run that tells every tenth step has a rhythm, and no gap
        if told and missing and len(told) > len(missing):
            yield f"{run.name}: {_steps(missing)} of {first} to {last}."


def _twins(sample: Sample) -> Iterator[str]:
    by_seed: dict[int, list[JudgedRun]] = {}
    for runs in conditions(sample).values():
        for run in runs:
            if run.seed is not None and run.curve:
                by_seed.setdefault(run.seed, []).append(run)
    for of_seed in by_seed.values():
        for place, run in enumerate(of_seed):
            twin = next((other for other in of_seed[:place] if _is_twin(run, other)), None)
            if twin is not None:
                yield f"{run.name} equals {twin.name} to the last digit at all {len(run.curve)} steps."


def _is_twin(run: JudgedRun, other: JudgedRun) -> bool:
    def told(one: JudgedRun) -> list[tuple[int, dict[str, float]]]:
        # what a clock said differs in any case
        return [
            (p.step, {k: v for k, v in p.metrics.items() if not k.endswith(("seconds", "time_s"))})
            for p in one.curve
        ]

    return told(run) == told(other)


def _closed(runs: Iterable[JudgedRun]) -> Iterator[str]:
    for run in runs:
        shares = [share for _, share in _told(run, "sepa_lambda")]
        is_sepa = "sepa" in str(run.parameters.get("transform", run.config))
        if is_sepa and shares and max(shares) == 0.0:
            yield f"{run.name}: lambda 0 at all {len(shares)} steps."


def _without_curve(runs: Iterable[JudgedRun]) -> Iterator[str]:
    names = [run.name for run in runs if not run.curve]
    if names:
        more = f" and {len(names) - _MOST_RUNS} more" if len(names) > _MOST_RUNS else ""
        yield f"{', '.join(names[:_MOST_RUNS])}{more}."


def _told(run: JudgedRun, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.metrics[metric]) for point in run.curve if metric in point.metrics]


def _steps(steps: Sequence[int]) -> str:
    named = ", ".join(str(step) for step in steps[:_MOST_STEPS])
    more = f" and {len(steps) - _MOST_STEPS} more" if len(steps) > _MOST_STEPS else ""
    return f"step{'' if len(steps) == 1 else 's'} {named}{more}"
