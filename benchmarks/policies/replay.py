"""Does the confirm test keep its level on real runs? Equal runs are split into baseline and variants."""

from __future__ import annotations

import argparse
import csv
import functools
import gzip
import math
import os
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from driven import drive
from subject import heading

from policies import Policy, make_policy
from policies._assessment import Ledger
from policies._confirming import Knowledge, baseline_slots, candidate_slots, confirmed_at
from policies._delta import Comparison, SeedCorrelation
from policies._looks import LookPlan, Looks, take_look
from policies._race import PRIOR_DF
from policies._race_index import MediumNoise, Runner
from policies._race_level import SEEDS
from policies._variance import NoisePrior, Spread, fit_noise, moderated, spread_of
from policies.evidence import BASELINE, Objective, Observation
from policies.steps import Run, TaskView

DATA_VARIABLE = "ROUNDHOUSE_REPLAY_DATA"
MIN_RUNS = 8
LOOKS = 3
MAX_CANDIDATES = 4
#: smallest effect of interest, nat; it scales numbers and does not enter the test
MIN_EFFECT_NAT = 0.001
OBJECTIVE = Objective(metric="val_loss", direction="minimize", unit="nat", min_effect=MIN_EFFECT_NAT)
#: slot 0 screens, each look has one more seed, and the baseline has one beyond
VARIANT_RUNS = 1 + LOOKS
BASELINE_RUNS = 2 + LOOKS
#: the runs do not tell their seeds
UNPAIRED = SeedCorrelation(rho=0.0, theta=0.0)
#: noise that only a task's own runs tell
NO_PRIOR = NoisePrior(sd=1.0, df=0.0)

Cell = tuple[str, str, str, str]


