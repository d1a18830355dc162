"""Does the trainer `generate` show what it is for, and in which time? Processor seconds of one thread.

A base model is trained anew, or read from `--cache`. Then parameters are moved one at a time, with all chance
in the samples equal.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks")]

from subject import heading, row  # noqa: E402

from trainers import generate  # noqa: E402
from trainers.contract import Context  # noqa: E402
from trainers.generate import world  # noqa: E402
from trainers.generate.critic import opinions  # noqa: E402
from trainers.generate.run import Prepared  # noqa: E402

SAMPLES = 200
CRITIC_CASES = 600
STOP = ["\n### Instruction"]
OLD = ROOT / "tests" / "data" / "generation"
#: one parameter after the other; the first is what the demands are about
SETS: dict[str, dict[str, Any]] = {
    "T .4, top_p .9": {"temperature": 0.4, "top_p": 0.9},
    "T .4, top_p .9, stop": {"temperature": 0.4, "top_p": 0.9, "stop": STOP},
    "T .9, top_p .95": {"temperature": 0.9, "top_p": 0.95},
    "T .4, top_p .95": {"temperature": 0.4, "top_p": 0.95},
    "T .4, top_p .9, penalty 1.1": {"temperature": 0.4, "top_p": 0.9, "repetition_penalty": 1.1},
    "T .4, top_p .9, penalty 1.2": {"temperature": 0.4, "top_p": 0.9, "repetition_penalty": 1.2},
    "T .9, top_p .95, penalty 1.2": {"temperature": 0.9, "top_p": 0.95, "repetition_penalty": 1.2},
}
LOOSE, PLAIN = "T .9, top_p .95", "T .4, top_p .9"
STOPPED, PENALISED = f"{PLAIN}, stop", f"{PLAIN}, penalty 1.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One parameter set."""

    metrics: dict[str, float]
    seconds: float
    #: whether the metrics made again from the stored samples are the same
    is_same_again: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="folder that keeps the base model; without it a fresh one")
    arguments = parser.parse_args()
    print(heading())
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder:
        root = Path(folder)
        here = context(arguments.cache or root / "cache")
        begun = time.process_time()
        prepared = generate.prepare(generate.Config(), here)
        trained = time.process_time() - begun
        found = {
            name: measured(replace(prepared, config=generate.Config(**options)), here, root / str(place))
            for place, (name, options) in enumerate(SETS.items())
        }
        auc = critic_auc(prepared)
    demands = [*base_rows(None if arguments.cache else trained, auc), *rows(found), *regrade_rows()]
    print("| Figure | Demand | Measured |\n|---|---|---|")
    print("\n".join(row(figure, demand, told) for figure, demand, told, _ in demands))
    print("\n| Parameters | runaway fixed | at the limit | critic accepts | median tokens | seconds |")
    print("|---|---|---|---|---|---|")
    for name, one in found.items():
        told = [f"{one.metrics[key]:.3f}" for key in ("runaway_rate", "limit_rate", "critic_acceptance")]
        print(f"| {name} | {' | '.join(told)} | {one.metrics['median_tokens']:.0f} | {one.seconds:.1f} |")
    sys.exit(0 if all(is_met for *_, is_met in demands) else 1)


def context(cache_dir: Path) -> Context:
    return Context(
        seed=0,
        stage="medium",
        max_steps=None,
        time_budget_sec=1e9,
        eval_every=None,
        n_eval=SAMPLES,
        bsz=None,
        device="cpu",
        threads=1,
        cache_dir=cache_dir,
    )


def measured(prepared: Prepared, here: Context, run_dir: Path) -> Measured:
    """200 samples of one parameter set, with the critic's opinion on each."""
    run_dir.mkdir()
    begun = time.process_time()
    *_, last = generate.train(prepared, here.in_run(run_dir))
    seconds = time.process_time() - begun
    again = generate.regrade(run_dir, generate.DEFINITIONS[-1])
    return Measured(metrics=dict(last.extra), seconds=seconds, is_same_again=again == last.extra)


