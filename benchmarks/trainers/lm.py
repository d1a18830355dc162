"""What does `lm` show at full size: its band, variance first with a null, and how fast it is on one thread?

`--parts band` or `--parts variance` measures one of them. Runs that an earlier call left in `--runs` are used
again. Training is timed in processor seconds of one thread, since other work on a machine lengthens it less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from subject import heading, row

from policies.evidence import Objective
from scheduler.judging import judged
from scheduler.judging.evidence import JudgedRun, Point, finite_metrics, sample_of

LOSS = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
BAND_SEEDS = (7, 11, 13)
SEEDS = (42, 137, 256, 512, 1024)
ADAMW: dict[str, Any] = {"optimizer": "adamw", "lr": 6e-3}
CONFIGS: dict[str, dict[str, Any]] = {
    "band": {},
    "baseline": ADAMW,
    "muon": {"optimizer": "muon"},
    "adamw_4e-3": {"optimizer": "adamw", "lr": 4e-3},
    "null": {**ADAMW, "seed_shift": 1000},
}
#: steps of the two rounds, and between evaluations
BAND_STEPS, BAND_EVERY = 1400, 14
STEPS, EVERY = 300, 30

Wanted = tuple[str, int, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=("band", "variance"), default=("band", "variance"))
    parser.add_argument("--runs", type=Path, default=Path("/tmp/roundhouse-lm"), help="where runs are kept")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, of one thread each")
    parser.add_argument(
        "--one", nargs=4, metavar=("CONFIG", "SEED", "STEPS", "EVERY"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.one:
        config, *numbers = arguments.one
        train_one(arguments.runs, (config, *map(int, numbers)))  # type: ignore[arg-type]
        return
    print(heading())
    print("| Figure | Demand | Measured |")
    print("|---|---|---|")
    if "band" in arguments.parts:
        measure_band(arguments.runs, arguments.jobs)
    if "variance" in arguments.parts:
        measure_variance(arguments.runs, arguments.jobs)


def measure_band(folder: Path, jobs: int) -> None:
    wanted = [("band", seed, BAND_STEPS, BAND_EVERY) for seed in BAND_SEEDS]
    runs = runs_of(folder, wanted, jobs)
    sample = sample_of([judged_run(run) for run in runs], source="lm", objective=LOSS, baseline=None)
    answer = judged("band", sample, {"metrics": ["loss", "loss_best"]}).to_json()["configs"][0]
    quantities = {each["name"]: each for each in answer["quantities"]}
    shapes = [run["shape"] for run in answer["runs"]]
    early, late = ([shape[name] for shape in shapes] for name in ("early_slope", "late_slope"))
    errors = [shape["late_slope_se"] for shape in shapes]
    seeds = "/".join(map(str, BAND_SEEDS))
    for name, demand in (("loss", "in .605-.650"), ("loss_best", "in .570-.592")):
        found = quantities[name]
        values = ", ".join(f"{run['metrics'][name]:.4f}" for run in answer["runs"])
        print(row(f"{name}, seeds {seeds}", demand, f"{values}: {found['mean']:.4f} +- {found['sd']:.4f}"))
    print(row("early slope, per million tokens", "about -.89", ", ".join(f"{x:+.3f}" for x in early)))
    slopes = ", ".join(f"{x:+.3f} +- {se:.3f}" for x, se in zip(late, errors, strict=True))
    smaller = all(abs(x) < abs(y) / 4 for x, y in zip(late, early, strict=True))
    print(row("late slope", "less than a fourth of early", f"{slopes}: {'yes' if smaller else '**no**'}"))
    found = quantities["plateau_coefficient"]
    print(row("plateau coefficient", "about .087", f"{found['mean']:.3f}, CV {100 * found['cv']:.0f} %"))
    tokens = {run["evaluations"][-1]["extra"]["tokens_seen"] for run in runs}
    print(row("tokens seen", "1,433,600", ", ".join(f"{int(each):,}" for each in tokens)))
    first = [run["evaluations"][0] for run in runs]
    print(row("loss at step 0", "differs", ", ".join(f"{each['loss']:.4f}" for each in first)))
    print(row("intelligible, untrained", "0", both([each["extra"] for each in first], "intelligible")))
    last = [run["evaluations"][-1]["extra"] for run in runs]
    for name, demand in (
        ("intelligible", "1"),
        ("char_repetition", "about .02"),
        ("trigram_repetition", ".01-.03, greedy .10"),
    ):
        print(row(f"{name}, trained", demand, both(last, name)))
    again = runs_of(folder / "again", wanted[:1], 1)[0]["evaluations"]
    same = all(x["loss"] == y["loss"] for x, y in zip(again, runs[0]["evaluations"], strict=True))
    print(row("the same seed twice", "the same bits", "the same" if same else "**not the same**"))
    print(row("a run, processor seconds", "87 +- 40 %", seconds(runs)))


def measure_variance(folder: Path, jobs: int) -> None:
    """5 + 3 runs, and two more of what lies within two sigma."""
    wanted = [("baseline", seed, STEPS, EVERY) for seed in SEEDS]
    names = [name for name in CONFIGS if name not in ("band", "baseline")]
    wanted += [(name, seed, STEPS, EVERY) for name in names for seed in SEEDS[:3]]
    runs = runs_of(folder, wanted, jobs)
    within = [each.config for each in answered(runs).experiments if each.next_seeds]
    more = [(name, seed, STEPS, EVERY) for name in within for seed in SEEDS[3:]]
    runs = runs_of(folder, [*wanted, *more], jobs)
    answer = answered(runs)
    base = answer.baseline["loss"]
    print(row("AdamW 6e-3, 300 steps", "about .7758 +- .0126", f"{base.mean:.4f} +- {base.sd:.4f}"))
    demands = {"muon": "-.085 to -.040, WINNER", "adamw_4e-3": "about -.030", "null": "no WINNER"}
    for each in answer.experiments:
        found = each.comparisons[0]
        told = f"{found.difference:+.4f}, {found.sigmas:+.1f} sigma, d {found.cohens_d:+.2f}, {each.verdict}"
        print(row(f"{each.config}, {len(each.runs)} seeds", demands[each.config], told))
    times = {name: [run["seconds"] for run in runs if run["config"] == name] for name in ("baseline", "muon")}
    slower = sum(times["muon"]) / len(times["muon"]) / (sum(times["baseline"]) / len(times["baseline"])) - 1
    print(row("processor time of Muon", "about +20 %", f"{slower:+.1%}"))


def answered(runs: Sequence[dict[str, Any]]) -> Any:
    made = sample_of([judged_run(run) for run in runs], source="lm", objective=LOSS, baseline="baseline")
    return judged("variance_first", made, {})


def runs_of(folder: Path, wanted: Iterable[Wanted], jobs: int) -> list[dict[str, Any]]:
    """The runs, each of a process of its own unless it is there."""
    wanted = list(wanted)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda one: run_one(folder, one), wanted))
    return [json.loads(path_of(folder, one).read_text()) for one in wanted]


def run_one(folder: Path, one: Wanted) -> None:
    if not path_of(folder, one).exists():
        command = [sys.executable, __file__, "--runs", str(folder), "--one", *map(str, one)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def path_of(folder: Path, one: Wanted) -> Path:
    return folder / ("-".join(map(str, one)) + ".json")


def train_one(folder: Path, one: Wanted) -> None:
    from trainers.contract import Context
    from trainers.lm import Config, prepare, train

    config, seed, steps, every = one
    run_dir = folder / "-".join(map(str, one))
    run_dir.mkdir(parents=True, exist_ok=True)
    context = Context(
        seed=seed,
        stage="quick",
        max_steps=steps,
        time_budget_sec=3600.0,
        eval_every=every,
        n_eval=None,
        bsz=8,
        device="cpu",
        threads=1,
        cache_dir=folder / "cache",
        run_dir=run_dir,
    )
    prepared = prepare(Config(**CONFIGS[config]), context)
    begun = time.process_time()
    told = [
        {"step": each.step, "loss": each.loss, "acc": each.acc, "extra": dict(each.extra)}
        for each in train(prepared, context)
    ]
    made = {"config": config, "seed": seed, "seconds": time.process_time() - begun, "evaluations": told}
    path_of(folder, one).write_text(json.dumps(made))


def judged_run(run: dict[str, Any]) -> JudgedRun:
    points = [
        Point(
            step=each["step"],
            tokens=int(each["extra"]["tokens_seen"]),
            metrics=finite_metrics({"loss": each["loss"], **each["extra"]}),
        )
        for each in run["evaluations"]
    ]
    return JudgedRun(
        config=run["config"],
        seed=run["seed"],
        metrics=points[-1].metrics,
        curve=tuple(points),
        wall_seconds=run["seconds"],
    )


def both(extras: Sequence[dict[str, float]], name: str) -> str:
    """The range over runs at T .8, and greedy."""
    sides = ([extra[key] for extra in extras] for key in (name, f"{name}_greedy"))
    at, greedy = (f"{min(side):.3f} to {max(side):.3f}" for side in sides)
    return f"{at}, greedy {greedy}"


def seconds(runs: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{run['seconds']:.0f}" for run in runs)


if __name__ == "__main__":
    main()