def read_cells(folder: Path) -> Mapping[Cell, tuple[float, ...]]:
    """Minus the last validation loss, in MIN_EFFECT_NAT, of the runs of one code; cells of 8 or more runs."""
    last: dict[tuple[str, str, str], tuple[int, float]] = {}
    with gzip.open(folder / "nanogpt_curves.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            run, step = (row["track"], row["group"], row["run"]), int(row["step"])
            if run not in last or step > last[run][0]:
                last[run] = (step, float(row["val_loss"]))
    cells: dict[Cell, list[float]] = {}
    with (folder / "nanogpt_runs.csv").open() as lines:
        for row in csv.DictReader(lines):
            cell = (row["track"], row["group"], row["code_fp"], row["total_steps"])
            loss = last[row["track"], row["group"], row["run"]][1]
            cells.setdefault(cell, []).append(-loss / MIN_EFFECT_NAT)
    return {cell: tuple(gains) for cell, gains in cells.items() if len(gains) >= MIN_RUNS}


def false_share(gains: Sequence[float], prior: NoisePrior, alpha: float, splits: int, seed: int) -> float:
    """Share of random splits in which any candidate is rejected, though all runs are of one code."""
    draw = random.Random(seed)
    candidates = min(MAX_CANDIDATES, (len(gains) - LOOKS - 1) // LOOKS)
    false = 0
    for _ in range(splits):
        shuffled = draw.sample(list(gains), len(gains))
        baseline = shuffled[: LOOKS + 1]
        rest = shuffled[LOOKS + 1 :]
        variants = [rest[LOOKS * k : LOOKS * (k + 1)] for k in range(candidates)]
        false += bool(_confirm(baseline, variants, prior, alpha).rejected)
    return false / splits


def winning_share(
    gains: Sequence[float], policy: Policy, ledger: Ledger, splits: int, seed: int
) -> float | None:
    """Share of random splits in which `policy` declares a winner, though all runs are of one code.

    A task of one stage, which screens and confirms there; None where the runs do not reach for one variant.
    """
    draw = random.Random(seed)
    variants = min(MAX_CANDIDATES, (len(gains) - BASELINE_RUNS) // VARIANT_RUNS)
    if variants < 1:
        return None
    names = [str(number) for number in range(variants)]
    task = TaskView(
        objective=OBJECTIVE,
        stages=("medium",),
        listed_seeds=1,
        variants=dict.fromkeys(names, ()),
        ledger=ledger,
    )
    winning = 0
    for _ in range(splits):
        shuffled = draw.sample(list(gains), len(gains))
        runs = {BASELINE: shuffled[:BASELINE_RUNS]}
        for number, name in enumerate(names):
            begin = BASELINE_RUNS + number * VARIANT_RUNS
            runs[name] = shuffled[begin : begin + VARIANT_RUNS]
        driven = drive(policy, task, functools.partial(_observed, runs))
        winning += any(verdict.name == "WINNER" for verdict in driven.verdicts.values())
    return winning / splits


def _observed(runs: Mapping[str, Sequence[float]], run: Run, _: Observation | None) -> Observation:
    """A run of the split; no two share a seed, since nobody knows which do."""
    return Observation(
        stage=run.stage,
        config=run.config,
        seed=1000 * (0 if run.config == BASELINE else 1 + int(run.config)) + run.slot,
        slot=run.slot,
        status="ok",
        protocol="replay",
        value=-runs[run.config][run.slot] * MIN_EFFECT_NAT,
        loss=-runs[run.config][run.slot] * MIN_EFFECT_NAT,
        scores_digest=f"{run.config} {run.slot}",
    )


def declared(
    cells: Mapping[Cell, Sequence[float]], alpha: float, splits: int, seed: int, *, has_prior: bool
) -> tuple[float, float]:
    """How often screen_confirm declares a winner, over cells, and the standard error between them."""
    policy = make_policy("screen_confirm", {"alpha": alpha})
    shares = []
    for index, (cell, gains) in enumerate(cells.items()):
        ledger = Ledger(medium=fitted_elsewhere(cells, cell)) if has_prior else Ledger()
        shares.append(winning_share(gains, policy, ledger, splits, seed + index))
    reached = [share for share in shares if share is not None]
    return statistics.fmean(reached), statistics.stdev(reached) / math.sqrt(len(reached))


def fitted_elsewhere(cells: Mapping[Cell, Sequence[float]], cell: Cell) -> NoisePrior:
    """The noise prior that a ledger of all other cells gives."""
    spreads: list[Spread] = [
        spread_of([dict(enumerate(gains))]) for other, gains in cells.items() if other != cell
    ]
    fitted = fit_noise(spreads)
    assert fitted is not None
    return fitted


def levels(
    cells: Mapping[Cell, Sequence[float]], alpha: float, splits: int, seed: int, *, has_prior: bool
) -> tuple[float, float]:
    """The false share over cells, each counting alike, and its standard error between them."""
    shares = []
    for index, (cell, gains) in enumerate(cells.items()):
        prior = fitted_elsewhere(cells, cell) if has_prior else NO_PRIOR
        shares.append(false_share(gains, prior, alpha, splits, seed + index))
    return statistics.fmean(shares), statistics.stdev(shares) / math.sqrt(len(shares))


def race_level(
    cells: Mapping[Cell, Sequence[float]], alpha: float, splits: int, seed: int, *, has_prior: bool
) -> tuple[float, float]:
    """How often a race declares a variant that is none, over cells, and the error between them.

    Each gets all four seeds, whatever they show: nothing but the test ends it.
    """
    shares = []
    for index, (cell, gains) in enumerate(cells.items()):
        prior = replace(fitted_elsewhere(cells, cell), df=PRIOR_DF) if has_prior else NO_PRIOR
        draw = random.Random(seed + index)
        variants = min(MAX_CANDIDATES, (len(gains) - SEEDS) // SEEDS)
        declared = 0
        for _ in range(splits):
            shuffled = draw.sample(list(gains), len(gains))
            parts = [shuffled[SEEDS * k : SEEDS * (k + 1)] for k in range(variants + 1)]
            declared += _raced(parts[0], parts[1:], prior, alpha)
        shares.append(declared / (splits * variants))
    return statistics.fmean(shares), statistics.stdev(shares) / math.sqrt(len(shares))


def _raced(
    baseline: Sequence[float], variants: Sequence[Sequence[float]], prior: NoisePrior, alpha: float
) -> int:
    """How many of the variants a look declares, with the noise of all that ran by then."""
    won: set[int] = set()
    for seeds in range(1, SEEDS + 1):
        seen = [dict(enumerate(each[:seeds])) for each in variants]
        noise = moderated(spread_of([dict(enumerate(baseline)), *seen]), prior)
        known = MediumNoise(variance=noise.variance, df=noise.df, interaction=0.0)
        for number, each in enumerate(variants):
            delta = statistics.fmean(each[:seeds]) - statistics.fmean(baseline)
            if Runner(screened=(), seeds=seeds, delta=delta).wins(known, alpha):
                won.add(number)
    return len(won)


def _confirm(
    baseline: Sequence[float], variants: Sequence[Sequence[float]], prior: NoisePrior, alpha: float
) -> Looks:
    """Declared looks without futility: nothing but the test ends one."""
    names = tuple(map(str, range(len(variants))))
    looks = Looks(plan=LookPlan(candidates=names, looks=LOOKS, alpha=alpha))
    knowledge = Knowledge(noise=prior, correlation=UNPAIRED)
    last: dict[str, Comparison] = {}
    while looks.open:
        look = looks.taken + 1
        theirs = {-slot: baseline[slot - 1] for slot in baseline_slots(look)}
        now = {
            name: Comparison(
                variant={slot: variants[int(name)][slot - 1] for slot in candidate_slots(look)},
                baseline=theirs,
                protocol="replay",
            )
            for name in looks.open
        }
        earlier = [each for name, each in last.items() if name not in now]
        last.update(now)
        confirmed = confirmed_at(now, knowledge, screened={}, earlier=earlier)
        readings = {name: replace(each.reading, probability=1.0) for name, each in confirmed.items()}
        looks = take_look(looks, readings)
    return looks


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "data", nargs="?", default=os.environ.get(DATA_VARIABLE), help="folder of the curves"
    )
    arguments.add_argument("--splits", type=int, default=200, help="splits of each cell (200)")
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    if asked.data is None:
        arguments.error(f"name the folder of nanogpt_curves.csv.gz, or set {DATA_VARIABLE}")
    cells = read_cells(Path(asked.data))
    print(heading())
    print(f"{len(cells)} cells, {sum(map(len, cells.values()))} runs, {asked.splits} splits each\n")
    print("| nominal | test, noise prior of the other cells | test, no prior", end="")
    print(" | screen_confirm, prior of the other cells | screen_confirm, no prior", end="")
    print(" | race, a null, prior of the other cells | race, a null, no prior |")
    print("|---|---|---|---|---|---|---|")
    missed = False
    for alpha in (0.05, 0.10, 0.20):
        measured = [
            of(cells, alpha, asked.splits, asked.seed, has_prior=has_prior)
            for of in (levels, declared, race_level)
            for has_prior in (True, False)
        ]
        print(
            f"| {alpha:.2f} | " + " | ".join(f"{share:.3f} ({error:.3f})" for share, error in measured) + " |"
        )
        missed |= any(share - 2 * error > alpha for share, error in measured)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
