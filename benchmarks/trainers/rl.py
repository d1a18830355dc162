"""Does the trainer `rl` show what it is for, and in which time? Processor seconds of one thread.

The base model is trained anew, or read from `--cache`. Then the baseline of the campaign that ships is
trained, `--seeds` times. With `--campaign ROUND_FOLDER` the figures of a finished campaign are read too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks")]

import torch  # noqa: E402
from subject import heading, row  # noqa: E402

from trainers import rl  # noqa: E402
from trainers.contract import Context  # noqa: E402
from trainers.rl.addition import held_out_problems  # noqa: E402
from trainers.rl.heldout import HeldOut  # noqa: E402
from trainers.rl.policy import Policy  # noqa: E402
from trainers.rl.sampling import log_probabilities_of, sample  # noqa: E402

STEPS = 70
#: steps at either end of a run over which a correct rate is a mean
END_STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One run."""

    correct_rates: list[float]
    heldout: float
    greedy: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="folder that keeps the base model; without it a fresh one")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--campaign", type=Path, help="results/<round> of a campaign that is finished")
    arguments = parser.parse_args()
    print(heading())
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder:
        cache = arguments.cache or Path(folder) / "cache"
        begun = time.process_time()
        prepared = rl.prepare(rl.Config(), context(cache, 0, Path(folder)))
        print(row("figure", "demand", "measured"))
        print("|---|---|---|")
        print(row("base model, CPU s", "70 +- 40 %", f"{time.process_time() - begun:.0f}"))
        scores, greedy = HeldOut(prepared.held_out, rl.Config()).measure(prepared.policy)
        print(row("base, held out, drawn", "0.15 to 0.27", f"{scores.mean():.3f}"))
        print(row("base, held out, greedy", "reference 0.79", f"{greedy['heldout_greedy']:.3f}"))
        print(
            row("log p remembered against one pass", "< 1e-4", f"{largest_difference(prepared.policy):.1e}")
        )
        for seed in range(arguments.seeds):
            for line in told(seed, trained(cache, seed, Path(folder))):
                print(line)
        for line in campaign_rows(arguments.campaign) if arguments.campaign else ():
            print(line)


def context(cache: Path, seed: int, run_dir: Path) -> Context:
    return Context(
        seed=seed,
        stage="long",
        max_steps=STEPS,
        time_budget_sec=1e9,
        eval_every=None,
        n_eval=None,
        bsz=None,
        device="cpu",
        threads=1,
        cache_dir=cache,
        run_dir=run_dir,
    )


def largest_difference(policy: Policy) -> float:
    """Between the log-probabilities of tokens as they were drawn and in one pass over them all."""
    prompts = policy.prompts([problem.prompt for problem in held_out_problems()[:256]])
    drawn = sample(policy, prompts, max_tokens=40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float((log_probabilities_of(policy, drawn) - drawn.log_probabilities).abs().max())


def trained(cache: Path, seed: int, run_dir: Path) -> Trained:
    here = context(cache, seed, run_dir)
    prepared = rl.prepare(rl.Config(), here)
    begun = time.process_time()
    evaluations = list(rl.train(prepared, here))
    last = evaluations[-1]
    assert last.acc is not None
    return Trained(
        correct_rates=[evaluation.extra["correct_rate"] for evaluation in evaluations],
        heldout=last.acc,
        greedy=last.extra["heldout_greedy"],
        seconds=time.process_time() - begun,
    )


def told(seed: int, run: Trained) -> Iterator[str]:
    first = statistics.fmean(run.correct_rates[:END_STEPS])
    last = statistics.fmean(run.correct_rates[-END_STEPS:])
    yield row(f"seed {seed}: correct_rate, first step", "reference 0.13", f"{run.correct_rates[0]:.3f}")
    yield row(f"seed {seed}: correct_rate, last ten steps", ">= 0.45", f"{last:.3f}")
    yield row(f"seed {seed}: last ten less first ten", ">= 0.20", f"{last - first:+.3f}")
    yield row(f"seed {seed}: held out, drawn", "reference 0.59", f"{run.heldout:.3f}")
    yield row(f"seed {seed}: held out, greedy", "reference 0.98", f"{run.greedy:.3f}")
    yield row(f"seed {seed}: {STEPS} steps, CPU s", "35 +- 40 %", f"{run.seconds:.0f}")


def campaign_rows(folder: Path) -> Iterator[str]:
    """Of the last stage, by condition, and what its report says."""
    found: dict[str, list[list[dict[str, float]]]] = {}
    for run in sorted(folder.glob("runs/*.long.*")):
        config = json.loads((run / "config.json").read_text())["config"]
        lines = (run / "metrics.jsonl").read_text().splitlines()
        found.setdefault(config, []).append([json.loads(line)["extra"] for line in lines])
    for config, runs in found.items():
        levels = [statistics.fmean(step["correct_rate"] for step in steps[-END_STEPS:]) for steps in runs]
        shares = [statistics.fmean(step["planning_share"] for step in steps[-END_STEPS:]) for steps in runs]
        spread = statistics.stdev(levels) if len(levels) > 1 else 0.0
        measured = (
            f"{statistics.fmean(levels):.3f} (sd {spread:.3f}), planning {statistics.fmean(shares):.3f}"
        )
        yield row(f"campaign, {config}: correct_rate, {len(runs)} seeds", "no difference", measured)
    for report in folder.glob("judged/*/campaign.json"):
        answer = json.loads(report.read_text())
        words = ", ".join(sorted(set(answer["significance"]["recommendations"].values())))
        yield row("campaign: recommendation", "insufficient_statistical_evidence", words)
        smallest = answer["smallest_p"]
        measured = f"{smallest['p']:.3f}; after Holm {smallest['adjusted_p']:.3f}"
        yield row("campaign: smallest p, and why it is none", "told", measured)


if __name__ == "__main__":
    main()
