"""Is a variant further from the baseline than the baseline is from itself? Five seeds, three, and two more.

The baseline runs first and alone, so that its noise is known before anything is compared with it. A variant
runs three of the same seeds, and two more where it then lies within two standard deviations. Nothing is
selected: every variant gets its seeds whatever the others do, so the seeds that judge have chosen nothing.

Who names this policy has chosen its rule, and a WINNER here is one by it; but two sigma alone would call one
null in forty a winner, each time somebody looks. So a WINNER also has to keep `alpha` after a correction for
the variants and for the second look: with the baseline's sd s of n runs and a variant's r runs,
t = delta / (s * sqrt(1/n + 1/r)) has n - 1 degrees of freedom where nothing differs (Student's t, with the
baseline's sd taken for both).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from policies._assessment import TaskRuns
from policies._distributions import t_upper_tail
from policies._guards import broken_class, infrastructure_class, is_no_op, leak
from policies._ledger import Lesson, lesson_of
from policies.evidence import BASELINE, Objective, Observation, Verdict, VerdictName
from policies.steps import Judge, PossibleRun, Run, Step, TaskView
from policies.variant_by_variant import is_final

#: fewer baseline runs give no sigma to judge by: that of three is known within a factor of six
LEAST_BASELINE_RUNS = 4
#: how many of the variants of one's own work need their two more seeds, for forecasts
USUAL_SHARE_WITHIN = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far a variant lies from the baseline."""

    #: mean over its seeds, in the objective's unit, positive is better
    delta: float
    #: the same over the baseline's sd
    sigmas: float
    baseline_seeds: int
    variant_seeds: int

    @property
    def chance(self) -> float:
        """P(so far on the better side) when nothing differs."""
        spread = math.sqrt(1.0 / self.baseline_seeds + 1.0 / self.variant_seeds)
        return t_upper_tail(self.sigmas / spread, self.baseline_seeds - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Know the noise, then compare. Only the task's last stage runs."""

    #: slots of the baseline, from 0 on
    baseline_seeds: int = 5
    #: slots of a variant, the first of the baseline's
    seeds: int = 3
    #: further ones, where it is within `winner_sigmas` of the baseline by then
    more_seeds: int = 2
    #: baseline standard deviations from which a delta is a winner's, or a loser's
    winner_sigmas: float = 2.0
    #: from which it is suggestive
    suggestive_sigmas: float = 1.0
    #: chance of any false winner in the task
    alpha: float = 0.10

    def __post_init__(self) -> None:
        least = {"baseline_seeds": LEAST_BASELINE_RUNS, "seeds": 2, "more_seeds": 0}
        problems = [
            f"{name}: must be a whole number of at least {low} (found {getattr(self, name)!r})"
            for name, low in least.items()
            if type(getattr(self, name)) is not int or getattr(self, name) < low
        ]
        if not _is_number(self.suggestive_sigmas) or self.suggestive_sigmas <= 0:
            problems.append(f"suggestive_sigmas: must be greater than 0 (found {self.suggestive_sigmas!r})")
        elif not _is_number(self.winner_sigmas) or self.winner_sigmas < self.suggestive_sigmas:
            problems.append(
                f"winner_sigmas: must be at least suggestive_sigmas, {self.suggestive_sigmas:g}"
                f" (found {self.winner_sigmas!r})"
            )
        if not _is_number(self.alpha) or not 0.0 < self.alpha < 1.0:
            problems.append(f"alpha: must lie between 0 and 1 (found {self.alpha!r})")
        if problems:
            raise ValueError("\n".join(problems))

    def next(self, view: TaskView) -> Step | None:
        """The baseline's seeds, then variant after variant, then the verdicts."""
        stage = _stage(view)
        for config in (BASELINE, *view.variants):
            for slot in self._slots(view, config):
                if view.run(stage, config, slot) is None:
                    return Run(stage=stage, config=config, slot=slot)
        left = (config for config in view.variants if config not in view.verdicts)
        return next((Judge(config=config, verdict=self._verdict(view, config)) for config in left), None)

    def possible_runs(self, view: TaskView) -> Iterator[PossibleRun]:
        """All that is certain, and the two more of a variant while nothing tells whether it needs them."""
        stage = _stage(view)
        for config in (BASELINE, *view.variants):
            certain = self._slots(view, config)
            is_open = bool(certain) and not self._has_first(view, config)
            for slot in range(self._most(config)) if is_open else certain:
                if view.run(stage, config, slot) is None:
                    chance = 1.0 if slot in certain else USUAL_SHARE_WITHIN
                    yield PossibleRun(stage=stage, config=config, slot=slot, chance=chance)

    def runs_ahead(self, view: TaskView) -> Iterable[PossibleRun]:
        """The same runs."""
        return self.possible_runs(view)

    def lesson(self, view: TaskView) -> Lesson:
        """What the baseline's seeds tell of the noise: nothing was selected among them."""
        stage = _stage(view)
        alone = TaskRuns(
            objective=view.objective, baseline=view.baseline, variants={}, quick=stage, medium=stage
        )
        return lesson_of(alone, only_measures=True)

    def _slots(self, view: TaskView, config: str) -> range:
        """The slots that the config is known to need."""
        if config == BASELINE:
            return range(self.baseline_seeds)
        if any(is_final(run) for run in view.runs(config) if run.stage == _stage(view)):
            return range(0)  # further seeds would only repeat what one has shown
        if view.run(_stage(view), config, self.seeds) is not None:
            return range(
                self._most(config)
            )  # one of the two more has run: whatever it says, so does the other
        found = self._distance(view, config) if self._has_first(view, config) else None
        is_within = found is not None and abs(found.sigmas) < self.winner_sigmas
        return range(self._most(config) if is_within else self.seeds)

    def _has_first(self, view: TaskView, config: str) -> bool:
        return all(view.run(_stage(view), config, slot) is not None for slot in range(self.seeds))

    def _most(self, config: str) -> int:
        return self.baseline_seeds if config == BASELINE else self.seeds + self.more_seeds

    def _distance(self, view: TaskView, config: str) -> Distance | None:
        """None where one side has too few runs, or the baseline always ends alike."""
        return distance(view.objective, _values(view, config), _values(view, BASELINE), self.seeds)

    def _verdict(self, view: TaskView, config: str) -> Verdict:
        stage = _stage(view)
        variant = tuple(run for run in view.runs(config) if run.stage == stage)
        baseline = tuple(run for run in view.baseline if run.stage == stage)
        if is_no_op(variant, baseline):
            return Verdict(name="NEUTRAL", reason="no-op: equals the baseline bit for bit")
        if (broken := broken_class(variant)) is not None:
            return Verdict(name="LOSER", reason=f"broken: {broken}")
        if (why := leak(view.objective, variant, baseline)) is not None:
            return Verdict(name="INCONCLUSIVE", reason=why)
        found = self._distance(view, config)
        if found is None:
            return Verdict(name="INCONCLUSIVE", reason=_why_no_distance(variant, baseline))
        verdict = self._judged(found, view.objective, n_variants=len(view.variants))
        if verdict.name == "WINNER" and any(run.status == "timed_out" for run in (*variant, *baseline)):
            return replace(
                verdict,
                name="SUGGESTIVE",
                reason=f"{verdict.reason}; the clock ended a run, so speed counts too",
            )
        return verdict

    def _judged(self, found: Distance, objective: Objective, *, n_variants: int) -> Verdict:
        looks = 2 if self.more_seeds else 1
        adjusted = min(1.0, found.chance * n_variants * looks)
        name, words = self._named(found, adjusted, objective)
        seeds = f"{found.variant_seeds} against {found.baseline_seeds} seeds"
        reason = f"{found.sigmas:+.2f} sigma ({found.delta:+.4g} {objective.unit}, {seeds}): {words}"
        verdict = Verdict(
            name=name,
            reason=reason,
            raw_gain=found.delta,
            adjusted_p=adjusted,
            variant_seeds=found.variant_seeds,
            baseline_seeds=found.baseline_seeds,
        )
        few = "the sigma of so few baseline runs is itself known within a factor of three"
        return replace(verdict, warnings=(few,)) if name == "WINNER" else verdict

    def _named(self, found: Distance, adjusted: float, objective: Objective) -> tuple[VerdictName, str]:
        p = f"adjusted p = {adjusted:.2g}"
        if found.sigmas >= self.winner_sigmas:
            if adjusted <= self.alpha:
                return "WINNER", f"{p} <= {self.alpha:g}"
            return "SUGGESTIVE", f"{p} > {self.alpha:g}, corrected for all variants and looks"
        if found.sigmas <= -self.winner_sigmas:
            return "LOSER", f"{self.winner_sigmas:g} sigma or more worse"
        if found.sigmas >= self.suggestive_sigmas:
            return "SUGGESTIVE", f"within {self.winner_sigmas:g} sigma, {p}"
        if abs(found.delta) < objective.min_effect:
            return "NEUTRAL", "indistinguishable from noise, and smaller than min_effect"
        return "INCONCLUSIVE", "indistinguishable from noise"


def distance(
    objective: Objective, variant: list[float], baseline: list[float], least_variant_runs: int
) -> Distance | None:
    """How far `variant` lies from `baseline`, both raw."""
    if len(baseline) < LEAST_BASELINE_RUNS or len(variant) < least_variant_runs:
        return None
    sd = statistics.stdev(baseline) * objective.scale
    if sd == 0.0:
        return None
    delta = objective.gain(statistics.fmean(variant), statistics.fmean(baseline))
    return Distance(delta=delta, sigmas=delta / sd, baseline_seeds=len(baseline), variant_seeds=len(variant))


def _stage(view: TaskView) -> str:
    return view.stages[-1]


def _values(view: TaskView, config: str) -> list[float]:
    """The metric of the config's runs that have ended with one, raw."""
    at_stage = (run for run in view.runs(config) if run.stage == _stage(view))
    return [run.value for run in at_stage if run.is_usable and run.value is not None]


def _why_no_distance(variant: tuple[Observation, ...], baseline: tuple[Observation, ...]) -> str:
    for side, runs in (("variant", variant), ("baseline", baseline)):
        if (failed := infrastructure_class(runs)) is not None:
            return f"too few runs of the {side}: infrastructure: {failed}"
    usable = [run.value for run in baseline if run.is_usable]
    if len(usable) >= LEAST_BASELINE_RUNS and len(set(usable)) == 1:
        return "every baseline run has the same value: is the metric constant, or the seed without effect?"
    return "too few runs that ended with a value"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