def critic_auc(prepared: Prepared) -> float:
    """Over good and spoilt responses to held-out prompts: how often the good one gets the higher margin."""
    draw = random.Random(5)
    cases = [world.critic_case(draw, held_out=True) for _ in range(CRITIC_CASES)]
    with redirect_stdout(StringIO()):
        found = opinions(prepared.base, [(asked, answer) for asked, answer, _ in cases], "cpu")
    margins = [opinion.accept - opinion.reject for opinion in found]
    good = [margin for margin, case in zip(margins, cases, strict=True) if case[2]]
    bad = [margin for margin, case in zip(margins, cases, strict=True) if not case[2]]
    won = sum((better > worse) + 0.5 * (better == worse) for better in good for worse in bad)
    return won / (len(good) * len(bad))


Row = tuple[str, str, str, bool]


def base_rows(trained: float | None, auc: float) -> Iterator[Row]:
    if trained is not None:
        figure = "base model, 1300 steps, with its data and vocabulary"
        yield figure, "83 s +- 40 %", f"{trained:.0f} s", 50 <= trained <= 116
    yield f"AUC of the critic, {CRITIC_CASES} held-out cases", "about .94", f"{auc:.3f}", 0.92 <= auc <= 0.96


def rows(found: dict[str, Measured]) -> Iterator[Row]:
    plain, stopped = found[PLAIN].metrics, found[STOPPED].metrics
    yield (
        "runaway fixed without stops",
        ">= .5",
        f"{plain['runaway_rate']:.3f}",
        plain["runaway_rate"] >= 0.5,
    )
    yield (
        "runaway fixed with stops",
        "<= .02",
        f"{stopped['runaway_rate']:.3f}",
        stopped["runaway_rate"] <= 0.02,
    )
    acceptances = [each["critic_acceptance"] for each in (plain, stopped)]
    yield (
        "critic acceptance without and with stops",
        "equal, +- .03",
        f"{acceptances[0]:.3f}, {acceptances[1]:.3f}",
        abs(acceptances[0] - acceptances[1]) <= 0.03,
    )
    loose, tight, penalised = (found[name].metrics["limit_rate"] for name in (LOOSE, PLAIN, PENALISED))
    yield (
        "limit rate: T .9, top_p .95; then T .4, top_p .9; then penalty 1.2",
        "worse, then better",
        f"{loose:.3f}, {tight:.3f}, {penalised:.3f}",
        penalised < loose < tight,
    )
    slowest = max(one.seconds for one in found.values())
    yield (
        f"{SAMPLES} samples with the critic's opinion",
        "about 2 s",
        f"{slowest:.1f} s at most",
        slowest <= 2.8,
    )
    are_same = all(one.is_same_again for one in found.values())
    yield "metrics made again from stored samples", "equal", "equal" if are_same else "differ", are_same
    sums = {sum(n for key, n in one.metrics.items() if key.startswith("finish[")) for one in found.values()}
    yield "reasons to end, summed", f"{SAMPLES}", f"{', '.join(f'{n:.0f}' for n in sums)}", sums == {SAMPLES}


def regrade_rows() -> Iterator[Row]:
    """The stored samples of three old iterations."""
    by_version = {
        version: [
            generate.regrade(OLD / f"iteration_{place}", version)["runaway_rate"] for place in (1, 2, 3)
        ]
        for version in ("1", "2")
    }
    old = ", ".join(f"{100 * rate:.1f} %" for rate in by_version["1"])
    new = ", ".join(f"{100 * rate:.1f} %" for rate in by_version["2"])
    yield "three old iterations, legacy", "20.9 %, 53.8 %, 46.7 %", old, old == "20.9 %, 53.8 %, 46.7 %"
    yield "the same, fixed", "0 %", new, by_version["2"] == [0.0] * 3


if __name__ == "__main__":
    main()
