"""What does a person see of loss curves? A line for each config, and the band of its seeds around it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scheduler.judging._training_curve import positions
from scheduler.judging.evidence import JudgedRun, common_steps
from scheduler.judging.page import Curves, Line


def seed_curves(
    configs: Sequence[tuple[str, Sequence[JudgedRun]]], metric: str, *, baseline: str | None
) -> Curves | None:
    """`metric` of each config against the tokens seen, or against steps where not all tell their tokens.

    Lines go over the steps that all runs of a config have, without step 0: what a model knows before it
    learns would only flatten the picture. None where nobody has any.
    """
    counted = all(positions(run, metric)[1] == "tokens" for _, runs in configs for run in runs)
    lines = (_line(config, runs, metric, counted=counted, baseline=baseline) for config, runs in configs)
    drawn = tuple(line for line in lines if line is not None)
    if not drawn:
        return None
    return Curves(
        title=metric,
        x_label="tokens seen" if counted else "step",
        lines=drawn,
        caption="Mean over the seeds, and the band from the lowest to the highest of them.",
    )


def _line(
    config: str, runs: Sequence[JudgedRun], metric: str, *, counted: bool, baseline: str | None
) -> Line | None:
    steps = [step for step in common_steps(runs, metric) if step > 0]
    if not steps:
        return None
    by_step = [{p.step: p for p in run.curve if metric in p.metrics} for run in runs]
    values = [[points[step].metrics[metric] for points in by_step] for step in steps]
    return Line(
        label=config,
        x=tuple(float((by_step[0][step].tokens or 0) if counted else step) for step in steps),
        mean=tuple(map(statistics.fmean, values)),
        low=tuple(map(min, values)) if len(runs) > 1 else (),
        high=tuple(map(max, values)) if len(runs) > 1 else (),
        is_baseline=config == baseline,
    )
